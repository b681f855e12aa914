//! Ways as people read them.

use super::solve::Bounds;
use super::{Test, Way};
use crate::Action;
use crate::bpf::disasm;
use crate::bpf::op;
use std::fmt;

impl Way {
    /// What has to hold of the words of a call for it to take this way, joined together where several
    /// comparisons are of one word. Whatever else the call is, it takes this way where these hold,
    /// unless comparisons on it are of something that has been reckoned with.
    #[must_use]
    pub fn conditions(&self) -> Vec<String> {
        let mut words: Vec<u32> = self.tests.iter().map(|test| test.at).collect();
        words.sort_unstable();
        words.dedup();
        words.into_iter().flat_map(|at| self.conditions_on(at)).collect()
    }

    /// As [`Way::conditions`], of the word at one byte offset alone.
    #[must_use]
    pub fn conditions_on(&self, at: u32) -> Vec<String> {
        let name = disasm::field(at);
        match Bounds::of(self.tests.iter().filter(|test| test.at == at).copied()) {
            Some(bounds) => said(&name, &bounds),
            // The call has a word that fulfils them.
            None => vec![],
        }
    }
}

fn said(name: &str, bounds: &Bounds) -> Vec<String> {
    let Bounds { range: (low, high), mask, bits, rest } = bounds;
    let exact = if *mask == u32::MAX { Some(*bits) } else { (low == high).then_some(*low) };
    if let Some(value) = exact {
        return vec![format!("{name} == {}", hex(value))];
    }
    let mut said = Vec::new();
    // Values at the ends of the range that are excluded one by one make it shorter.
    let (mut low, mut high) = (*low, *high);
    let excluded = |value: u32| rest.iter().any(|test| single(test) && test.k == value);
    while low < high && excluded(low) {
        low += 1;
    }
    while high > low && excluded(high) {
        high -= 1;
    }
    if low == high {
        return vec![format!("{name} == {}", hex(low))];
    }
    if low > 0 {
        said.push(format!("{name} >= {low:#x}"));
    }
    if high < u32::MAX {
        said.push(format!("{name} <= {high:#x}"));
    }
    if *mask != 0 {
        said.push(format!("{name} & {mask:#x} == {}", hex(*bits)));
    }
    let mut others: Vec<&Test> = rest.iter().collect();
    others.sort_unstable();
    others.dedup();
    for test in others {
        if single(test) && !(low..=high).contains(&test.k) || single(test) && test.k & mask != *bits {
            continue;
        }
        said.push(of_test(name, test));
    }
    said
}

/// A zero needs no base.
fn hex(value: u32) -> String {
    if value == 0 { "0".into() } else { format!("{value:#x}") }
}

/// Whether it excludes one word.
fn single(test: &Test) -> bool {
    test.op == op::JEQ && test.mask == u32::MAX && !test.holds
}

fn of_test(name: &str, test: &Test) -> String {
    let Test { mask, k, holds, .. } = *test;
    let (sign, k) = match (test.op, holds) {
        (op::JEQ, true) => ("==", k),
        (op::JEQ, false) => ("!=", k),
        (op::JGT, true) => (">", k),
        (op::JGT, false) => ("<=", k),
        (op::JGE, true) => (">=", k),
        (op::JGE, false) => ("<", k),
        (_, holds) => {
            return format!("{name} & {:#x} {} 0", mask & k, if holds { "!=" } else { "==" });
        }
    };
    let k = hex(k);
    if mask == u32::MAX { format!("{name} {sign} {k}") } else { format!("{name} & {mask:#x} {sign} {k}") }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Action::from_word(self.ran.word))?;
        match self.conditions() {
            all if all.is_empty() => Ok(()),
            all => write!(f, " where {}", all.join(", ")),
        }
    }
}
