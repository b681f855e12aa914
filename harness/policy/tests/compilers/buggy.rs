//! A small compiler that can be told to make the mistakes that others have made.

use atlas_model::abi::offset;
use atlas_model::bpf::{self, Insn, op};
use atlas_model::policy::{Comparison, Condition, Policy};
use atlas_model::{Abi, Filter};

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// None: the compiler is right, or its findings would mean nothing.
    None,
    /// libseccomp before 2.4.0: `<`, `<=`, `>` and `>=` ask both halves, each for itself
    /// (CVE-2019-9893; src/db.c _db_rule_gen_64 of 2.3.3).
    HalvesApart,
    /// The arch is not looked at: i386's numbers are taken for x86-64's.
    NoArch,
    /// Numbers from the x32 bit on get the default action, as in a deny list that knows of no x32.
    NoX32,
    /// A masked comparison looks at the lower half only.
    LowMask,
}

/// A filter for the rules of x86-64: every condition in a row, a failed one leads to the next rule.
pub(crate) fn compile(policy: &Policy, bug: Bug) -> Filter {
    let mut insns = Vec::new();
    if bug != Bug::NoArch {
        insns.extend([
            bpf::ld(offset::ARCH),
            bpf::jeq(Abi::X86_64.audit_arch(), 1, 0),
            bpf::ret(policy.foreign),
        ]);
    }
    insns.push(bpf::ld(offset::NR));
    if bug != Bug::NoX32 {
        insns.extend([bpf::jge(Abi::X32_BIT, 0, 1), bpf::ret(policy.foreign)]);
    }
    for rule in &policy.rules {
        let mut body = Vec::new();
        for condition in &rule.conditions {
            body.push(compare(condition, bug));
        }
        body.push(vec![bpf::ret(rule.action)]);
        let body = link(body);
        let len = body.len() as u32;
        insns.extend([bpf::ld(offset::NR), bpf::jeq(rule.nr, 1, 0), bpf::ja(len)]);
        insns.extend(body);
    }
    insns.push(bpf::ret(policy.default));
    Filter(insns)
}

/// Where a condition's jumps lead until they are linked: on, or to the next rule.
const HOLDS: u8 = 254;
const FAILS: u8 = 255;

/// Puts the conditions of a rule behind one another.
fn link(parts: Vec<Vec<Insn>>) -> Vec<Insn> {
    let len: usize = parts.iter().map(Vec::len).sum();
    let mut insns: Vec<Insn> = Vec::new();
    for part in parts {
        let end = insns.len() + part.len();
        for mut insn in part {
            let skip = |to: usize| u8::try_from(to - insns.len() - 1).expect("a short rule");
            for target in [&mut insn.jt, &mut insn.jf] {
                match *target {
                    HOLDS => *target = skip(end),
                    FAILS => *target = skip(len),
                    _ => {}
                }
            }
            insns.push(insn);
        }
    }
    insns
}

fn compare(condition: &Condition, bug: Bug) -> Vec<Insn> {
    let Condition { arg, comparison, value } = *condition;
    let (low_at, high_at) = (offset::arg_low(arg.into()), offset::arg_high(arg.into()));
    let (low, high) = (value as u32, (value >> 32) as u32);
    let equal = |mask: u64, yes, no| {
        let half =
            |at, mask, value, yes| [bpf::ld(at), bpf::alu(op::AND, mask), bpf::jeq(value & mask, yes, no)];
        let lower = half(low_at, mask as u32, low, yes);
        if bug == Bug::LowMask && mask != u64::MAX {
            return lower.to_vec();
        }
        [half(high_at, (mask >> 32) as u32, high, 0), lower].concat()
    };
    let greater = |operation, yes, no| {
        if bug == Bug::HalvesApart {
            return vec![
                bpf::ld(high_at),
                bpf::jge(high, 0, no),
                bpf::ld(low_at),
                bpf::jump(operation, low, yes, no),
            ];
        }
        vec![
            bpf::ld(high_at),
            bpf::jump(op::JGT, high, yes, 0),
            bpf::jeq(high, 0, no),
            bpf::ld(low_at),
            bpf::jump(operation, low, yes, no),
        ]
    };
    match comparison {
        Comparison::Equal => equal(u64::MAX, HOLDS, FAILS),
        Comparison::NotEqual => equal(u64::MAX, FAILS, HOLDS),
        Comparison::Masked(mask) => equal(mask, HOLDS, FAILS),
        Comparison::Greater => greater(op::JGT, HOLDS, FAILS),
        Comparison::GreaterOrEqual => greater(op::JGE, HOLDS, FAILS),
        Comparison::Less => greater(op::JGE, FAILS, HOLDS),
        Comparison::LessOrEqual => greater(op::JGT, FAILS, HOLDS),
    }
}
