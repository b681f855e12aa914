//! One instruction in the notation of the kernel's `bpf_asm` (Documentation/networking/filter.rst).

use super::Insn;
use super::op::{self, Kind};
use std::fmt;

/// In the notation of `bpf_asm`, with jumps relative: how many instructions are skipped.
///
/// ```
/// use atlas_model::bpf;
/// assert_eq!(bpf::jeq(110, 0, 3).to_string(), "jeq #0x6e, 0, 3");
/// assert_eq!(bpf::ld(4).to_string(), "ld [4]");
/// ```
impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, jt, jf, k } = *self;
        let Some(kind) = op::kind(code) else {
            return write!(f, ".code {code:#06x}, {jt}, {jf}, {k:#x}");
        };
        let x = |x: bool| if x { "x" } else { "" };
        let operand = |by_x: bool| {
            if by_x { "x".to_owned() } else { format!("#{k:#x}") }
        };
        match kind {
            Kind::LoadData => write!(f, "ld [{k}]"),
            Kind::Load { x: to_x } if op::is_length(code) => write!(f, "ld{} len", x(to_x)),
            Kind::Load { x: to_x } => write!(f, "ld{} #{k:#x}", x(to_x)),
            Kind::LoadMemory { x: to_x } => write!(f, "ld{} M[{k}]", x(to_x)),
            Kind::Store { x: of_x } => write!(f, "st{} M[{k}]", x(of_x)),
            Kind::Alu { op: op::NEG, .. } => f.write_str("neg"),
            Kind::Alu { op, x } => write!(f, "{} {}", alu_name(op), operand(x)),
            Kind::Jump => write!(f, "ja {k}"),
            Kind::Branch { op, x } => write!(f, "{} {}, {jt}, {jf}", branch_name(op), operand(x)),
            Kind::Return { a: true } => f.write_str("ret a"),
            Kind::Return { a: false } => write!(f, "ret #{k:#x}"),
            Kind::Copy { to_x: true } => f.write_str("tax"),
            Kind::Copy { to_x: false } => f.write_str("txa"),
        }
    }
}

fn alu_name(operation: u16) -> &'static str {
    match operation {
        op::ADD => "add",
        op::SUB => "sub",
        op::MUL => "mul",
        op::DIV => "div",
        op::OR => "or",
        op::AND => "and",
        op::LSH => "lsh",
        op::RSH => "rsh",
        _ => "xor",
    }
}

fn branch_name(operation: u16) -> &'static str {
    match operation {
        op::JEQ => "jeq",
        op::JGT => "jgt",
        op::JGE => "jge",
        _ => "jset",
    }
}

#[cfg(test)]
mod tests {
    use crate::bpf::{self, Insn, op};

    #[test]
    fn every_kind_of_instruction() {
        let code = |code| Insn { code, jt: 1, jf: 2, k: 3 };
        for (insn, text) in [
            (bpf::ld(16), "ld [16]"),
            (bpf::imm(10), "ld #0xa"),
            (bpf::ldx_imm(10), "ldx #0xa"),
            (bpf::ld_len(), "ld len"),
            (bpf::ldx_len(), "ldx len"),
            (bpf::ld_mem(1), "ld M[1]"),
            (bpf::ldx_mem(1), "ldx M[1]"),
            (bpf::st(15), "st M[15]"),
            (bpf::stx(15), "stx M[15]"),
            (bpf::alu(op::AND, 255), "and #0xff"),
            (bpf::alu_x(op::XOR), "xor x"),
            (bpf::neg(), "neg"),
            (bpf::ja(3), "ja 3"),
            (bpf::jset(1, 2, 3), "jset #0x1, 2, 3"),
            (bpf::jump_x(op::JGE, 2, 3), "jge x, 2, 3"),
            (bpf::ret_word(0x7fff_0000), "ret #0x7fff0000"),
            (bpf::ret_a(), "ret a"),
            (bpf::tax(), "tax"),
            (bpf::txa(), "txa"),
            (code(0x94), ".code 0x0094, 1, 2, 0x3"),
        ] {
            assert_eq!(insn.to_string(), text);
        }
    }
}
