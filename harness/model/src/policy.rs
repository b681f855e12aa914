//! Policies: the rule set a person writes, and what it means.
//!
//! This is the definition that compilers are held against: [`Policy::decide`] looks at a call and
//! gives the action, without any filter.

use crate::Abi;
use crate::abi::SeccompData;
use crate::action::Action;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A policy: rules over calls, and what becomes of the calls that no rule speaks of.
///
/// ```
/// use atlas_model::abi::SeccompData;
/// use atlas_model::policy::{Comparison, Condition, Policy, Rule};
/// use atlas_model::{Abi, Action};
/// let write_to_stdout = Rule {
///     abi: Abi::X86_64,
///     nr: 1,
///     conditions: vec![Condition { arg: 0, comparison: Comparison::Equal, value: 1 }],
///     action: Action::Allow,
/// };
/// let policy = Policy {
///     abis: vec![Abi::X86_64],
///     foreign: Action::KillProcess,
///     default: Action::Errno(1),
///     rules: vec![write_to_stdout],
/// };
/// let write_to = |fd| SeccompData { nr: 1, arch: 0xc000_003e, args: [fd, 0, 0, 0, 0, 0], ..SeccompData::default() };
/// assert_eq!(policy.decide(&write_to(1)), Action::Allow);
/// assert_eq!(policy.decide(&write_to(2)), Action::Errno(1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The ABIs it speaks of, each once, at least one.
    pub abis: Vec<Abi>,
    /// For calls by every other ABI.
    pub foreign: Action,
    /// For calls by its ABIs that no rule matches.
    pub default: Action,
    /// The first that matches decides.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The ABI of the calls it is about.
    pub abi: Abi,
    /// Their number. For x32 it carries [`Abi::X32_BIT`].
    pub nr: u32,
    /// What has to hold of the arguments; all of it. Nothing always holds.
    pub conditions: Vec<Condition>,
    /// What becomes of them.
    pub action: Action,
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which argument, from 0 to 5.
    pub arg: u8,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub value: u64,
}

/// How an argument is compared, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Comparison {
    /// It is the value.
    Equal,
    /// It is not the value.
    NotEqual,
    /// It is less than the value.
    Less,
    /// It is the value or less.
    LessOrEqual,
    /// It is greater than the value.
    Greater,
    /// It is the value or greater.
    GreaterOrEqual,
    /// Its bits under this mask are the value's bits under the mask.
    Masked(u64),
}

impl Policy {
    /// What becomes of a call.
    #[must_use]
    pub fn decide(&self, data: &SeccompData) -> Action {
        match Self::abi_of(data) {
            Some(abi) if self.abis.contains(&abi) => {
                let rule = self.rules.iter().find(|rule| rule.abi == abi && rule.matches(data));
                rule.map_or(self.default, |rule| rule.action)
            }
            _ => self.foreign,
        }
    }

    /// The ABI of a call. Numbers from [`Abi::X32_BIT`] on are x32's, as libseccomp has it; that
    /// takes in 0xffffffff, which the kernel itself does not count as x32 (arch/x86/entry/common.c
    /// do_syscall_x64). `None` for an arch that is not this machine's.
    #[must_use]
    pub fn abi_of(data: &SeccompData) -> Option<Abi> {
        match data.arch {
            arch if arch == Abi::I386.audit_arch() => Some(Abi::I386),
            arch if arch == Abi::X86_64.audit_arch() => {
                Some(if data.nr >= Abi::X32_BIT { Abi::X32 } else { Abi::X86_64 })
            }
            _ => None,
        }
    }
}

impl Rule {
    /// Whether number and arguments are what the rule is about.
    #[must_use]
    pub fn matches(&self, data: &SeccompData) -> bool {
        self.nr == data.nr && self.conditions.iter().all(|condition| condition.holds(self.abi, data))
    }
}

impl Condition {
    /// Whether it holds of a call. The i386 entry points use the lower halves of the registers only,
    /// so conditions there are on the lower halves, of argument and value both.
    #[must_use]
    pub fn holds(&self, abi: Abi, data: &SeccompData) -> bool {
        let width = if abi == Abi::I386 { u64::from(u32::MAX) } else { u64::MAX };
        let (argument, value) = (data.args[usize::from(self.arg)] & width, self.value & width);
        match self.comparison {
            Comparison::Equal => argument == value,
            Comparison::NotEqual => argument != value,
            Comparison::Less => argument < value,
            Comparison::LessOrEqual => argument <= value,
            Comparison::Greater => argument > value,
            Comparison::GreaterOrEqual => argument >= value,
            Comparison::Masked(mask) => argument & mask == value & mask,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arg, comparison, value } = self;
        let sign = match comparison {
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Masked(mask) => return write!(f, "arg{arg} & {mask:#x} == {:#x}", value & mask),
        };
        write!(f, "arg{arg} {sign} {value:#x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(nr: u32, abi: Abi, first: u64) -> SeccompData {
        SeccompData { nr, arch: abi.audit_arch(), args: [first, 0, 0, 0, 0, 0], ..SeccompData::default() }
    }

    fn policy(abi: Abi, comparison: Comparison, value: u64) -> Policy {
        let conditions = vec![Condition { arg: 0, comparison, value }];
        let rules = vec![
            Rule { abi, nr: 1, conditions, action: Action::Allow },
            Rule { abi, nr: 1, conditions: vec![], action: Action::Trap(2) },
        ];
        Policy { abis: vec![abi], foreign: Action::KillProcess, default: Action::Errno(1), rules }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let edge = 0x1_0000_0005_u64;
        for (comparison, below, at, above) in [
            (Comparison::Equal, false, true, false),
            (Comparison::NotEqual, true, false, true),
            (Comparison::Less, true, false, false),
            (Comparison::LessOrEqual, true, true, false),
            (Comparison::Greater, false, false, true),
            (Comparison::GreaterOrEqual, false, true, true),
            (Comparison::Masked(u64::MAX), false, true, false),
            // 4 is 0b100, 5 is 0b101, 6 is 0b110.
            (Comparison::Masked(0x1_0000_0004), true, true, true),
            (Comparison::Masked(1), false, true, false),
        ] {
            let policy = policy(Abi::X86_64, comparison, edge);
            for (argument, matches) in [(edge - 1, below), (edge, at), (edge + 1, above)] {
                let action = if matches { Action::Allow } else { Action::Trap(2) };
                assert_eq!(
                    policy.decide(&data(1, Abi::X86_64, argument)),
                    action,
                    "{comparison:?} {argument:#x}"
                );
            }
        }
    }

    #[test]
    fn other_calls_and_other_abis() {
        let policy = policy(Abi::X86_64, Comparison::Equal, 1);
        assert_eq!(policy.decide(&data(2, Abi::X86_64, 1)), Action::Errno(1));
        assert_eq!(policy.decide(&data(1, Abi::I386, 1)), Action::KillProcess);
        assert_eq!(policy.decide(&data(1 | Abi::X32_BIT, Abi::X32, 1)), Action::KillProcess);
        assert_eq!(policy.decide(&data(u32::MAX, Abi::X86_64, 1)), Action::KillProcess);
        assert_eq!(policy.decide(&SeccompData { nr: 1, ..SeccompData::default() }), Action::KillProcess);
    }

    #[test]
    fn i386_compares_the_lower_halves() {
        let policy = policy(Abi::I386, Comparison::Equal, 0x9_0000_0001);
        assert_eq!(policy.decide(&data(1, Abi::I386, 0x7_0000_0001)), Action::Allow);
        assert_eq!(policy.decide(&data(1, Abi::I386, 0x9_0000_0002)), Action::Trap(2));
    }

    #[test]
    fn conditions_for_people() {
        let with = |comparison| Condition { arg: 3, comparison, value: 0x1f }.to_string();
        assert_eq!(with(Comparison::LessOrEqual), "arg3 <= 0x1f");
        assert_eq!(with(Comparison::Masked(0x18)), "arg3 & 0x18 == 0x18");
    }
}
