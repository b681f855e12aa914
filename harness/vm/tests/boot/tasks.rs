//! Tasks harm nobody but themselves, even where they have their supervisor's memory; and whose memory they have does not
//! show.

use crate::program::{filter, number};
use crate::support::{AMPLE, Test, on_each};
use atlas_model::abi::Abi;
use atlas_model::experiment::{Disposition, Install, Op, Program, Step, TaskId, Via, effects, layout};
use atlas_model::observation::End;
use atlas_model::{Action, Call, Experiment, Observation};
use atlas_vm::Machine;
use atlas_wire::{Item, Outcome, Request, Response};

pub(crate) const TESTS: &[Test] = &[
    ("a_supervisor_outlives_its_tasks", a_supervisor_outlives_its_tasks),
    ("the_watched_window_is_gone_afterwards", the_watched_window_is_gone_afterwards),
    ("whose_memory_they_have_does_not_show", whose_memory_they_have_does_not_show),
];

/// How long an experiment may take, in milliseconds: one of these tasks blocks.
const LIMIT: u32 = 1000;

fn call(task: TaskId, name: &str, args: [u64; 3]) -> Step {
    let (nr, [a, b, c]) = (number(name).into(), args);
    Step { task, op: Op::Call(Call { abi: Abi::X86_64, nr, args: [a, b, c, 0, 0, 0] }) }
}

fn of(steps: Vec<Step>) -> Experiment {
    Experiment { steps, ..Experiment::default() }
}

fn observed(machine: &mut Machine, experiments: &[Experiment]) -> Vec<Observation> {
    let items: Vec<Item> = experiments.iter().cloned().map(Item::Experiment).collect();
    let seen = |outcome| match outcome {
        Outcome::Observed(observation) => observation,
        other => panic!("{other:?}"),
    };
    match machine.request(&Request::Run { jit: None, limit_ms: LIMIT, items }, AMPLE) {
        Ok(Response::Ran(outcomes)) => {
            assert_eq!(outcomes.len(), experiments.len());
            outcomes.into_iter().map(seen).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn a_supervisor_outlives_its_tasks() {
    let (scratch, page) = (layout::SCRATCH, layout::PAGE);
    let by_signal = |signal| End::Signaled { signal, core: false };
    let harmful = [
        // The supervisor writes there before the next experiment.
        (of(vec![call(0, "munmap", [scratch, page, 0])]), End::Alive),
        (of(vec![call(0, "mprotect", [layout::BOARD, page, 0])]), End::Alive),
        (of(vec![call(0, "munmap", [layout::STUB, page, 0])]), by_signal(11)),
        (of(vec![call(0, "kill", [0, 9, 0])]), by_signal(9)),
        (of(vec![call(0, "exit_group", [7, 0, 0])]), End::Exited(7)),
        // There are no more bytes to read than the first call takes.
        (
            of(vec![
                call(0, "read", [layout::FD_READ, scratch, layout::PIPE_BYTES]),
                call(0, "read", [layout::FD_READ, scratch, 1]),
            ]),
            End::TimedOut,
        ),
    ];
    let plain = of(vec![call(0, "read", [layout::FD_READ, scratch, 16])]);
    assert!(plain.leaves_memory_alone());
    on_each(|machine| {
        for (experiment, end) in &harmful {
            let seen = observed(machine, &[experiment.clone(), plain.clone()]);
            assert_eq!(seen[0].tasks[0].end, *end, "{experiment:?}: {seen:?}");
            assert_eq!(seen[1].tasks[0].end, End::Alive, "after {experiment:?}: {seen:?}");
            assert_eq!(seen[1].steps[0].returned, Some(16), "after {experiment:?}: {seen:?}");
        }
    });
}

fn the_watched_window_is_gone_afterwards() {
    let read = of(vec![call(0, "read", [layout::FD_READ, layout::WINDOW, 1])]);
    let watched = Experiment { watch: true, ..read.clone() };
    assert!(read.leaves_memory_alone());
    on_each(|machine| {
        let seen = observed(machine, &[read.clone(), watched.clone(), read.clone()]);
        let returned: Vec<_> = seen.iter().map(|seen| seen.steps[0].returned).collect();
        let fault = Some(-i64::from(libc::EFAULT));
        assert_eq!(returned, [fault, Some(1), fault]);
    });
}

/// Every effect, by itself and by both ABIs.
fn all_effects() -> Vec<Experiment> {
    let mut experiments = Vec::new();
    for abi in [Abi::X86_64, Abi::I386] {
        for effect in effects::ALL {
            let mut experiment = Experiment { watch: true, ..Experiment::default() };
            effect.add_to(&mut experiment, 0, abi);
            experiments.push(experiment);
        }
    }
    experiments
}

/// A process and a thread beside the first task, one of which makes a call that a filter does this to.
fn judged(action: Action, task: TaskId) -> Experiment {
    let program = Program::Filter(filter("getppid", action));
    let install = Install { via: Via::Seccomp { flags: 0 }, program };
    of(vec![
        call(0, "prctl", [38, 1, 0]),
        Step { task: 0, op: Op::Sigsys(Disposition::Record) },
        Step { task: 0, op: Op::Install(install) },
        Step { task: 0, op: Op::Fork { child: 1 } },
        Step { task: 0, op: Op::Thread { child: 2 } },
        call(task, "getppid", [0; 3]),
        call(0, "getuid", [0; 3]),
        call(1, "getuid", [0; 3]),
        call(2, "getuid", [0; 3]),
    ])
}

/// What was seen, but for its first step, with tasks in place of their ids.
fn told(observation: &Observation, skip: usize) -> String {
    let named = |value: i64| {
        let task = observation.tasks.iter().position(|task| i64::from(task.tid) == value && value != 0);
        task.map_or(value.to_string(), |task| format!("task {task}"))
    };
    let steps = observation.steps[skip..].iter();
    let steps: Vec<_> = steps.map(|step| (step.reached, step.returned.map(named), &step.traps)).collect();
    let ends: Vec<End> = observation.tasks.iter().map(|task| task.end).collect();
    format!("{steps:?} {ends:?} {:?}", observation.world)
}

fn whose_memory_they_have_does_not_show() {
    let mut experiments = all_effects();
    for action in [Action::KillProcess, Action::KillThread, Action::Trap(7), Action::Errno(7)] {
        experiments.extend([0, 1, 2].map(|task| judged(action, task)));
    }
    experiments.retain(Experiment::leaves_memory_alone);
    assert!(experiments.len() > 100, "{}", experiments.len());
    // It unmaps nothing, and nobody but its own process would know.
    let unmaps = call(0, "munmap", [layout::UNMAPPED, layout::PAGE, 0]);
    let apart = |experiment: &Experiment| {
        let steps = std::iter::once(&unmaps).chain(&experiment.steps).cloned().collect();
        Experiment { steps, ..experiment.clone() }
    };
    let apart: Vec<Experiment> = experiments.iter().map(apart).collect();
    assert!(!apart.iter().any(Experiment::leaves_memory_alone));
    on_each(|machine| {
        for (experiments, apart) in experiments.chunks(20).zip(apart.chunks(20)) {
            let (with, without) = (observed(machine, experiments), observed(machine, apart));
            for ((with, without), experiment) in with.iter().zip(&without).zip(experiments) {
                assert_eq!(told(with, 0), told(without, 1), "{experiment:?}");
            }
        }
    });
}
