//! Filters that are refused, and such that are just accepted.

use crate::script::{Script, allow};
use atlas_model::Action;
use atlas_model::bpf::{self, Insn, op};
use atlas_model::mutant::Mutant;

const ALLOW: Insn = bpf::ret(Action::Allow);

pub(crate) fn witness(mutant: Mutant) -> Option<Script> {
    let code = |code| vec![Insn { code, jt: 0, jf: 0, k: 4 }, ALLOW];
    let filter = match mutant {
        Mutant::LengthLess => vec![ALLOW; 4096],
        Mutant::LengthMore => vec![ALLOW; 4097],
        Mutant::EmptyAccepted => vec![],
        Mutant::NoReturnAccepted => vec![ALLOW, bpf::imm(0)],
        Mutant::UnsetAccepted => vec![bpf::ld_mem(0), ALLOW],
        Mutant::DivZeroAccepted => vec![bpf::alu(op::DIV, 0), ALLOW],
        Mutant::ShiftLess => vec![bpf::alu(op::LSH, 31), ALLOW],
        Mutant::ShiftMore => vec![bpf::alu(op::RSH, 32), ALLOW],
        Mutant::MemoryLess => vec![bpf::st(15), ALLOW],
        Mutant::MemoryMore => vec![bpf::stx(16), ALLOW],
        Mutant::JaPastEnd => vec![bpf::ja(1), ALLOW],
        Mutant::JaWraps => vec![bpf::ja(u32::MAX), ALLOW],
        Mutant::BranchPastEnd => vec![bpf::jeq(0, 0, 1), ALLOW],
        Mutant::JumpToLastRefused => vec![bpf::jeq(0, 0, 0), ALLOW],
        Mutant::UnknownCodeAccepted => code(0xffff),
        Mutant::UnsetOnPathAccepted => vec![bpf::jeq(0, 0, 1), bpf::st(0), bpf::ld_mem(0), ALLOW],
        Mutant::ReturnResetsStores => vec![ALLOW, bpf::ld_mem(0), ALLOW],
        Mutant::ModAccepted => code(op::ALU | op::MOD),
        Mutant::SocketCodesAccepted => code(0x30),
        Mutant::AncillaryAccepted => vec![bpf::ld(0xffff_f000), ALLOW],
        Mutant::XorRefused => vec![bpf::alu(op::XOR, 1), ALLOW],
        Mutant::OffsetLess => vec![bpf::ld(60), ALLOW],
        Mutant::OffsetMore => vec![bpf::ld(64), ALLOW],
        Mutant::UnalignedAccepted => vec![bpf::ld(2), ALLOW],
        Mutant::RefusedErrno => vec![bpf::imm(0)],
        _ => return None,
    };
    Some(Script::new().filter(filter).attach(0, 0, allow()))
}
