//! The interpreter: what word a filter gives for a call.

use super::op::{self, Kind};
use super::{Dialect, Insn, MEMORY_WORDS};
use crate::abi::SeccompData;
use crate::mutant::{Mutant, either, flipped, is};
use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// The word the filter gave.
    pub word: u32,
    /// The instruction that ended the run, counted from 0: a return, or a division by an X of 0.
    pub decided_at: usize,
    /// How many instructions ran, that one included.
    pub steps: u32,
}

/// Runs a filter on a call. All arithmetic is modulo 2^32 and unsigned; A and X start at 0; a
/// division by an X of 0 ends the run with 0, which is KILL_THREAD (net/core/filter.c
/// bpf_convert_filter, "this was always return 0").
///
/// The filter should have passed [`super::check()`]. For one that has not the outcome is defined all
/// the same: scratch words start at 0 and are counted modulo 16, and leaving the program, a code
/// that seccomp does not accept or a load outside the data ends the run with 0.
///
/// ```
/// use atlas_model::bpf::{self, Dialect};
/// use atlas_model::abi::{SeccompData, offset};
/// use atlas_model::Action;
/// let filter = [
///     bpf::ld(offset::NR),
///     bpf::jeq(110, 0, 1),
///     bpf::ret(Action::Errno(1)),
///     bpf::ret(Action::Allow),
/// ];
/// let getppid = SeccompData { nr: 110, ..SeccompData::default() };
/// let ran = bpf::run(&filter, &getppid, &Dialect::default());
/// assert_eq!((Action::from_word(ran.word), ran.decided_at), (Action::Errno(1), 2));
/// ```
#[must_use]
pub fn run(insns: &[Insn], data: &SeccompData, dialect: &Dialect) -> Ran {
    run_seen(insns, data, dialect, |_| {})
}

/// As [`run`], and tells of every instruction before it runs, by its place counted from 0. One that
/// is not accepted is told of too, as it is there that the run ends.
///
/// ```
/// use atlas_model::abi::SeccompData;
/// use atlas_model::bpf::{self, Dialect};
/// let mut seen = Vec::new();
/// let filter = [bpf::ja(1), bpf::ret_word(1), bpf::ret_word(2)];
/// bpf::run_seen(&filter, &SeccompData::default(), &Dialect::default(), |at| seen.push(at));
/// assert_eq!(seen, [0, 2]);
/// ```
pub fn run_seen(insns: &[Insn], data: &SeccompData, dialect: &Dialect, mut seen: impl FnMut(usize)) -> Ran {
    let (mut a, mut x) = (0_u32, 0_u32);
    a += u32::from(is(Mutant::AStartsAtOne));
    x += u32::from(is(Mutant::XStartsAtOne));
    let mut memory = [0_u32; MEMORY_WORDS];
    let (mut pc, mut steps) = (0_usize, 0_u32);
    let word = loop {
        let Some(insn) = insns.get(pc) else { break 0 };
        seen(pc);
        let Some(kind) = op::kind(insn.code) else {
            break 0;
        };
        steps += 1;
        let mut skip = 0;
        let cell = insn.k as usize % either(MEMORY_WORDS, [(Mutant::MemoryOfEight, 8)]);
        match kind {
            Kind::LoadData => match data.word(insn.k) {
                Some(word) => a = word,
                None => break 0,
            },
            Kind::Load { x: into_x } => {
                let value = if op::is_length(insn.code) { SeccompData::LEN } else { insn.k };
                let value = either(value, [(Mutant::LengthIsK, insn.k)]);
                *(if into_x { &mut x } else { &mut a }) = value;
            }
            Kind::LoadMemory { x: true } if is(Mutant::LdxMemLoadsA) => a = memory[cell],
            Kind::LoadMemory { x: false } => a = memory[cell],
            Kind::LoadMemory { x: true } => x = memory[cell],
            Kind::Store { x: true } if is(Mutant::StxStoresA) => memory[cell] = a,
            Kind::Store { x: false } => memory[cell] = a,
            Kind::Store { x: true } => memory[cell] = x,
            Kind::Alu { op, x: by_x } => {
                let x = either(x, [(Mutant::AluXTakesK, insn.k)]);
                let operand = if by_x { x } else { insn.k };
                match alu(op, a, operand, !by_x && dialect.reciprocal_division) {
                    Some(value) => a = value,
                    None => break 0,
                }
            }
            Kind::Jump => skip = insn.k as usize + usize::from(is(Mutant::JaOffByOne)),
            Kind::Branch { op, x: by_x } => {
                let x = either(x, [(Mutant::JumpXTakesK, insn.k)]);
                let taken = branch(op, a, if by_x { x } else { insn.k });
                skip = usize::from(if taken { insn.jt } else { insn.jf });
                skip += usize::from(is(if taken { Mutant::JtOffByOne } else { Mutant::JfOffByOne }));
            }
            Kind::Return { a: true } if is(Mutant::RetALosesData) => break a & 0xffff_0000,
            Kind::Return { a: by_a } => break if by_a { a } else { insn.k },
            Kind::Copy { to_x: true } if is(Mutant::CopiesSwapped) => a = x,
            Kind::Copy { to_x: false } if is(Mutant::CopiesSwapped) => x = a,
            Kind::Copy { to_x: true } => x = a,
            Kind::Copy { to_x: false } => a = x,
        }
        pc = pc.saturating_add(1).saturating_add(skip);
    };
    Ran { word, decided_at: pc, steps }
}

/// `None` for a division by zero.
fn alu(operation: u16, a: u32, by: u32, reciprocal: bool) -> Option<u32> {
    if let Some(wrong) = flipped::alu(operation, a, by) {
        return Some(wrong);
    }
    Some(match operation {
        op::ADD => a.wrapping_add(by),
        op::SUB => a.wrapping_sub(by),
        op::MUL => a.wrapping_mul(by),
        op::DIV if by == 0 => return None,
        op::DIV if reciprocal => reciprocal_divide(a, by),
        op::DIV => a / by,
        op::OR => a | by,
        op::AND => a & by,
        op::XOR => a ^ by,
        // x86 takes the count modulo 32; old interpreters left it to the processor, newer ones mask
        // (kernel/bpf/core.c ___bpf_prog_run).
        op::LSH => a.wrapping_shl(by),
        op::RSH => a.wrapping_shr(by),
        _ => a.wrapping_neg(),
    })
}

/// lib/reciprocal_div.c and include/linux/reciprocal_div.h before 3.13: the reciprocal is rounded
/// up and truncated to 32 bits, so that 1 becomes 0.
fn reciprocal_divide(a: u32, by: u32) -> u32 {
    let reciprocal = (1_u64 << 32).div_ceil(u64::from(by)) as u32;
    ((u64::from(a) * u64::from(reciprocal)) >> 32) as u32
}

fn branch(operation: u16, a: u32, operand: u32) -> bool {
    if let Some(wrong) = flipped::branch(operation, a, operand) {
        return wrong;
    }
    match operation {
        op::JEQ => a == operand,
        op::JGT => a > operand,
        op::JGE => a >= operand,
        _ => a & operand != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::{self, jump, jump_x};

    fn gives(insns: &[Insn]) -> u32 {
        let with_return = [insns, &[bpf::ret_a()]].concat();
        run(&with_return, &SeccompData::default(), &Dialect::default()).word
    }

    #[test]
    fn arithmetic_is_modulo_two_to_the_32() {
        for (operation, a, by, result) in [
            (op::ADD, 0xffff_ffff, 2, 1),
            (op::SUB, 1, 2, 0xffff_ffff),
            (op::MUL, 0x8000_0001, 2, 2),
            (op::DIV, 0xffff_ffff, 2, 0x7fff_ffff),
            (op::DIV, 7, 1, 7),
            (op::OR, 5, 3, 7),
            (op::AND, 5, 3, 1),
            (op::XOR, 5, 3, 6),
            (op::LSH, 3, 31, 0x8000_0000),
            (op::RSH, 0x8000_0000, 31, 1),
            (op::NEG, 1, 0, 0xffff_ffff),
            (op::NEG, 0x8000_0000, 0, 0x8000_0000),
        ] {
            let case = format!("{operation:#x} of {a:#x} and {by:#x}");
            assert_eq!(gives(&[bpf::imm(a), bpf::alu(operation, by)]), result, "{case}");
            if operation != op::NEG {
                let by_x = [bpf::imm(a), bpf::ldx_imm(by), bpf::alu_x(operation)];
                assert_eq!(gives(&by_x), result, "{case}, by X");
            }
        }
    }

    #[test]
    fn shifts_take_the_count_modulo_32() {
        let by_x = |operation, count| gives(&[bpf::imm(1), bpf::ldx_imm(count), bpf::alu_x(operation)]);
        assert_eq!(by_x(op::LSH, 33), 2);
        assert_eq!(by_x(op::LSH, 32), 1);
        assert_eq!(by_x(op::RSH, 64), 1);
        assert_eq!(gives(&[bpf::imm(1), bpf::alu(op::LSH, 33)]), 2);
    }

    #[test]
    fn division_by_an_x_of_zero_ends_with_zero() {
        let filter = [bpf::imm(9), bpf::alu_x(op::DIV), bpf::ret_word(5)];
        let ran = run(&filter, &SeccompData::default(), &Dialect::default());
        assert_eq!(ran, Ran { word: 0, decided_at: 1, steps: 2 });
    }

    #[test]
    fn jumps_compare_unsigned() {
        for (operation, a, k, taken) in [
            (op::JEQ, 3, 3, true),
            (op::JEQ, 3, 4, false),
            (op::JEQ, 0x1_0003, 3, false),
            (op::JGT, 0x8000_0000, 0x7fff_ffff, true),
            (op::JGT, 3, 3, false),
            (op::JGE, 3, 3, true),
            (op::JGE, 0x7fff_ffff, 0xffff_ffff, false),
            (op::JSET, 6, 3, true),
            (op::JSET, 4, 3, false),
            (op::JSET, 0xffff_ffff, 0x8000_0000, true),
            (op::JSET, 0xffff_ffff, 0, false),
        ] {
            let (yes, no) = (bpf::ret_word(1), bpf::ret_word(0));
            let by_k = [bpf::imm(a), jump(operation, k, 1, 0), no, yes];
            let by_x = [bpf::imm(a), bpf::ldx_imm(k), jump_x(operation, 1, 0), no, yes];
            assert_eq!(gives(&by_k), u32::from(taken), "{operation:#x} of {a:#x} and {k:#x}");
            assert_eq!(gives(&by_x), u32::from(taken), "{operation:#x} of {a:#x} and {k:#x}, by X");
        }
        assert_eq!(gives(&[bpf::ja(1), bpf::ret_word(1), bpf::imm(2)]), 2);
    }

    #[test]
    fn registers_and_scratch_words() {
        assert_eq!(gives(&[]), 0);
        assert_eq!(gives(&[bpf::imm(1), bpf::txa()]), 0);
        assert_eq!(gives(&[bpf::imm(7), bpf::tax(), bpf::imm(1), bpf::txa()]), 7);
        assert_eq!(gives(&[bpf::imm(7), bpf::st(15), bpf::imm(1), bpf::ld_mem(15)]), 7);
        assert_eq!(gives(&[bpf::ldx_imm(7), bpf::stx(0), bpf::ld_mem(0)]), 7);
        assert_eq!(gives(&[bpf::imm(7), bpf::st(7), bpf::imm(1), bpf::st(15), bpf::ld_mem(7)]), 7);
        assert_eq!(gives(&[bpf::imm(7), bpf::st(3), bpf::ldx_mem(3), bpf::txa()]), 7);
        assert_eq!(gives(&[bpf::ld_len()]), 64);
        assert_eq!(gives(&[bpf::ldx_len(), bpf::txa()]), 64);
    }

    #[test]
    fn reciprocals_as_before_3_13() {
        assert_eq!(reciprocal_divide(7, 1), 0);
        assert_eq!(reciprocal_divide(7, 2), 3);
        assert_eq!(reciprocal_divide(0xffff_ffff, 0x8000_0000), 1);
        // Rounding the reciprocal up makes large dividends too large.
        assert_eq!(reciprocal_divide(0xffff_fffb, 7), 0xffff_fffb / 7 + 1);
        let filter = [bpf::imm(7), bpf::ldx_imm(1), bpf::alu_x(op::DIV), bpf::ret_a()];
        let old = Dialect { reciprocal_division: true, ..Dialect::default() };
        let ran = run(&filter, &SeccompData::default(), &old);
        assert_eq!(ran.word, 7, "division by X was exact");
        let by_constant = [bpf::imm(7), bpf::alu(op::DIV, 1), bpf::ret_a()];
        assert_eq!(run(&by_constant, &SeccompData::default(), &old).word, 0);
    }

    #[test]
    fn unchecked_filters_end_with_zero() {
        for insn in [bpf::ja(u32::MAX), bpf::ld(2), bpf::ld(64), bpf::alu(op::MOD, 3), bpf::imm(1)] {
            let ran = run(&[insn], &SeccompData::default(), &Dialect::default());
            assert_eq!(ran.word, 0, "{insn:?}");
        }
        assert_eq!(gives(&[bpf::imm(7), bpf::st(16), bpf::ld_mem(0)]), 7);
    }
}
