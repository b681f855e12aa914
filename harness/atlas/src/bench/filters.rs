//! The filters that are measured.

use atlas_model::abi::offset;
use atlas_model::bpf::{self, op};
use atlas_model::{Action, Filter, Insn};

/// How often an instruction stands in [`opcodes`].
pub const REPEATED: usize = 100;
/// A number that no call has, for compares that never hold.
const NEVER: u32 = 0x7777;

fn allow() -> Insn {
    bpf::ret(Action::Allow)
}

/// Looks at an argument, compares it so many times, and allows.
#[must_use]
pub fn compares(count: usize) -> Filter {
    let compares = std::iter::repeat_n(bpf::jeq(NEVER, 0, 0), count);
    Filter([bpf::ld(offset::arg_low(0))].into_iter().chain(compares).chain([allow()]).collect())
}

/// Looks at the number alone: a filter whose answer the kernel can know beforehand.
#[must_use]
pub fn number_only(count: usize) -> Filter {
    let mut filter = compares(count);
    filter.0[0] = bpf::ld(offset::NR);
    filter
}

/// [`number_only`] with one look at an argument in front.
#[must_use]
pub fn number_and_argument(count: usize) -> Filter {
    let mut filter = number_only(count);
    filter.0.insert(0, bpf::ld(offset::arg_low(0)));
    filter
}

/// A list of this length, of pairs: is the first argument this one, then allow. The pairs' numbers
/// count from 0. An odd length has one instruction that does nothing.
#[must_use]
pub fn list(length: usize) -> Filter {
    let mut insns = vec![bpf::ld(offset::arg_low(0))];
    if !length.is_multiple_of(2) {
        insns.push(bpf::ja(0));
    }
    for pair in 0..pairs(length) {
        insns.extend([bpf::jeq(pair, 0, 1), allow()]);
    }
    insns.push(allow());
    Filter(insns)
}

/// The number of pairs in a [`list`] of this length.
#[must_use]
pub fn pairs(length: usize) -> u32 {
    (length as u32 - 2) / 2
}

/// A tree of compares of the first argument, with so many leaves.
#[must_use]
pub fn tree(leaves: u32) -> Filter {
    let mut insns = vec![bpf::ld(offset::arg_low(0))];
    insns.extend(branch(0, leaves));
    Filter(insns)
}

fn branch(from: u32, to: u32) -> Vec<Insn> {
    if to - from <= 1 {
        return vec![allow()];
    }
    let middle = from.midpoint(to);
    let (below, above) = (branch(from, middle), branch(middle, to));
    let mut insns = match u8::try_from(below.len()) {
        Ok(skip) => vec![bpf::jge(middle, skip, 0)],
        // A branch reaches 255 instructions, a jump any.
        Err(_) => vec![bpf::jge(middle, 0, 1), bpf::ja(below.len() as u32)],
    };
    insns.extend(below);
    insns.extend(above);
    insns
}

/// By name, every kind of instruction [`REPEATED`] times, and `none`, to be taken from the others.
#[must_use]
pub fn opcodes() -> Vec<(&'static str, Filter)> {
    let of = |insn: Option<Insn>| {
        let mut insns = vec![bpf::ld(offset::arg_low(0)), bpf::ldx_imm(3), bpf::st(0), bpf::stx(1)];
        insns.extend(insn.into_iter().flat_map(|insn| std::iter::repeat_n(insn, REPEATED)));
        insns.push(allow());
        Filter(insns)
    };
    let kinds = [
        ("ld abs", bpf::ld(offset::arg_low(1))),
        ("ld len", bpf::ld_len()),
        ("ld imm", bpf::imm(7)),
        ("ld mem", bpf::ld_mem(0)),
        ("ldx imm", bpf::ldx_imm(3)),
        ("ldx mem", bpf::ldx_mem(1)),
        ("st", bpf::st(2)),
        ("stx", bpf::stx(2)),
        ("add k", bpf::alu(op::ADD, 3)),
        ("add x", bpf::alu_x(op::ADD)),
        ("sub k", bpf::alu(op::SUB, 3)),
        ("mul k", bpf::alu(op::MUL, 3)),
        ("mul x", bpf::alu_x(op::MUL)),
        ("div k", bpf::alu(op::DIV, 3)),
        ("div x", bpf::alu_x(op::DIV)),
        ("and k", bpf::alu(op::AND, 3)),
        ("or k", bpf::alu(op::OR, 3)),
        ("xor k", bpf::alu(op::XOR, 3)),
        ("lsh k", bpf::alu(op::LSH, 3)),
        ("rsh x", bpf::alu_x(op::RSH)),
        ("neg", bpf::neg()),
        ("tax", bpf::tax()),
        ("txa", bpf::txa()),
        ("ja", bpf::ja(0)),
        ("jeq k, not taken", bpf::jeq(NEVER, 0, 0)),
        ("jgt k, not taken", bpf::jgt(u32::MAX, 0, 0)),
        ("jge k, taken", bpf::jge(0, 0, 0)),
        ("jset k, not taken", bpf::jset(0x8000_0000, 0, 0)),
        ("jeq x, not taken", bpf::jump_x(op::JEQ, 0, 0)),
    ];
    let all = kinds.into_iter().map(|(name, insn)| (name, Some(insn)));
    std::iter::once(("none", None)).chain(all).map(|(name, insn)| (name, of(insn))).collect()
}

/// Gives this answer to the call with this number, and allows the others.
#[must_use]
pub fn answer(number: u32, action: Action) -> Filter {
    Filter(vec![bpf::ld(offset::NR), bpf::jeq(number, 0, 1), bpf::ret(action), allow()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::abi::SeccompData;
    use atlas_model::bpf::{Dialect, check, run};

    fn steps(filter: &Filter, argument: u64) -> u32 {
        check(filter, &Dialect::default()).unwrap();
        let data = SeccompData { args: [argument, 0, 0, 0, 0, 0], ..SeccompData::default() };
        let ran = run(filter, &data, &Dialect::default());
        assert_eq!(Action::from_word(ran.word), Action::Allow);
        ran.steps
    }

    #[test]
    fn lists_have_their_length_and_find_their_pair() {
        for length in [4, 5, 64, 255, 4095, 4096] {
            assert_eq!(list(length).0.len(), length);
        }
        assert_eq!(steps(&list(64), 0), 3);
        assert_eq!(steps(&list(64), 30), 33);
        assert_eq!(steps(&list(64), u64::MAX), 33);
    }

    #[test]
    fn trees_are_as_deep_as_they_must_be() {
        for leaves in [1, 2, 3, 64, 1000] {
            for leaf in [0, leaves / 2, leaves - 1] {
                let depth = u64::from(leaves).next_power_of_two().ilog2();
                let long = steps(&tree(leaves), leaf.into()) - 2;
                assert!((depth.saturating_sub(1)..=2 * depth).contains(&long), "{leaves} {leaf}: {long}");
            }
        }
    }

    #[test]
    fn every_opcode_runs_so_often() {
        let all = opcodes();
        let base = steps(&all[0].1, 0);
        for (name, filter) in &all[1..] {
            assert_eq!(steps(filter, 0), base + REPEATED as u32, "{name}");
        }
    }
}
