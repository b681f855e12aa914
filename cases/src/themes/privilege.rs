//! no_new_privs and CAP_SYS_ADMIN.

use crate::case::case;
use crate::{Case, Script};
use atlas_model::bpf;
use atlas_model::traits::Feature;
use atlas_model::{Action, Insn};

const NEEDS: &[Feature] = &[Feature::ModeFilter, Feature::NoNewPrivs];

fn allow_all() -> Vec<Insn> {
    vec![bpf::ret(Action::Allow)]
}

pub(crate) const CASES: &[Case] = &[
    case("privilege::root_needs_no_nnp", "CAP_SYS_ADMIN attaches without no_new_privs.", NEEDS, |abi| {
        Script::new(abi).filter(allow_all()).call("prctl", [39]).call("prctl", [21]).done()
    }),
    case("privilege::nobody_without_nnp", "Without either: EACCES.", NEEDS, |abi| {
        Script::new(abi).become_nobody().filter(allow_all()).call("prctl", [21]).done()
    }),
    case("privilege::nobody_with_nnp", "An unprivileged task with no_new_privs attaches.", NEEDS, |abi| {
        Script::new(abi).become_nobody().no_new_privs().filter(allow_all()).call("prctl", [21]).done()
    }),
    case("privilege::nnp_is_inherited", "A child has its maker's no_new_privs.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .fork(1)
            .thread(2)
            .task(1)
            .call("prctl", [39])
            .become_nobody()
            .filter(allow_all())
            .task(2)
            .call("prctl", [39])
            .done()
    }),
    case("privilege::nnp_does_not_spread", "no_new_privs is the thread's own.", NEEDS, |abi| {
        Script::new(abi).thread(1).no_new_privs().task(1).call("prctl", [39]).done()
    }),
    case(
        "privilege::nnp_stays",
        "Nothing takes no_new_privs back, and odd arguments are refused.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .call("prctl", [39])
                .no_new_privs()
                .call("prctl", [38, 0])
                .call("prctl", [38, 2])
                .call("prctl", [38, 1, 1])
                .call("prctl", [39, 1])
                .call("prctl", [39])
                .done()
        },
    ),
    case(
        "privilege::checked_before_the_program",
        "Without privilege a bad pointer to instructions is EACCES, a bad sock_fprog EFAULT, a bad length EINVAL.",
        NEEDS,
        |abi| {
            use atlas_model::experiment::{Program, Via};
            Script::new(abi)
                .become_nobody()
                .install(Via::Prctl, Program::NullFprog)
                .install(Via::Prctl, Program::BadFprog)
                .install(Via::Prctl, Program::NullInsns(0))
                .install(Via::Prctl, Program::BadInsns(4097))
                .install(Via::Prctl, Program::BadInsns(1))
                .filter(vec![bpf::ld(64), bpf::ret_a()])
                .done()
        },
    ),
];
