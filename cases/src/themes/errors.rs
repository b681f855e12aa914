//! The argument-error matrix of prctl(2) and seccomp(2).

use crate::case::case;
use crate::script::SCRATCH;
use crate::{Case, Script};
use atlas_model::bpf;
use atlas_model::experiment::{Program, Via, layout};
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action, Experiment, Filter};

const ANY: &[Feature] = &[];
const FILTER: &[Feature] = &[Feature::ModeFilter];
/// A kernel without filters answers for actions that it knows and does not have.
const AVAIL: &[Feature] = &[Feature::GetActionAvail, Feature::ModeFilter];

fn allow_all() -> Filter {
    Filter(vec![bpf::ret(Action::Allow)])
}

/// SECCOMP_GET_ACTION_AVAIL for each of these words.
fn avail(abi: Abi, words: &[u32]) -> Experiment {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let script = Script::new(abi).memory(0, &bytes);
    let ask = |script: Script, index| script.call("seccomp", [2, 0, SCRATCH + 4 * index]);
    (0..words.len() as u64).fold(script, ask).done()
}

fn programs(via: Via) -> Experiment {
    Script::new(Abi::X86_64)
        .no_new_privs()
        .install(via, Program::NullFprog)
        .install(via, Program::BadFprog)
        .install(via, Program::NullInsns(0))
        .install(via, Program::NullInsns(1))
        .install(via, Program::BadInsns(1))
        .install(via, Program::Length(allow_all(), 0))
        .install(via, Program::Length(allow_all(), 4097))
        .install(via, Program::Length(allow_all(), 65_535))
        .call("prctl", [21])
        .done()
}

pub(crate) const CASES: &[Case] = &[
    case("errors::prctl_modes", "PR_SET_SECCOMP knows modes 1 and 2 only.", ANY, |abi| {
        Script::new(abi)
            .call("prctl", [22, 0])
            .call("prctl", [22, 3])
            .call("prctl", [22, u64::MAX])
            .call("prctl", [22, 1 << 32])
            .call("prctl", [21])
            .done()
    }),
    case(
        "errors::prctl_programs",
        "Null, unreadable, empty and overlong programs by prctl(2).",
        FILTER,
        |_| programs(Via::Prctl),
    ),
    case("errors::seccomp_programs", "The same by seccomp(2).", FILTER, |_| {
        programs(Via::Seccomp { flags: 0 })
    }),
    case("errors::unknown_operations", "seccomp(2) knows operations 0 to 3.", ANY, |abi| {
        Script::new(abi)
            .call("seccomp", [4, 0, SCRATCH])
            .call("seccomp", [0xffff_ffff, 0, 0])
            .call("seccomp", [u64::MAX, 0, 0])
            .done()
    }),
    case("errors::strict_arguments", "SET_MODE_STRICT takes neither flags nor a pointer.", ANY, |abi| {
        Script::new(abi)
            .call("seccomp", [0, 1, 0])
            .call("seccomp", [0, 0, SCRATCH])
            .call("seccomp", [0, 0x8000_0000, 0])
            .call("prctl", [21])
            .done()
    }),
    case(
        "errors::each_flag_alone",
        "Each of the 32 flag bits with a null program: EFAULT where the flag is known, EINVAL else.",
        ANY,
        |abi| {
            (0..32)
                .fold(Script::new(abi).no_new_privs(), |script, bit| script.call("seccomp", [1, 1 << bit, 0]))
                .done()
        },
    ),
    case(
        "errors::flag_pairs",
        "Pairs of known flags with a null program, among them those that do not go together.",
        ANY,
        |abi| {
            [9, 17, 25, 40, 48, 6, 24, 41, 57, 63]
                .iter()
                .fold(Script::new(abi).no_new_privs(), |script, flags| script.call("seccomp", [1, *flags, 0]))
                .done()
        },
    ),
    case(
        "errors::upper_halves_ignored",
        "Operation and flags are 32 bits wide: what stands above is ignored.",
        ANY,
        |abi| {
            Script::new(abi)
                .call("seccomp", [1 << 32 | 1, 1 << 32, 0])
                .call("seccomp", [1 << 32 | 4, 0, 0])
                .done()
        },
    ),
    case(
        "errors::action_avail_known",
        "GET_ACTION_AVAIL knows every action that the kernel has.",
        AVAIL,
        |abi| {
            avail(
                abi,
                &[
                    0x8000_0000,
                    0,
                    0x0003_0000,
                    0x0005_0000,
                    0x7fc0_0000,
                    0x7ff0_0000,
                    0x7ffc_0000,
                    0x7fff_0000,
                ],
            )
        },
    ),
    case(
        "errors::action_avail_unknown",
        "GET_ACTION_AVAIL wants the exact value, without data.",
        AVAIL,
        |abi| avail(abi, &[0x0005_0001, 0x7fff_0001, 0x0001_0000, 0x7ffe_0000, 0x8001_0000, 0xffff_ffff]),
    ),
    case(
        "errors::action_avail_arguments",
        "GET_ACTION_AVAIL takes no flags and wants a readable word.",
        ANY,
        |abi| {
            Script::new(abi)
                .call("seccomp", [2, 1, SCRATCH])
                .call("seccomp", [2, 0, 0])
                .call("seccomp", [2, 0, layout::UNMAPPED])
                .call("seccomp", [2, 1, 0])
                .done()
        },
    ),
    case(
        "errors::notif_sizes_arguments",
        "GET_NOTIF_SIZES takes no flags and wants a writable place.",
        ANY,
        |abi| {
            Script::new(abi)
                .call("seccomp", [3, 0, SCRATCH])
                .call("seccomp", [3, 1, SCRATCH])
                .call("seccomp", [3, 0, 0])
                .call("seccomp", [3, 0, layout::UNMAPPED])
                .done()
        },
    ),
    case("errors::by_i386", "The matrix through the i386 entry points.", &[Feature::AbiI386], |_| {
        Script::new(Abi::I386)
            .call("prctl", [22, 0])
            .call("prctl", [22, 2, 0])
            .call("prctl", [21])
            .call("seccomp", [4, 0, 0])
            .call("seccomp", [0, 1, 0])
            .call("seccomp", [1, 0, 0])
            .call("seccomp", [1, 1 << 31, 0])
            .done()
    }),
];
