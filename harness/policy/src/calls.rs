//! Calls worth trying: those at the edges of what a policy says.

use crate::arguments;
use atlas_model::Abi;
use atlas_model::abi::SeccompData;
use atlas_model::policy::{Comparison, Condition, Policy, Rule};

/// Numbers at the edges of the ABIs: the largest of x86-64, the smallest of x32, the sign, and -1.
const NUMBERS: [u32; 8] =
    [0, 1, 0x3fff_ffff, Abi::X32_BIT, Abi::X32_BIT + 1, 0x7fff_ffff, 0x8000_0000, u32::MAX];
/// Arches: this machine's two, aarch64 and riscv64 (include/uapi/linux/audit.h), i386's bits with the
/// mark of 64-bit ones, and none.
const ARCHES: [u32; 6] = [0xc000_003e, 0x4000_0003, 0xc000_00b7, 0xc000_00f3, 0xc000_0003, 0];

/// Values near a condition's: itself, its neighbours, with its halves swapped, with another upper or
/// lower half, with a bit of the mask changed, and the ends of the range.
///
/// Whatever can be wrong with one condition shows at one of them: each condition that fails for some
/// argument fails for one of these.
#[must_use]
pub fn values_near(condition: &Condition) -> Vec<u64> {
    let value = condition.value;
    let mut values = vec![
        value,
        value.wrapping_add(1),
        value.wrapping_sub(1),
        value.rotate_left(32),
        value.rotate_left(32).wrapping_add(1),
        value.rotate_left(32).wrapping_sub(1),
        value ^ 1 << 32,
        value.wrapping_add(1 << 32),
        value.wrapping_sub(1 << 32),
        value.wrapping_add(1 << 32).wrapping_sub(1),
        value.wrapping_sub(1 << 32).wrapping_add(1),
        value & 0xffff_ffff,
        value | 0xffff_ffff << 32,
        value & 0xffff_ffff << 32,
        value | 0xffff_ffff,
        !value,
        0,
        u64::MAX,
    ];
    if let Comparison::Masked(mask) = condition.comparison {
        values.extend([value & mask, value | !mask, value ^ mask]);
        values.extend(
            [mask.checked_ilog2(), (mask as u32).checked_ilog2()]
                .into_iter()
                .flatten()
                .map(|bit| value ^ 1 << bit),
        );
        values.push(value ^ (mask & mask.wrapping_neg()));
        values.push(value ^ (mask >> 32 & (mask >> 32).wrapping_neg()) << 32);
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// A call that a rule matches, or nearly: where no call does, with the values of its conditions.
fn call_of(rule: &Rule) -> SeccompData {
    let args = arguments(rule).unwrap_or_else(|| {
        let mut args = [0; 6];
        for condition in &rule.conditions {
            args[usize::from(condition.arg)] = condition.value;
        }
        args
    });
    SeccompData { nr: rule.nr, arch: rule.abi.audit_arch(), instruction_pointer: 0x40_1000, args }
}

/// The calls next to what a policy's rules say: for each rule one that matches it, the same with each
/// argument set to each value near its conditions or to what another rule of the number asks for,
/// by its neighbours among the numbers and by every ABI; and numbers and arches that no rule names.
///
/// ```
/// use atlas_model::policy::{Comparison, Condition, Policy, Rule};
/// use atlas_model::{Abi, Action};
/// let close = Condition { arg: 0, comparison: Comparison::Greater, value: 2 };
/// let rule = Rule { abi: Abi::X86_64, nr: 3, conditions: vec![close], action: Action::Allow };
/// let policy = Policy {
///     abis: vec![Abi::X86_64],
///     foreign: Action::KillProcess,
///     default: Action::Errno(1),
///     rules: vec![rule],
/// };
/// let calls = atlas_policy::calls_near(&policy);
/// let tried = |fd| calls.iter().any(|call| call.nr == 3 && call.args[0] == fd);
/// assert!(tried(2) && tried(3) && tried(0x1_0000_0002) && tried(0x2_0000_0000));
/// ```
#[must_use]
pub fn calls_near(policy: &Policy) -> Vec<SeccompData> {
    let mut calls = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        let call = call_of(rule);
        let with = |arg: usize, value| {
            let mut call = call;
            call.args[arg] = value;
            call
        };
        calls.push(call);
        for condition in &rule.conditions {
            calls.extend(values_near(condition).into_iter().map(|value| with(condition.arg.into(), value)));
        }
        for arg in 0..6 {
            calls.extend(
                [call.args[arg] ^ 1, call.args[arg] ^ 1 << 32, !call.args[arg]].map(|value| with(arg, value)),
            );
        }
        let same = |other: &&Rule| (other.abi, other.nr) == (rule.abi, rule.nr);
        for other in policy.rules[..index].iter().filter(same).take(8) {
            let there = call_of(other);
            calls.extend((0..6).map(|arg| with(arg, there.args[arg])));
            for condition in &other.conditions {
                let values = values_near(condition).into_iter();
                calls.extend(values.map(|value| with(condition.arg.into(), value)));
            }
        }
        let numbers =
            [rule.nr ^ Abi::X32_BIT, rule.nr ^ 1 << 31, rule.nr.wrapping_add(1), rule.nr.wrapping_sub(1)];
        calls.extend(numbers.map(|nr| SeccompData { nr, ..call }));
        for arch in ARCHES {
            calls.extend([rule.nr, rule.nr ^ Abi::X32_BIT].map(|nr| SeccompData { nr, arch, ..call }));
        }
    }
    for arch in ARCHES {
        for args in [[0; 6], [u64::MAX; 6]] {
            let of = |nr| SeccompData { nr, arch, instruction_pointer: 0, args };
            calls.extend(NUMBERS.map(of));
        }
    }
    calls
}

/// Any number of calls mixed from a policy's numbers, arches and values, the same for the same seed.
/// They meet what only several arguments show together.
pub fn calls_mixed(policy: &Policy, seed: u64) -> impl Iterator<Item = SeccompData> {
    let mut numbers: Vec<_> = policy.rules.iter().map(|rule| (rule.nr, rule.abi.audit_arch())).collect();
    numbers.push((0, ARCHES[0]));
    let mut values: [Vec<u64>; 6] = std::array::from_fn(|_| vec![0, u64::MAX]);
    for condition in policy.rules.iter().flat_map(|rule| &rule.conditions) {
        values[usize::from(condition.arg)].extend(values_near(condition));
    }
    let mut state = seed;
    let mut below = move |end: usize| {
        // splitmix64: small, and good enough to choose by.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % end as u64) as usize
    };
    std::iter::repeat_with(move || {
        let (nr, arch) = numbers[below(numbers.len())];
        let arch = if below(16) == 0 { ARCHES[below(ARCHES.len())] } else { arch };
        let args = std::array::from_fn(|arg| values[arg][below(values[arg].len())]);
        SeccompData { nr, arch, instruction_pointer: below(1 << 32) as u64, args }
    })
}
