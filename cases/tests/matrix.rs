//! One test per kernel, case, ABI and JIT setting, named `6.12::errno::cap_4095::jit_on` (with the
//! ABI before the JIT where it is not the native one), so that people filter as they are used to.
//!
//! `ATLAS_KERNEL` names the kernels of one leg of a CI matrix, separated by commas. A default kernel
//! that is not on this machine is a failure that names the command to run, never a pass.

#[path = "support/guests.rs"]
mod guests;
#[path = "support/legs.rs"]
mod legs;

use atlas_cases::Case;
use atlas_vm::kernels::Kernel;
use legs::{kernels, selected};
use libtest_mimic::{Arguments, Failed, Trial};
use seccomp_atlas::event::Event;
use seccomp_atlas::plan::{JitChoice, Plan};
use seccomp_atlas::results::{CaseResult, Jit};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Verdicts as they come in.
#[derive(Default)]
struct Verdicts {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    results: BTreeMap<(String, String, String, Jit), CaseResult>,
    over: bool,
}

impl Verdicts {
    fn take(&self, event: &Event) {
        let mut state = self.state.lock().unwrap();
        match event {
            Event::CaseFinished(result) => {
                let key = (result.kernel.clone(), result.case.clone(), result.abi.clone(), result.jit);
                state.results.insert(key, (**result).clone());
            }
            Event::RunFinished { .. } => state.over = true,
            _ => return,
        }
        self.news.notify_all();
    }

    fn wait(&self, kernel: &str, case: &str, abi: &str, jit: Jit) -> Result<(), Failed> {
        let key = |jit| (kernel.to_owned(), case.to_owned(), abi.to_owned(), jit);
        let mut state = self.state.lock().unwrap();
        loop {
            // A kernel that cannot switch its JIT has one verdict for both settings.
            let found = state.results.get(&key(jit)).or_else(|| state.results.get(&key(Jit::Fixed)));
            if let Some(result) = found {
                return judged(result);
            }
            if state.over {
                return Err("the run gave no verdict".into());
            }
            state = self.news.wait(state).unwrap();
        }
    }
}

fn judged(result: &CaseResult) -> Result<(), Failed> {
    if !result.verdict.fails() {
        return Ok(());
    }
    Err(format!(
        "{}: {}\n\nobserved\n{}\n\nexpected\n{}\n\ndecided by\n{}\n\nconsole\n{}\n\nrepeat with: atlas run --kernel {} --case {}",
        result.verdict.name(),
        result.note,
        result.observed,
        result.expected,
        result.decided,
        result.console,
        result.kernel,
        result.case
    )
    .into())
}

fn name(kernel: &str, case: &Case, abi: atlas_model::Abi, jit: Jit) -> String {
    let abi = if abi == atlas_model::Abi::X86_64 { String::new() } else { format!("::{abi}") };
    format!("{kernel}::{}{abi}::{}", case.name, jit.name())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (kernels, mut trials) = kernels();
    let verdicts = Arc::new(Verdicts::default());
    let mut cases: Vec<&'static Case> = Vec::new();
    let mut legs = BTreeSet::new();
    for kernel in &kernels {
        for case in atlas_cases::catalogue() {
            for &abi in case.abis {
                for jit in [Jit::On, Jit::Off] {
                    let name = name(&kernel.name, case, abi, jit);
                    if selected(&arguments, &name) {
                        legs.insert(kernel.name.clone());
                        if !cases.iter().any(|other| other.name == case.name) {
                            cases.push(case);
                        }
                    }
                    let (verdicts, kernel) = (Arc::clone(&verdicts), kernel.name.clone());
                    trials
                        .push(Trial::test(name, move || verdicts.wait(&kernel, case.name, abi.name(), jit)));
                }
            }
        }
    }
    let kernels: Vec<Kernel> = kernels.into_iter().filter(|kernel| legs.contains(&kernel.name)).collect();
    if !arguments.list && !cases.is_empty() {
        let verdicts = Arc::clone(&verdicts);
        std::thread::spawn(move || run(kernels, cases, &verdicts));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(kernels: Vec<Kernel>, cases: Vec<&'static Case>, verdicts: &Verdicts) {
    let guests = guests::find(&kernels[0]);
    let plan = Plan {
        kernels,
        cases,
        shard: None,
        jit: JitChoice::Both,
        guests,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        limit: Duration::from_secs(20),
        repeat: 1,
        done: BTreeSet::new(),
    };
    seccomp_atlas::run::run(&plan, &AtomicBool::new(false), &mut |event: &Event| verdicts.take(event));
}
