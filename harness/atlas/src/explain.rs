//! A filter on paper: what it lets through, and which instruction decides of a call, and why.
//!
//! No kernel is asked; `atlas check` does that. What is said here holds for every kernel that takes
//! the filter, but for what quirks are about.

pub mod call;
pub mod remarks;
pub mod text;

use crate::source::{NoSource, Source, What};
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Dialect, Filter, Free, Way, Ways};
use atlas_model::policy::Policy;
use atlas_model::{Abi, Action, Call, sweep};
use atlas_policy::Compiler;
use call::Asked;
use std::collections::{BTreeMap, BTreeSet};

/// The most ways of one call that are told.
const MOST: usize = 64;

/// A filter, and where it comes from.
pub struct Subject {
    /// Its name for people.
    pub name: String,
    /// The filter.
    pub filter: Filter,
    /// Who made it of a policy.
    pub compiler: Option<Compiler>,
    /// The policy it was made of.
    pub policy: Option<Policy>,
    /// What the policy's notation says that has no meaning in it.
    pub notes: Vec<String>,
}

impl Subject {
    /// Of a file, compiled where it is a policy.
    ///
    /// # Errors
    /// [`NoSource`].
    pub fn of(source: Source, compiler: Compiler) -> Result<Self, NoSource> {
        let filter = source.filter(compiler)?;
        let name = source.file;
        Ok(match source.what {
            What::Filter(_) => Self { name, filter, compiler: None, policy: None, notes: vec![] },
            What::Policy { policy, notes } => {
                Self { name, filter, compiler: Some(compiler), policy: Some(policy), notes }
            }
        })
    }

    /// What becomes of a call.
    #[must_use]
    pub fn explain(&self, asked: &Asked) -> Explained {
        let call = asked.call();
        let found = self.ways(&call, Free::Arguments, if asked.args.is_some() { 1 } else { MOST });
        let Ways { ways, blind, cut } = found;
        let cut = cut && asked.args.is_none();
        Explained { asked: *asked, ways, blind, cut, rule: self.rule(asked) }
    }

    /// The rule of the policy that is about this very call, counted from 0.
    fn rule(&self, asked: &Asked) -> Option<usize> {
        let data = Call { args: asked.args?, ..asked.call() }.data();
        let rules = self.policy.as_ref()?.rules.iter();
        rules.clone().position(|rule| rule.abi == asked.abi && rule.matches(&data))
    }

    fn ways(&self, call: &Call, free: Free, most: usize) -> Ways {
        bpf::ways(&self.filter, &call.data(), free, &Dialect::default(), most)
    }

    /// What becomes of every number of every ABI.
    #[must_use]
    pub fn map(&self) -> Map {
        let mut map = Map::default();
        for call in sweep::calls([0; 6]) {
            let found = self.ways(&call, Free::Arguments, MOST);
            let actions: BTreeSet<u32> = found.ways.iter().map(|way| way.ran.word).collect();
            let nr = call.nr as u32;
            let of_abi = map.rows.entry(call.abi).or_default();
            of_abi.entry(actions.into_iter().collect()).or_default().push(nr);
            if found.ways.len() > 1 || !found.blind.is_empty() {
                map.by_arguments.push((call.abi, nr));
            }
        }
        map
    }

    /// The instructions that no call gets to, where that could be told.
    #[must_use]
    pub fn unreached(&self) -> Option<Vec<usize>> {
        const ENOUGH: usize = 20_000;
        let found = self.ways(&Call { abi: Abi::X86_64, nr: 0, args: [0; 6] }, Free::Call, ENOUGH);
        // Another instruction pointer may lead elsewhere.
        let ip = [offset::IP_LOW, offset::IP_HIGH];
        let looks_at_ip = found.ways.iter().flat_map(|way| &way.tests).any(|test| ip.contains(&test.at));
        if found.cut || !found.blind.is_empty() || looks_at_ip {
            return None;
        }
        let reached: BTreeSet<usize> = found.ways.iter().flat_map(|way| way.steps.iter().copied()).collect();
        Some((0..self.filter.len()).filter(|at| !reached.contains(at)).collect())
    }
}

/// What becomes of a call.
pub struct Explained {
    /// The call.
    pub asked: Asked,
    /// The ways it can take through the filter; one where its arguments are given.
    pub ways: Vec<Way>,
    /// Comparisons behind which there may be more.
    pub blind: BTreeSet<usize>,
    /// Whether there are more than are told.
    pub cut: bool,
    /// The rule of the policy that matches it, counted from 0, where its arguments are given.
    pub rule: Option<usize>,
}

impl Explained {
    /// The actions it can come to, each once.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        let words: BTreeSet<u32> = self.ways.iter().map(|way| way.ran.word).collect();
        words.into_iter().map(Action::from_word).collect()
    }
}

/// What becomes of every number.
#[derive(Debug, Default)]
pub struct Map {
    /// By ABI: the words that the filter gives, several where arguments decide, and the numbers.
    pub rows: BTreeMap<Abi, BTreeMap<Vec<u32>, Vec<u32>>>,
    /// The calls of which arguments decide, or may.
    pub by_arguments: Vec<(Abi, u32)>,
}

impl Map {
    /// The words that a call can come to.
    #[must_use]
    pub fn given(&self, abi: Abi, nr: u32) -> &[u32] {
        let of_abi = self.rows.get(&abi).into_iter().flatten();
        let mut with = of_abi.filter(|(_, numbers)| numbers.contains(&nr));
        with.next().map_or(&[], |(words, _)| words)
    }

    /// The word that most numbers of an ABI get, where arguments do not decide.
    #[must_use]
    pub fn commonest(&self, abi: Abi) -> Option<&Vec<u32>> {
        let rows = self.rows.get(&abi)?;
        rows.iter().max_by_key(|(_, numbers)| numbers.len()).map(|(words, _)| words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::example::Example;

    fn toy() -> Subject {
        let filter = Example::Toy.filter().unwrap();
        Subject { name: "toy".into(), filter, compiler: None, policy: None, notes: vec![] }
    }

    #[test]
    fn the_map_is_what_the_filter_gives() {
        let (subject, calls) = (toy(), sweep::calls([0; 6]));
        let map = subject.map();
        for call in &calls {
            let word = bpf::run(&subject.filter, &call.data(), &Dialect::default()).word;
            let nr = call.nr as u32;
            let (words, _) =
                map.rows[&call.abi].iter().find(|(_, numbers)| numbers.contains(&nr)).expect("every number");
            assert!(words.contains(&word), "{call:?}");
            assert!(words.len() == 1 || map.by_arguments.contains(&(call.abi, nr)), "{call:?}");
        }
        let count: usize = map.rows.values().flatten().map(|(_, numbers)| numbers.len()).sum();
        assert_eq!(count, calls.len());
    }

    #[test]
    fn what_no_call_gets_to_is_found() {
        assert_eq!(toy().unreached(), Some(vec![]));
        let mut subject = toy();
        subject.filter.0.extend([bpf::ret(Action::Allow), bpf::ret(Action::Log)]);
        let length = subject.filter.len();
        assert_eq!(subject.unreached(), Some(vec![length - 2, length - 1]));
        subject.filter = vec![bpf::ld(offset::IP_LOW), bpf::jeq(1, 0, 1), bpf::ret_a(), bpf::ret_a()].into();
        assert_eq!(subject.unreached(), None);
    }
}
