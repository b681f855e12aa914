//! What a filter's result means, and which of several filters' results counts.

pub mod errno;

use crate::mutant::{self, Mutant, is};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A filter's result: `SECCOMP_RET_*` with its 16 bits of data where the action has a use for them
/// (seccomp(2), "Filters").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Ends the process with SIGSYS.
    KillProcess,
    /// Ends the thread with SIGSYS, and its process with it if it is the last. Called `SECCOMP_RET_KILL` before 4.14.
    KillThread,
    /// Sends SIGSYS; the data becomes `si_errno`.
    Trap(u16),
    /// Answers the call with an errno, without running it. Kernels cap it at [`errno::MAX`] since 4.0.
    Errno(u16),
    /// Hands the call to a listener.
    UserNotif,
    /// Hands the call to a tracer, with the data as its message.
    Trace(u16),
    /// Lets the call run and logs it.
    Log,
    /// Lets the call run.
    Allow,
    /// A word whose action part is none of these; kernels kill for it.
    Unknown(u32),
}

/// The upper 16 bits of a result word (`SECCOMP_RET_ACTION_FULL`).
pub const ACTION_MASK: u32 = 0xffff_0000;

impl Action {
    /// Reads a result word. Data bits of actions that have no use for them are dropped.
    ///
    /// ```
    /// use atlas_model::Action;
    /// assert_eq!(Action::from_word(0x0005_0001), Action::Errno(1));
    /// assert_eq!(Action::from_word(0x8005_0001), Action::Unknown(0x8005_0001));
    /// ```
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        let data = word as u16;
        match word & ACTION_MASK {
            0x8000_0000 => Self::KillProcess,
            0x0000_0000 => Self::KillThread,
            0x0003_0000 => Self::Trap(data),
            0x0005_0000 => Self::Errno(data),
            0x7fc0_0000 => Self::UserNotif,
            0x7ff0_0000 => Self::Trace(data),
            0x7ffc_0000 => Self::Log,
            0x7fff_0000 => Self::Allow,
            _ => Self::Unknown(word),
        }
    }

    /// The result word, with data bits of 0 where the action has no use for them.
    ///
    /// ```
    /// use atlas_model::Action;
    /// assert_eq!(Action::KillProcess.word(), 0x8000_0000);
    /// assert_eq!(Action::Errno(1).word(), 0x0005_0001);
    /// ```
    #[must_use]
    pub const fn word(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap(data) => 0x0003_0000 | data as u32,
            Self::Errno(data) => 0x0005_0000 | data as u32,
            Self::UserNotif => 0x7fc0_0000,
            Self::Trace(data) => 0x7ff0_0000 | data as u32,
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
            Self::Unknown(word) => word,
        }
    }
}

/// The names of seccomp(2), with their data.
///
/// ```
/// use atlas_model::Action;
/// assert_eq!(Action::Errno(1).to_string(), "ERRNO(1 EPERM)");
/// ```
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillProcess => f.write_str("KILL_PROCESS"),
            Self::KillThread => f.write_str("KILL_THREAD"),
            Self::Trap(data) => write!(f, "TRAP({data})"),
            Self::Errno(data) => match errno::name(i64::from(*data)) {
                Some(name) => write!(f, "ERRNO({data} {name})"),
                None => write!(f, "ERRNO({data})"),
            },
            Self::UserNotif => f.write_str("USER_NOTIF"),
            Self::Trace(data) => write!(f, "TRACE({data})"),
            Self::Log => f.write_str("LOG"),
            Self::Allow => f.write_str("ALLOW"),
            Self::Unknown(word) => write!(f, "unknown action {word:#010x}"),
        }
    }
}

/// Which of several filters' results counts, given newest first: the index of the one with the
/// lowest action; among equals the newest. `None` where there is no filter, or none says anything
/// but ALLOW, which is what the kernel starts from (kernel/seccomp.c seccomp_run_filters).
///
/// The action part is compared as a signed number, so that 0x8000_0000 is the lowest. Before 4.14
/// the highest bit was masked off and the rest compared unsigned: `high_bit_ignored`.
///
/// ```
/// use atlas_model::action::most_restrictive;
/// let (allow, errno_1, errno_2, kill) = (0x7fff_0000, 0x0005_0001, 0x0005_0002, 0x8000_0000);
/// assert_eq!(most_restrictive(&[allow, errno_2, errno_1], false), Some(1));
/// assert_eq!(most_restrictive(&[errno_1, kill], false), Some(1));
/// assert_eq!(most_restrictive(&[allow], false), None);
/// ```
#[must_use]
pub fn most_restrictive(words: &[u32], high_bit_ignored: bool) -> Option<usize> {
    let rank = |word: u32| {
        let mask = if high_bit_ignored { ACTION_MASK & 0x7fff_ffff } else { ACTION_MASK };
        let mask = mutant::either(mask, [(Mutant::ActionsByWord, u32::MAX)]);
        let sign = mutant::either(0, [(Mutant::ActionsUnsigned, 1 << 31)]);
        ((ranked(word) & mask) ^ sign) as i32
    };
    let mut winner = None;
    let mut lowest = rank(Action::Allow.word());
    for (index, &word) in words.iter().enumerate() {
        let equal = is(Mutant::OldestOfEquals) && rank(word) == lowest;
        let late = is(Mutant::NewestObjection) && winner.is_some();
        if (rank(word) < lowest || equal) && !late {
            lowest = rank(word);
            winner = Some(index);
        }
    }
    winner
}

/// A result word as precedence takes it, where a mutant is at work: two neighbours in the order of actions change places.
#[inline]
fn ranked(word: u32) -> u32 {
    const ORDER: [(Action, Mutant, Action); 7] = [
        (Action::KillProcess, Mutant::SwapKills, Action::KillThread),
        (Action::KillThread, Mutant::SwapKillTrap, Action::Trap(0)),
        (Action::Trap(0), Mutant::SwapTrapErrno, Action::Errno(0)),
        (Action::Errno(0), Mutant::SwapErrnoNotif, Action::UserNotif),
        (Action::UserNotif, Mutant::SwapNotifTrace, Action::Trace(0)),
        (Action::Trace(0), Mutant::SwapTraceLog, Action::Log),
        (Action::Log, Mutant::SwapLogAllow, Action::Allow),
    ];
    let Some((one, _, other)) = ORDER.iter().find(|(_, mutant, _)| is(*mutant)) else { return word };
    let data = word & !ACTION_MASK;
    match word & ACTION_MASK {
        action if action == one.word() => other.word() | data,
        action if action == other.word() => one.word() | data,
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words from include/uapi/linux/seccomp.h.
    const ACTIONS: [(u32, Action, &str); 9] = [
        (0x8000_0000, Action::KillProcess, "KILL_PROCESS"),
        (0x0000_0000, Action::KillThread, "KILL_THREAD"),
        (0x0003_0007, Action::Trap(7), "TRAP(7)"),
        (0x0005_0026, Action::Errno(38), "ERRNO(38 ENOSYS)"),
        (0x7fc0_0000, Action::UserNotif, "USER_NOTIF"),
        (0x7ff0_ffff, Action::Trace(0xffff), "TRACE(65535)"),
        (0x7ffc_0000, Action::Log, "LOG"),
        (0x7fff_0000, Action::Allow, "ALLOW"),
        (0x0001_0002, Action::Unknown(0x0001_0002), "unknown action 0x00010002"),
    ];

    #[test]
    fn words_and_names() {
        for (word, action, name) in ACTIONS {
            assert_eq!(Action::from_word(word), action);
            assert_eq!(action.word(), word);
            assert_eq!(action.to_string(), name);
        }
        assert_eq!(Action::from_word(0x7fff_0005), Action::Allow);
        assert_eq!(Action::from_word(0x8000_ffff), Action::KillProcess);
        assert_eq!(Action::Errno(4095).to_string(), "ERRNO(4095)");
    }

    #[test]
    fn order_of_the_manual_page() {
        // seccomp(2), "in decreasing order of precedence".
        let order = [0x8000_0000, 0, 0x0003_0000, 0x0005_0000, 0x7fc0_0000, 0x7ff0_0000, 0x7ffc_0000];
        assert_eq!(most_restrictive(&[0x7ffd_0000], false), Some(0), "nothing is weaker but ALLOW");
        for (index, &stronger) in order.iter().enumerate() {
            for &weaker in &order[index + 1..] {
                assert_eq!(most_restrictive(&[stronger, weaker], false), Some(0));
                assert_eq!(most_restrictive(&[weaker, stronger], false), Some(1));
            }
        }
    }

    #[test]
    fn the_high_bit_before_4_14() {
        // 0xffff_0000 is then ALLOW, and 0x8000_0000 is KILL_THREAD.
        assert_eq!(most_restrictive(&[0xffff_0000], true), None);
        assert_eq!(most_restrictive(&[0xffff_0000], false), Some(0));
        assert_eq!(most_restrictive(&[0, 0x8000_0000], true), Some(0));
        assert_eq!(most_restrictive(&[0, 0x8000_0000], false), Some(1));
    }
}
