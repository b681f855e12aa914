//! The paper interpreter on experiments whose outcome the manual pages give.

use atlas_model::bpf::{self, Insn};
use atlas_model::expect::{Value, compare, expect, leans_on};
use atlas_model::experiment::{Call, Experiment, Install, Op, Program, Step, TaskId, Via};
use atlas_model::observation::{End, Observation, StepSeen, TaskSeen};
use atlas_model::traits::{Feature, Quirk, Series, Traits};
use atlas_model::{Abi, Action, Filter};

const GETPPID: u64 = 110;

fn call(task: TaskId, nr: u64, args: [u64; 6]) -> Step {
    Step { task, op: Op::Call(Call { abi: Abi::X86_64, nr, args }) }
}

fn attach(task: TaskId, flags: u32, insns: Vec<Insn>) -> Step {
    let program = Program::Filter(Filter(insns));
    Step { task, op: Op::Install(Install { via: Via::Seccomp { flags }, program }) }
}

fn on_getppid(word: u32) -> Vec<Insn> {
    vec![bpf::ld(0), bpf::jeq(110, 0, 1), bpf::ret_word(word), bpf::ret(Action::Allow)]
}

fn experiment(steps: Vec<Step>) -> Experiment {
    Experiment { steps, ..Experiment::default() }
}

fn last(experiment: &Experiment, traits: &Traits) -> Option<Value> {
    expect(experiment, traits).steps.pop().unwrap().returned
}

#[test]
fn errno_is_capped_unless_the_quirk_says_otherwise() {
    let experiment = experiment(vec![attach(0, 0, on_getppid(0x0005_ffff)), call(0, GETPPID, [0; 6])]);
    assert_eq!(last(&experiment, &Traits::newest()), Some(Value::Exactly(-4095)));
    let mut old = Traits::newest();
    old.quirks.insert(Quirk::ErrnoUncapped);
    assert_eq!(last(&experiment, &old), Some(Value::Exactly(-65_535)));
    assert_eq!(leans_on(&experiment, &old), [Quirk::ErrnoUncapped]);
}

#[test]
fn strict_mode_before_2_6_29_has_the_native_numbers_for_i386() {
    let by_i386 = |nr| {
        let call = Step { task: 0, op: Op::Call(Call { abi: Abi::I386, nr, args: [0; 6] }) };
        experiment(vec![self::call(0, 157, [22, 1, 0, 0, 0, 0]), call])
    };
    let ends = |experiment: &Experiment, series| {
        let mut traits = Traits::mainline(series);
        traits.features.extend(Feature::ALL);
        expect(experiment, &traits).tasks[0] != End::Alive
    };
    let (before, since) = (Series::of_2_6(28), Series::of_2_6(29));
    // i386's umask has the number of the native exit, i386's write that of the native stat.
    let (umask, write) = (by_i386(60), by_i386(4));
    assert_eq!((ends(&umask, before), ends(&umask, since)), (false, true));
    assert_eq!((ends(&write, before), ends(&write, since)), (true, false));
}

#[test]
fn killing_a_thread_leaves_its_process() {
    let steps = |word| {
        let thread = Step { task: 0, op: Op::Thread { child: 1 } };
        experiment(vec![
            thread,
            attach(1, 0, on_getppid(word)),
            call(1, GETPPID, [0; 6]),
            call(0, GETPPID, [0; 6]),
        ])
    };
    let thread = expect(&steps(0), &Traits::newest());
    assert_eq!(thread.tasks, [End::Alive, End::ThreadGone]);
    let process = expect(&steps(0x8000_0000), &Traits::newest());
    assert_eq!(process.tasks, [End::Signaled { signal: 31, core: false }; 2]);
    assert!(!process.steps[3].reached);
}

#[test]
fn without_privilege_the_kernel_refuses_before_it_reads_the_program() {
    let nobody = call(0, 117, [65_534, 65_534, 65_534, 0, 0, 0]);
    let bad = Step { task: 0, op: Op::Install(Install { via: Via::Prctl, program: Program::BadInsns(1) }) };
    let experiment = experiment(vec![nobody, bad]);
    assert_eq!(last(&experiment, &Traits::newest()), Some(Value::Exactly(-13)));
}

#[test]
fn tsync_names_the_thread_that_diverged() {
    let thread = Step { task: 0, op: Op::Thread { child: 1 } };
    let allow = vec![bpf::ret(Action::Allow)];
    let with = |flags| {
        experiment(vec![thread.clone(), attach(1, 0, allow.clone()), attach(0, flags, allow.clone())])
    };
    assert_eq!(last(&with(1), &Traits::newest()), Some(Value::TidOf(1)));
    assert_eq!(last(&with(17), &Traits::newest()), Some(Value::Exactly(-3)));
}

#[test]
fn a_kernel_without_filters_says_einval() {
    let prctl = Step { task: 0, op: Op::Install(Install { via: Via::Prctl, program: Program::NullFprog }) };
    let old = Traits::mainline(Series::new(3, 4));
    assert!(!old.has(Feature::ModeFilter));
    assert_eq!(last(&experiment(vec![prctl]), &old), Some(Value::Exactly(-22)));
}

#[test]
fn a_comparison_names_what_differs_and_refuses_another_shape() {
    let experiment = experiment(vec![call(0, GETPPID, [0; 6])]);
    let expectation = expect(&experiment, &Traits::newest());
    let seen = |value| Observation {
        steps: vec![StepSeen { reached: true, returned: Some(value), traps: Vec::new(), traced: Vec::new() }],
        tasks: vec![TaskSeen { tid: 7, pid: 7, end: End::Alive }],
        world: Vec::new(),
    };
    assert_eq!(compare(&expectation, &seen(1)), []);
    assert_eq!(compare(&expectation, &seen(2))[0].what, "step 0");
    assert_eq!(compare(&expectation, &Observation::default())[0].what, "shape");
}
