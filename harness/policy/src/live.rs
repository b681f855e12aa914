//! Which rules can ever match.

use atlas_model::Abi;
use atlas_model::policy::{Policy, Rule};
use std::collections::BTreeMap;

/// The rules of an ABI that some call may match, by number, with their places in the policy. Left out
/// are rules of ABIs that the policy does not speak of, and numbers that the ABI does not have: those
/// with the x32 bit are x32's, all others x86-64's ([`Policy::abi_of`]).
pub(crate) fn by_number(policy: &Policy, abi: Abi) -> BTreeMap<u32, Vec<(usize, &Rule)>> {
    let mut numbers: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    let spoken_of = policy.abis.contains(&abi);
    let of_abi = |rule: &Rule| match abi {
        Abi::X86_64 => rule.nr < Abi::X32_BIT,
        Abi::X32 => rule.nr >= Abi::X32_BIT,
        Abi::I386 => true,
    };
    for (index, rule) in policy.rules.iter().enumerate() {
        if spoken_of && rule.abi == abi && of_abi(rule) {
            numbers.entry(rule.nr).or_default().push((index, rule));
        }
    }
    numbers
}

/// The rules of every ABI that some call may match, in the policy's order.
pub(crate) fn rules(policy: &Policy) -> Vec<(usize, &Rule)> {
    let mut all: Vec<_> =
        Abi::ALL.into_iter().flat_map(|abi| by_number(policy, abi).into_values().flatten()).collect();
    all.sort_unstable_by_key(|&(index, _)| index);
    all
}
