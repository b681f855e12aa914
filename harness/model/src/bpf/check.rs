//! The checker: two passes, as the kernel makes them.
//!
//! The first is the general one for classic BPF (net/core/filter.c bpf_check_classic with
//! check_load_and_stores; sk_chk_filter in older releases), the second seccomp's own
//! (kernel/seccomp.c seccomp_check_filter). The kernel answers EINVAL for every rule of both, so
//! which one was broken is for people.

use super::op::{self, Kind};
use super::{Dialect, Insn, MAX_INSNS, MEMORY_WORDS};
use crate::abi::SeccompData;
use crate::mutant::{Mutant, either, is};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a filter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rejection {
    /// The instruction at fault, counted from 0; the last one where the whole program is.
    pub at: usize,
    /// The rule that it breaks.
    pub rule: Rule,
}

/// A rule of the checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// A program has 1 to 4096 instructions.
    Length,
    /// The code is none of classic BPF's.
    Code,
    /// Sockets accept the code, seccomp does not.
    SocketsOnly,
    /// Division by the constant 0.
    DivisionByZero,
    /// A shift by a constant of 32 or more.
    Shift,
    /// A jump past the end.
    Jump,
    /// A scratch word beyond the last.
    MemoryRange,
    /// A scratch word is loaded that some path has not stored.
    MemoryUnset,
    /// A load that begins beyond `seccomp_data`, or not at a multiple of four.
    DataOffset,
    /// The last instruction does not end the program.
    NoReturn,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.rule {
            Rule::Length => return f.write_str("a filter has 1 to 4096 instructions"),
            Rule::Code => "its operation is not one of classic BPF",
            Rule::SocketsOnly => "its operation is one that only sockets may use, not seccomp",
            Rule::DivisionByZero => "it divides by the constant 0",
            Rule::Shift => "it shifts by a constant of 32 or more",
            Rule::Jump => "it jumps past the end",
            Rule::MemoryRange => "there are only 16 scratch words",
            Rule::MemoryUnset => "it loads a scratch word that some path to it has not stored",
            Rule::DataOffset => "it loads beyond the 64 bytes of seccomp_data, or not at a multiple of four",
            Rule::NoReturn => "the last instruction must be a return",
        };
        write!(f, "instruction {}: {what}", self.at)
    }
}

impl std::error::Error for Rejection {}

/// Accepts a filter exactly when a kernel of this dialect does.
///
/// # Errors
/// The first rule broken, in the order in which the kernel checks. Its errno is EINVAL for all.
///
/// ```
/// use atlas_model::bpf::{self, Dialect, Rule};
/// use atlas_model::Action;
/// assert!(bpf::check(&[bpf::ret(Action::Allow)], &Dialect::default()).is_ok());
/// let rejection = bpf::check(&[bpf::ld(64), bpf::ret_a()], &Dialect::default()).unwrap_err();
/// assert_eq!((rejection.at, rejection.rule), (0, Rule::DataOffset));
/// ```
pub fn check(insns: &[Insn], dialect: &Dialect) -> Result<(), Rejection> {
    let rejected = |at, rule| Rejection { at, rule };
    if insns.is_empty() && is(Mutant::EmptyAccepted) {
        return Ok(());
    }
    let longest =
        either(MAX_INSNS, [(Mutant::LengthLess, MAX_INSNS - 1), (Mutant::LengthMore, MAX_INSNS + 1)]);
    let Some(last) = insns.last().filter(|_| insns.len() <= longest) else {
        return Err(rejected(insns.len().saturating_sub(1), Rule::Length));
    };
    for (at, insn) in insns.iter().enumerate() {
        check_classic(insn, insns.len() - at - 1, dialect).map_err(|rule| rejected(at, rule))?;
    }
    if !matches!(op::kind(last.code), Some(Kind::Return { .. })) && !is(Mutant::NoReturnAccepted) {
        return Err(rejected(insns.len() - 1, Rule::NoReturn));
    }
    if let Some(at) = load_before_store(insns).filter(|_| !is(Mutant::UnsetAccepted)) {
        return Err(rejected(at, Rule::MemoryUnset));
    }
    for (at, insn) in insns.iter().enumerate() {
        check_seccomp(insn, dialect).map_err(|rule| rejected(at, rule))?;
    }
    Ok(())
}

/// One instruction in the general pass (bpf_check_classic); `behind` are those that follow it.
fn check_classic(insn: &Insn, behind: usize, dialect: &Dialect) -> Result<(), Rule> {
    let Some(kind) = op::kind(insn.code) else {
        return match insn.code {
            op::MOD_K if insn.k == 0 => Err(Rule::DivisionByZero),
            op::LD_ABS_HALF | op::LD_ABS_BYTE if unknown_ancillary(insn.k) => Err(Rule::DataOffset),
            code if op::sockets_only(code) => Ok(()),
            _ if is(Mutant::UnknownCodeAccepted) => Ok(()),
            _ => Err(Rule::Code),
        };
    };
    // Compared unsigned, as the kernel does: no k is large enough to wrap around into a loop.
    let lands = |skip: u32| (skip as usize) < behind;
    let shift_limit = either(32, [(Mutant::ShiftLess, 31), (Mutant::ShiftMore, 33)]);
    let words = either(MEMORY_WORDS, [(Mutant::MemoryLess, 15), (Mutant::MemoryMore, 17)]);
    let farther = usize::from(insn.jt.max(insn.jf));
    match kind {
        Kind::Jump if is(Mutant::JaPastEnd) && insn.k as usize == behind => Ok(()),
        Kind::Jump if is(Mutant::JaWraps) && insn.k > u32::MAX - MAX_INSNS as u32 => Ok(()),
        Kind::Branch { .. } if is(Mutant::BranchPastEnd) && farther == behind => Ok(()),
        Kind::Branch { .. } if is(Mutant::JumpToLastRefused) && farther + 1 == behind => Err(Rule::Jump),
        Kind::Alu { op: op::DIV, x: false } if insn.k == 0 && is(Mutant::DivZeroAccepted) => Ok(()),
        Kind::Alu { op: op::DIV, x: false } if insn.k == 0 => Err(Rule::DivisionByZero),
        Kind::Alu { op: op::LSH | op::RSH, x: false } if insn.k >= shift_limit && !dialect.wide_shift => {
            Err(Rule::Shift)
        }
        Kind::LoadMemory { .. } | Kind::Store { .. } if insn.k as usize >= words => Err(Rule::MemoryRange),
        Kind::Jump if !lands(insn.k) => Err(Rule::Jump),
        Kind::Branch { .. } if !(lands(insn.jt.into()) && lands(insn.jf.into())) => Err(Rule::Jump),
        Kind::LoadData if unknown_ancillary(insn.k) => Err(Rule::DataOffset),
        _ => Ok(()),
    }
}

/// Loads from `SKF_AD_OFF` on stand for socket extensions (include/uapi/linux/filter.h). The general
/// pass refuses those it does not know, and seccomp's pass the rest.
fn unknown_ancillary(k: u32) -> bool {
    const SKF_AD_OFF: u32 = 0xffff_f000;
    const SKF_AD_MAX: u32 = 64;
    k.checked_sub(SKF_AD_OFF).is_some_and(|extension| extension >= SKF_AD_MAX || extension % 4 != 0)
}

/// The first load of a scratch word that some path has not stored (check_load_and_stores).
///
/// Per instruction there is the set of words that every jump to it has stored, and the running set of
/// the path that falls through. Behind a jump nothing falls through, so every word counts as stored
/// until another jump's target says otherwise; a return, in contrast, leaves the running set.
fn load_before_store(insns: &[Insn]) -> Option<usize> {
    let mut at_target = vec![u16::MAX; insns.len()];
    let mut stored: u16 = 0;
    for (at, insn) in insns.iter().enumerate() {
        stored &= either(at_target[at], [(Mutant::UnsetOnPathAccepted, u16::MAX)]);
        let mut jump = |skip: u32| {
            // Only mutants jump past the end.
            if let Some(target) = at_target.get_mut(at + 1 + skip as usize) {
                *target &= stored;
            }
        };
        let word = 1_u16.wrapping_shl(insn.k);
        match op::kind(insn.code) {
            Some(Kind::Store { .. }) => stored |= word,
            Some(Kind::LoadMemory { .. }) if stored & word == 0 => return Some(at),
            Some(Kind::Return { .. }) if is(Mutant::ReturnResetsStores) => stored = u16::MAX,
            Some(Kind::Jump) => {
                jump(insn.k);
                stored = u16::MAX;
            }
            Some(Kind::Branch { .. }) => {
                jump(insn.jt.into());
                jump(insn.jf.into());
                stored = u16::MAX;
            }
            _ => {}
        }
    }
    None
}

/// One instruction in seccomp's pass (seccomp_check_filter).
fn check_seccomp(insn: &Insn, dialect: &Dialect) -> Result<(), Rule> {
    let modulo = insn.code & !op::X == op::MOD_K;
    let length =
        either(SeccompData::LEN, [(Mutant::OffsetLess, 60), (Mutant::OffsetMore, SeccompData::LEN + 4)]);
    match op::kind(insn.code) {
        None if is(Mutant::ModAccepted) && modulo => Ok(()),
        None if is(Mutant::SocketCodesAccepted) && op::sockets_only(insn.code) && !modulo => Ok(()),
        None if is(Mutant::UnknownCodeAccepted) && !op::sockets_only(insn.code) => Ok(()),
        Some(Kind::LoadData) if is(Mutant::AncillaryAccepted) && insn.k >= 0xffff_f000 => Ok(()),
        // Sockets have had XOR since 3.7, seccomp since 3.10.
        None => Err(Rule::SocketsOnly),
        Some(Kind::Alu { op: op::XOR, .. }) if !dialect.xor || is(Mutant::XorRefused) => {
            Err(Rule::SocketsOnly)
        }
        Some(Kind::LoadData) if insn.k >= length => Err(Rule::DataOffset),
        Some(Kind::LoadData) if !insn.k.is_multiple_of(4) && !is(Mutant::UnalignedAccepted) => {
            Err(Rule::DataOffset)
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
