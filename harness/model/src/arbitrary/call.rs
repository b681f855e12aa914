//! Calls: any, harmless ones, and such as come near what a policy or a program compares.

mod near;

use super::edge;
use crate::abi::{Abi, syscalls};
use crate::bpf::Filter;
use crate::experiment::{Call, layout};
use crate::policy::Policy;
use near::{Aim, Constants};
use proptest::collection::vec;
use proptest::prelude::*;

/// Any call: every ABI, real, unknown and extreme numbers, arguments at the edges of 64 bits. Now and
/// then the number's register has bits set above the 32 that filters see.
pub fn call() -> BoxedStrategy<Call> {
    let number = |abi: Abi| (any::<u8>(), edge::number(abi), edge::any_number());
    let numbers = (number(Abi::X86_64), number(Abi::I386), number(Abi::X32));
    (any::<u8>(), numbers, edge::word(), edge::arguments())
        .prop_map(|(abi, (native, i386, x32), high, args)| {
            let (abi, (how, own, any)) = match abi {
                0..150 => (Abi::X86_64, native),
                150..203 => (Abi::I386, i386),
                _ => (Abi::X32, x32),
            };
            let number = if how < 180 { own } else { any };
            let number = if abi == Abi::X32 { number | Abi::X32_BIT } else { number };
            let high = if how % 32 == 31 { high } else { 0 };
            Call { abi, nr: u64::from(high) << 32 | u64::from(number), args }
        })
        .boxed()
}

/// Calls that may run in any process: without effect, without blocking, and with a result that the
/// model knows ([`edge::HARMLESS`], and numbers that no kernel has given to a call). Arguments that the
/// call does not use are at random, and so now and then is the upper half of the number's register.
///
/// Left out on purpose: x86-64's 512 to 547, and x32's low numbers that its table leaves out. Until 5.4
/// one table served both, so that those ran the other ABI's calls (arch/x86/entry/syscalls/syscall_64.tbl,
/// "Due to a historical design error").
pub fn harmless() -> BoxedStrategy<Call> {
    let of = |abi: Abi| {
        (any::<u8>(), edge::harmless_number(abi), any::<u32>(), edge::word(), edge::arguments()).prop_map(
            move |(how, known, bits, high, mut args)| {
                let number = if how < 200 { known } else { unknown(abi, how, bits) };
                if syscalls::name(abi, number) == Some("close") {
                    // A descriptor has 32 bits; what is above is not looked at.
                    args[0] = args[0] & 0xffff_ffff_0000_0000 | layout::FD_CLOSED;
                }
                let high = if how % 16 == 15 { high } else { 0 };
                Call { abi, nr: u64::from(high) << 32 | u64::from(number), args }
            },
        )
    };
    prop_oneof![3 => of(Abi::X86_64), 1 => of(Abi::I386), 1 => of(Abi::X32)].boxed()
}

/// Numbers that no release has given to a call.
fn unknown(abi: Abi, how: u8, bits: u32) -> u32 {
    const EDGES: [u32; 6] = [1023, 1024, 0x1fff_ffff, 0x3fff_ffff, 0x8000_0000, 0xbfff_ffff];
    let (base, edges) = match abi {
        Abi::X32 => (Abi::X32_BIT, &EDGES[..4]),
        Abi::X86_64 | Abi::I386 => (0, &EDGES[..]),
    };
    match how % 3 {
        0 => base | (1000 + bits % 0x3fff_0000),
        _ => base | edges[bits as usize % edges.len()],
    }
}

/// Calls made from the constants of a policy: about half match a conditional rule, most others miss one by
/// a single condition, the rest are by another number or ABI.
pub fn near_policy(policy: &Policy) -> BoxedStrategy<Call> {
    let policy = policy.clone();
    Aim::any().prop_map(move |aim| aim.at_policy(&policy)).boxed()
}

/// Calls made from the constants that a program compares, worked back through its masks and sums, so that
/// both sides of its branches are reached.
pub fn near_program(filter: &Filter) -> BoxedStrategy<Call> {
    let constants = Constants::of([filter]);
    Aim::any().prop_map(move |aim| aim.at_program(&constants)).boxed()
}

/// Policies with calls near them, for tests that draw both at once.
pub fn with_policy(policies: BoxedStrategy<Policy>, calls: usize) -> BoxedStrategy<(Policy, Vec<Call>)> {
    let aimed = |(policy, aims): (Policy, Vec<Aim>)| {
        let calls = aims.into_iter().map(|aim| aim.at_policy(&policy)).collect();
        (policy, calls)
    };
    (policies, vec(Aim::any(), 1..=calls.max(1))).prop_map(aimed).boxed()
}

/// Stacks of filters with calls near them, for tests that draw both at once.
pub fn with_filters(
    stacks: BoxedStrategy<Vec<Filter>>,
    calls: usize,
) -> BoxedStrategy<(Vec<Filter>, Vec<Call>)> {
    let aimed = |(filters, aims): (Vec<Filter>, Vec<Aim>)| {
        let constants = Constants::of(&filters);
        let calls = aims.into_iter().map(|aim| aim.at_program(&constants)).collect();
        (filters, calls)
    };
    (stacks, vec(Aim::any(), 1..=calls.max(1))).prop_map(aimed).boxed()
}
