//! Who may attach what.

use crate::script::steps;
use crate::trial::{Isolation, Property, Trial};
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Filter};
use atlas_model::experiment::{Call, Experiment, Install, Op, Program, Via, layout};
use atlas_model::{Abi, Action};
use proptest::prelude::*;

pub(crate) const ATTACH: Property = Property {
    name: "attach",
    about: "Whether a filter is attached, and what every question about seccomp is answered with, follows from \
            privilege, no_new_privs, mode, flags and pointers as the model says.",
    isolation: Isolation::Furnished,
    share: 120,
    strategy,
    statement: |_, _| Vec::new(),
};

/// A number in no table, for filters to speak of.
const UNUSED: u64 = 900;
/// `prctl`, `setresuid` and `seccomp` of the native ABI.
const PRCTL: u64 = 157;
const SETRESUID: u64 = 117;
const SECCOMP: u64 = 317;
/// The user that [`atlas_model::experiment`]'s unprivileged tasks become.
const NOBODY: u64 = 65_534;
/// Words that `SECCOMP_GET_ACTION_AVAIL` is asked about.
const WORDS: [u32; 12] = [
    0x8000_0000,
    0,
    0x0003_0000,
    0x0005_0000,
    0x7fc0_0000,
    0x7ff0_0000,
    0x7ffc_0000,
    0x7fff_0000,
    0x0005_0001,
    0x0001_0000,
    0x7fd0_0000,
    0xffff_0000,
];

fn strategy() -> BoxedStrategy<Trial> {
    prop::collection::vec(op(), 1..9).prop_map(|ops| experiment(ops).into()).boxed()
}

fn experiment(ops: Vec<Op>) -> Experiment {
    let mut experiment = steps(ops);
    let words = WORDS.iter().flat_map(|word| word.to_le_bytes()).collect();
    experiment.memory = vec![(0, words)];
    experiment
}

fn op() -> impl Strategy<Value = Op> {
    let native = |nr, args| Op::Call(Call { abi: Abi::X86_64, nr, args });
    let fixed = prop::sample::select(vec![
        native(SETRESUID, [NOBODY, NOBODY, NOBODY, 0, 0, 0]),
        native(SETRESUID, [NOBODY, NOBODY, NOBODY, 0, 0, 0]),
        native(PRCTL, [38, 1, 0, 0, 0, 0]),
        native(PRCTL, [38, 1, 0, 0, 0, 0]),
        native(PRCTL, [38, 0, 0, 0, 0, 0]),
        native(PRCTL, [38, 1, 1, 0, 0, 0]),
        native(PRCTL, [39, 0, 0, 0, 0, 0]),
        native(PRCTL, [39, 0, 0, 0, 1, 0]),
        native(PRCTL, [21, 0, 0, 0, 0, 0]),
        native(PRCTL, [22, 1, 0, 0, 0, 0]),
        native(PRCTL, [22, 3, 0, 0, 0, 0]),
        native(SECCOMP, [0, 0, 0, 0, 0, 0]),
        native(SECCOMP, [0, 1, 0, 0, 0, 0]),
        native(SECCOMP, [3, 0, layout::SCRATCH + 0x100, 0, 0, 0]),
        native(SECCOMP, [77, 0, 0, 0, 0, 0]),
        native(UNUSED, [0; 6]),
        native(UNUSED, [0; 6]),
    ]);
    let avail = (0..WORDS.len() as u64)
        .prop_map(move |index| native(SECCOMP, [2, 0, layout::SCRATCH + 4 * index, 0, 0, 0]));
    prop_oneof![4 => fixed, 1 => avail, 5 => attach()]
}

fn attach() -> impl Strategy<Value = Op> {
    // TSYNC, LOG, SPEC_ALLOW, NEW_LISTENER, TSYNC_ESRCH, WAIT_KILLABLE_RECV, and bits nobody knows.
    let flags = prop_oneof![
        3 => Just(0),
        3 => prop::sample::select(vec![1_u32, 2, 4, 8, 16, 32, 64, 1 << 31, 9, 25, 40, 17]),
        1 => any::<u32>().prop_map(|bits| bits & 0x3f),
    ];
    let via = prop_oneof![1 => Just(Via::Prctl), 3 => flags.prop_map(|flags| Via::Seccomp { flags })];
    let program = prop_oneof![
        6 => (0..4000_u16).prop_map(|errno| Program::Filter(on_unused(errno))),
        1 => prop::sample::select(vec![0, 1, 3, 4097, u16::MAX]).prop_map(|len| Program::Length(on_unused(1), len)),
        1 => Just(Program::Filter(Filter(vec![bpf::ld(3), bpf::ret(Action::Allow)]))),
        1 => Just(Program::NullFprog),
        1 => Just(Program::BadFprog),
        1 => prop::sample::select(vec![0, 1, 4096, 4097]).prop_map(Program::NullInsns),
        1 => prop::sample::select(vec![0, 1, 4096, 4097]).prop_map(Program::BadInsns),
    ];
    (via, program).prop_map(|(via, program)| Op::Install(Install { via, program }))
}

fn on_unused(errno: u16) -> Filter {
    let number = UNUSED as u32;
    let filter = [
        bpf::ld(offset::NR),
        bpf::jeq(number, 0, 1),
        bpf::ret(Action::Errno(errno)),
        bpf::ret(Action::Allow),
    ];
    Filter(filter.to_vec())
}
