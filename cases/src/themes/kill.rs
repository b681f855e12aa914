//! RET_KILL_THREAD, RET_KILL_PROCESS, and actions that nobody knows.

use crate::case::{both, case};
use crate::{Case, Script};
use atlas_model::bpf;
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action, Experiment};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const PROCESS: &[Feature] = &[Feature::ActionKillProcess];

/// Task 1, a thread, makes the call that the word answers; task 0 then tries to go on.
fn in_thread(abi: Abi, word: u32) -> Experiment {
    Script::new(abi)
        .no_new_privs()
        .thread(1)
        .task(1)
        .filter(Script::on_word(abi, "getppid", word))
        .call("getppid", [])
        .task(0)
        .call("gettid", [])
        .done()
}

fn alone(abi: Abi, word: u32) -> Experiment {
    Script::new(abi)
        .no_new_privs()
        .filter(Script::on_word(abi, "getppid", word))
        .call("gettid", [])
        .call("getppid", [])
        .done()
}

pub(crate) const CASES: &[Case] = &[
    both("kill::process", "KILL_PROCESS ends a process with SIGSYS.", PROCESS, |abi| alone(abi, 0x8000_0000)),
    both(
        "kill::thread_that_is_alone",
        "KILL_THREAD on the only thread ends the process with SIGSYS.",
        NEEDS,
        |abi| alone(abi, 0),
    ),
    both("kill::thread", "KILL_THREAD ends one of two threads.", NEEDS, |abi| in_thread(abi, 0)),
    both("kill::process_from_thread", "KILL_PROCESS ends both.", PROCESS, |abi| in_thread(abi, 0x8000_0000)),
    case("kill::leader", "KILL_THREAD on the leader leaves the other thread running.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .thread(1)
            .filter(Script::on(abi, "getppid", Action::KillThread))
            .call("getppid", [])
            .task(1)
            .call("gettid", [])
            .call("getppid", [])
            .done()
    }),
    case(
        "kill::last_thread_after_leader",
        "When both have been killed the process has ended by SIGSYS.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(Script::on(abi, "getppid", Action::KillThread))
                .thread(1)
                .call("getppid", [])
                .task(1)
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "kill::last_thread_after_an_exit",
        "The last thread that lives takes its process with it by SIGSYS, though the leader has exited.",
        NEEDS,
        |abi| {
            let script = Script::new(abi).no_new_privs().thread(1).call("exit", [7]).task(1);
            script.filter(Script::on(abi, "getppid", Action::KillThread)).call("getppid", []).done()
        },
    ),
    case(
        "kill::status_of_the_last_thread",
        "Whoever exits last leaves the status of the process.",
        NEEDS,
        |abi| {
            let script = Script::new(abi).no_new_privs().thread(1).call("exit", [7]).task(1);
            script.filter(vec![bpf::ret(Action::Allow)]).call("exit", [3]).done()
        },
    ),
    case("kill::handler_is_not_asked", "A SIGSYS handler does not see a kill.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .sigsys(atlas_model::experiment::Disposition::Record)
            .filter(Script::on(abi, "getppid", Action::KillThread))
            .call("getppid", [])
            .done()
    }),
    case("kill::parent_and_child_are_two", "A killed child leaves its parent alone.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .filter(Script::on(abi, "getppid", Action::KillThread))
            .fork(1)
            .task(1)
            .call("getppid", [])
            .task(0)
            .call("gettid", [])
            .done()
    }),
    case("kill::everything", "A filter that kills for every call.", NEEDS, |abi| {
        Script::new(abi).no_new_privs().filter(vec![bpf::ret_word(0)]).call("exit_group", [0]).done()
    }),
    case("kill::data_bits_are_ignored", "Data bits of a kill change nothing.", NEEDS, |abi| {
        alone(abi, 0xffff)
    }),
    case("kill::unknown_between_kill_and_trap", "0x00010000 is no action: killed.", NEEDS, |abi| {
        alone(abi, 0x0001_0000)
    }),
    case("kill::unknown_between_errno_and_trace", "0x10000000 is no action: killed.", NEEDS, |abi| {
        alone(abi, 0x1000_0000)
    }),
    case("kill::unknown_just_below_allow", "0x7ffe0000 is no action: killed.", NEEDS, |abi| {
        alone(abi, 0x7ffe_0000)
    }),
    case(
        "kill::unknown_in_a_thread",
        "Whether an unknown action ends the thread or the process has changed in 5.10.",
        NEEDS,
        |abi| in_thread(abi, 0x7ffe_0000),
    ),
    case(
        "kill::highest_bit_with_errno",
        "0x80050001 is no ERRNO; before 4.14 the highest bit was ignored and it was.",
        NEEDS,
        |abi| alone(abi, 0x8005_0001),
    ),
    case("kill::all_action_bits", "0xffff0000 is no ALLOW; before 4.14 it was.", NEEDS, |abi| {
        alone(abi, 0xffff_0000)
    }),
    case(
        "kill::log_where_unknown",
        "LOG lets the call run; kernels that do not know it kill.",
        NEEDS,
        |abi| alone(abi, 0x7ffc_0000),
    ),
    case(
        "kill::notify_where_unknown",
        "USER_NOTIF without a listener is ENOSYS; kernels that do not know it kill.",
        NEEDS,
        |abi| alone(abi, 0x7fc0_0000),
    ),
    case("kill::trace_without_tracer", "TRACE without a tracer is ENOSYS.", NEEDS, |abi| {
        alone(abi, 0x7ff0_0005)
    }),
    case("kill::allow_with_data", "ALLOW's data is never seen.", NEEDS, |abi| alone(abi, 0x7fff_ffff)),
];
