//! Filters pass to what a task makes, and to nobody else.

use crate::trial::{Isolation, Property, Trial};
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Filter};
use atlas_model::experiment::{
    CLONE_FILES, CLONE_FS, CLONE_SIGHAND, CLONE_VM, Call, Disposition, Experiment, Install, Op, Program,
    Step, TaskId, Via,
};
use atlas_model::{Abi, Action};
use proptest::prelude::*;

pub(crate) const INHERIT: Property = Property {
    name: "inherit",
    about: "Across fork, clone with and without shared memory, threads and execve a task has its maker's \
            filters; TSYNC gives them to every thread.",
    isolation: Isolation::Furnished,
    share: 120,
    strategy,
    statement: |_, _| Vec::new(),
};

/// The most tasks of an experiment.
const TASKS: usize = 6;
/// None, `SECCOMP_FILTER_FLAG_TSYNC`, and that with `TSYNC_ESRCH`.
const FLAGS: [u32; 4] = [0, 0, 1, 17];
/// The user that [`atlas_model::experiment`]'s unprivileged tasks become.
const NOBODY: u64 = 65_534;
/// Numbers in no table, for filters to speak of: what tasks and their images need is left alone.
const UNUSED: u32 = 900;

/// A step before it is known which tasks there are.
#[derive(Clone, Debug)]
enum Pick {
    Fork,
    Thread,
    Clone(u64),
    Exec,
    Attach(u32, Action, u32),
    Call(u32),
    Handle(Disposition),
    Block(bool),
    /// `prctl` with these arguments, or `seccomp` into strict mode.
    Ask(u64, [u64; 6]),
}

fn strategy() -> BoxedStrategy<Trial> {
    prop_oneof![2 => general(), 3 => synchronised(), 3 => killed(), 2 => signalled(), 1 => ended()]
        .prop_map(|picks| experiment(&picks).into())
        .boxed()
}

type Picks = Vec<(usize, Pick)>;

/// Anything by anybody.
fn general() -> BoxedStrategy<Picks> {
    let pick = prop_oneof![
        4 => made(),
        1 => Just(Pick::Exec),
        3 => attach(action(), FLAGS.to_vec()),
        6 => called(),
        1 => handled(),
        1 => any::<bool>().prop_map(Pick::Block),
        2 => asked(),
    ];
    prop::collection::vec((0..TASKS, pick), 2..12).boxed()
}

/// A thread or two that may stand apart, a TSYNC by the first task, and what everybody then has.
fn synchronised() -> BoxedStrategy<Picks> {
    // One content, so that filters are equal and not the same.
    let same = || Just(Pick::Attach(0, Action::Errno(1), 0));
    let strict = Just(Pick::Ask(317, [0; 6]));
    let apart = prop_oneof![4 => same(), 2 => asked(), 1 => called(), 1 => strict];
    let before = prop::collection::vec(prop_oneof![same().boxed(), asked()], 0..3);
    let beside = prop::collection::vec((0..3_usize, apart), 0..4);
    let promise = prop::option::of(Just((0, Pick::Ask(157, [38, 1, 0, 0, 0, 0]))));
    let sync = attach(Just(Action::Errno(2)), vec![1, 1, 17]);
    let after = prop::collection::vec((0..3_usize, prop_oneof![called(), asked(), told()]), 2..5);
    (before, 1..3_usize, beside, promise, sync, after)
        .prop_map(|(before, threads, beside, promise, sync, after)| {
            let first = before.into_iter().map(|pick| (0, pick));
            let made = (0..threads).map(|_| (0, Pick::Thread));
            let apart = made.chain(beside).chain(promise);
            first.chain(apart).chain([(0, sync)]).chain(after).collect()
        })
        .boxed()
}

/// Two tasks, one of which meets an action that may kill, and whether the other lives on.
fn killed() -> BoxedStrategy<Picks> {
    let deadly = || {
        let words = vec![
            Action::KillThread,
            Action::KillProcess,
            Action::Unknown(0x0001_0000),
            Action::Unknown(0x7fd0_0000),
            Action::Trap(1),
        ];
        prop::sample::select(words).prop_map(|action| Pick::Attach(0, action, 0))
    };
    let filters = prop::collection::vec(deadly(), 0..4);
    let mode = prop_oneof![3 => Just(None), 2 => Just(Some(Pick::Ask(317, [0; 6])))];
    (made(), 0..2_usize, prop::option::weighted(0.3, handled()), filters, mode)
        .prop_map(|(made, who, handled, filters, strict)| {
            let first = handled.into_iter().map(|pick| (0, pick)).chain([(0, made)]);
            let own = filters.into_iter().chain(strict).map(move |pick| (who, pick));
            let calls = [(who, Pick::Call(0)), (1 - who, Pick::Call(1))];
            let calls = (0..3).map(move |nr| (who, Pick::Call(nr))).chain(calls);
            first.chain(own).chain(calls).collect()
        })
        .boxed()
}

/// What SIGSYS does and whether it is blocked, over to a new task or a new image, which meets TRAP.
fn signalled() -> BoxedStrategy<Picks> {
    let next = prop_oneof![3 => made(), 1 => Just(Pick::Exec)];
    let other = prop_oneof![asked(), Just(Pick::Attach(1, Action::Errno(1), 0))];
    let before = (prop::option::weighted(0.8, handled()), any::<bool>(), prop::option::weighted(0.8, other));
    (before, next)
        .prop_map(|((handled, block, other), next)| {
            let who = usize::from(!matches!(next, Pick::Exec));
            let block = block.then_some(Pick::Block(true));
            let first = handled.into_iter().chain(block).chain(other).chain([next]).map(|pick| (0, pick));
            let trap = Pick::Attach(0, Action::Trap(7), 0);
            let told =
                [Pick::Ask(157, [39, 0, 0, 0, 0, 0]), Pick::Ask(157, [21, 0, 0, 0, 0, 0]), Pick::Call(1)];
            let last = told.into_iter().chain([trap, Pick::Call(0)]).map(move |pick| (who, pick));
            first.chain(last).chain([(0, Pick::Call(1))]).collect()
        })
        .boxed()
}

/// Threads that exit, each with a status of its own, or are killed, in any order.
fn ended() -> BoxedStrategy<Picks> {
    let filter = prop::option::of(Just(Pick::Attach(0, Action::KillThread, 0)));
    let exit = (1..200_u64).prop_map(|status| Pick::Ask(60, [status, 0, 0, 0, 0, 0]));
    let end = prop_oneof![3 => exit, 1 => Just(Pick::Call(0))];
    (filter, 1..3_usize, prop::collection::vec((0..3_usize, end), 2..5))
        .prop_map(|(filter, threads, ends)| {
            let first = filter.into_iter().chain((0..threads).map(|_| Pick::Thread)).map(|pick| (0, pick));
            first.chain(ends).collect()
        })
        .boxed()
}

fn action() -> BoxedStrategy<Action> {
    prop_oneof![
        4 => (1..4000_u16).prop_map(Action::Errno),
        2 => any::<u16>().prop_map(Action::Trap),
        1 => Just(Action::KillThread),
        1 => Just(Action::KillProcess),
        1 => Just(Action::Unknown(0x0001_0000)),
        1 => Just(Action::Log),
    ]
    .boxed()
}

fn attach(action: impl Strategy<Value = Action> + 'static, flags: Vec<u32>) -> BoxedStrategy<Pick> {
    (0..3_u32, action, prop::sample::select(flags))
        .prop_map(|(nr, action, flags)| Pick::Attach(nr, action, flags))
        .boxed()
}

fn made() -> BoxedStrategy<Pick> {
    let shares = prop::sample::subsequence(vec![CLONE_VM, CLONE_FS, CLONE_FILES], 0..=3)
        .prop_flat_map(|bits| (Just(bits.iter().sum::<u64>()), any::<bool>()))
        .prop_map(
            |(bits, handlers)| {
                if handlers && bits & CLONE_VM != 0 { bits | CLONE_SIGHAND } else { bits }
            },
        );
    prop_oneof![2 => Just(Pick::Fork), 3 => Just(Pick::Thread), 2 => shares.prop_map(Pick::Clone)].boxed()
}

fn called() -> BoxedStrategy<Pick> {
    (0..3_u32).prop_map(Pick::Call).boxed()
}

fn handled() -> BoxedStrategy<Pick> {
    prop::sample::select(vec![Disposition::Record, Disposition::Record, Disposition::Ignore])
        .prop_map(Pick::Handle)
        .boxed()
}

/// no_new_privs and the mode asked for.
fn told() -> BoxedStrategy<Pick> {
    let asks = vec![(157, [39, 0, 0, 0, 0, 0]), (157, [21, 0, 0, 0, 0, 0])];
    prop::sample::select(asks).prop_map(|(nr, args)| Pick::Ask(nr, args)).boxed()
}

/// no_new_privs set and asked for, the mode asked for, nobody's rights, strict mode.
fn asked() -> BoxedStrategy<Pick> {
    let asks = vec![
        (157, [38, 1, 0, 0, 0, 0]),
        (157, [38, 1, 0, 0, 0, 0]),
        (157, [39, 0, 0, 0, 0, 0]),
        (157, [39, 0, 0, 0, 0, 0]),
        (157, [21, 0, 0, 0, 0, 0]),
        (117, [NOBODY, NOBODY, NOBODY, 0, 0, 0]),
        (317, [0, 0, 0, 0, 0, 0]),
    ];
    prop::sample::select(asks).prop_map(|(nr, args)| Pick::Ask(nr, args)).boxed()
}

fn experiment(picks: &[(usize, Pick)]) -> Experiment {
    let mut experiment = Experiment::default();
    let mut tasks = 1;
    for (who, pick) in picks {
        let child = tasks as TaskId;
        let op = match pick {
            Pick::Fork | Pick::Thread | Pick::Clone(_) if tasks == TASKS => continue,
            Pick::Fork => Op::Fork { child },
            Pick::Thread => Op::Thread { child },
            Pick::Clone(shares) => Op::Clone { child, shares: *shares },
            Pick::Exec => Op::Exec,
            Pick::Attach(nr, action, flags) => {
                let filter = vec![
                    bpf::ld(offset::NR),
                    bpf::jeq(UNUSED + nr, 0, 1),
                    bpf::ret(*action),
                    bpf::ret(Action::Allow),
                ];
                let program = Program::Filter(Filter(filter));
                Op::Install(Install { via: Via::Seccomp { flags: *flags }, program })
            }
            Pick::Call(nr) => Op::Call(Call { abi: Abi::X86_64, nr: u64::from(UNUSED + nr), args: [0; 6] }),
            Pick::Handle(what) => Op::Sigsys(*what),
            Pick::Ask(nr, args) => Op::Call(Call { abi: Abi::X86_64, nr: *nr, args: *args }),
            Pick::Block(block) => Op::MaskSigsys { block: *block },
        };
        experiment.steps.push(Step { task: (who % tasks) as TaskId, op: op.clone() });
        tasks += usize::from(op.makes().is_some());
    }
    experiment
}
