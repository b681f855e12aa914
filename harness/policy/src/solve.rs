//! Arguments that conditions hold of, found and not searched for.

use atlas_model::Abi;
use atlas_model::bits::at_least;
use atlas_model::policy::{Comparison, Condition, Rule};

/// Whether some call matches both of two rules of one number.
pub(crate) fn overlap(one: &Rule, other: &Rule) -> bool {
    let on = |arg| one.conditions.iter().chain(&other.conditions).filter(move |it| it.arg == arg);
    (0..6).all(|arg| solve(one.abi, on(arg)).is_some())
}

/// The six arguments of a call that a rule matches; where it asks nothing of one, 0. `None` where
/// there is no such call.
///
/// ```
/// use atlas_model::policy::{Comparison, Condition, Rule};
/// use atlas_model::{Abi, Action};
/// let on_first = |comparison, value| Condition { arg: 0, comparison, value };
/// let conditions = vec![on_first(Comparison::Greater, 7), on_first(Comparison::Masked(7), 1)];
/// let rule = Rule { abi: Abi::X86_64, nr: 1, conditions, action: Action::Allow };
/// assert_eq!(atlas_policy::arguments(&rule), Some([9, 0, 0, 0, 0, 0]));
/// ```
#[must_use]
pub fn arguments(rule: &Rule) -> Option<[u64; 6]> {
    let mut arguments = [0; 6];
    for (arg, value) in (0..).zip(&mut arguments) {
        *value = solve(rule.abi, rule.conditions.iter().filter(|it| it.arg == arg))?;
    }
    Some(arguments)
}

/// The smallest value that every condition holds of, whatever argument they are about.
pub(crate) fn solve<'a>(abi: Abi, conditions: impl Iterator<Item = &'a Condition>) -> Option<u64> {
    let width = if abi == Abi::I386 { u64::from(u32::MAX) } else { u64::MAX };
    let (mut from, mut to) = (0, width);
    let (mut mask, mut bits) = (0, 0);
    let mut not = Vec::new();
    for condition in conditions {
        let value = condition.value & width;
        let under = match condition.comparison {
            Comparison::Equal => width,
            Comparison::Masked(mask) => mask & width,
            _ => 0,
        };
        if (bits ^ value) & mask & under != 0 {
            return None;
        }
        (mask, bits) = (mask | under, bits | value & under);
        match condition.comparison {
            Comparison::NotEqual => not.push(value),
            Comparison::Less => to = to.min(value.checked_sub(1)?),
            Comparison::LessOrEqual => to = to.min(value),
            Comparison::Greater => from = from.max(value.checked_add(1)?),
            Comparison::GreaterOrEqual => from = from.max(value),
            Comparison::Equal | Comparison::Masked(_) => {}
        }
    }
    loop {
        from = at_least(from, mask, bits).filter(|&found| found <= to)?;
        if !not.contains(&from) {
            return Some(from);
        }
        from = from.checked_add(1)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small_condition() -> impl Strategy<Value = Condition> {
        let comparison = prop_oneof![
            Just(Comparison::Equal),
            Just(Comparison::NotEqual),
            Just(Comparison::Less),
            Just(Comparison::LessOrEqual),
            Just(Comparison::Greater),
            Just(Comparison::GreaterOrEqual),
            (0..32_u64).prop_map(Comparison::Masked),
        ];
        (comparison, 0..32_u64).prop_map(|(comparison, value)| Condition { arg: 0, comparison, value })
    }

    proptest! {
        /// Below 32 everything can be tried. Above it nothing changes but for the free upper bits.
        #[test]
        fn as_by_trying(conditions in prop::collection::vec(small_condition(), 0..4)) {
            let holds = |value: &u64| {
                let call = atlas_model::abi::SeccompData { args: [*value, 0, 0, 0, 0, 0], ..Default::default() };
                conditions.iter().all(|condition| condition.holds(Abi::X86_64, &call))
            };
            let tried = (0..64).find(holds);
            prop_assert_eq!(solve(Abi::X86_64, conditions.iter()), tried);
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        let one = |comparison, value| solve(Abi::X86_64, [Condition { arg: 0, comparison, value }].iter());
        assert_eq!(one(Comparison::Less, 0), None);
        assert_eq!(one(Comparison::Greater, u64::MAX), None);
        assert_eq!(one(Comparison::GreaterOrEqual, u64::MAX), Some(u64::MAX));
        assert_eq!(one(Comparison::Masked(1 << 63), 1 << 63), Some(1 << 63));
        let i386 =
            |value| solve(Abi::I386, [Condition { arg: 0, comparison: Comparison::Equal, value }].iter());
        assert_eq!(i386(0x7_0000_0001), Some(1));
        let all = [
            Condition { arg: 0, comparison: Comparison::GreaterOrEqual, value: u64::MAX },
            Condition { arg: 0, comparison: Comparison::NotEqual, value: u64::MAX },
        ];
        assert_eq!(solve(Abi::X86_64, all.iter()), None);
    }
}
