//! Properties over every kernel, JIT on and off: a fixed and modest number of generated trials, the
//! same on every kernel, named `6.12::properties::checker`. Findings of earlier runs are files in
//! `cases/regressions` and are carried out first.
//!
//! `atlas fuzz` goes on as long as one likes.

#[path = "support/guests.rs"]
mod guests;
#[path = "support/legs.rs"]
mod legs;

use atlas_properties::{Property, REPLAY};
use atlas_vm::kernels::Kernel;
use libtest_mimic::{Arguments, Failed, Trial};
use seccomp_atlas::casefile::CaseFile;
use seccomp_atlas::fuzz::{self, Budget, Event, Plan, Tally};
use seccomp_atlas::plan::JitChoice;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex};

/// What the trials are made from. Another seed is another test: `atlas fuzz` takes one each time.
const SEED: u64 = 2013;
/// Trials on each kernel, over all properties: about 2,000 experiments under each JIT setting.
const TRIALS: u64 = 1500;

/// How the kernels come out.
#[derive(Default)]
struct Outcomes {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    /// What went wrong, by kernel and property.
    found: BTreeMap<(String, &'static str), String>,
    /// Why a kernel could not be asked to the end.
    not_run: BTreeMap<String, String>,
    finished: BTreeMap<String, Tally>,
    over: bool,
}

impl Outcomes {
    fn take(&self, event: &Event) {
        let mut state = self.state.lock().unwrap();
        match event {
            Event::Found(finding) => {
                let key = (finding.kernel.clone(), finding.property);
                state.found.entry(key).or_default().push_str(&finding.text);
            }
            Event::NotRun { kernel, why } => {
                state.not_run.insert(kernel.clone(), why.clone());
            }
            Event::Finished { kernel, tally } => {
                state.finished.insert(kernel.clone(), tally.clone());
            }
            Event::Booted { .. }
            | Event::Lost { .. }
            | Event::TemplateTrouble { .. }
            | Event::Progress { .. } => return,
        }
        self.news.notify_all();
    }

    fn wait(&self, kernel: &str, property: &Property) -> Result<(), Failed> {
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(why) = state.not_run.get(kernel) {
                return Err(format!("not run: {why}").into());
            }
            if let Some(tally) = state.finished.get(kernel) {
                if let Some(text) = state.found.get(&(kernel.to_owned(), property.name)) {
                    return Err(text.into());
                }
                return match tally.judged.get(property.name) {
                    Some(1..) => Ok(()),
                    _ => Err("not one trial was judged".into()),
                };
            }
            if state.over {
                return Err("the run gave no verdict".into());
            }
            state = self.news.wait(state).unwrap();
        }
    }
}

/// The files of earlier findings.
fn regressions() -> Result<Vec<CaseFile>, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let entries =
        std::fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths.iter().map(|path| CaseFile::read(path).map_err(|error| error.to_string())).collect()
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (kernels, mut trials) = legs::kernels();
    let regressions = regressions().unwrap_or_else(|why| {
        trials.push(legs::problem("regressions::are_read".into(), why));
        Vec::new()
    });
    let outcomes = Arc::new(Outcomes::default());
    let mut wanted: Vec<Kernel> = Vec::new();
    let mut properties: Vec<&'static Property> = Vec::new();
    for kernel in &kernels {
        for property in atlas_properties::all().iter().chain((!regressions.is_empty()).then_some(&REPLAY)) {
            let name = format!("{}::properties::{}", kernel.name, property.name);
            if legs::selected(&arguments, &name) {
                if !wanted.iter().any(|other| other.name == kernel.name) {
                    wanted.push(kernel.clone());
                }
                if !properties.iter().any(|other| other.name == property.name) {
                    properties.push(property);
                }
            }
            let (outcomes, kernel) = (Arc::clone(&outcomes), kernel.name.clone());
            trials.push(Trial::test(name, move || outcomes.wait(&kernel, property)));
        }
    }
    properties.retain(|property| property.share > 0);
    if !arguments.list && !wanted.is_empty() {
        let outcomes = Arc::clone(&outcomes);
        std::thread::spawn(move || run(wanted, properties, regressions, &outcomes));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(
    kernels: Vec<Kernel>,
    properties: Vec<&'static Property>,
    regressions: Vec<CaseFile>,
    outcomes: &Outcomes,
) {
    let guests = guests::find(&kernels[0]);
    let plan = Plan {
        kernels,
        properties,
        seed: SEED,
        first: 0,
        budget: Budget::Trials(TRIALS),
        regressions,
        jit: JitChoice::Both,
        guests,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
    };
    fuzz::run(&plan, &AtomicBool::new(false), &mut |event| outcomes.take(event));
    outcomes.state.lock().unwrap().over = true;
    outcomes.news.notify_all();
}
