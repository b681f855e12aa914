//! The oracle bites: with any one rule of the model flipped, a property no longer holds on a real
//! kernel.
//!
//! The trials that `properties` tries are carried out once, on one kernel; then the same observations
//! are judged by each mutant of the model. `docs/mutants.md` says which property notices which
//! mutant; `UPDATE_MUTANTS=1` writes it anew. `ATLAS_MUTANT_KERNEL` names another kernel than 6.12:
//! the file is about 6.12 and is not compared then.

#[path = "support/guests.rs"]
mod guests;

use atlas_model::mutant::{Mutant, table, with};
use atlas_model::traits::Traits;
use atlas_vm::kernels::Store;
use libtest_mimic::{Arguments, Failed, Trial};
use seccomp_atlas::fuzz::{self, Budget, Plan, Recorded};
use seccomp_atlas::plan::JitChoice;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

/// As in `properties`.
const SEED: u64 = 2013;
const TRIALS: u64 = 1500;
/// The kernel of the committed table: it has every trait that a mutant is about.
const KERNEL: &str = "6.12";

type Recording = Result<(Traits, Vec<Recorded>), String>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let recording: Arc<OnceLock<Recording>> = Arc::default();
    let with_recording = |work: fn(&Traits, &[Recorded]) -> Result<(), Failed>| {
        let recording = Arc::clone(&recording);
        move || match recording.get_or_init(record) {
            Ok((traits, recorded)) => work(traits, recorded),
            Err(why) => Err(why.into()),
        }
    };
    let mut trials = vec![
        Trial::test("mutants::the_right_model_holds", with_recording(right)),
        Trial::test("mutants::the_table_is_true", with_recording(table_is_true)),
    ];
    for &mutant in Mutant::ALL {
        let recording = Arc::clone(&recording);
        let name = format!("mutants::{}", mutant.name());
        trials.push(Trial::test(name, move || match recording.get_or_init(record) {
            Ok((traits, recorded)) => match noticed(mutant, traits, recorded) {
                Some(_) => Ok(()),
                None => Err(format!("no property notices: {}", mutant.about()).into()),
            },
            Err(why) => Err(why.as_str().into()),
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn kernel_name() -> String {
    std::env::var("ATLAS_MUTANT_KERNEL").unwrap_or_else(|_| KERNEL.into())
}

fn record() -> Recording {
    let name = kernel_name();
    let store = Store::open().map_err(|error| error.to_string())?;
    let kernel = store.resolve(&name).map_err(|error| {
        format!("{error}\nrun: cargo run -p seccomp-atlas -- kernels fetch --kernel {name}")
    })?;
    let guests = guests::find(&kernel);
    let plan = Plan {
        kernels: vec![kernel],
        properties: atlas_properties::all().iter().collect(),
        seed: SEED,
        first: 0,
        budget: Budget::Trials(TRIALS),
        regressions: Vec::new(),
        jit: JitChoice::Both,
        guests,
        jobs: 1,
    };
    fuzz::record(&plan, TRIALS)
}

fn right(traits: &Traits, recorded: &[Recorded]) -> Result<(), Failed> {
    for Recorded { property, trial, seen } in recorded {
        if let Err(broken) = property.judge(trial, traits, seen) {
            return Err(format!("{}\n{}", property.name, broken.to_text(trial, traits)).into());
        }
    }
    Ok(())
}

/// The property that is the first to notice a mutant.
fn noticed(mutant: Mutant, traits: &Traits, recorded: &[Recorded]) -> Option<&'static str> {
    with(mutant, || {
        let notices = |one: &&Recorded| one.property.judge(&one.trial, traits, &one.seen).is_err();
        recorded.iter().find(notices).map(|one| one.property.name)
    })
}

fn table_is_true(traits: &Traits, recorded: &[Recorded]) -> Result<(), Failed> {
    if kernel_name() != KERNEL {
        return Ok(());
    }
    let by = |mutant: Mutant| noticed(mutant, traits, recorded).unwrap_or("nobody");
    let rows: Vec<(Mutant, &str)> = Mutant::ALL.iter().map(|&mutant| (mutant, by(mutant))).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, by) in &rows {
        *counts.entry(by).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(by, count)| format!("{by} {count}")).collect();
    let text = format!(
        "{}\nThe checks are the properties of `harness/properties` with the trials of `cargo test`, the kernel is {KERNEL}.\nNoticed first by: {}.\n`cargo test -p atlas-cases --test mutants` keeps this file true, `UPDATE_MUTANTS=1` writes it.\n",
        table(&rows),
        counts.join(", "),
    );
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/mutants.md");
    if std::env::var_os("UPDATE_MUTANTS").is_some() {
        return std::fs::write(&path, text).map_err(|error| format!("docs/mutants.md: {error}").into());
    }
    match std::fs::read_to_string(&path) {
        Ok(kept) if kept == text => Ok(()),
        Ok(_) => {
            Err("docs/mutants.md is stale: UPDATE_MUTANTS=1 cargo test -p atlas-cases --test mutants".into())
        }
        Err(error) => Err(format!("docs/mutants.md: {error}").into()),
    }
}
