//! Policies.
//!
//! Actions are those that a person writes: every one but [`Action::Unknown`], with an errno of 4095 at
//! most. Numbers are such as belong to the rule's ABI: x86-64's are below [`Abi::X32_BIT`], x32's carry it.

use super::edge;
use crate::abi::Abi;
use crate::action::Action;
use crate::policy::{Comparison, Condition, Policy, Rule};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;

/// Policies of up to a dozen rules over a few numbers, so that rules overlap; conditions are of every
/// comparison, up to four a rule, often several on one argument.
pub fn policy() -> BoxedStrategy<Policy> {
    let abis = prop_oneof![
        3 => Just(vec![Abi::X86_64]),
        2 => subsequence(Abi::ALL.to_vec(), 1..=3).prop_shuffle(),
    ];
    // Numbers for each ABI, of which the rules choose.
    let few = |abi| vec(edge::number(abi), 1..5);
    let numbers = (few(Abi::X86_64), few(Abi::I386), few(Abi::X32));
    (abis, numbers, vec(draft(), 0..12), action(), action())
        .prop_map(|(abis, (native, i386, x32), drafts, foreign, default)| {
            let rule = |draft: Draft| {
                let abi = abis[draft.abi % abis.len()];
                let numbers = match abi {
                    Abi::X86_64 => &native,
                    Abi::I386 => &i386,
                    Abi::X32 => &x32,
                };
                let nr = numbers[draft.number % numbers.len()];
                Rule { abi, nr, conditions: draft.conditions, action: draft.action }
            };
            let rules = drafts.into_iter().map(rule).collect();
            Policy { abis, foreign, default, rules }
        })
        .boxed()
}

/// As [`policy()`], but all rules of one ABI and number have the same action.
pub fn uniform() -> BoxedStrategy<Policy> {
    let even_out = |mut policy: Policy| {
        for index in 1..policy.rules.len() {
            let (before, rest) = policy.rules.split_at_mut(index);
            let rule = &mut rest[0];
            if let Some(first) = before.iter().find(|first| (first.abi, first.nr) == (rule.abi, rule.nr)) {
                rule.action = first.action;
            }
        }
        policy
    };
    policy().prop_map(even_out).boxed()
}

/// Policies over x86-64 whose rules all have one action, and which have another as default.
pub fn two_actions() -> BoxedStrategy<Policy> {
    let different = (action(), action()).prop_filter("different actions", |(one, other)| one != other);
    (vec(edge::number(Abi::X86_64), 1..5), vec(draft(), 1..12), different, action())
        .prop_map(|(numbers, drafts, (action, default), foreign)| {
            let rule = |draft: Draft| Rule {
                abi: Abi::X86_64,
                nr: numbers[draft.number % numbers.len()],
                conditions: draft.conditions,
                action,
            };
            let rules = drafts.into_iter().map(rule).collect();
            Policy { abis: vec![Abi::X86_64], foreign, default, rules }
        })
        .boxed()
}

/// Actions as a person writes them.
pub fn action() -> BoxedStrategy<Action> {
    const DATA: [u16; 4] = [0x7fff, 0x8000, 0xffff, 0x1234];
    const ERRNOS: [u16; 4] = [0, 1023, 4094, 4095];
    (0..15_u8, any::<u16>())
        .prop_map(|(how, bits)| {
            let way = usize::from(bits >> 12);
            let data = if way < 12 { bits % 40 } else { DATA[way - 12] };
            match how {
                0..3 => Action::Allow,
                3..7 => Action::Errno(if way < 12 { bits % 40 } else { ERRNOS[way - 12] }),
                7 => Action::KillProcess,
                8 => Action::KillThread,
                9 | 10 => Action::Trap(data),
                11 => Action::UserNotif,
                12 | 13 => Action::Trace(data),
                _ => Action::Log,
            }
        })
        .boxed()
}

/// A rule before it has a number.
#[derive(Clone, Debug)]
struct Draft {
    abi: usize,
    number: usize,
    conditions: Vec<Condition>,
    action: Action,
}

fn draft() -> BoxedStrategy<Draft> {
    let conditions = prop_oneof![
        2 => Just(vec![]),
        4 => vec(condition(), 1..2),
        2 => vec(condition(), 2..5),
        2 => range(),
    ];
    (0_usize..3, 0_usize..4, conditions, action())
        .prop_map(|(abi, number, conditions, action)| Draft { abi, number, conditions, action })
        .boxed()
}

fn comparison() -> BoxedStrategy<Comparison> {
    const PLAIN: [Comparison; 6] = [
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ];
    const HALVES: [u64; 4] = [0, 0xffff_ffff, 0xffff_ffff_0000_0000, u64::MAX];
    (0..9_u8, any::<u16>(), edge::long())
        .prop_map(|(how, bits, edge)| {
            let bit = u32::from(bits % 64);
            // A run of set bits.
            let run = (u64::MAX >> (bits >> 6 & 63)) << bit;
            match (how, bits >> 14) {
                (0..6, _) => PLAIN[usize::from(how)],
                (6, _) => Comparison::Masked(edge),
                (7, _) => Comparison::Masked(run),
                (_, 0) => Comparison::Masked(HALVES[usize::from(bits % 4)]),
                _ => Comparison::Masked(1 << bit),
            }
        })
        .boxed()
}

fn condition() -> BoxedStrategy<Condition> {
    (0_u8..6, comparison(), edge::long())
        .prop_map(|(arg, comparison, value)| Condition { arg, comparison, value })
        .boxed()
}

/// From one value to another, on one argument, and perhaps not a third.
fn range() -> BoxedStrategy<Vec<Condition>> {
    (0_u8..6, edge::long(), edge::long(), any::<bool>(), any::<bool>())
        .prop_map(|(arg, one, other, sharp, but)| {
            let (low, high) = (one.min(other), one.max(other));
            let (from, to) = if sharp {
                (Comparison::Greater, Comparison::Less)
            } else {
                (Comparison::GreaterOrEqual, Comparison::LessOrEqual)
            };
            let not = Condition { arg, comparison: Comparison::NotEqual, value: low.wrapping_add(1) };
            let ends = [(from, low), (to, high)];
            let ends = ends.map(|(comparison, value)| Condition { arg, comparison, value });
            ends.into_iter().chain(but.then_some(not)).collect()
        })
        .boxed()
}
