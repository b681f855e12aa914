//! A filter on paper: what it lets through, and which instruction decides of a call, and why.
//!
//! No kernel is asked; `atlas check` does that. What is said here holds for every kernel that takes
//! the filter, but for what quirks are about.

pub mod call;
pub mod explored;
pub mod map;
pub mod remarks;
pub mod text;

use crate::source::{NoSource, Source, What};
use atlas_model::bpf::{self, Dialect, Filter, Free, Way, Ways};
use atlas_model::policy::Policy;
use atlas_model::{Action, Call};
use atlas_policy::Compiler;
use call::Asked;
use explored::Explored;
pub use map::Map;
use std::collections::BTreeSet;

/// The most ways of one call that are gone over.
const MOST: usize = 4096;

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
        let made = source.filter(compiler)?;
        let (name, filter) = (source.file, made.filter);
        Ok(match source.what {
            What::Filter(_) => Self { name, filter, compiler: None, policy: None, notes: made.notes },
            What::Policy { policy, mut notes, .. } => {
                notes.extend(made.notes);
                let policy = made.is_the_policys.then_some(policy);
                Self { name, filter, compiler: Some(compiler), policy, notes }
            }
        })
    }

    /// What the filter counts while a kernel attaches it, by the count of newer ones.
    #[must_use]
    pub fn kernel_len(&self) -> usize {
        bpf::kernel_len(&self.filter, Dialect::default().chain_unit)
    }

    /// What becomes of a call.
    #[must_use]
    pub fn explain(&self, asked: &Asked) -> Explained {
        let most = if asked.args.is_some() { 1 } else { MOST };
        let found = bpf::ways(&self.filter, &asked.call().data(), Free::Arguments, &Dialect::default(), most);
        let Ways { ways, blind, cut } = found;
        let cut = cut && asked.args.is_none();
        Explained { asked: *asked, ways, blind, cut, rule: self.rule(asked) }
    }

    /// The rule of the policy that is about this very call, counted from 0.
    pub(crate) fn rule(&self, asked: &Asked) -> Option<usize> {
        let data = Call { args: asked.args?, ..asked.call() }.data();
        let rules = self.policy.as_ref()?.rules.iter();
        rules.clone().position(|rule| rule.abi == asked.abi && rule.matches(&data))
    }

    /// What becomes of every number of every ABI.
    #[must_use]
    pub fn map(&self) -> Map {
        Map::of(Explored::of(&self.filter))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::example::Example;
    use atlas_model::abi::offset;
    use atlas_model::{Abi, sweep};

    const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/profile.json");

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
    fn what_a_call_comes_to_is_the_same_by_its_own_ways_and_by_all() {
        let tree = crate::source::read(std::path::Path::new(PROFILE)).unwrap();
        let subject = Subject::of(tree, Compiler::Linear).unwrap();
        let map = subject.map();
        for call in sweep::calls([0; 6]).iter().step_by(7) {
            let asked = Asked { abi: call.abi, nr: call.nr as u32, args: None };
            let (own, all) = (subject.explain(&asked), map.explain(&subject, &asked));
            assert_eq!(own.actions(), all.actions(), "{call:?}");
            assert_eq!(own.ways.len(), all.ways.len(), "{call:?}");
        }
    }

    #[test]
    fn a_call_of_many_rules_is_told_whole() {
        // 70 requests are let through by name, one is denied, and the rest too.
        let mut filter = vec![bpf::ld(offset::NR), bpf::jeq(16, 1, 0), bpf::ret(Action::Allow)];
        filter.push(bpf::ld(offset::arg_low(1)));
        filter.extend((0..70).flat_map(|k| [bpf::jeq(k, 0, 1), bpf::ret(Action::Allow)]));
        filter.push(bpf::ret(Action::Errno(1)));
        let subject = Subject { filter: filter.into(), ..toy() };
        let map = subject.map();
        assert_eq!(map.given(Abi::X86_64, 16), [Action::Errno(1).word(), Action::Allow.word()]);
        let asked = Asked { abi: Abi::X86_64, nr: 16, args: None };
        assert_eq!(subject.explain(&asked).ways.len(), 71);
        assert_eq!(map.explain(&subject, &asked).ways.len(), 71);
    }

    #[test]
    fn numbers_that_go_the_same_ways_are_worked_out_once() {
        let any_number = vec![
            bpf::ld(offset::arg_low(0)),
            bpf::jeq(5, 0, 1),
            bpf::ret(Action::Errno(1)),
            bpf::ret(Action::Allow),
        ];
        let map = Subject { filter: any_number.into(), ..toy() }.map();
        let kinds = |&(abi, nr): &(Abi, u32)| map.kinds_for(&Asked { abi, nr, args: None });
        let distinct: BTreeSet<Vec<usize>> = map.by_arguments.iter().map(kinds).collect();
        assert_eq!((map.by_arguments.len(), distinct.len()), (sweep::COUNT, 1));
    }

    #[test]
    fn what_is_returned_as_it_came_is_not_told_as_one_word() {
        let filter = vec![bpf::ld(offset::arg_low(0)), bpf::ret_a()];
        let map = Subject { filter: filter.into(), ..toy() }.map();
        assert!(map.by_arguments.contains(&(Abi::X86_64, 0)) && !map.explored.is_whole());
    }
}
