//! The ways through a filter that calls of this machine can take.

use atlas_model::abi::offset;
use atlas_model::bpf::{self, Dialect, Filter, Free, Way, op};
use atlas_model::{Abi, Call};
use std::collections::BTreeSet;

/// The most ways that are gone over.
const MOST: usize = 20_000;

/// Every way that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// The ways, in the order of the instructions they go over.
    pub ways: Vec<Way>,
    /// Instructions behind which there may be ways or words that were not found.
    pub blind: BTreeSet<usize>,
    /// Whether there are more ways than are gone over.
    pub cut: bool,
    /// The instructions that load the instruction pointer. It is taken to be that of the stubs by which
    /// experiments make their calls.
    pub looks_at_ip: Vec<usize>,
}

impl Explored {
    /// Explores a filter, which passed the checker.
    #[must_use]
    pub fn of(filter: &Filter) -> Self {
        let loads_ip =
            |insn: &bpf::Insn| insn.code == op::LD_ABS && [offset::IP_LOW, offset::IP_HIGH].contains(&insn.k);
        let looks_at_ip: Vec<usize> =
            filter.iter().enumerate().filter(|(_, insn)| loads_ip(insn)).map(|(at, _)| at).collect();
        // The stubs of the two entries have addresses of their own; where nobody looks, one start does.
        let starts: &[Abi] = if looks_at_ip.is_empty() { &[Abi::X86_64] } else { &[Abi::X86_64, Abi::I386] };
        let mut explored = Self { looks_at_ip, ..Self::default() };
        for &abi in starts {
            let start = Call { abi, nr: 0, args: [0; 6] }.data();
            let found = bpf::ways(filter, &start, Free::Call, &Dialect::default(), MOST);
            explored.ways.extend(found.ways);
            explored.blind.extend(found.blind);
            explored.cut |= found.cut;
        }
        explored.ways.sort_by(|one, other| one.steps.cmp(&other.steps));
        explored.ways.dedup_by(|one, other| one.steps == other.steps);
        explored
    }

    /// Whether these are all the ways, and their words all the words.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.cut && self.blind.is_empty() && self.looks_at_ip.is_empty()
    }
}
