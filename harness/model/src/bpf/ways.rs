//! The ways through a filter: a call for each, and what has to hold of its words.
//!
//! Calls are run and their comparisons turned round one after the other, each time with a word that
//! is worked out for it, until no comparison leads to a way that is not known. A way is thus never a
//! guess: the call that stands for it was run.

mod say;
mod solve;
mod walk;

use super::{Dialect, Insn, Ran};
use crate::abi::{SeccompData, offset};
use solve::Solved;
use std::collections::{BTreeSet, VecDeque};
use walk::walk;

/// The most instructions that all ways together may go over: a filter of many independent comparisons has
/// more ways than memory can hold.
const MOST_STEPS: usize = 4 << 20;

/// A comparison that was made on the way, of a word of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Test {
    /// Which word, by its byte offset in [`SeccompData`].
    pub at: u32,
    /// Which of its bits.
    pub mask: u32,
    /// How they are compared: [`super::op::JEQ`], `JGT`, `JGE` or `JSET`.
    pub op: u16,
    /// With what.
    pub k: u32,
    /// Whether it held.
    pub holds: bool,
}

/// One way through a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// A call that takes it.
    pub data: SeccompData,
    /// The instructions it goes over, the deciding one last.
    pub steps: Vec<usize>,
    /// The comparisons of words of the call, in their order.
    pub tests: Vec<Test>,
    /// How it ends.
    pub ran: Ran,
}

/// What was found of a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// The ways, in the order of the instructions they go over.
    pub ways: Vec<Way>,
    /// Instructions behind which there may be more than was found: comparisons that could not be turned round
    /// on some way, for they are of something that has been reckoned with, or no word was found that does
    /// it; and returns of what is not constant. Where there are none of these and nothing was cut, every
    /// call takes one of the ways and gets its word.
    pub blind: BTreeSet<usize>,
    /// Whether there are more ways than were asked for, or than can be gone over.
    pub cut: bool,
}

/// What of a call may be changed to find another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    /// Everything but the instruction pointer.
    Call,
    /// The arguments.
    Arguments,
}

impl Free {
    fn has(self, at: u32) -> bool {
        match at {
            offset::IP_LOW | offset::IP_HIGH => false,
            offset::NR | offset::ARCH => self == Self::Call,
            _ => true,
        }
    }
}

/// The ways through a filter that begin as a call does, but for what may be changed of it; `most` at
/// most.
///
/// The filter should have passed [`super::check()`].
///
/// ```
/// use atlas_model::abi::{SeccompData, offset};
/// use atlas_model::bpf::{self, Dialect, Free};
/// use atlas_model::Action;
/// let filter = [
///     bpf::ld(offset::arg_low(0)),
///     bpf::jeq(2, 1, 0),
///     bpf::ret(Action::Errno(1)),
///     bpf::ret(Action::Allow),
/// ];
/// let found = bpf::ways(&filter, &SeccompData::default(), Free::Arguments, &Dialect::default(), 10);
/// let said: Vec<String> = found.ways.iter().map(ToString::to_string).collect();
/// assert_eq!(said, ["ERRNO(1 EPERM) where args[0] != 0x2", "ALLOW where args[0] == 0x2"]);
/// ```
#[must_use]
pub fn ways(insns: &[Insn], start: &SeccompData, free: Free, dialect: &Dialect, most: usize) -> Ways {
    let mut found = Ways::default();
    let mut known = BTreeSet::new();
    // A call, and the comparison from which on it is new: those before were turned round already.
    let mut queue = VecDeque::from([(*start, 0)]);
    let mut steps = 0;
    while let Some((data, from)) = queue.pop_front() {
        let walked = walk(insns, &data, dialect);
        if !known.insert(walked.way.steps.clone()) {
            continue;
        }
        steps += walked.way.steps.len();
        if found.ways.len() == most || steps > MOST_STEPS {
            found.cut = true;
            break;
        }
        for (index, branch) in walked.branches.iter().enumerate() {
            let Some(test) = branch.test.filter(|_| index >= from) else { continue };
            if !free.has(test.at) {
                continue;
            }
            let before = walked.branches[..index].iter().filter_map(|branch| branch.test);
            let wanted = Test { holds: !test.holds, ..test };
            // As many wait as will ever be asked for.
            if queue.len() > most {
                found.cut = true;
                break;
            }
            match solve::word(before.filter(|other| other.at == test.at).chain([wanted])) {
                Solved::Word(word) => queue.push_back((with(&data, test.at, word), index + 1)),
                Solved::Never => {}
                Solved::Unknown => {
                    found.blind.insert(branch.at);
                }
            }
        }
        let reckoned = walked.branches.iter().filter(|branch| branch.test.is_none());
        found.blind.extend(reckoned.map(|branch| branch.at));
        found.ways.push(walked.way);
    }
    found.ways.sort_by(|one, other| one.steps.cmp(&other.steps));
    found
}

/// A call with one word of it changed.
fn with(data: &SeccompData, at: u32, word: u32) -> SeccompData {
    let mut data = *data;
    match at {
        offset::NR => data.nr = word,
        offset::ARCH => data.arch = word,
        _ => {
            for (index, arg) in (0..).zip(&mut data.args) {
                if at == offset::arg_low(index) {
                    *arg = *arg >> 32 << 32 | u64::from(word);
                } else if at == offset::arg_high(index) {
                    *arg = *arg << 32 >> 32 | u64::from(word) << 32;
                }
            }
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::{self, op};
    use crate::{Abi, Action};

    fn found(filter: &[Insn], free: Free) -> Ways {
        let start = SeccompData { arch: Abi::X86_64.audit_arch(), ..SeccompData::default() };
        ways(filter, &start, free, &Dialect::default(), 1000)
    }

    fn said(filter: &[Insn], free: Free) -> Vec<String> {
        found(filter, free).ways.iter().map(ToString::to_string).collect()
    }

    /// Lets three numbers of x86-64 through, one of them by an argument.
    fn listed() -> Vec<Insn> {
        vec![
            bpf::ld(offset::ARCH),
            bpf::jeq(Abi::X86_64.audit_arch(), 1, 0),
            bpf::ret(Action::KillProcess),
            bpf::ld(offset::NR),
            bpf::jge(Abi::X32_BIT, 5, 0),
            bpf::jeq(0, 5, 0),
            bpf::jeq(1, 4, 0),
            bpf::jeq(56, 0, 2),
            bpf::ld(offset::arg_low(0)),
            bpf::jump(op::JSET, 0x7e02_0000, 0, 1),
            bpf::ret(Action::Errno(1)),
            bpf::ret(Action::Allow),
        ]
    }

    #[test]
    fn every_way_is_found_with_what_it_takes() {
        assert_eq!(
            said(&listed(), Free::Call),
            [
                "KILL_PROCESS where arch != 0xc000003e",
                "ERRNO(1 EPERM) where sys_number == 0x38, arch == 0xc000003e, args[0] & 0x7e020000 != 0",
                "ALLOW where sys_number == 0x38, arch == 0xc000003e, args[0] & 0x7e020000 == 0",
                "ERRNO(1 EPERM) where sys_number >= 0x2, sys_number <= 0x3fffffff, sys_number != 0x38, \
                 arch == 0xc000003e",
                "ALLOW where sys_number == 0x1, arch == 0xc000003e",
                "ALLOW where sys_number == 0, arch == 0xc000003e",
                "ERRNO(1 EPERM) where sys_number >= 0x40000000, arch == 0xc000003e",
            ]
        );
        assert!(found(&listed(), Free::Call).blind.is_empty());
    }

    #[test]
    fn what_is_not_free_stays() {
        let found = found(&listed(), Free::Arguments);
        assert_eq!(found.ways.len(), 1);
        assert_eq!(found.ways[0].data.nr, 0);
    }

    #[test]
    fn a_way_that_no_call_takes_is_none() {
        let twice = [
            bpf::ld(offset::NR),
            bpf::jeq(5, 0, 2),
            bpf::jeq(6, 0, 1),
            bpf::ret(Action::KillThread),
            bpf::ret(Action::Allow),
        ];
        assert_eq!(found(&twice, Free::Call).ways.len(), 2);
        assert!(said(&twice, Free::Call).iter().all(|way| way.starts_with("ALLOW")));
    }

    #[test]
    fn what_is_reckoned_with_is_said_to_be_blind() {
        let sum = [
            bpf::ld(offset::arg_low(0)),
            bpf::alu(op::ADD, 1),
            bpf::jeq(7, 0, 1),
            bpf::ret(Action::Allow),
            bpf::ret(Action::Errno(1)),
        ];
        let found = found(&sum, Free::Call);
        assert_eq!((found.ways.len(), found.blind), (1, BTreeSet::from([2])));
    }

    #[test]
    fn a_word_that_is_returned_as_it_came_is_said_to_be_blind() {
        let returns = [bpf::ld(offset::arg_low(0)), bpf::ret_a()];
        assert_eq!(found(&returns, Free::Call).blind, BTreeSet::from([1]));
        let constant = [bpf::imm(7), bpf::ret_a()];
        assert!(found(&constant, Free::Call).blind.is_empty());
    }

    #[test]
    fn words_are_followed_through_memory_and_x() {
        let moved = [
            bpf::ld(offset::arg_high(3)),
            bpf::st(4),
            bpf::ldx_imm(0x10),
            bpf::ld_mem(4),
            bpf::jump_x(op::JGT, 0, 1),
            bpf::ret(Action::Allow),
            bpf::ret(Action::Errno(2)),
        ];
        assert_eq!(
            said(&moved, Free::Call),
            ["ALLOW where args[3] >> 32 >= 0x11", "ERRNO(2 ENOENT) where args[3] >> 32 <= 0x10"]
        );
    }

    #[test]
    fn more_ways_than_can_be_gone_over_are_cut() {
        // Each comparison leads on, whatever it says: 2 to the 200 ways.
        let leads_on = |bit: u32| {
            [
                bpf::ld(offset::arg_low(bit / 32 % 6)),
                bpf::jump(op::JSET, 1 << (bit % 32), 0, 1),
                bpf::ld(offset::NR),
            ]
        };
        let mut filter: Vec<Insn> = (0..200).flat_map(leads_on).collect();
        filter.push(bpf::ret(Action::Allow));
        let start = SeccompData::default();
        let found = ways(&filter, &start, Free::Call, &Dialect::default(), usize::MAX);
        assert!(found.cut);
        let steps: usize = found.ways.iter().map(|way| way.steps.len()).sum();
        assert!((MOST_STEPS / 2..=MOST_STEPS).contains(&steps), "{steps}");
    }

    #[test]
    fn there_are_no_more_than_asked_for() {
        let few = ways(&listed(), &SeccompData::default(), Free::Call, &Dialect::default(), 3);
        assert_eq!((few.ways.len(), few.cut), (3, true));
        assert!(!found(&listed(), Free::Call).cut);
    }
}
