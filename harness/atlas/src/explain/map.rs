//! What becomes of every number, by the ways that were found.

use super::call::Asked;
use super::explored::Explored;
use super::{Explained, Subject};
use atlas_model::abi::{SeccompData, offset};
use atlas_model::bpf::{Test, Way};
use atlas_model::{Abi, sweep};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of every number of every ABI.
#[derive(Debug, Default)]
pub struct Map {
    /// By ABI: the words that the filter gives, several where arguments decide, and the numbers.
    pub rows: BTreeMap<Abi, BTreeMap<Vec<u32>, Vec<u32>>>,
    /// The calls of which arguments decide, or may.
    pub by_arguments: Vec<(Abi, u32)>,
    /// What it was read from.
    pub explored: Explored,
    kinds: Vec<Kind>,
}

/// Ways that the same calls can take, by their number, ABI and instruction pointer.
#[derive(Debug)]
struct Kind {
    /// What has to hold of those.
    tests: Vec<Test>,
    /// The ways, by their place.
    ways: Vec<usize>,
    /// What they come to.
    words: BTreeSet<u32>,
    /// Whether there may be more.
    blind: bool,
}

impl Kind {
    fn admits(&self, data: &SeccompData) -> bool {
        self.tests.iter().all(|test| data.word(test.at).is_some_and(|word| test.is_met(word)))
    }
}

impl Map {
    /// Reads it from a filter's ways.
    #[must_use]
    pub fn of(explored: Explored) -> Self {
        let mut map = Self { kinds: kinds(&explored), explored, ..Self::default() };
        for call in sweep::calls([0; 6]) {
            let (data, nr) = (call.data(), call.nr as u32);
            let mut words = BTreeSet::new();
            let mut blind = false;
            for kind in map.kinds.iter().filter(|kind| kind.admits(&data)) {
                words.extend(&kind.words);
                blind |= kind.blind;
            }
            if words.len() > 1 || blind {
                map.by_arguments.push((call.abi, nr));
            }
            let of_abi = map.rows.entry(call.abi).or_default();
            of_abi.entry(words.into_iter().collect()).or_default().push(nr);
        }
        map
    }

    /// The words that a call can come to.
    #[must_use]
    pub fn given(&self, abi: Abi, nr: u32) -> &[u32] {
        let of_abi = self.rows.get(&abi).into_iter().flatten();
        let mut with = of_abi.filter(|(_, numbers)| numbers.contains(&nr));
        with.next().map_or(&[], |(words, _)| words)
    }

    /// The words that most numbers of an ABI get.
    #[must_use]
    pub fn commonest(&self, abi: Abi) -> Option<&Vec<u32>> {
        let rows = self.rows.get(&abi)?;
        rows.iter().max_by_key(|(_, numbers)| numbers.len()).map(|(words, _)| words)
    }

    /// The kinds of ways that a call can take, by their place. Calls for which they are the same come to the same by
    /// the same arguments, so that what holds of one has not to be worked out for the others.
    #[must_use]
    pub fn kinds_for(&self, asked: &Asked) -> Vec<usize> {
        let data = asked.call().data();
        (0..self.kinds.len()).filter(|&at| self.kinds[at].admits(&data)).collect()
    }

    /// The ways of some kinds.
    pub fn ways(&self, kinds: &[usize]) -> impl Iterator<Item = &Way> {
        kinds.iter().flat_map(|&kind| &self.kinds[kind].ways).map(|&at| &self.explored.ways[at])
    }

    /// What becomes of a call, whatever its arguments.
    #[must_use]
    pub fn explain(&self, subject: &Subject, asked: &Asked) -> Explained {
        let ways: Vec<Way> = self.ways(&self.kinds_for(asked)).cloned().collect();
        let over = |at: &&usize| ways.iter().any(|way| way.steps.contains(at));
        let blind = self.explored.blind.iter().filter(over).copied().collect();
        Explained { asked: *asked, blind, cut: self.explored.cut, rule: subject.rule(asked), ways }
    }
}

/// Ways with the same comparisons of number, arch and instruction pointer are of one kind.
fn kinds(explored: &Explored) -> Vec<Kind> {
    const LOOKED_AT: [u32; 4] = [offset::NR, offset::ARCH, offset::IP_LOW, offset::IP_HIGH];
    let mut kinds: BTreeMap<Vec<Test>, Vec<usize>> = BTreeMap::new();
    for (at, way) in explored.ways.iter().enumerate() {
        let mut tests: Vec<Test> =
            way.tests.iter().filter(|test| LOOKED_AT.contains(&test.at)).copied().collect();
        // One that holds says more than those that do not: calls that are none of it are sorted out at once.
        tests.sort_by_key(|test| (!test.holds, *test));
        kinds.entry(tests).or_default().push(at);
    }
    let kind = |(tests, ways): (Vec<Test>, Vec<usize>)| Kind {
        words: ways.iter().map(|&at| explored.ways[at].ran.word).collect(),
        blind: ways
            .iter()
            .any(|&at| explored.ways[at].steps.iter().any(|step| explored.blind.contains(step))),
        tests,
        ways,
    };
    kinds.into_iter().map(kind).collect()
}
