//! What a program's calls came to, in bounded room.

use atlas_model::bpf::{self, Dialect};
use atlas_model::observation::Sigsys;
use atlas_model::{Abi, Action, Call, Filter};
use atlas_wire::program::{LeftOut, MAX_CALLS, MAX_EXAMPLES};
use atlas_wire::{Came, Made};
use std::collections::BTreeMap;

/// `SYS_SECCOMP` (include/uapi/asm-generic/siginfo.h).
pub(super) const SYS_SECCOMP: i32 = 1;

/// A call as it was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    /// The how-manieth it is of all.
    pub(super) at: u64,
    /// The task that makes it.
    pub(super) task: u32,
    pub(super) abi: Abi,
    pub(super) nr: u32,
    pub(super) args: [u64; 6],
    pub(super) ip: u64,
    pub(super) decision: Decision,
    /// The path that it is given, where it is to be kept.
    pub(super) path: Option<String>,
}

impl Begun {
    /// The call itself.
    pub(super) fn call(&self) -> Call {
        Call { abi: self.abi, nr: self.nr.into(), args: self.args }
    }
}

/// What the filter says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// The instruction that decides; `None` without a filter.
    at: Option<usize>,
    word: u32,
}

impl Decision {
    /// What a filter says of a call that is made from an address; without one it goes on.
    pub(super) fn of(filter: Option<&Filter>, call: &Call, ip: u64) -> Self {
        let ran = filter.map(|filter| bpf::run(filter, &call.data_at(ip), &Dialect::default()));
        let at = ran.map(|ran| ran.decided_at);
        Self { at, word: ran.map_or(Action::Allow.word(), |ran| ran.word) }
    }

    /// Whether the kernel makes the call, as far as the filter is concerned.
    pub(super) fn lets_through(self) -> bool {
        [Action::Allow, Action::Log].contains(&Action::from_word(self.word))
    }
}

/// What calls of one group have in common besides ABI and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Success,
    Failed(i64),
    Never,
    Trapped(i32),
}

impl Class {
    fn of(came: &Came) -> Self {
        match came {
            Came::Back(value @ -4095..=-1) => Self::Failed(*value),
            Came::Back(_) => Self::Success,
            Came::Never => Self::Never,
            Came::Trapped(Sigsys { errno, .. }) => Self::Trapped(*errno),
        }
    }
}

/// How many of the entries may be of calls that the filter lets through: the others are what is asked about.
const MAX_ALLOWED: usize = MAX_CALLS / 2;

/// All calls so far: of each group the first examples, and of each example how often it occurred.
///
/// A group is of calls of one ABI and number that came to the same and on which one instruction of the filter
/// decides, so that no denied call is lost among others that failed alike. Nothing is judged by that.
#[derive(Default)]
pub(super) struct Ledger {
    allowed: usize,
    /// Each with the number of the call that it was made for.
    entries: Vec<(u64, Made)>,
    /// The entries of each group.
    groups: BTreeMap<Group, Vec<usize>>,
    left_out: LeftOut,
}

/// ABI, number, what it came to, and the deciding instruction.
type Group = (Abi, u32, Class, Option<usize>);

impl Ledger {
    /// Takes a call that is over.
    pub(super) fn note(&mut self, begun: &Begun, came: Came) {
        let Decision { at: decided_at, word } = begun.decision;
        let allowed = word == Action::Allow.word();
        let key = (begun.abi, begun.nr, Class::of(&came), decided_at);
        let room = self.entries.len() < MAX_CALLS && !(allowed && self.allowed >= MAX_ALLOWED);
        let group = self.groups.entry(key).or_default();
        let is_same = |made: &Made| made.args == begun.args && made.path == begun.path;
        if let Some(&same) = group.iter().find(|&&entry| is_same(&self.entries[entry].1)) {
            self.entries[same].1.count += 1;
        } else if group.len() < MAX_EXAMPLES && room {
            self.allowed += usize::from(allowed);
            group.push(self.entries.len());
            let Begun { at, task, abi, nr, args, ip, ref path, .. } = *begun;
            let path = path.clone();
            self.entries.push((at, Made { abi, nr, args, ip, came, count: 1, path, task }));
        } else {
            self.left_out.allowed += u64::from(allowed);
            self.left_out.denied += u64::from(!allowed);
            if group.is_empty() {
                // A program may ask for as many numbers as there are; each would leave a group behind.
                self.groups.remove(&key);
            }
        }
    }

    /// The entries in the order in which their first calls were begun, and how many calls have none.
    pub(super) fn close(mut self) -> (Vec<Made>, LeftOut) {
        self.entries.sort_by_key(|&(at, _)| at);
        (self.entries.into_iter().map(|(_, made)| made).collect(), self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::abi::offset;

    fn begun(at: u64, nr: u32, first: u64) -> Begun {
        behind(None, at, nr, first)
    }

    fn behind(filter: Option<&Filter>, at: u64, nr: u32, first: u64) -> Begun {
        let call = Call { abi: Abi::X86_64, nr: nr.into(), args: [first, 0, 0, 0, 0, 0] };
        let decision = Decision::of(filter, &call, at);
        Begun { at, task: 0, abi: call.abi, nr, args: call.args, ip: at, decision, path: None }
    }

    fn trap(errno: i32) -> Came {
        let (signo, code) = (libc::SIGSYS, SYS_SECCOMP);
        Came::Trapped(Sigsys { signo, code, errno, call_addr: 0, syscall: 0, arch: 0, result: 0 })
    }

    #[test]
    fn calls_that_came_out_alike_are_one_entry() {
        let mut ledger = Ledger::default();
        for (at, value) in (0..).zip([5, 0, -4096, 1 << 40]) {
            ledger.note(&begun(at, 1, 7), Came::Back(value));
        }
        let (calls, left_out) = ledger.close();
        assert_eq!((calls.len(), left_out), (1, LeftOut::default()));
        assert_eq!((calls[0].count, &calls[0].came, calls[0].ip), (4, &Came::Back(5), 0));
    }

    #[test]
    fn what_came_otherwise_is_an_entry_of_its_own() {
        let mut ledger = Ledger::default();
        let came = [Came::Back(0), Came::Back(-1), Came::Back(-4095), Came::Never, trap(1), trap(2)];
        for _ in 0..2 {
            for (at, came) in (0..).zip(&came) {
                ledger.note(&begun(at, 1, 7), came.clone());
            }
        }
        ledger.note(&Begun { abi: Abi::I386, ..begun(9, 1, 7) }, Came::Back(0));
        // A buffer that has another name in it.
        ledger.note(&Begun { path: Some("other".into()), ..begun(10, 1, 7) }, Came::Back(0));
        let (calls, _) = ledger.close();
        assert_eq!(calls.iter().map(|made| made.count).collect::<Vec<_>>(), [2, 2, 2, 2, 2, 2, 1, 1]);
        assert!(calls.iter().zip(&came).all(|(made, came)| made.came == *came));
    }

    #[test]
    fn a_group_has_so_many_examples() {
        let mut ledger = Ledger::default();
        let most = MAX_EXAMPLES as u64;
        for at in 0..most + 3 {
            ledger.note(&begun(at, 1, at), Came::Back(0));
        }
        // One that has an entry is counted there, however late it comes.
        ledger.note(&begun(100, 1, most - 1), Came::Back(0));
        ledger.note(&begun(101, 1, most), Came::Back(-1));
        let (calls, left_out) = ledger.close();
        assert_eq!((calls.len(), left_out), (MAX_EXAMPLES + 1, LeftOut { denied: 0, allowed: 3 }));
        assert_eq!(calls[MAX_EXAMPLES - 1].count, 2);
        assert_eq!(calls.iter().map(|made| made.count).sum::<u64>() + left_out.allowed, most + 5);
    }

    #[test]
    fn there_are_so_many_entries() {
        let mut ledger = Ledger::default();
        for at in 0..MAX_CALLS as u64 + 5 {
            ledger.note(&begun(at, at as u32, 0), Came::Back(0));
        }
        assert_eq!(ledger.groups.len(), MAX_ALLOWED);
        let (calls, left_out) = ledger.close();
        let allowed = (MAX_CALLS - MAX_ALLOWED + 5) as u64;
        assert_eq!((calls.len(), left_out), (MAX_ALLOWED, LeftOut { denied: 0, allowed }));
    }

    #[test]
    fn what_the_filter_denies_is_not_lost_among_what_it_does_not() {
        let denies = |first: u32| {
            vec![
                bpf::ld(offset::arg_low(0)),
                bpf::jeq(first, 0, 1),
                bpf::ret(Action::Errno(9)),
                bpf::ret(Action::Allow),
            ]
        };
        let filter = Filter(denies(77));
        let begun = |at, nr, first| behind(Some(&filter), at, nr, first);
        let mut ledger = Ledger::default();
        let most = MAX_CALLS as u64;
        // Of a group, and of all.
        for at in 0..70 {
            ledger.note(&begun(at, 3, at), Came::Back(-9));
        }
        for at in 0..most {
            ledger.note(&begun(100 + at, at as u32 + 10, 0), Came::Back(0));
        }
        ledger.note(&begun(most * 2, 3, 77), Came::Back(-9));
        let (calls, _) = ledger.close();
        let last = calls.last().unwrap();
        assert_eq!((last.nr, last.args[0], last.count), (3, 77, 1));
    }

    #[test]
    fn the_order_is_that_of_the_beginnings() {
        let mut ledger = Ledger::default();
        // A wait that is begun before what another task does, and is over after it.
        ledger.note(&begun(0, 59, 0), Came::Back(0));
        ledger.note(&begun(2, 39, 0), Came::Back(1));
        ledger.note(&begun(1, 61, 0), Came::Back(2));
        let (calls, _) = ledger.close();
        assert_eq!(calls.iter().map(|made| made.nr).collect::<Vec<_>>(), [59, 61, 39]);
    }
}
