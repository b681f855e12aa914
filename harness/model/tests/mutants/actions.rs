//! Actions, their precedence and SIGSYS.

use crate::script::{GETPPID, Script, on_call, on_getppid};
use atlas_model::experiment::Disposition;
use atlas_model::mutant::Mutant;
use atlas_model::{Abi, Action, bpf};

const KILL_PROCESS: u32 = Action::KillProcess.word();
const KILL_THREAD: u32 = Action::KillThread.word();
const NOTIF: u32 = Action::UserNotif.word();
const TRACE: u32 = Action::Trace(0).word();
const LOG: u32 = Action::Log.word();

const fn trap(data: u16) -> u32 {
    Action::Trap(data).word()
}

const fn errno(data: u16) -> u32 {
    Action::Errno(data).word()
}

/// getppid under filters that give these words for it, oldest first.
fn words(script: Script, words: &[u32]) -> Script {
    words.iter().fold(script, |script, &word| script.filter(on_getppid(word))).getppid(0)
}

fn handled() -> Script {
    Script::new().sigsys(Disposition::Record)
}

/// A negative number that is trapped.
fn trapped(nr: i64) -> Script {
    handled().filter(on_call(nr as u32, trap(1))).call(0, nr as u64, &[])
}

/// The same in a thread beside another.
fn in_thread(words: &[u32]) -> Script {
    let attach = |script: Script, &word: &u32| script.attach(1, 0, on_getppid(word));
    words.iter().fold(Script::new().thread(), attach).getppid(1).getppid(0)
}

pub(crate) fn witness(mutant: Mutant) -> Option<Script> {
    Some(match mutant {
        Mutant::ActionsUnsigned => words(Script::new(), &[errno(1), KILL_PROCESS]),
        Mutant::ActionsByWord => words(Script::new(), &[errno(1), errno(2)]),
        Mutant::OldestOfEquals => words(Script::new(), &[errno(2), errno(1)]),
        Mutant::NewestObjection => words(Script::new(), &[errno(1), LOG]),
        Mutant::SwapKills => in_thread(&[KILL_PROCESS, KILL_THREAD]),
        Mutant::SwapKillTrap => words(handled(), &[KILL_THREAD, trap(0)]),
        Mutant::SwapTrapErrno => words(handled(), &[trap(0), errno(1)]),
        Mutant::SwapErrnoNotif => words(Script::new(), &[errno(1), NOTIF]),
        // The two themselves have the same outcome where nobody answers.
        Mutant::SwapNotifTrace => words(Script::new(), &[0x7fd0_0000, TRACE]),
        Mutant::SwapTraceLog => words(Script::new(), &[TRACE, LOG]),
        Mutant::SwapLogAllow => words(Script::new(), &[0x7ffd_0000]),
        Mutant::DataTwelveBits => words(handled(), &[trap(0x1001)]),
        Mutant::DataFifteenBits => words(handled(), &[trap(0x8001)]),
        Mutant::ErrnoCapLess => words(Script::new(), &[errno(4095)]),
        Mutant::ErrnoCapMissing => words(Script::new(), &[errno(4096)]),
        Mutant::ErrnoZeroRuns => words(Script::new(), &[errno(0)]),
        Mutant::TrapDataCapped => words(handled(), &[trap(4096)]),
        Mutant::UnknownAllowed => words(Script::new(), &[0x0001_0000]),
        Mutant::UnknownKillKind => in_thread(&[0x0001_0000]),
        Mutant::KillProcessAsThread => in_thread(&[KILL_PROCESS]),
        Mutant::KillThreadAsProcess => in_thread(&[KILL_THREAD]),
        Mutant::TraceMessage => words(Script::new().tracer(), &[TRACE | 5]),
        Mutant::TraceRuns => words(Script::new(), &[TRACE]),
        Mutant::NotifRuns => words(Script::new(), &[NOTIF]),
        Mutant::LogRefuses => words(Script::new(), &[LOG]),
        Mutant::TrapErrno
        | Mutant::TrapCode
        | Mutant::TrapSyscall
        | Mutant::TrapCallAddr
        | Mutant::TrapResult
        | Mutant::TrapReturn => words(handled(), &[trap(1)]),
        Mutant::TrapArch => handled().filter(on_call(64, trap(1))).call_by(Abi::I386, 0, 64, &[]),
        Mutant::SigreturnUnfiltered => {
            let both = vec![
                bpf::ld(0),
                bpf::jeq(GETPPID as u32, 2, 0),
                bpf::jeq(15, 2, 0),
                bpf::ret(Action::Allow),
                bpf::ret_word(trap(1)),
                bpf::ret_word(errno(1)),
            ];
            handled().filter(both).getppid(0)
        }
        Mutant::RestartMissing => trapped(-512),
        Mutant::RestartLess => trapped(-514),
        Mutant::RestartMore => trapped(-515),
        Mutant::TrapBlocked => words(handled().block(), &[trap(1)]),
        Mutant::TrapIgnored => words(Script::new().sigsys(Disposition::Ignore), &[trap(1)]),
        Mutant::TrapDefaultThread => in_thread(&[trap(1)]),
        Mutant::ExemptionsMissing => Script::new().filter(on_call(335, errno(1))).call(0, 335, &[]),
        _ => return None,
    })
}
