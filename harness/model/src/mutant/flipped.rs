//! What mutants make of rules that are a table in the model: arithmetic, comparison, data.

use super::{Mutant, is};
use crate::abi::{Abi, SeccompData};
use crate::bpf::op;

/// Arithmetic, where a mutant has another result.
#[inline]
pub(crate) fn alu(operation: u16, a: u32, by: u32) -> Option<u32> {
    Some(match operation {
        op::ADD if is(Mutant::AddSaturates) => a.saturating_add(by),
        op::SUB if is(Mutant::SubReversed) => by.wrapping_sub(a),
        op::MUL if is(Mutant::MulSaturates) => a.saturating_mul(by),
        op::DIV if by == 0 && is(Mutant::DivByZeroGoesOn) => 0,
        op::DIV if by != 0 && is(Mutant::DivSigned) => (a as i32).wrapping_div(by as i32) as u32,
        op::OR if is(Mutant::OrAsXor) => a ^ by,
        op::AND if is(Mutant::AndAsOr) => a | by,
        op::XOR if is(Mutant::XorAsOr) => a | by,
        op::LSH | op::RSH if by >= 32 && is(Mutant::ShiftsBeyond) => 0,
        op::LSH if is(Mutant::LshRotates) => a.rotate_left(by % 32),
        op::RSH if is(Mutant::RshArithmetic) => (a as i32).wrapping_shr(by) as u32,
        op::NEG if is(Mutant::NegAsNot) => !a,
        _ => return None,
    })
}

/// A comparison, where a mutant has another result.
#[inline]
pub(crate) fn branch(operation: u16, a: u32, operand: u32) -> Option<bool> {
    Some(match operation {
        op::JEQ if is(Mutant::JeqLowHalf) => a as u16 == operand as u16,
        op::JGT if is(Mutant::JgtOrEqual) => a >= operand,
        op::JGT if is(Mutant::JgtSigned) => a as i32 > operand as i32,
        op::JGE if is(Mutant::JgeStrict) => a > operand,
        op::JGE if is(Mutant::JgeSigned) => a as i32 >= operand as i32,
        op::JSET if is(Mutant::JsetAll) => a & operand == operand,
        _ => return None,
    })
}

/// What filters see of a call.
#[inline]
pub(crate) fn seen(mut data: SeccompData) -> SeccompData {
    let i386 = data.arch == Abi::I386.audit_arch();
    let x32 = !i386 && data.nr & Abi::X32_BIT != 0;
    if is(Mutant::ArgsLowHalves) || i386 && is(Mutant::I386ArgsTruncated) {
        data.args = data.args.map(|arg| arg & 0xffff_ffff);
    }
    if is(Mutant::ArgsReversed) {
        data.args.swap(0, 1);
    }
    if is(Mutant::IpOfTheCall) {
        // `syscall` and `int $0x80` have two bytes.
        data.instruction_pointer -= 2;
    }
    if i386 && is(Mutant::I386Arch) {
        data.arch = Abi::X86_64.audit_arch();
    }
    if x32 && is(Mutant::X32BitMasked) {
        data.nr &= !Abi::X32_BIT;
    }
    if x32 && is(Mutant::X32OwnArch) {
        // AUDIT_ARCH_X86_64 without __AUDIT_ARCH_64BIT.
        data.arch &= !0x8000_0000;
    }
    data
}
