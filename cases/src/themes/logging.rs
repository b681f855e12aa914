//! What the kernel's log says of seccomp: which decisions are recorded, and the fields of a record.

use crate::attached::become_user;
use crate::case::{is, staged};
use crate::setting::Setting;
use crate::{Case, Script, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, Filter, Insn};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

const NEEDS: &[Feature] = &[Feature::LogRecords, Feature::FlagLog, Feature::ActionsLogged];
const NATIVE: Abi = Abi::X86_64;
const X32_GETPPID: u32 = Abi::X32_BIT | 110;
pub(super) const LOGGED: &str = "/proc/sys/kernel/seccomp/actions_logged";
const FLAG_LOG: u32 = 2;
/// How long a record is waited for where it is not known that there are any.
const PATIENCE: Duration = Duration::from_secs(2);
/// The call that marks the end of what is looked for.
const MARK: i64 = libc::SYS_getuid;

pub(crate) const CASES: &[Case] = &[
    staged(
        "logging::ret_log",
        "RET_LOG leaves a record: who, which call, by which ABI, from where, and the action; no signal.",
        NEEDS,
        observe_fields,
        |_: &Traits| {
            vec![
                is("records", 1),
                is("uid", 1234),
                is("sig", 0),
                is("arch", i64::from(NATIVE.audit_arch())),
                is("syscall", 110),
                is("compat", 0),
                is("code", 0x7ffc_0000),
                is("ip is in our code", 1),
            ]
        },
    ),
    staged(
        "logging::i386_call",
        "A record of an i386 call says so by arch and by compat, and its number is i386's.",
        &[Feature::LogRecords, Feature::AbiI386],
        |stage| {
            by_compat(stage, Script::on(Abi::I386, "getppid", Action::Log), || super::compat::int80(64));
        },
        |_: &Traits| {
            let arch = i64::from(Abi::I386.audit_arch());
            vec![is("records", 1), is("arch", arch), is("syscall", 64), is("compat", 1)]
        },
    ),
    staged(
        "logging::x32_call",
        "A record of an x32 call has the native arch, the number with its bit, and says compat.",
        &[Feature::LogRecords, Feature::AbiX32],
        |stage| {
            by_compat(stage, Script::on_number(X32_GETPPID as i32, Action::Log), || {
                sys::number(X32_GETPPID.into(), [0; 6])
            });
        },
        |_: &Traits| {
            let (arch, nr) = (i64::from(NATIVE.audit_arch()), i64::from(X32_GETPPID));
            vec![is("records", 1), is("arch", arch), is("syscall", nr), is("compat", 1)]
        },
    ),
    staged(
        "logging::kills",
        "Kills are recorded without being asked for, with the signal.",
        NEEDS,
        |stage| {
            one(stage, "KILL_THREAD", 0, Action::KillThread, "sig");
            one(stage, "KILL_PROCESS", 0, Action::KillProcess, "sig");
            one(stage, "code of KILL_PROCESS", 0, Action::KillProcess, "code");
        },
        |_: &Traits| {
            vec![is("KILL_THREAD", 31), is("KILL_PROCESS", 31), is("code of KILL_PROCESS", 0x8000_0000)]
        },
    ),
    staged(
        "logging::strict",
        "So is the end that strict mode brings: SIGKILL, with the code of KILL_THREAD.",
        NEEDS,
        observe_strict,
        |_: &Traits| vec![is("records", 1), is("sig", 9), is("code", 0), is("syscall", 110)],
    ),
    staged(
        "logging::not_asked_for",
        "ERRNO, TRAP, TRACE and USER_NOTIF are not recorded unless a filter asks; ALLOW never is.",
        &[Feature::LogRecords, Feature::FlagLog, Feature::ActionsLogged, Feature::ActionUserNotif],
        |stage| others(stage, 0),
        |_: &Traits| OTHERS.iter().map(|(name, _)| is(name, -1)).collect(),
    ),
    staged(
        "logging::asked_for",
        "FILTER_FLAG_LOG asks for them, and the record's code is the action without its data.",
        &[Feature::LogRecords, Feature::FlagLog, Feature::ActionsLogged, Feature::ActionUserNotif],
        |stage| others(stage, FLAG_LOG),
        |_: &Traits| {
            let code = |action: Action| match action {
                Action::Allow => -1,
                action => i64::from(action.word() & 0xffff_0000),
            };
            OTHERS.iter().map(|(name, action)| is(name, code(*action))).collect()
        },
    ),
    staged(
        "logging::flag_of_the_deciding_filter",
        "The flag of the filter whose action wins counts, not that of another in the chain.",
        NEEDS,
        observe_deciding,
        |_: &Traits| vec![is("the winner asked", 0x0005_0000), is("the loser asked", -1)],
    ),
    staged(
        "logging::actions_logged",
        "What actions_logged does not name is not recorded, kills included, whatever filters ask for.",
        NEEDS,
        observe_silenced,
        |_: &Traits| {
            vec![
                is("LOG while only trap is named", -1),
                is("KILL_THREAD while only trap is named", -1),
                is("ERRNO asked for while only trap is named", -1),
                is("TRAP asked for while only trap is named", 0x0003_0000),
                is("KILL_PROCESS while nothing is named", -1),
            ]
        },
    ),
];

const OTHERS: &[(&str, Action)] = &[
    ("ERRNO", Action::Errno(7)),
    ("TRAP", Action::Trap(7)),
    ("TRACE", Action::Trace(7)),
    ("USER_NOTIF", Action::UserNotif),
    ("ALLOW", Action::Allow),
];

/// The kernel's log from some point on, a record at a time (the kernel's
/// Documentation/ABI/testing/dev-kmsg). All of it as one text, by syslog(2), is formatted anew each time.
pub(super) struct Log {
    device: File,
    lines: Vec<String>,
}

impl Log {
    fn from_now() -> Option<Self> {
        let mut device = File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").ok()?;
        device.seek(SeekFrom::End(0)).ok()?;
        Some(Self { device, lines: Vec::new() })
    }

    fn take_what_has_come(&mut self) {
        // Longer ones the kernel does not make (include/linux/printk.h CONSOLE_EXT_LOG_MAX).
        let mut record = [0; 8192];
        loop {
            match self.device.read(&mut record) {
                Ok(0) => return,
                Ok(length) => self.lines.push(String::from_utf8_lossy(&record[..length]).into_owned()),
                // Records were overwritten before they were read; the next one is there.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(_) => return,
            }
        }
    }

    /// Seccomp's records of a process (type 1326, include/uapi/linux/audit.h).
    fn records(&self, of: i32) -> Vec<String> {
        let pid = format!(" pid={of} ");
        let of_process = |line: &&String| line.contains("type=1326") && line.contains(&pid);
        self.lines.iter().filter(of_process).cloned().collect()
    }

    /// Records of changes of actions_logged (type 1305, include/uapi/linux/audit.h).
    pub(super) fn changes(&self) -> Vec<String> {
        let of_seccomp = |line: &&String| line.contains("type=1305") && line.contains(" op=seccomp-logging ");
        self.lines.iter().filter(of_seccomp).cloned().collect()
    }

    /// Records come from a thread of the kernel's, in order: once that of a call made afterwards is
    /// there, so are all before it.
    fn settle(&mut self, stage: &Stage) {
        if !self.mark(stage, waiting::LIMIT) {
            stage.fact("the log has no record of the mark", 1);
        }
    }

    /// Makes a call that is recorded, and says whether its record came within some time.
    fn mark(&mut self, stage: &Stage, limit: Duration) -> bool {
        let mark = stage.start(|_| {
            let _ = sys::install(&on("getuid", Action::Log), 0);
            let _ = sys::number(MARK, [0; 6]);
        });
        let _ = sys::wait_for(mark, libc::__WALL);
        waiting::until_within(limit, || {
            self.take_what_has_come();
            !self.records(mark).is_empty()
        })
    }
}

/// A field of a record as a number; -1 where there is none.
fn field(record: &str, name: &str) -> i64 {
    let start = format!("{name}=");
    let word = record.split_whitespace().find_map(|word| word.strip_prefix(start.as_str()));
    // arch is hexadecimal without a mark (kernel/auditsc.c audit_seccomp).
    let hex = |digits| i64::from_str_radix(digits, 16).ok();
    let number = word.and_then(|word| match word.strip_prefix("0x") {
        Some(digits) => hex(digits),
        None if name == "arch" => hex(word),
        None => word.parse().ok(),
    });
    number.unwrap_or(-1)
}

/// What is logged while something is done. The kernel drops records that come in a hurry, and would drop ours
/// (lib/ratelimit.c); nothing is dropped meanwhile. Nothing is there where there is no log.
fn logged(stage: &Stage, body: impl FnOnce() -> i32) -> Vec<String> {
    log_while(stage, body).map_or_else(Vec::new, |(log, pid)| log.records(pid))
}

pub(super) fn log_while<T>(stage: &Stage, body: impl FnOnce() -> T) -> Option<(Log, T)> {
    const LIMIT: &str = "/proc/sys/kernel/printk_ratelimit";
    let Some(mut log) = Log::from_now() else {
        stage.fact("no /dev/kmsg", 1);
        return None;
    };
    let _unlimited = Setting::change(LIMIT, "0");
    let done = body();
    log.settle(stage);
    Some((log, done))
}

fn on(name: &str, action: Action) -> Filter {
    Filter(Script::on(NATIVE, name, action))
}

/// The records of a child that does this, once they are all there.
fn of_child(stage: &Stage, body: impl FnOnce()) -> Vec<String> {
    logged(stage, || {
        let pid = stage.start(|_| body());
        let _ = sys::wait_for(pid, libc::__WALL);
        pid
    })
}

fn getppid() {
    let _ = sys::number(libc::SYS_getppid, [0; 6]);
}

/// A field of the only record of one call that is answered with an action; -1 where there is no
/// record, -2 where there are several.
fn one_record(stage: &Stage, flags: u32, action: Action, name: &str) -> i64 {
    let records = of_child(stage, || {
        let _ = sys::install(&on("getppid", action), flags);
        getppid();
    });
    match records.as_slice() {
        [] => -1,
        [record] => field(record, name),
        _ => -2,
    }
}

fn one(stage: &Stage, fact: &str, flags: u32, action: Action, name: &str) {
    stage.fact(fact, one_record(stage, flags, action, name));
}

fn others(stage: &Stage, flags: u32) {
    for (name, action) in OTHERS {
        one(stage, name, flags, *action, "code");
    }
}

fn observe_fields(stage: &Stage) {
    let records = of_child(stage, || {
        become_user(1234);
        let _ = sys::no_new_privs();
        let _ = sys::install(&on("getppid", Action::Log), 0);
        getppid();
    });
    stage.fact("records", records.len() as i64);
    let record = records.first().cloned().unwrap_or_default();
    for name in ["uid", "sig", "arch", "syscall", "compat", "code"] {
        stage.fact(name, field(&record, name));
    }
    // Every call of this crate goes through one function, which may be inlined: its page will do.
    let (ip, code) = (field(&record, "ip"), sys::number as *const () as i64);
    stage.fact("ip is in our code", ((ip - code).abs() < 1 << 24).into());
}

/// The probe of records: whether one is made, and can be read.
pub(crate) fn observe_records(stage: &Stage) {
    let made = Log::from_now().is_some_and(|mut log| log.mark(stage, PATIENCE));
    stage.fact("records", made.into());
}

fn by_compat(stage: &Stage, filter: Vec<Insn>, call: fn() -> i64) {
    let records = of_child(stage, || {
        let _ = sys::install(&Filter(filter), 0);
        let _ = call();
    });
    stage.fact("records", records.len() as i64);
    let record = records.first().cloned().unwrap_or_default();
    for name in ["arch", "syscall", "compat"] {
        stage.fact(name, field(&record, name));
    }
}

fn observe_strict(stage: &Stage) {
    let records = of_child(stage, || {
        let _ = sys::prctl(libc::PR_SET_SECCOMP, [1, 0, 0, 0]);
        getppid();
    });
    stage.fact("records", records.len() as i64);
    let record = records.first().cloned().unwrap_or_default();
    for name in ["sig", "code", "syscall"] {
        stage.fact(name, field(&record, name));
    }
}

fn observe_deciding(stage: &Stage) {
    for (name, trace_flags, errno_flags) in
        [("the winner asked", 0, FLAG_LOG), ("the loser asked", FLAG_LOG, 0)]
    {
        let records = of_child(stage, || {
            let _ = sys::install(&on("getppid", Action::Errno(1)), errno_flags);
            let _ = sys::install(&on("getppid", Action::Trace(1)), trace_flags);
            getppid();
        });
        stage.fact(name, records.first().map_or(-1, |record| field(record, "code")));
    }
}

fn observe_silenced(stage: &Stage) {
    let silenced = |fact: &str, named: &str, flags, action| {
        let records = logged(stage, || {
            // The mark is a LOG, and is made after that.
            let _named = Setting::change(LOGGED, named);
            let pid = stage.start(|_| {
                let _ = sys::install(&on("getppid", action), flags);
                getppid();
            });
            let _ = sys::wait_for(pid, libc::__WALL);
            pid
        });
        stage.fact(fact, records.first().map_or(-1, |record| field(record, "code")));
    };
    silenced("LOG while only trap is named", "trap", 0, Action::Log);
    silenced("KILL_THREAD while only trap is named", "trap", 0, Action::KillThread);
    silenced("ERRNO asked for while only trap is named", "trap", FLAG_LOG, Action::Errno(1));
    silenced("TRAP asked for while only trap is named", "trap", FLAG_LOG, Action::Trap(1));
    silenced("KILL_PROCESS while nothing is named", "\n", 0, Action::KillProcess);
}
