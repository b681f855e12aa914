//! The calls that a check makes beside every number: one for each way through the filter, and those at
//! the edges of what it compares arguments with.

use crate::explain::explored::Explored;
use atlas_model::Call;
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Dialect, Filter, Test, Way};
use atlas_model::sweep::COUNT;
use std::collections::HashSet;

/// The most calls: as many as two sweeps make.
const MOST_CALLS: usize = 2 * COUNT;

/// Chosen calls, and how far they get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The calls.
    pub calls: Vec<Call>,
    /// How many ways through the filter they take, together.
    pub ways: usize,
    /// How many ways no call of this machine takes: those of other arches.
    pub out_of_reach: usize,
    /// Whether there were more calls than are tried.
    pub cut: bool,
}

impl Chosen {
    /// Chooses for a filter whose ways were explored.
    #[must_use]
    pub fn of(filter: &Filter, explored: &Explored) -> Self {
        let dialect = Dialect::default();
        let mut chosen = Self::default();
        let mut known = HashSet::new();
        let mut edges = Vec::new();
        for way in &explored.ways {
            let call = Call::from_data(&way.data);
            let taken = call.filter(|call| bpf::run(filter, &call.data(), &dialect) == way.ran);
            match taken {
                None => chosen.out_of_reach += 1,
                Some(call) => {
                    chosen.ways += 1;
                    if known.insert(call) {
                        chosen.calls.push(call);
                    }
                    edges.extend(edges_of(way, &call));
                }
            }
        }
        chosen.calls.extend(edges.into_iter().filter(|call| known.insert(*call)));
        if chosen.calls.len() > MOST_CALLS {
            chosen.calls.truncate(MOST_CALLS);
            chosen.cut = true;
        }
        chosen
    }
}

/// A call with one half of an argument at, just below and just above each value that it is compared with.
fn edges_of<'a>(way: &'a Way, call: &'a Call) -> impl Iterator<Item = Call> + 'a {
    let edge = |test: &Test| {
        let index = (0..6_u32).find(|&i| test.at == offset::arg_low(i) || test.at == offset::arg_high(i))?;
        let shift = if test.at == offset::arg_low(index) { 0 } else { 32 };
        Some((index as usize, shift, test.k))
    };
    way.tests.iter().filter_map(edge).flat_map(move |(index, shift, k)| {
        [k.wrapping_sub(1), k, k.wrapping_add(1)].map(|value| {
            let mut args = call.args;
            args[index] = args[index] & !(u64::from(u32::MAX) << shift) | u64::from(value) << shift;
            Call { args, ..*call }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::{Abi, Action};

    #[test]
    fn every_way_that_a_call_can_take_is_taken_and_the_edges_are_there() {
        let filter = Filter(vec![
            bpf::ld(offset::ARCH),
            bpf::jeq(Abi::X86_64.audit_arch(), 2, 0),
            bpf::jeq(Abi::I386.audit_arch(), 1, 0),
            bpf::ret(Action::KillProcess),
            bpf::ld(offset::arg_low(2)),
            bpf::jge(1000, 0, 1),
            bpf::ret(Action::Errno(1)),
            bpf::ret(Action::Allow),
        ]);
        let chosen = Chosen::of(&filter, &Explored::of(&filter));
        assert_eq!((chosen.ways, chosen.out_of_reach, chosen.cut), (4, 1, false), "{chosen:?}");
        let tried = |abi, value| {
            chosen.calls.iter().any(|call| call.abi == abi && call.args == [0, 0, value, 0, 0, 0])
        };
        for abi in [Abi::X86_64, Abi::I386] {
            assert!([999, 1000, 1001].into_iter().all(|value| tried(abi, value)), "{abi}: {chosen:?}");
        }
        let distinct: HashSet<&Call> = chosen.calls.iter().collect();
        assert_eq!(distinct.len(), chosen.calls.len());
    }

    #[test]
    fn where_a_filter_looks_at_addresses_both_entries_are_tried() {
        let filter = Filter(vec![
            bpf::ld(offset::IP_LOW),
            bpf::jeq(atlas_model::experiment::layout::INT80_IP as u32, 0, 1),
            bpf::ret(Action::Errno(1)),
            bpf::ret(Action::Allow),
        ]);
        let chosen = Chosen::of(&filter, &Explored::of(&filter));
        let abis: Vec<Abi> = chosen.calls.iter().map(|call| call.abi).collect();
        assert_eq!((chosen.ways, chosen.out_of_reach), (2, 0), "{chosen:?}");
        assert_eq!(abis, [Abi::I386, Abi::X86_64]);
    }
}
