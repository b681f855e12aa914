//! Small constructors, so that filters in code read like assembly.
//!
//! They build what they are told, also what [`super::check()`] refuses.

use super::{Insn, op};
use crate::Action;

const fn plain(code: u16, k: u32) -> Insn {
    Insn { code, jt: 0, jf: 0, k }
}

/// `ld [offset]`: A = the word of `seccomp_data` at a byte offset, see [`crate::abi::offset`].
#[must_use]
pub const fn ld(offset: u32) -> Insn {
    plain(op::LD_ABS, offset)
}

/// `ld #k`: A = k.
#[must_use]
pub const fn imm(k: u32) -> Insn {
    plain(op::LD_IMM, k)
}

/// `ld len`: A = 64, the length of `seccomp_data`.
#[must_use]
pub const fn ld_len() -> Insn {
    plain(op::LD_LEN, 0)
}

/// `ldx len`: X = 64.
#[must_use]
pub const fn ldx_len() -> Insn {
    plain(op::LDX_LEN, 0)
}

/// `ldx #k`: X = k.
#[must_use]
pub const fn ldx_imm(k: u32) -> Insn {
    plain(op::LDX_IMM, k)
}

/// `ld M[word]`: A = a scratch word, counted from 0 to 15.
#[must_use]
pub const fn ld_mem(word: u32) -> Insn {
    plain(op::LD_MEM, word)
}

/// `ldx M[word]`: X = a scratch word.
#[must_use]
pub const fn ldx_mem(word: u32) -> Insn {
    plain(op::LDX_MEM, word)
}

/// `st M[word]`: a scratch word = A.
#[must_use]
pub const fn st(word: u32) -> Insn {
    plain(op::ST, word)
}

/// `stx M[word]`: a scratch word = X.
#[must_use]
pub const fn stx(word: u32) -> Insn {
    plain(op::STX, word)
}

/// Arithmetic on A with a constant; the operation is one of [`op`]'s, such as [`op::ADD`].
#[must_use]
pub const fn alu(operation: u16, k: u32) -> Insn {
    plain(op::ALU | operation, k)
}

/// Arithmetic on A with X.
#[must_use]
pub const fn alu_x(operation: u16) -> Insn {
    plain(op::ALU | operation | op::X, 0)
}

/// `neg`: A = -A.
#[must_use]
pub const fn neg() -> Insn {
    alu(op::NEG, 0)
}

/// A conditional jump on A against a constant; the operation is one of [`op`]'s, such as
/// [`op::JGT`]. `jt` and `jf` count the instructions that are skipped.
#[must_use]
pub const fn jump(operation: u16, k: u32, jt: u8, jf: u8) -> Insn {
    Insn { code: op::JMP | operation, jt, jf, k }
}

/// A conditional jump on A against X.
#[must_use]
pub const fn jump_x(operation: u16, jt: u8, jf: u8) -> Insn {
    jump(operation | op::X, 0, jt, jf)
}

/// `jeq #k, jt, jf`.
#[must_use]
pub const fn jeq(k: u32, jt: u8, jf: u8) -> Insn {
    jump(op::JEQ, k, jt, jf)
}

/// `jgt #k, jt, jf`, unsigned.
#[must_use]
pub const fn jgt(k: u32, jt: u8, jf: u8) -> Insn {
    jump(op::JGT, k, jt, jf)
}

/// `jge #k, jt, jf`, unsigned.
#[must_use]
pub const fn jge(k: u32, jt: u8, jf: u8) -> Insn {
    jump(op::JGE, k, jt, jf)
}

/// `jset #k, jt, jf`: true where A and k share a bit.
#[must_use]
pub const fn jset(k: u32, jt: u8, jf: u8) -> Insn {
    jump(op::JSET, k, jt, jf)
}

/// `ja k`: skips k instructions.
#[must_use]
pub const fn ja(k: u32) -> Insn {
    plain(op::JA, k)
}

/// `tax`: X = A.
#[must_use]
pub const fn tax() -> Insn {
    plain(op::TAX, 0)
}

/// `txa`: A = X.
#[must_use]
pub const fn txa() -> Insn {
    plain(op::TXA, 0)
}

/// `ret #action`.
#[must_use]
pub const fn ret(action: Action) -> Insn {
    ret_word(action.word())
}

/// `ret #k`, for words that are no [`Action`].
#[must_use]
pub const fn ret_word(k: u32) -> Insn {
    plain(op::RET_K, k)
}

/// `ret a`: A is the result.
#[must_use]
pub const fn ret_a() -> Insn {
    plain(op::RET_A, 0)
}
