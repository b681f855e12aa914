//! Fuzz runs on a real kernel, with properties of these tests' own: one that takes the guest down,
//! one that does not hold, and one that holds. `ATLAS_KERNEL` names another kernel than 6.12.

use atlas_model::Abi;
use atlas_model::arbitrary::call::harmless;
use atlas_model::expect::Difference;
use atlas_model::experiment::{Call, Experiment, Op, Step};
use atlas_properties::{Isolation, Property, Trial};
use atlas_vm::kernels::{Kernel, Store};
use atlas_vm::{Accel, Accelerator, BootOptions};
use proptest::prelude::*;
use seccomp_atlas::casefile::CaseFile;
use seccomp_atlas::fuzz::{self, Budget, Event, Finding, Kind, Plan, Tally};
use seccomp_atlas::guests::Guests;
use seccomp_atlas::plan::JitChoice;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// reboot(2) with its magic numbers and `LINUX_REBOOT_CMD_RESTART` (include/uapi/linux/reboot.h).
const REBOOT: Call =
    Call { abi: Abi::X86_64, nr: 169, args: [0xfee1_dead, 672_274_793, 0x0123_4567, 0, 0, 0] };

const REBOOTS: Property = Property {
    name: "reboots",
    about: "No call takes the guest down.",
    isolation: Isolation::Furnished,
    share: 1000,
    strategy: || calls(prop_oneof![30 => harmless(), 1 => Just(REBOOT)].boxed()),
    statement: |_, _| Vec::new(),
};

const FEW: Property = Property {
    name: "few",
    about: "No experiment has more than 3 calls.",
    isolation: Isolation::Bare,
    share: 1000,
    strategy: || calls(harmless()),
    statement: |trial, seen| match seen[0].steps.len() {
        ..4 => Vec::new(),
        many => vec![Difference {
            what: format!("calls of {} experiments", trial.experiments.len()),
            expected: "3 at most".into(),
            observed: many.to_string(),
        }],
    },
};

const HOLDS: Property = Property {
    name: "holds",
    about: "Harmless calls do what the model says.",
    isolation: Isolation::Furnished,
    share: 1000,
    strategy: || calls(harmless()),
    statement: |_, _| Vec::new(),
};

/// Up to seven calls of one task.
fn calls(one: BoxedStrategy<Call>) -> BoxedStrategy<Trial> {
    prop::collection::vec(one, 1..8)
        .prop_map(|calls| {
            let steps = calls.into_iter().map(|call| Step { task: 0, op: Op::Call(call) }).collect();
            Experiment { steps, ..Experiment::default() }.into()
        })
        .boxed()
}

fn kernel() -> Kernel {
    let names = std::env::var("ATLAS_KERNEL").unwrap_or_else(|_| "6.12".into());
    let name = names.split(',').next().unwrap();
    let hint = format!("run: cargo run -p seccomp-atlas -- kernels fetch --kernel {name}");
    Store::open().unwrap().resolve(name).unwrap_or_else(|error| panic!("{error}\n{hint}"))
}

fn plan(property: &'static Property, seed: u64, budget: Budget) -> Plan {
    let kernel = kernel();
    let memory = Store::open().ok().map(|store| store.root().join("kvm"));
    let accelerator = Accelerator::find(Accel::Auto, &kernel.path, memory.as_deref())
        .unwrap_or_else(|_| Accelerator::tcg());
    Plan {
        kernels: vec![kernel],
        properties: vec![property],
        seed,
        first: 0,
        budget,
        regressions: Vec::new(),
        jit: JitChoice::On,
        guests: Guests::cold(BootOptions { accelerator, ..BootOptions::default() }),
        jobs: 1,
    }
}

/// What a run told.
#[derive(Default)]
struct Told {
    found: Vec<Finding>,
    lost: u64,
    not_run: Vec<String>,
    finished: Option<Tally>,
}

impl Told {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Found(finding) => self.found.push((**finding).clone()),
            Event::Lost { .. } => self.lost += 1,
            Event::NotRun { why, .. } => self.not_run.push(why.clone()),
            Event::Finished { tally, .. } => {
                let before = self.finished.replace(tally.clone());
                assert!(before.is_none(), "a kernel is finished once, by whatever number of guests");
            }
            Event::Booted { .. } | Event::TemplateTrouble { .. } | Event::Progress { .. } => {}
        }
    }
}

fn told(plan: &Plan) -> Told {
    let mut told = Told::default();
    fuzz::run(plan, &AtomicBool::new(false), &mut |event| told.take(event));
    assert!(told.not_run.is_empty(), "{:?}", told.not_run);
    told
}

fn called(trial: &Trial) -> Vec<Call> {
    assert_eq!(trial.experiments.len(), 1);
    let calls = trial.experiments[0].steps.iter().map(|step| match step.op {
        Op::Call(call) => call,
        ref other => panic!("{other:?}"),
    });
    calls.collect()
}

/// The number of trials of a seed that hold the reboot.
fn with_reboot(seed: u64, trials: u64) -> usize {
    let strategy = (REBOOTS.strategy)();
    let trial = |number| atlas_properties::tree(&REBOOTS, &strategy, seed, number).current();
    (0..trials).filter(|&number| called(&trial(number)).contains(&REBOOT)).count()
}

#[test]
fn a_call_that_takes_the_guest_down_is_found_and_made_smaller_across_boots() {
    const TRIALS: u64 = 12;
    let seed = (0..).find(|&seed| with_reboot(seed, TRIALS) == 1).unwrap();
    let told = told(&plan(&REBOOTS, seed, Budget::Trials(TRIALS)));
    let [finding] = &told.found[..] else { panic!("{:?}", told.found) };
    assert!(matches!(&finding.kind, Kind::Lost(_)), "{}", finding.text);
    assert_eq!(called(&finding.trial), [REBOOT], "{}", finding.text);
    assert!(finding.shrunk > 0, "{}", finding.text);
    assert!(finding.text.contains("the guest was lost: "), "{}", finding.text);
    let tally = told.finished.expect("the run ends");
    assert_eq!(tally.judged["reboots"], TRIALS);
    assert_eq!(tally.broken["reboots"], 1);
    // Every trial but the one was carried out to its end, the ones behind it in a new guest.
    assert!(tally.experiments >= TRIALS - 1, "{}", tally.experiments);
    // With the batch, alone, and once for each time it was made smaller.
    assert!(tally.lost >= 2 + u64::from(finding.shrunk), "{} of {}", tally.lost, finding.shrunk);
    assert_eq!(tally.lost, told.lost);
    println!("{} guests lost, made smaller {} times", tally.lost, finding.shrunk);
}

#[test]
fn what_does_not_hold_ends_in_the_smallest_trial_and_comes_back() {
    let plan_of = |first, trials| Plan { first, ..plan(&FEW, 7, Budget::Trials(trials)) };
    let told_all = told(&plan_of(0, 20));
    let tally = told_all.finished.unwrap();
    let broken = tally.broken["few"];
    assert!((2..20).contains(&broken), "{broken}");
    assert_eq!(told_all.found.len(), 2, "two are made smaller, the others are counted");
    for finding in &told_all.found {
        assert_eq!(called(&finding.trial).len(), 4, "{}", finding.text);
        assert!(matches!(&finding.kind, Kind::Differs(broken) if broken.experiment.is_none()));
        let kernel = kernel().name;
        for says in [
            format!("property `few` does not hold on {kernel} ({}), JIT on", finding.release),
            FEW.about.into(),
            format!("seed 7, trial {}, made smaller {} times", finding.number, finding.shrunk),
            "expected: 3 at most\n  observed: 4".into(),
            format!(
                "repeat with: atlas fuzz --kernel {kernel} --property few --seed 7 --first {} --cases 1\n",
                finding.number
            ),
        ] {
            assert!(finding.text.contains(&says), "no `{says}` in\n{}", finding.text);
        }
    }
    let first = &told_all.found[1];
    let again = told(&plan_of(first.number, 1)).found;
    let [again] = &again[..] else { panic!("{again:?}") };
    assert_eq!(again.trial, first.trial);
    assert_eq!((&again.kind, again.shrunk, &again.text), (&first.kind, first.shrunk, &first.text));
    is_a_case_file(first);
}

#[test]
fn two_guests_of_a_kernel_judge_together_what_one_judges_alone() {
    const TRIALS: u64 = 250;
    let tally = |jobs| told(&Plan { jobs, ..plan(&FEW, 7, Budget::Trials(TRIALS)) }).finished.unwrap();
    let (alone, together) = (tally(1), tally(2));
    assert_eq!(alone.judged["few"], TRIALS);
    assert!(alone.broken["few"] > 2, "{:?}", alone.broken);
    assert_eq!((&together.judged, &together.broken), (&alone.judged, &alone.broken));
}

/// Written, read back, and taken by `atlas run`: kernel and model agree on what is in it.
fn is_a_case_file(finding: &Finding) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("found.json");
    finding.case_file().write(&path).unwrap();
    assert_eq!(CaseFile::read(&path).unwrap(), finding.case_file());
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("atlas");
    command.args(["run", "--quiet", "--kernel", &finding.kernel, "--json", "-", "--experiment"]);
    let output = command.arg(&path).arg("--out").arg(directory.path().join("out")).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains(&finding.case_file().name), "{stdout}");
}

#[test]
fn a_budget_of_time_ends_near_its_time() {
    let budget = Duration::from_millis(300);
    let mut first = None;
    let mut told = Told::default();
    fuzz::run(&plan(&HOLDS, 1, Budget::Time(budget)), &AtomicBool::new(false), &mut |event| {
        if matches!(event, Event::Booted { .. }) {
            first = Some(Instant::now());
        }
        told.take(event);
    });
    assert!(told.not_run.is_empty(), "{:?}", told.not_run);
    let took = first.unwrap().elapsed();
    let tally = told.finished.unwrap();
    println!("{took:?} for {budget:?}, {} trials", tally.trials());
    assert!(took >= budget && took < budget + Duration::from_millis(1500), "{took:?}");
    assert!(tally.trials() > 0 && tally.all_broken() == 0 && told.found.is_empty());
}

#[test]
fn a_raised_stop_ends_the_run_with_what_there_is() {
    // Raised after the first request of the first round.
    let stop = AtomicBool::new(false);
    let mut raised = None;
    let mut told = Told::default();
    let reach = fuzz::run(&plan(&HOLDS, 1, Budget::Time(Duration::from_secs(600))), &stop, &mut |event| {
        if matches!(event, Event::Progress { .. }) && !stop.swap(true, SeqCst) {
            raised = Some(Instant::now());
        }
        told.take(event);
    });
    let took = raised.unwrap().elapsed();
    println!("{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let tally = told.finished.unwrap();
    assert!((1..100).contains(&tally.trials()) && tally.lost == 0 && told.not_run.is_empty());
    assert!(reach.actions.1 > 0);
}
