//! What /proc says of seccomp.

use super::logging::LOGGED;
use crate::attached::attach;
use crate::case::{Want, is, staged};
use crate::{Case, Fact, Script, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Abi, Action, Filter};

/// The order of actions_avail (kernel/seccomp.c seccomp_actions_avail).
const ACTIONS: [(&str, Feature); 8] = [
    ("kill_process", Feature::ActionKillProcess),
    ("kill_thread", Feature::ActionKillThread),
    ("trap", Feature::ActionTrap),
    ("errno", Feature::ActionErrno),
    ("user_notif", Feature::ActionUserNotif),
    ("trace", Feature::ActionTrace),
    ("log", Feature::ActionLog),
    ("allow", Feature::ActionAllow),
];
const AVAIL: &str = "/proc/sys/kernel/seccomp/actions_avail";

pub(crate) const CASES: &[Case] = &[
    staged(
        "proc::mode",
        "The line `Seccomp:` says 0, then 2; of a strict task 1.",
        &[Feature::StatusSeccomp, Feature::ModeFilter],
        observe_mode,
        |_: &Traits| vec![is("before", 0), is("with a filter", 2), is("in strict mode", 1)],
    ),
    staged(
        "proc::mode_of_the_killed",
        "Whom a kill has ended has mode 3 until it is reaped; who ended otherwise keeps the mode that it had.",
        &[Feature::StatusSeccomp, Feature::ModeFilter],
        observe_killed,
        |traits: &Traits| {
            let dead = |before: i64| if traits.shows(Quirk::KilledKeepMode) { before } else { 3 };
            vec![is("by a filter", dead(2)), is("by strict mode", dead(1)), is("exited behind a filter", 2)]
        },
    ),
    staged(
        "proc::filters",
        "The line `Seccomp_filters:` counts.",
        &[Feature::StatusFilters],
        observe_filters,
        |_: &Traits| vec![is("before", 0), is("with one", 1), is("with three", 3), is("of a child", 3)],
    ),
    staged(
        "proc::filters_after_tsync",
        "TSYNC raises the count of the other threads too; from 5.9 to 5.14 it did not.",
        &[Feature::StatusFilters, Feature::Tsync],
        observe_stale_count,
        |traits: &Traits| vec![is("count of the sibling", (!traits.shows(Quirk::TsyncStaleCount)).into())],
    ),
    staged(
        "proc::actions_avail",
        "actions_avail lists what the kernel has, most restrictive first.",
        // Without filters the list still names every action the release knows.
        &[Feature::ActionsAvail, Feature::ModeFilter],
        observe_avail,
        |traits: &Traits| {
            let has = |(name, feature): &(&'static str, Feature)| traits.has(*feature).then_some(*name);
            let names: Vec<&'static str> = ACTIONS.iter().filter_map(has).collect();
            let mut facts: Vec<Fact> =
                names.iter().enumerate().map(|(at, name)| is(name, at as i64)).collect();
            facts.push(is("writing to it", -13));
            facts
        },
    ),
    staged(
        "proc::actions_logged_as_it_is_read",
        "actions_logged is read name by name, and up to an empty one: a space too many silences what follows it.",
        &[Feature::ActionsLogged],
        observe_reading,
        |_: &Traits| {
            vec![
                is("in another order", 0),
                is("comes back in the kernel's", 1),
                is("the same twice", 0),
                is("comes back once", 1),
                is("an unknown one among others", -22),
                is("a comma", -22),
                is("leaves all as it was", 1),
                is("two spaces between two", 0),
                is("comes back without the second", 1),
                is("a space before the first", 0),
                is("comes back empty", 1),
                is("without CAP_SYS_ADMIN", -1),
            ]
        },
    ),
    staged(
        "proc::actions_logged",
        "actions_logged takes names of actions, not `allow`, and keeps what it was given.",
        &[Feature::ActionsLogged],
        observe_logged,
        |_: &Traits| {
            vec![
                Fact { name: "words at first".into(), want: Want::AtLeast(1) },
                is("an unknown name", -22),
                is("allow", -22),
                is("trap and errno", 0),
                is("words then", 2),
                is("back", 0),
            ]
        },
    ),
];

/// A number from a line of a status file; -1 where there is none.
pub(crate) fn status(path: &str, key: &str) -> i64 {
    status_line(path, key).and_then(|value| value.parse().ok()).unwrap_or(-1)
}

/// What a line of a status file says.
pub(super) fn status_line(path: &str, key: &str) -> Option<String> {
    let text = sys::read_file(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

fn observe_mode(stage: &Stage) {
    use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
    stage.fact("before", status("/proc/self/status", "Seccomp"));
    // SAFETY: a shared page, zeroed; an atomic takes any bits.
    let there = unsafe { &*crate::tracee::shared().cast::<AtomicI32>() };
    let pid = stage.start(|_| {
        let _ = sys::prctl(libc::PR_SET_SECCOMP, [1, 0, 0, 0]);
        there.store(1, SeqCst);
        loop {
            std::hint::spin_loop();
        }
    });
    while there.load(SeqCst) == 0 {
        std::thread::yield_now();
    }
    let strict = status(&format!("/proc/{pid}/status"), "Seccomp");
    sys::kill(pid, libc::SIGKILL);
    attach(vec![atlas_model::bpf::ret(Action::Allow)]);
    stage.fact("with a filter", status("/proc/self/status", "Seccomp"));
    stage.fact("in strict mode", strict);
}

/// Shared with the probe of the mode that stays.
pub(crate) fn observe_killed(stage: &Stage) {
    let getppid = || {
        let _ = sys::number(libc::SYS_getppid, [0; 6]);
    };
    let filtered = || {
        attach(Script::on(Abi::X86_64, "getppid", Action::KillThread));
    };
    let seen = |name: &str, pid: i32| {
        waiting::for_zombie(pid);
        stage.fact(name, status(&format!("/proc/{pid}/status"), "Seccomp"));
    };
    seen(
        "by a filter",
        stage.start(|_| {
            filtered();
            getppid();
        }),
    );
    seen(
        "by strict mode",
        stage.start(|_| {
            let _ = sys::prctl(libc::PR_SET_SECCOMP, [1, 0, 0, 0]);
            getppid();
        }),
    );
    seen("exited behind a filter", stage.start(|_| filtered()));
}

fn observe_filters(stage: &Stage) {
    let count = || status("/proc/self/status", "Seccomp_filters");
    let attach = || {
        attach(vec![atlas_model::bpf::ret(Action::Allow)]);
    };
    stage.fact("before", count());
    attach();
    stage.fact("with one", count());
    attach();
    attach();
    stage.fact("with three", count());
    let _ = stage.child(|stage| stage.fact("of a child", count()));
}

/// Shared with the probe of the stale count.
pub(crate) fn observe_stale_count(stage: &Stage) {
    use std::sync::mpsc::channel;
    let (tell, told) = channel();
    let (go, stay) = channel::<()>();
    let sibling = std::thread::spawn(move || {
        let _ = tell.send(sys::number(libc::SYS_gettid, [0; 6]));
        let _ = stay.recv();
    });
    let Ok(tid) = told.recv() else { return };
    let _ = sys::no_new_privs();
    let _ = sys::install(&Filter(Script::on(Abi::X86_64, "getppid", Action::Errno(7))), 1);
    let path = format!("/proc/self/task/{tid}/status");
    stage.fact("count of the sibling", status(&path, "Seccomp_filters"));
    // It goes by itself: of threads that end at once after a look at them, one may wait for the other's
    // entries in /proc by going over them until its turn is over (fs/dcache.c shrink_dcache_parent).
    drop(go);
    let _ = sibling.join();
}

fn observe_avail(stage: &Stage) {
    let text = sys::read_file(AVAIL).unwrap_or_default();
    for (at, word) in text.split_whitespace().enumerate() {
        stage.fact(word, at as i64);
    }
    let write = std::fs::OpenOptions::new().write(true).open(AVAIL);
    // Mode 0444 stops even root only where the file has no handler for writing.
    let errno = match write.and_then(|mut file| std::io::Write::write_all(&mut file, b"errno")) {
        Ok(()) => 0,
        Err(error) => -i64::from(error.raw_os_error().unwrap_or(0)),
    };
    stage.fact("writing to it", errno);
}

/// Writes a list of actions: 0, or the errno negated.
fn log(names: &str) -> i64 {
    match std::fs::write(LOGGED, names) {
        Ok(()) => 0,
        Err(error) => -i64::from(error.raw_os_error().unwrap_or(0)),
    }
}

fn observe_reading(stage: &Stage) {
    let first = sys::read_file(LOGGED).unwrap_or_default();
    let _ = stage.child(read_back);
    log(first.trim());
    super::capability::without_sys_admin();
    stage.fact("without CAP_SYS_ADMIN", log(first.trim()));
}

fn read_back(stage: &Stage) {
    let reads = |names: &str| i64::from(sys::read_file(LOGGED).unwrap_or_default().trim() == names);
    stage.fact("in another order", log("errno trap kill_process"));
    stage.fact("comes back in the kernel's", reads("kill_process trap errno"));
    stage.fact("the same twice", log("trap trap"));
    stage.fact("comes back once", reads("trap"));
    stage.fact("an unknown one among others", log("errno nonsense log"));
    stage.fact("a comma", log("errno,log"));
    stage.fact("leaves all as it was", reads("trap"));
    stage.fact("two spaces between two", log("errno  log"));
    stage.fact("comes back without the second", reads("errno"));
    stage.fact("a space before the first", log(" errno log"));
    stage.fact("comes back empty", reads(""));
}

fn observe_logged(stage: &Stage) {
    let words = || sys::read_file(LOGGED).unwrap_or_default().split_whitespace().count() as i64;
    let first = sys::read_file(LOGGED).unwrap_or_default();
    stage.fact("words at first", words());
    stage.fact("an unknown name", log("nonsense"));
    stage.fact("allow", log("allow"));
    stage.fact("trap and errno", log("trap errno"));
    stage.fact("words then", words());
    stage.fact("back", log(first.trim()));
}
