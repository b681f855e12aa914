//! Which filter of several decides about a call, and which of its instructions.

use super::{Dialect, Filter, Ran, run};
use crate::Action;
use crate::abi::SeccompData;
use crate::action::most_restrictive;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a chain of filters says of a call, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The word that the kernel obeys.
    pub word: u32,
    /// The filter that gave it, counted from 0, the newest. `None` where every filter allows.
    pub filter: Option<usize>,
    /// How each filter ran, newest first. The kernel runs them all, whatever the first one says.
    pub runs: Vec<Ran>,
}

/// Runs a chain of filters, newest first, on a call (kernel/seccomp.c seccomp_run_filters).
/// `high_bit_ignored` is what [`most_restrictive`] takes it for.
///
/// ```
/// use atlas_model::abi::{SeccompData, offset};
/// use atlas_model::bpf::{self, Dialect, Filter};
/// use atlas_model::Action;
/// let newest = Filter(vec![bpf::ret(Action::Allow)]);
/// let oldest = Filter(vec![
///     bpf::ld(offset::NR),
///     bpf::jeq(110, 0, 1),
///     bpf::ret(Action::Errno(1)),
///     bpf::ret(Action::Allow),
/// ]);
/// let getppid = SeccompData { nr: 110, ..SeccompData::default() };
/// let explanation = bpf::explain(&[newest, oldest], &getppid, &Dialect::default(), false);
/// assert_eq!(explanation.filter, Some(1));
/// assert_eq!(
///     explanation.to_string(),
///     "ERRNO(1 EPERM) by instruction 2 of filter 1 of 2, counted from 0, the newest"
/// );
/// ```
#[must_use]
pub fn explain(
    filters: &[Filter],
    data: &SeccompData,
    dialect: &Dialect,
    high_bit_ignored: bool,
) -> Explanation {
    let runs: Vec<Ran> = filters.iter().map(|filter| run(filter, data, dialect)).collect();
    let words: Vec<u32> = runs.iter().map(|ran| ran.word).collect();
    let filter = most_restrictive(&words, high_bit_ignored);
    let word = filter.map_or(Action::Allow.word(), |index| words[index]);
    let obeyed = if high_bit_ignored { word & 0x7fff_ffff } else { word };
    Explanation { word: obeyed, filter, runs }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (action, of) = (Action::from_word(self.word), self.runs.len());
        match self.filter.and_then(|index| Some((index, self.runs.get(index)?))) {
            None if of == 0 => write!(f, "{action}, as there is no filter"),
            None => write!(f, "{action}, as no filter of {of} says otherwise"),
            Some((index, Ran { decided_at, .. })) => write!(
                f,
                "{action} by instruction {decided_at} of filter {index} of {of}, counted from 0, the newest"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf;

    fn of(words: &[u32], high_bit_ignored: bool) -> Explanation {
        let filters: Vec<_> = words.iter().map(|&word| Filter(vec![bpf::ret_word(word)])).collect();
        explain(&filters, &SeccompData::default(), &Dialect::default(), high_bit_ignored)
    }

    #[test]
    fn nobody_objects() {
        assert_eq!(of(&[], false).to_string(), "ALLOW, as there is no filter");
        let allowed = of(&[0x7fff_0001, 0x7fff_0000], false);
        assert_eq!((allowed.word, allowed.filter), (0x7fff_0000, None));
        assert_eq!(allowed.to_string(), "ALLOW, as no filter of 2 says otherwise");
    }

    #[test]
    fn the_newest_of_equals_decides() {
        let explanation = of(&[0x7fff_0000, 0x0005_0002, 0x0005_0001], false);
        assert_eq!((explanation.word, explanation.filter), (0x0005_0002, Some(1)));
        assert_eq!(explanation.runs.len(), 3);
    }

    #[test]
    fn the_high_bit() {
        assert_eq!(of(&[0x0005_0001, 0xffff_0000], false).word, 0xffff_0000);
        assert_eq!(of(&[0x0005_0001, 0xffff_0000], true).word, 0x0005_0001);
        assert_eq!(of(&[0x8005_0001], true).word, 0x0005_0001);
    }
}
