//! Policies by chance: few numbers, so that rules meet, and values whose halves matter.

use atlas_model::policy::{Comparison, Condition, Policy, Rule};
use atlas_model::{Abi, Action};
use atlas_policy::Compiler;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// A half of a value: small numbers, and the edges.
fn half() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..4_u64,
        1 => Just(0x7fff_ffff),
        1 => Just(0x8000_0000),
        2 => Just(0xffff_ffff),
        1 => 0..=0xffff_ffff_u64,
    ]
}

fn value() -> impl Strategy<Value = u64> {
    (half(), half()).prop_map(|(high, low)| high << 32 | low)
}

pub(crate) fn comparison() -> impl Strategy<Value = Comparison> {
    prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::NotEqual),
        Just(Comparison::Less),
        Just(Comparison::LessOrEqual),
        Just(Comparison::Greater),
        Just(Comparison::GreaterOrEqual),
        value().prop_map(Comparison::Masked),
    ]
}

pub(crate) fn condition(args: std::ops::Range<u8>) -> impl Strategy<Value = Condition> {
    (args, comparison(), value()).prop_map(|(arg, comparison, value)| Condition { arg, comparison, value })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::KillProcess),
        Just(Action::Allow),
        (1..4_u16).prop_map(Action::Errno),
        Just(Action::KillThread),
        Just(Action::Trap(0)),
        Just(Action::Trap(7)),
        Just(Action::UserNotif),
        (0..2_u16).prop_map(Action::Trace),
        Just(Action::Log),
        Just(Action::Unknown(0x0001_0002)),
    ]
}

/// Numbers that every library has names for in every ABI, and some that it does not.
fn number(abi: Abi) -> impl Strategy<Value = u32> {
    let known: &[u32] = match abi {
        Abi::X86_64 => &[0, 1, 2, 39, 0x3fff_ffff, Abi::X32_BIT],
        Abi::I386 => &[3, 4, 5, 20, 140],
        Abi::X32 => &[Abi::X32_BIT, Abi::X32_BIT | 1, Abi::X32_BIT | 39, Abi::X32_BIT | 512, 1],
    };
    select(known)
}

fn rule(conditions: std::ops::Range<usize>, args: u8) -> impl Strategy<Value = Rule> {
    select(&Abi::ALL[..]).prop_flat_map(move |abi| {
        (number(abi), vec(condition(0..args), conditions.clone()), action())
            .prop_map(move |(nr, conditions, action)| Rule { abi, nr, conditions, action })
    })
}

fn policy_of(rules: impl Strategy<Value = Vec<Rule>>) -> impl Strategy<Value = Policy> {
    let abis = subsequence(&Abi::ALL[..], 1..=3).prop_shuffle();
    (abis, action(), action(), rules).prop_map(|(abis, foreign, default, rules)| Policy {
        abis,
        foreign,
        default,
        rules,
    })
}

/// Any policy.
pub(crate) fn any() -> impl Strategy<Value = Policy> {
    policy_of(vec(rule(0..4, 6), 0..10))
}

/// Policies with few rules about few arguments of few numbers, where rules meet most.
pub(crate) fn dense() -> impl Strategy<Value = Policy> {
    policy_of(vec(rule(0..3, 2), 1..5))
}

/// Policies whose filters need long jumps: many numbers, and a rule with many conditions.
pub(crate) fn large() -> impl Strategy<Value = Policy> {
    let numbers = (0..220_u32).prop_flat_map(|count| {
        let rule = |nr| {
            (vec(condition(0..6), 0..3), action()).prop_map(move |(conditions, action)| Rule {
                abi: Abi::X86_64,
                nr,
                conditions,
                action,
            })
        };
        (0..count).map(rule).collect::<Vec<_>>()
    });
    (policy_of(numbers), vec(rule(40..100, 6), 0..3)).prop_map(|(mut policy, rules)| {
        policy.rules.extend(rules);
        policy
    })
}

/// The policy bent until a compiler has no reason to refuse it.
pub(crate) fn fit(compiler: Compiler, mut policy: Policy) -> Policy {
    if compiler == Compiler::Linear {
        return policy;
    }
    let known = |action| !matches!(action, Action::Trap(1..) | Action::Unknown(_));
    for action in [&mut policy.foreign, &mut policy.default] {
        if !known(*action) {
            *action = Action::Trap(0);
        }
    }
    if compiler == Compiler::Seccompiler {
        return fit_seccompiler(policy);
    }
    let default = policy.default;
    let other = if default == Action::Errno(9) { Action::Errno(8) } else { Action::Errno(9) };
    let mut first = std::collections::HashMap::new();
    for rule in &mut policy.rules {
        if !known(rule.action) || rule.action == default {
            rule.action = other;
        }
        rule.action = *first.entry((rule.abi, rule.nr)).or_insert(rule.action);
        one_an_argument(rule);
        for condition in rule.conditions.iter_mut().filter(|_| rule.abi == Abi::X32) {
            condition.comparison = Comparison::Masked(condition.value & 0xffff_ffff);
        }
    }
    // Of several rules of a number each compares by ==, under a mask or not.
    for index in (0..policy.rules.len()).rev() {
        let (before, rest) = policy.rules.split_at_mut(index);
        let Some((rule, after)) = rest.split_first_mut() else { continue };
        let same = |other: &Rule| (other.abi, other.nr) == (rule.abi, rule.nr);
        if !before.iter().any(same) && !after.iter().any(same) {
            continue;
        }
        for condition in &mut rule.conditions {
            if !matches!(condition.comparison, Comparison::Equal | Comparison::Masked(_)) {
                condition.comparison = Comparison::Equal;
            }
        }
    }
    policy
}

/// Leaves the first condition on every argument.
pub(crate) fn one_an_argument(rule: &mut Rule) {
    let mut seen = [false; 6];
    rule.conditions.retain(|condition| !std::mem::replace(&mut seen[usize::from(condition.arg)], true));
}

fn fit_seccompiler(mut policy: Policy) -> Policy {
    let known = |action| !matches!(action, Action::Trap(1..) | Action::Unknown(_) | Action::UserNotif);
    policy.abis.retain(|&abi| abi != Abi::I386);
    if policy.abis.is_empty() {
        policy.abis.push(Abi::X86_64);
    }
    policy.foreign = Action::KillProcess;
    if policy.abis.len() < 2 || !known(policy.default) {
        policy.default = policy.foreign;
    }
    let action = policy.rules.iter().map(|rule| rule.action);
    let other = if policy.default == Action::Allow { Action::Log } else { Action::Allow };
    let action = action.clone().find(|&action| known(action) && action != policy.default).unwrap_or(other);
    policy.rules.iter_mut().for_each(|rule| rule.action = action);
    policy
}
