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
    isolation: Isolation::Process,
    share: 10,
    strategy,
    statement: |_, _| Vec::new(),
};

/// The most tasks of an experiment.
const TASKS: usize = 6;
/// `SECCOMP_FILTER_FLAG_TSYNC`.
const TSYNC: u32 = 1;
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
    Handle,
    Block(bool),
}

fn strategy() -> BoxedStrategy<Trial> {
    let action = prop_oneof![
        4 => (1..4000_u16).prop_map(Action::Errno),
        2 => any::<u16>().prop_map(Action::Trap),
        1 => Just(Action::KillThread),
        1 => Just(Action::KillProcess),
        1 => Just(Action::Log),
    ];
    let shares = prop::sample::subsequence(vec![CLONE_VM, CLONE_FS, CLONE_FILES], 0..=3)
        .prop_flat_map(|bits| (Just(bits.iter().sum::<u64>()), any::<bool>()))
        .prop_map(
            |(bits, handlers)| {
                if handlers && bits & CLONE_VM != 0 { bits | CLONE_SIGHAND } else { bits }
            },
        );
    let pick = prop_oneof![
        2 => Just(Pick::Fork),
        3 => Just(Pick::Thread),
        2 => shares.prop_map(Pick::Clone),
        1 => Just(Pick::Exec),
        4 => (0..3_u32, action, prop_oneof![Just(0), Just(TSYNC)]).prop_map(|(nr, action, flags)| Pick::Attach(nr, action, flags)),
        8 => (0..3_u32).prop_map(Pick::Call),
        1 => Just(Pick::Handle),
        1 => any::<bool>().prop_map(Pick::Block),
    ];
    prop::collection::vec((0..TASKS, pick), 2..16).prop_map(|picks| experiment(&picks).into()).boxed()
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
            Pick::Handle => Op::Sigsys(Disposition::Record),
            Pick::Block(block) => Op::MaskSigsys { block: *block },
        };
        experiment.steps.push(Step { task: (who % tasks) as TaskId, op: op.clone() });
        tasks += usize::from(op.makes().is_some());
    }
    experiment
}
