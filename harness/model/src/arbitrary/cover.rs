//! What a set of runs has exercised.

use crate::abi::{Abi, SeccompData};
use crate::action::Action;
use crate::bpf::op::{self, Kind};
use crate::bpf::{Dialect, Filter, explain, run_seen};
use crate::policy::Policy;
use std::collections::BTreeSet;

/// Counts which operations ran, which ways branches went, and which actions and ABIs came up.
///
/// ```
/// use atlas_model::abi::SeccompData;
/// use atlas_model::arbitrary::cover::Coverage;
/// use atlas_model::bpf::{self, Dialect, Filter};
/// let mut coverage = Coverage::default();
/// // The first return is jumped over.
/// let filter = Filter(vec![bpf::ja(1), bpf::ret_a(), bpf::ret_word(0x0005_0001)]);
/// coverage.note(&[filter], &SeccompData::default(), &Dialect::default());
/// assert_eq!(coverage.opcodes(), (2, 41));
/// assert_eq!(coverage.actions(), (1, 9));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    codes: BTreeSet<u16>,
    sides: BTreeSet<(u16, bool)>,
    actions: BTreeSet<usize>,
    abis: BTreeSet<Abi>,
}

impl Coverage {
    /// Runs filters, newest first, on a call, and notes what ran. Operations that are in a filter and do not
    /// run do not count. The action is the one that decides.
    pub fn note(&mut self, filters: &[Filter], data: &SeccompData, dialect: &Dialect) {
        for filter in filters {
            let mut before: Option<usize> = None;
            run_seen(filter, data, dialect, |at| {
                if let Some(branch) = before.take() {
                    let insn = filter[branch];
                    // Where both lead to the same place neither side is told from the other.
                    if insn.jt != insn.jf {
                        self.sides.insert((insn.code, at == branch + 1 + usize::from(insn.jt)));
                    }
                }
                let code = filter[at].code;
                match op::kind(code) {
                    None => return,
                    Some(Kind::Branch { .. }) => before = Some(at),
                    Some(_) => {}
                }
                self.codes.insert(code);
            });
        }
        let word = explain(filters, data, dialect, false).word;
        self.actions.insert(kind_of(Action::from_word(word)));
        self.abis.extend(Policy::abi_of(data));
    }

    /// How many operations of classic BPF have run, of those that seccomp accepts.
    #[must_use]
    pub fn opcodes(&self) -> (usize, usize) {
        (self.codes.len(), accepted().count())
    }

    /// The operations that have not run.
    #[must_use]
    pub fn missing(&self) -> Vec<u16> {
        accepted().filter(|code| !self.codes.contains(code)).collect()
    }

    /// How many ways conditional jumps have gone: two for each of their operations.
    #[must_use]
    pub fn sides(&self) -> (usize, usize) {
        let branches = accepted().filter(|&code| matches!(op::kind(code), Some(Kind::Branch { .. })));
        (self.sides.len(), 2 * branches.count())
    }

    /// How many actions have decided, words of no action counting as one.
    #[must_use]
    pub fn actions(&self) -> (usize, usize) {
        (self.actions.len(), 9)
    }

    /// How many ABIs calls came by.
    #[must_use]
    pub fn abis(&self) -> (usize, usize) {
        (self.abis.len(), Abi::ALL.len())
    }
}

fn accepted() -> impl Iterator<Item = u16> {
    (0..=0xff).filter(|&code| op::kind(code).is_some())
}

fn kind_of(action: Action) -> usize {
    match action {
        Action::KillProcess => 0,
        Action::KillThread => 1,
        Action::Trap(_) => 2,
        Action::Errno(_) => 3,
        Action::UserNotif => 4,
        Action::Trace(_) => 5,
        Action::Log => 6,
        Action::Allow => 7,
        Action::Unknown(_) => 8,
    }
}
