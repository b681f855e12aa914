//! What filters see, and how they run.

use crate::script::Script;
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Insn, op};
use atlas_model::experiment::layout;
use atlas_model::mutant::Mutant;
use atlas_model::{Abi, Action};

/// The second has two equal halves.
const ARGS: [u64; 2] = [0x1111_1111_2222_2222, 0x3333_3333_3333_3333];

/// A call under a filter that gives ERRNO(1) where a word of the data is this, and allows else.
fn sees(abi: Abi, nr: u64, offset: u32, word: u32) -> Script {
    let filter = gives(vec![bpf::ld(offset)], word);
    Script::new().filter(filter).call_by(abi, 0, nr, &ARGS)
}

/// A filter that gives ERRNO(1) where A is this after the instructions, and allows else.
fn gives(insns: Vec<Insn>, a: u32) -> Vec<Insn> {
    let end = [bpf::jeq(a, 1, 0), bpf::ret(Action::Allow), bpf::ret(Action::Errno(1))];
    [insns, end.into()].concat()
}

fn leaves(insns: Vec<Insn>, a: u32) -> Script {
    Script::new().filter(gives(insns, a)).getppid(0)
}

/// One operation on A and X.
fn alu(operation: u16, a: u32, x: u32, result: u32) -> Script {
    leaves(vec![bpf::imm(a), bpf::ldx_imm(x), bpf::alu_x(operation)], result)
}

/// A filter that gives these words for a true comparison and a false one.
fn compares(operation: u16, a: u32, k: u32) -> Script {
    let (no, yes) = (bpf::ret(Action::Errno(1)), bpf::ret(Action::Errno(2)));
    Script::new().filter(vec![bpf::imm(a), bpf::jump(operation, k, 1, 0), no, yes]).getppid(0)
}

/// A filter of a head and three returns, which tell where the head has led.
fn leads(head: Vec<Insn>) -> Script {
    let returns = (1..4).map(|errno| bpf::ret(Action::Errno(errno)));
    Script::new().filter(head.into_iter().chain(returns).collect()).getppid(0)
}

pub(crate) fn witness(mutant: Mutant) -> Option<Script> {
    let x32 = Abi::X32_BIT | 110;
    let arch = Abi::X86_64.audit_arch();
    Some(match mutant {
        Mutant::X32BitMasked => sees(Abi::X32, x32.into(), offset::NR, x32),
        Mutant::X32OwnArch => sees(Abi::X32, x32.into(), offset::ARCH, arch),
        Mutant::I386Arch => sees(Abi::I386, 64, offset::ARCH, Abi::I386.audit_arch()),
        Mutant::I386ArgsTruncated => sees(Abi::I386, 64, offset::arg_high(0), 0x1111_1111),
        Mutant::ArgsLowHalves => sees(Abi::X86_64, 110, offset::arg_high(0), 0x1111_1111),
        Mutant::ArgsReversed => sees(Abi::X86_64, 110, offset::arg_low(1), 0x3333_3333),
        Mutant::ArgHalvesSwapped => sees(Abi::X86_64, 110, offset::arg_low(0), 0x2222_2222),
        Mutant::IpOfTheCall => sees(Abi::X86_64, 110, offset::IP_LOW, layout::SYSCALL_IP as u32),
        Mutant::IpHalvesSwapped => sees(Abi::X86_64, 110, offset::IP_HIGH, (layout::SYSCALL_IP >> 32) as u32),
        Mutant::AStartsAtOne => leaves(vec![], 0),
        Mutant::XStartsAtOne => leaves(vec![bpf::txa()], 0),
        Mutant::MemoryOfEight => {
            leaves(vec![bpf::imm(1), bpf::st(1), bpf::imm(2), bpf::st(9), bpf::ld_mem(1)], 1)
        }
        Mutant::LengthIsK => leaves(vec![bpf::ld_len()], 64),
        Mutant::LdxMemLoadsA => leaves(vec![bpf::imm(1), bpf::st(0), bpf::imm(2), bpf::ldx_mem(0)], 2),
        Mutant::StxStoresA => leaves(vec![bpf::ldx_imm(1), bpf::stx(0), bpf::ld_mem(0)], 1),
        Mutant::AluXTakesK => alu(op::ADD, 1, 2, 3),
        Mutant::JumpXTakesK => {
            leads(vec![bpf::imm(1), bpf::ldx_imm(1), Insn { k: 2, ..bpf::jump_x(op::JEQ, 1, 0) }])
        }
        Mutant::JtOffByOne => leads(vec![bpf::jeq(0, 1, 0)]),
        Mutant::JfOffByOne => leads(vec![bpf::jeq(1, 1, 0)]),
        Mutant::JaOffByOne => leads(vec![bpf::ja(1)]),
        Mutant::RetALosesData => Script::new().filter(vec![bpf::imm(0x0005_0001), bpf::ret_a()]).getppid(0),
        Mutant::CopiesSwapped => leaves(vec![bpf::imm(1), bpf::tax(), bpf::imm(2), bpf::txa()], 1),
        Mutant::AddSaturates => alu(op::ADD, u32::MAX, 2, 1),
        Mutant::SubReversed => alu(op::SUB, 3, 1, 2),
        Mutant::MulSaturates => alu(op::MUL, 0x8000_0001, 2, 2),
        Mutant::DivSigned => alu(op::DIV, 0x8000_0000, 2, 0x4000_0000),
        Mutant::DivByZeroGoesOn => alu(op::DIV, 1, 0, 0),
        Mutant::OrAsXor => alu(op::OR, 3, 1, 3),
        Mutant::AndAsOr => alu(op::AND, 3, 1, 1),
        Mutant::XorAsOr => alu(op::XOR, 3, 1, 2),
        Mutant::LshRotates => alu(op::LSH, 0x8000_0001, 1, 2),
        Mutant::RshArithmetic => alu(op::RSH, 0x8000_0000, 31, 1),
        Mutant::ShiftsBeyond => alu(op::LSH, 1, 33, 2),
        Mutant::NegAsNot => leaves(vec![bpf::imm(1), bpf::neg()], u32::MAX),
        Mutant::JgtOrEqual => compares(op::JGT, 3, 3),
        Mutant::JgeStrict => compares(op::JGE, 3, 3),
        Mutant::JgtSigned => compares(op::JGT, 0x8000_0000, 1),
        Mutant::JgeSigned => compares(op::JGE, 0x8000_0000, 1),
        Mutant::JsetAll => compares(op::JSET, 1, 3),
        Mutant::JeqLowHalf => compares(op::JEQ, 0x1_0001, 1),
        _ => return None,
    })
}
