//! Calls weighed as a program makes them, and what another order of a filter's rules would save.

use super::item::{native, seen};
use atlas_model::abi::SeccompData;
use atlas_model::abi::offset;
use atlas_model::bpf::op::{self, Kind};
use atlas_model::bpf::{Dialect, run};
use atlas_model::{Action, Filter};

/// How often a program makes each call, most often first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights(pub Vec<(String, u64)>);

/// A line that is neither a call with a count nor part of an `strace -c` table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWeights {
    /// A line.
    #[error("line {line}: `{text}` is no call with a count: `read 1000`, or a line of `strace -c`")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A call that there is not.
    #[error("line {line}: x86-64 has no call `{name}`")]
    NoCall {
        /// Its number, from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// Nothing.
    #[error("there is no call in it")]
    Empty,
}

impl Weights {
    /// Reads `call count` lines, or the table that `strace -c` prints (% time, seconds, usecs/call, calls,
    /// errors where there were any, syscall). Lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// [`NotWeights`].
    pub fn parse(text: &str) -> Result<Self, NotWeights> {
        let mut weights: Vec<(String, u64)> = Vec::new();
        for (index, whole) in text.lines().enumerate() {
            let line = index + 1;
            let words: Vec<&str> = whole.split_whitespace().collect();
            let rule = words.iter().all(|word| word.chars().all(|c| c == '-'));
            let head = whole.contains("% time") || words.last() == Some(&"total");
            if words.is_empty() || rule || head || whole.starts_with('#') {
                continue;
            }
            let wrong = || NotWeights::Line { line, text: whole.chars().take(60).collect() };
            let (name, count) = match words.as_slice() {
                [name, count] => (name, count),
                [_, _, _, calls, name] | [_, _, _, calls, _, name] => (name, calls),
                _ => return Err(wrong()),
            };
            let count: u64 = count.parse().map_err(|_| wrong())?;
            if native(name, 0).is_none() {
                return Err(NotWeights::NoCall { line, name: (*name).into() });
            }
            match weights.iter_mut().find(|(there, _)| there == name) {
                Some((_, sum)) => *sum = sum.saturating_add(count),
                None => weights.push(((*name).into(), count)),
            }
        }
        weights.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        if weights.is_empty() { Err(NotWeights::Empty) } else { Ok(Self(weights)) }
    }
}

/// What a filter does for a program's calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Instructions of the filter that run for all calls.
    pub steps: u128,
    /// The same where allowed calls that depend on their number only do not run the filter at all, as on
    /// kernels with the constant-action cache (5.11 on; kernel/seccomp.c seccomp_cache_check_allow).
    pub steps_with_cache: u128,
    /// The same if the calls that are made most often came first in the order of tests.
    pub reordered: u128,
    /// The reordered with the cache.
    pub reordered_with_cache: u128,
    /// The calls whose place should be exchanged, best first: those not at the place that their count
    /// deserves.
    pub order: Vec<String>,
}

/// Says what a filter does for calls in these numbers, their arguments zero, and what an order of its tests
/// by use would do. The other order gives the places there are, by how many instructions run for each,
/// to the calls by how often they are made; that is what moving a rule of a list does, as long as rules
/// are equally long.
#[must_use]
pub fn advise(filter: &Filter, weights: &Weights) -> Advice {
    let calls: Vec<(u64, u64, bool, &str)> = weights
        .0
        .iter()
        .filter_map(|(name, count)| {
            let data = seen(&native(name, 0)?);
            let steps = run(filter, &data, &Dialect::default()).steps;
            Some((*count, u64::from(steps), is_cached(filter, &data), name.as_str()))
        })
        .collect();
    let sum = |calls: &[(u64, u64, bool, &str)], cached: bool| -> u128 {
        let run = calls.iter().filter(|call| !(cached && call.2));
        run.map(|call| u128::from(call.0) * u128::from(call.1)).sum()
    };
    let better = |of: &[(u64, u64, bool, &'_ str)]| -> u128 {
        let mut places: Vec<u64> = of.iter().map(|call| call.1).collect();
        places.sort_unstable();
        // Weights are sorted, most often first.
        of.iter().zip(places).map(|(call, place)| u128::from(call.0) * u128::from(place)).sum()
    };
    let uncached: Vec<_> = calls.iter().copied().filter(|call| !call.2).collect();
    let mut places: Vec<u64> = calls.iter().map(|call| call.1).collect();
    places.sort_unstable();
    let misplaced = calls.iter().zip(places).filter(|(call, place)| call.1 > *place);
    Advice {
        steps: sum(&calls, false),
        steps_with_cache: sum(&calls, true),
        reordered: better(&calls),
        reordered_with_cache: better(&uncached),
        order: misplaced.map(|(call, _)| call.3.to_owned()).collect(),
    }
}

/// Whether the kernel knows beforehand that a call is allowed: the way through the filter depends on number
/// and arch alone, and by the instructions that kernel/seccomp.c seccomp_is_const_allow follows.
#[must_use]
pub fn is_cached(filter: &Filter, data: &SeccompData) -> bool {
    let mut a = 0;
    let mut pc = 0_usize;
    while let Some(insn) = filter.0.get(pc) {
        let mut skip = 0;
        match op::kind(insn.code) {
            Some(Kind::LoadData) if insn.k == offset::NR => a = data.nr,
            Some(Kind::LoadData) if insn.k == offset::ARCH => a = data.arch,
            Some(Kind::Return { a: false }) => return Action::from_word(insn.k) == Action::Allow,
            Some(Kind::Jump) => skip = insn.k as usize,
            Some(Kind::Branch { op, x: false }) => {
                let taken = match op {
                    op::JEQ => a == insn.k,
                    op::JGE => a >= insn.k,
                    op::JGT => a > insn.k,
                    _ => a & insn.k != 0,
                };
                skip = usize::from(if taken { insn.jt } else { insn.jf });
            }
            Some(Kind::Alu { op: op::AND, x: false }) => a &= insn.k,
            _ => return false,
        }
        pc = pc.saturating_add(1).saturating_add(skip);
    }
    false
}

/// The advice in words.
#[must_use]
pub fn in_words(name: &str, advice: &Advice) -> String {
    let saved = |from: u128, to: u128| {
        let percent = if from == 0 { 0.0 } else { 100.0 * (from - to.min(from)) as f64 / from as f64 };
        format!("{from} instructions of the filter; {to} ordered by use, {percent:.1} % fewer")
    };
    let first: Vec<&str> = advice.order.iter().take(8).map(String::as_str).collect();
    let order = if first.is_empty() { "none: it is ordered by use".into() } else { first.join(", ") };
    format!(
        "{name}, for these calls:\n  without the constant-action cache (before 5.11): {}\n  with it: {}\n  rules to move towards the front, most used first: {order}\n",
        saved(advice.steps, advice.reordered),
        saved(advice.steps_with_cache, advice.reordered_with_cache),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::filters;
    use atlas_model::bpf;

    #[test]
    fn both_notations_are_read() {
        let strace = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           6       100         7 openat
 40.00    0.000400           2       200           read
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           3       300         7 total
";
        let plain = "# a program\nopenat 60\nread 200\nopenat 40\n";
        let expected = Weights(vec![("read".into(), 200), ("openat".into(), 100)]);
        assert_eq!(Weights::parse(strace), Ok(expected.clone()));
        assert_eq!(Weights::parse(plain), Ok(expected));
        assert!(matches!(Weights::parse("read often"), Err(NotWeights::Line { line: 1, .. })));
        assert!(matches!(Weights::parse("read 1\nraed 1"), Err(NotWeights::NoCall { line: 2, .. })));
        assert_eq!(Weights::parse("\n# nothing\n"), Err(NotWeights::Empty));
    }

    /// Numbers one after the other, each with its own return.
    fn list_of(first: bpf::Insn, numbers: [u32; 3]) -> Filter {
        let allow = bpf::ret(Action::Allow);
        let pairs = numbers.into_iter().flat_map(|nr| [bpf::jeq(nr, 0, 1), allow]);
        let end = bpf::ret(Action::Errno(1));
        Filter([first, bpf::ld(offset::NR)].into_iter().chain(pairs).chain([end]).collect())
    }

    /// write? close? read?
    fn list(first: bpf::Insn) -> Filter {
        list_of(first, [1, 3, 0])
    }

    #[test]
    fn the_order_that_is_advised_keeps_what_is_promised() {
        let weights = Weights::parse("read 100\nwrite 10\nclose 1").unwrap();
        let first = bpf::ld(offset::arg_low(0));
        let (before, after) = (advise(&list(first), &weights), advise(&list_of(first, [0, 1, 3]), &weights));
        assert_eq!((before.reordered, before.reordered_with_cache), (after.steps, after.steps_with_cache));
        assert_eq!((after.reordered, after.order), (after.steps, Vec::new()));
    }

    #[test]
    fn an_order_by_use_is_weighed() {
        let weights = Weights::parse("read 100\nwrite 10\nclose 1").unwrap();
        let advice = advise(&list(bpf::ld(offset::arg_low(0))), &weights);
        // Places: 4, 5 and 6 instructions.
        assert_eq!((advice.steps, advice.reordered), (600 + 40 + 5, 400 + 50 + 6));
        assert_eq!((advice.steps_with_cache, advice.reordered_with_cache), (645, 456));
        assert_eq!(advice.order, ["read"]);
        // The number alone decides: nothing runs where there is a cache.
        let advice = advise(&list(bpf::ld(offset::NR)), &weights);
        assert_eq!((advice.steps, advice.steps_with_cache), (645, 0));
        let ordered = Weights::parse("write 100\nclose 10\nread 1").unwrap();
        assert!(advise(&list(bpf::ld(offset::NR)), &ordered).order.is_empty());
    }

    #[test]
    fn what_the_kernel_knows_beforehand() {
        let call = seen(&native("getppid", 0).unwrap());
        assert!(is_cached(&filters::number_only(3), &call));
        assert!(!is_cached(&filters::number_and_argument(3), &call));
        assert!(!is_cached(&filters::answer(110, Action::Errno(1)), &call));
        assert!(!is_cached(&Filter(vec![bpf::ret_a()]), &call));
    }
}
