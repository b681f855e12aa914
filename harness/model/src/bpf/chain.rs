//! How the kernel counts a chain of filters against its limit.
//!
//! The limit holds internal instructions, and what those are has changed: classic ones at first,
//! since 3.15 what the classic program is converted to (net/core/filter.c bpf_convert_filter).

use super::Insn;
use super::op::{self, Kind};
use crate::mutant::{Mutant, either};
use serde::{Deserialize, Serialize};

/// The most that a chain may count (`MAX_INSNS_PER_PATH`, kernel/seccomp.c).
pub const CHAIN_LIMIT: usize = 32_768;
/// What each attached filter counts beside its instructions (kernel/seccomp.c seccomp_attach_filter).
const PENALTY: usize = 4;

/// What is counted. With net.core.bpf_jit_harden a compiled filter counts with its blinded
/// constants, which are more; no unit here says how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChainUnit {
    /// Classic instructions, before 3.15.
    Classic,
    /// The new filter in classic, attached ones in converted instructions with a prologue of one;
    /// 3.15 and 3.16.
    EbpfNewUncounted,
    /// Converted instructions with a prologue of one, 3.17 to 4.4.
    EbpfPrologue1,
    /// Converted instructions with a prologue of three, since 4.5. Releases up to 4.13 converted
    /// JGT and JGE with a `jt` of 0 to two instructions where this counts one, and those before
    /// about 4.15 a division by X to one where this counts five.
    EbpfPrologue3,
}

/// What a filter counts while it is being attached.
///
/// ```
/// use atlas_model::bpf::{self, ChainUnit, kernel_len};
/// let filter = [bpf::ld(0), bpf::jeq(110, 0, 1), bpf::ret_word(0x0005_0001), bpf::ret_word(0x7fff_0000)];
/// assert_eq!(kernel_len(&filter, ChainUnit::Classic), 4);
/// assert_eq!(kernel_len(&filter, ChainUnit::EbpfPrologue3), 3 + 1 + 1 + 2 + 2);
/// ```
#[must_use]
pub fn kernel_len(insns: &[Insn], unit: ChainUnit) -> usize {
    match unit {
        ChainUnit::Classic | ChainUnit::EbpfNewUncounted => insns.len(),
        ChainUnit::EbpfPrologue1 | ChainUnit::EbpfPrologue3 => attached_len(insns, unit),
    }
}

/// What a filter counts once it is attached, without the 4 that [`chain_fits`] adds for each.
///
/// ```
/// use atlas_model::bpf::{self, ChainUnit, attached_len, kernel_len};
/// let filter = [bpf::ret_word(0x7fff_0000)];
/// assert_eq!(kernel_len(&filter, ChainUnit::EbpfNewUncounted), 1);
/// assert_eq!(attached_len(&filter, ChainUnit::EbpfNewUncounted), 3);
/// ```
#[must_use]
pub fn attached_len(insns: &[Insn], unit: ChainUnit) -> usize {
    let prologue = match unit {
        ChainUnit::Classic => return insns.len(),
        ChainUnit::EbpfNewUncounted | ChainUnit::EbpfPrologue1 => 1,
        ChainUnit::EbpfPrologue3 => 3,
    };
    let prologue = either(prologue, [(Mutant::PrologueMissing, 0)]);
    let count = |insn| either(converted(insn, unit), [(Mutant::ConversionMissing, 1)]);
    prologue + insns.iter().map(count).sum::<usize>()
}

/// Whether a new filter, of a length that [`kernel_len`] gave, fits on top of attached ones, of
/// lengths that [`attached_len`] gave; the kernel answers ENOMEM when it does not.
///
/// ```
/// use atlas_model::bpf::{self, ChainUnit, attached_len, chain_fits, kernel_len};
/// let filter = [bpf::ret_word(0x7fff_0000)];
/// let unit = ChainUnit::EbpfPrologue3;
/// let fits = |attached| {
///     let old = std::iter::repeat_n(attached_len(&filter, unit), attached);
///     chain_fits(kernel_len(&filter, unit), old)
/// };
/// assert!(fits(3640) && !fits(3641));
/// ```
#[must_use]
pub fn chain_fits(new: usize, attached: impl Iterator<Item = usize>) -> bool {
    let penalty = either(PENALTY, [(Mutant::PenaltyMissing, 0)]);
    let (less, more) = (CHAIN_LIMIT - 1, CHAIN_LIMIT + 1);
    let limit = either(CHAIN_LIMIT, [(Mutant::ChainLimitLess, less), (Mutant::ChainLimitMore, more)]);
    new + attached.map(|len| len + penalty).sum::<usize>() <= limit
}

/// How many internal instructions one classic instruction becomes.
fn converted(insn: &Insn, unit: ChainUnit) -> usize {
    let newest = unit == ChainUnit::EbpfPrologue3;
    match op::kind(insn.code) {
        // A already is the register of the result, which older conversions copied all the same.
        Some(Kind::Return { a: true }) if newest => 1,
        Some(Kind::Return { .. }) => 2,
        // eBPF goes on where classic BPF ends with 0, so a test and an exit stand before it.
        Some(Kind::Alu { op: op::DIV, x: true }) if newest => 5,
        Some(Kind::Branch { op, x }) => converted_branch(insn, op, x, newest),
        _ => 1,
    }
}

/// eBPF has one jump target where classic BPF has two: one instruction will do where one of the two
/// is the next instruction, and where it is the true one, where the reverse jump exists. JLE and
/// JLT have existed since 4.14.
fn converted_branch(insn: &Insn, operation: u16, x: bool, newest: bool) -> usize {
    let reversible = match operation {
        op::JEQ => true,
        op::JGT | op::JGE => newest,
        _ => false,
    };
    let jumps = if insn.jf == 0 || (insn.jt == 0 && reversible) { 1 } else { 2 };
    // Constants are signed in eBPF, so one with its highest bit set is put into a register first.
    let constant = usize::from(!x && insn.k >= 0x8000_0000);
    constant + jumps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf;

    fn how_many(filter: &[Insn], unit: ChainUnit) -> usize {
        let fits = |attached: usize| {
            chain_fits(kernel_len(filter, unit), std::iter::repeat_n(attached_len(filter, unit), attached))
        };
        (0..).find(|&attached| !fits(attached)).unwrap()
    }

    #[test]
    fn one_instruction_filters_that_fit() {
        let filter = [bpf::ret_word(0x7fff_0000)];
        assert_eq!(how_many(&filter, ChainUnit::Classic), 6554);
        assert_eq!(how_many(&filter, ChainUnit::EbpfNewUncounted), 4682);
        assert_eq!(how_many(&filter, ChainUnit::EbpfPrologue1), 4681);
        assert_eq!(how_many(&filter, ChainUnit::EbpfPrologue3), 3641);
    }

    #[test]
    fn the_limit_is_the_most_that_fits() {
        let none = std::iter::empty;
        assert!(chain_fits(CHAIN_LIMIT, none()) && !chain_fits(CHAIN_LIMIT + 1, none()));
        let one = || std::iter::once(CHAIN_LIMIT - PENALTY - 1);
        assert!(chain_fits(1, one()) && !chain_fits(2, one()));
    }

    #[test]
    fn longest_filters_that_fit() {
        let filter = [bpf::ret_word(0x7fff_0000); 4096];
        assert_eq!(how_many(&filter, ChainUnit::Classic), 7);
        assert_eq!(how_many(&filter, ChainUnit::EbpfNewUncounted), 4);
        assert_eq!(how_many(&filter, ChainUnit::EbpfPrologue1), 3);
        assert_eq!(how_many(&filter, ChainUnit::EbpfPrologue3), 3);
    }

    #[test]
    fn conversion_sizes() {
        let sizes = |insn: Insn| {
            let size = |unit, prologue| attached_len(&[insn], unit) - prologue;
            (size(ChainUnit::EbpfPrologue1, 1), size(ChainUnit::EbpfPrologue3, 3))
        };
        assert_eq!(sizes(bpf::ld(0)), (1, 1));
        assert_eq!(sizes(bpf::ja(0)), (1, 1));
        assert_eq!(sizes(bpf::ret_word(0)), (2, 2));
        assert_eq!(sizes(bpf::ret_a()), (2, 1));
        assert_eq!(sizes(bpf::alu(op::DIV, 2)), (1, 1));
        assert_eq!(sizes(bpf::alu_x(op::DIV)), (1, 5));
        assert_eq!(sizes(bpf::jeq(1, 0, 0)), (1, 1));
        assert_eq!(sizes(bpf::jeq(1, 0, 1)), (1, 1));
        assert_eq!(sizes(bpf::jeq(1, 1, 1)), (2, 2));
        assert_eq!(sizes(bpf::jgt(1, 0, 1)), (2, 1));
        assert_eq!(sizes(bpf::jge(1, 0, 1)), (2, 1));
        assert_eq!(sizes(bpf::jset(1, 0, 1)), (2, 2));
        assert_eq!(sizes(bpf::jset(1, 1, 0)), (1, 1));
        assert_eq!(sizes(bpf::jeq(0x7fff_ffff, 1, 1)), (2, 2));
        assert_eq!(sizes(bpf::jeq(0x8000_0000, 1, 1)), (3, 3));
        let by_x = Insn { k: 0x8000_0000, ..bpf::jump_x(op::JEQ, 1, 1) };
        assert_eq!(sizes(by_x), (2, 2));
    }
}
