//! Several filters: all of them run, the most restrictive action wins, and among equals the newest.

use crate::case::{both, case};
use crate::{Case, Script};
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action, Experiment};

const NEEDS: &[Feature] = &[Feature::ModeFilter];

/// Two filters with an action each for the same call, in both orders, in two processes.
fn pair(abi: Abi, one: Action, other: Action) -> Experiment {
    let script = Script::new(abi).no_new_privs().sigsys(atlas_model::experiment::Disposition::Record).fork(1);
    let stacked = |script: Script, task, older, newer| {
        script
            .task(task)
            .filter(Script::on(abi, "getppid", older))
            .filter(Script::on(abi, "getppid", newer))
            .call("getppid", [])
            .call("gettid", [])
    };
    stacked(stacked(script, 0, one, other), 1, other, one).done()
}

pub(crate) const CASES: &[Case] = &[
    both(
        "stacking::kill_process_over_kill_thread",
        "KILL_PROCESS comes before KILL_THREAD.",
        &[Feature::ActionKillProcess],
        |abi| {
            let script = Script::new(abi).no_new_privs().thread(1).task(1);
            let both = script.filter(Script::on(abi, "getppid", Action::KillThread)).filter(Script::on(
                abi,
                "getppid",
                Action::KillProcess,
            ));
            both.call("getppid", []).task(0).call("gettid", []).done()
        },
    ),
    both(
        "stacking::unknown_gives_way",
        "An unknown action kills by itself; under LOG, which has a lower number, the call runs.",
        &[Feature::ActionLog],
        |abi| {
            let unknown = || Script::on(abi, "getppid", Action::Unknown(0x7ffe_0000));
            let script = Script::new(abi).no_new_privs().fork(1).filter(unknown());
            let script = script.filter(Script::on(abi, "getppid", Action::Log)).call("getppid", []);
            script.task(1).filter(unknown()).call("getppid", []).done()
        },
    ),
    both("stacking::kill_over_trap", "KILL_THREAD comes before TRAP.", NEEDS, |abi| {
        pair(abi, Action::KillThread, Action::Trap(1))
    }),
    both("stacking::trap_over_errno", "TRAP comes before ERRNO.", NEEDS, |abi| {
        pair(abi, Action::Trap(1), Action::Errno(2))
    }),
    both(
        "stacking::errno_over_notify",
        "ERRNO comes before USER_NOTIF.",
        &[Feature::ActionUserNotif],
        |abi| pair(abi, Action::Errno(1), Action::UserNotif),
    ),
    both(
        "stacking::notify_over_trace",
        "USER_NOTIF comes before TRACE.",
        &[Feature::ActionUserNotif],
        |abi| pair(abi, Action::UserNotif, Action::Trace(1)),
    ),
    both("stacking::errno_over_trace", "ERRNO comes before TRACE.", NEEDS, |abi| {
        pair(abi, Action::Errno(1), Action::Trace(1))
    }),
    both("stacking::trace_over_log", "TRACE comes before LOG.", &[Feature::ActionLog], |abi| {
        pair(abi, Action::Trace(1), Action::Log)
    }),
    both(
        "stacking::log_over_allow",
        "LOG comes before ALLOW; both let the call run.",
        &[Feature::ActionLog],
        |abi| pair(abi, Action::Log, Action::Allow),
    ),
    both("stacking::errno_over_allow", "ERRNO comes before ALLOW.", NEEDS, |abi| {
        pair(abi, Action::Errno(1), Action::Allow)
    }),
    case("stacking::newest_errno_wins", "Among ERRNOs the newest filter's data comes back.", NEEDS, |abi| {
        pair(abi, Action::Errno(11), Action::Errno(22))
    }),
    case("stacking::newest_trap_wins", "Among TRAPs the newest filter's data comes back.", NEEDS, |abi| {
        pair(abi, Action::Trap(11), Action::Trap(22))
    }),
    case(
        "stacking::unknown_takes_its_place",
        "An unknown action wins over LOG and loses to ERRNO, by its number.",
        NEEDS,
        |abi| {
            let unknown = Script::on_word(abi, "getppid", 0x1000_0000);
            Script::new(abi)
                .no_new_privs()
                .fork(1)
                .filter(unknown.clone())
                .filter(Script::on(abi, "getppid", Action::Errno(3)))
                .call("getppid", [])
                .task(1)
                .filter(Script::on(abi, "getppid", Action::Trace(1)))
                .filter(unknown)
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "stacking::filters_add_up",
        "Each of three filters takes one call away; none gives one back.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(Script::on(abi, "getppid", Action::Errno(1)))
                .filter(Script::on(abi, "gettid", Action::Errno(2)))
                .filter(Script::on(abi, "getuid", Action::Errno(3)))
                .filter(Script::on(abi, "getppid", Action::Allow))
                .call("getppid", [])
                .call("gettid", [])
                .call("getuid", [])
                .call("getpid", [])
                .done()
        },
    ),
    case("stacking::sixty_four_deep", "The oldest of 64 filters still counts.", NEEDS, |abi| {
        let first = Script::new(abi).no_new_privs().filter(Script::on(abi, "getppid", Action::Errno(64)));
        (0..63)
            .fold(first, |script, _| script.filter(Script::on(abi, "gettid", Action::Errno(1))))
            .call("getppid", [])
            .done()
    }),
];
