//! Our own compiler: the arch, the ABI, then the numbers one after the other.

mod emit;

use crate::live;
use atlas_model::abi::offset;
use atlas_model::bpf::{self, op};
use atlas_model::policy::{Comparison, Condition, Policy, Rule};
use atlas_model::{Abi, Filter};
use emit::{Emitter, Label};
use std::collections::BTreeMap;

/// The filter. It may be longer than kernels accept.
pub(crate) fn compile(policy: &Policy) -> Filter {
    let mut emit = Emitter::default();
    let foreign = emit.ret(policy.foreign);
    let i386 = abi(&mut emit, policy, Abi::I386, foreign);
    let x86_64 = machine(&mut emit, policy, foreign);
    // The arch is looked at in every filter, or numbers would be taken for those of another ABI
    // (seccomp(2), "Caveats").
    let not_x86_64 = emit.branch(op::JEQ, Abi::I386.audit_arch(), i386, foreign);
    let arch = emit.branch(op::JEQ, Abi::X86_64.audit_arch(), x86_64, not_x86_64);
    emit.then(bpf::ld(offset::ARCH), arch);
    emit.finish()
}

/// The calls that carry x86-64's arch: x86-64's own and x32's.
fn machine(emit: &mut Emitter, policy: &Policy, foreign: Label) -> Label {
    let speaks_of = |abi| policy.abis.contains(&abi);
    let (native, x32) = match (speaks_of(Abi::X86_64), speaks_of(Abi::X32)) {
        (false, false) => return foreign,
        (true, true) => {
            // What tells them apart is in the numbers, so one list does for both.
            let mut numbers = live::by_number(policy, Abi::X86_64);
            numbers.extend(live::by_number(policy, Abi::X32));
            let list = list(emit, policy, &numbers);
            return emit.then(bpf::ld(offset::NR), list);
        }
        (true, false) => (list(emit, policy, &live::by_number(policy, Abi::X86_64)), foreign),
        (false, true) => (foreign, list(emit, policy, &live::by_number(policy, Abi::X32))),
    };
    let split = emit.branch(op::JGE, Abi::X32_BIT, x32, native);
    emit.then(bpf::ld(offset::NR), split)
}

fn abi(emit: &mut Emitter, policy: &Policy, abi: Abi, foreign: Label) -> Label {
    if !policy.abis.contains(&abi) {
        return foreign;
    }
    let list = list(emit, policy, &live::by_number(policy, abi));
    emit.then(bpf::ld(offset::NR), list)
}

/// Looks for the number, which A holds.
fn list(emit: &mut Emitter, policy: &Policy, numbers: &BTreeMap<u32, Vec<(usize, &Rule)>>) -> Label {
    let mut next = emit.ret(policy.default);
    for (&nr, rules) in numbers.iter().rev() {
        let found = first_match(emit, policy, rules);
        next = emit.branch(op::JEQ, nr, found, next);
    }
    next
}

/// The rules of one number. Those behind one without conditions are never asked.
fn first_match(emit: &mut Emitter, policy: &Policy, rules: &[(usize, &Rule)]) -> Label {
    let always = rules.iter().position(|(_, rule)| rule.conditions.is_empty());
    let asked = always.map_or(rules, |at| &rules[..=at]);
    let mut otherwise = emit.ret(policy.default);
    for (_, rule) in asked.iter().rev() {
        let mut holds = emit.ret(rule.action);
        for condition in rule.conditions.iter().rev() {
            holds = compare(emit, rule.abi, condition, holds, otherwise);
        }
        otherwise = holds;
    }
    otherwise
}

/// One condition, by halves: BPF's words have 32 bits.
fn compare(emit: &mut Emitter, abi: Abi, condition: &Condition, yes: Label, no: Label) -> Label {
    let Condition { arg, comparison, value } = *condition;
    let halves = Halves {
        low: value as u32,
        // The i386 entry points use the lower halves of the registers only.
        high: (abi != Abi::I386).then_some((value >> 32) as u32),
        arg: arg.into(),
    };
    match comparison {
        Comparison::Equal => halves.masked(emit, u64::MAX, yes, no),
        Comparison::NotEqual => halves.masked(emit, u64::MAX, no, yes),
        Comparison::Masked(mask) => halves.masked(emit, mask, yes, no),
        Comparison::Greater => halves.greater(emit, op::JGT, yes, no),
        Comparison::GreaterOrEqual => halves.greater(emit, op::JGE, yes, no),
        Comparison::Less => halves.greater(emit, op::JGE, no, yes),
        Comparison::LessOrEqual => halves.greater(emit, op::JGT, no, yes),
    }
}

/// The value an argument is compared with. There is no upper half where it does not count.
struct Halves {
    arg: u32,
    low: u32,
    high: Option<u32>,
}

impl Halves {
    /// Whether the argument is the value under a mask; halves that are masked out are not loaded.
    fn masked(&self, emit: &mut Emitter, mask: u64, yes: Label, no: Label) -> Label {
        let mut equal = yes;
        let high = self.high.map(|value| (offset::arg_high(self.arg), (mask >> 32) as u32, value));
        for (at, mask, value) in
            [Some((offset::arg_low(self.arg), mask as u32, self.low)), high].into_iter().flatten()
        {
            if mask == 0 {
                continue;
            }
            equal = emit.branch(op::JEQ, value & mask, equal, no);
            if mask != u32::MAX {
                equal = emit.then(bpf::alu(op::AND, mask), equal);
            }
            equal = emit.then(bpf::ld(at), equal);
        }
        equal
    }

    /// Whether the argument is greater, or by [`op::JGE`] greater or equal: the upper half decides
    /// unless it is the same.
    fn greater(&self, emit: &mut Emitter, operation: u16, yes: Label, no: Label) -> Label {
        let low = emit.branch(operation, self.low, yes, no);
        let low = emit.then(bpf::ld(offset::arg_low(self.arg)), low);
        let Some(high) = self.high else { return low };
        let same = emit.branch(op::JEQ, high, low, no);
        let above = emit.branch(op::JGT, high, yes, same);
        emit.then(bpf::ld(offset::arg_high(self.arg)), above)
    }
}
