//! A word that comparisons come out as wished for.

use super::Test;
use crate::bits;
use crate::bpf::op;

/// How many words are tried beyond those that are excluded one by one.
const TRIES: usize = 4096;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Solved {
    /// The smallest such word.
    Word(u32),
    /// There is none.
    Never,
    /// None was found in time.
    Unknown,
}

impl Test {
    /// Whether a word of a call gives the comparison its outcome.
    #[must_use]
    pub fn is_met(&self, word: u32) -> bool {
        let bits = word & self.mask;
        let holds = match self.op {
            op::JEQ => bits == self.k,
            op::JGT => bits > self.k,
            op::JGE => bits >= self.k,
            _ => bits & self.k != 0,
        };
        holds == self.holds
    }

    /// The bits that it depends on.
    pub(super) fn depends_on(&self) -> u32 {
        if self.op == op::JSET { self.mask & self.k } else { self.mask }
    }
}

/// What some comparisons of one word say together, as far as it can be said as a range and bits.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// The least and the greatest word.
    pub(super) range: (u32, u32),
    /// Bits that are fixed, and what they are.
    pub(super) mask: u32,
    pub(super) bits: u32,
    /// What is left to say.
    pub(super) rest: Vec<Test>,
}

impl Bounds {
    /// `None` where no word fulfils them.
    pub(super) fn of(tests: impl Iterator<Item = Test>) -> Option<Self> {
        let mut bounds = Self { range: (0, u32::MAX), mask: 0, bits: 0, rest: Vec::new() };
        for test in tests {
            let Test { mask, k, .. } = test;
            let (low, high) = bounds.range;
            match (test.op, test.holds) {
                (op::JEQ, true) => bounds.fix(mask, k)?,
                (op::JSET, false) => bounds.fix(mask & k, 0)?,
                (op::JGT, true) if mask == u32::MAX => bounds.range = (low.max(k.checked_add(1)?), high),
                (op::JGE, true) if mask == u32::MAX => bounds.range = (low.max(k), high),
                (op::JGT, false) if mask == u32::MAX => bounds.range = (low, high.min(k)),
                (op::JGE, false) if mask == u32::MAX => bounds.range = (low, high.min(k.checked_sub(1)?)),
                _ => bounds.rest.push(test),
            }
        }
        (bounds.range.0 <= bounds.range.1).then_some(bounds)
    }

    fn fix(&mut self, mask: u32, bits: u32) -> Option<()> {
        let contradicts = bits & !mask != 0 || (self.bits ^ bits) & self.mask & mask != 0;
        (self.mask, self.bits) = (self.mask | mask, self.bits | bits);
        (!contradicts).then_some(())
    }

    /// The smallest word from one on whose fixed bits are as they must be.
    fn at_least(&self, from: u32) -> Option<u32> {
        let found = bits::at_least(from.into(), self.mask.into(), self.bits.into())?;
        u32::try_from(found).ok()
    }
}

/// The smallest word for which all of these come out as they say.
pub(super) fn word(tests: impl Iterator<Item = Test>) -> Solved {
    let Some(bounds) = Bounds::of(tests) else { return Solved::Never };
    let single = |test: &&Test| test.op == op::JEQ && test.mask == u32::MAX;
    let mut excluded: Vec<u32> = bounds.rest.iter().filter(single).map(|test| test.k).collect();
    excluded.sort_unstable();
    let others: Vec<&Test> = bounds.rest.iter().filter(|test| !single(test)).collect();
    let mut next = Some(bounds.range.0);
    for _ in 0..TRIES + excluded.len() {
        let found = next.and_then(|from| bounds.at_least(from)).filter(|&word| word <= bounds.range.1);
        let Some(word) = found else { return Solved::Never };
        if excluded.binary_search(&word).is_ok() {
            next = word.checked_add(1);
            continue;
        }
        // A test depends on no bit below its lowest, so that nothing changes before that one does.
        let unmet = others.iter().filter(|test| !test.is_met(word)).map(|test| test.depends_on());
        match unmet.map(|bits| 1_u32.checked_shl(bits.trailing_zeros())).max() {
            None => return Solved::Word(word),
            // It depends on no bit at all.
            Some(None) => return Solved::Never,
            Some(Some(step)) => next = (word | (step - 1)).checked_add(1),
        }
    }
    Solved::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn test(mask: u32, op: u16, k: u32, holds: bool) -> Test {
        Test { at: 0, mask, op, k, holds }
    }

    /// By trying every word of eight bits.
    fn searched(tests: &[Test]) -> Option<u32> {
        (0..=255).find(|&word| tests.iter().all(|test| test.is_met(word)))
    }

    fn any_test() -> impl Strategy<Value = Test> {
        let ops = prop::sample::select(vec![op::JEQ, op::JGT, op::JGE, op::JSET]);
        let mask = prop_oneof![2 => Just(u32::MAX), 1 => 0..=255_u32, 1 => prop::sample::select(vec![0xf0, 0x0f, 0x80])];
        (mask, ops, 0..=255_u32, any::<bool>()).prop_map(|(mask, op, k, holds)| test(mask, op, k, holds))
    }

    proptest! {
        #[test]
        fn the_smallest_word_is_found_wherever_there_is_one(tests in prop::collection::vec(any_test(), 0..7)) {
            // Words of eight bits: the rest is fixed to 0.
            let small = tests.iter().copied().chain([test(!0xff, op::JEQ, 0, true)]);
            let wanted = searched(&tests).map_or(Solved::Never, Solved::Word);
            prop_assert_eq!(word(small), wanted);
        }
    }

    #[test]
    fn long_lists_and_large_words() {
        let list = (0..3000).map(|k| test(u32::MAX, op::JEQ, k, false));
        assert_eq!(word(list), Solved::Word(3000));
        let upper = [test(0xffff_0000, op::JEQ, 0, false), test(u32::MAX, op::JEQ, 0x10000, false)];
        assert_eq!(word(upper.into_iter()), Solved::Word(0x10001));
        let greatest = [test(u32::MAX, op::JGT, u32::MAX, true)];
        assert_eq!(word(greatest.into_iter()), Solved::Never);
        let all_bits = [test(u32::MAX, op::JEQ, u32::MAX, true), test(u32::MAX, op::JSET, 1, true)];
        assert_eq!(word(all_bits.into_iter()), Solved::Word(u32::MAX));
    }
}
