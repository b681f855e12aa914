//! Filters written down for people, in the columns of seccomp-tools.

mod flow;

use super::Insn;
use super::op::{self, Kind};
use crate::Action;
use crate::abi::{Abi, offset, syscalls};
use flow::{Arches, Holds, Known, known_at};
use std::fmt::{self, Write as _};

/// Writes a filter down, one line an instruction: its line, code, jt, jf, k, and what it does.
///
/// What A holds, and which arches are still possible, is followed along every path. So numbers carry
/// the name of the call, in the ABI that the filter's own checks leave; where they leave both, in
/// x86-64. Names of other ABIs are prefixed, as in `i386.getppid` and `x32.getppid`. Instructions
/// that no jump leads to are marked.
///
/// Filters that [`super::check()`] refuses are written down too.
///
/// ```
/// use atlas_model::abi::offset;
/// use atlas_model::{Action, bpf};
/// let filter = [
///     bpf::ld(offset::NR),
///     bpf::jeq(110, 0, 1),
///     bpf::ret(Action::Errno(1)),
///     bpf::ret(Action::Allow),
/// ];
/// let text = "
///  line  CODE  JT   JF      K
/// =================================
///  0000: 0x20 0x00 0x00 0x00000000  A = sys_number
///  0001: 0x15 0x00 0x01 0x0000006e  if (A != getppid) goto 0003
///  0002: 0x06 0x00 0x00 0x00050001  return ERRNO(1 EPERM)
///  0003: 0x06 0x00 0x00 0x7fff0000  return ALLOW
/// ";
/// assert_eq!(bpf::disassemble(&filter), text[1..]);
/// ```
#[must_use]
pub fn disassemble(insns: &[Insn]) -> String {
    let mut text = String::from(" line  CODE  JT   JF      K\n=================================\n");
    for (at, (insn, meaning)) in insns.iter().zip(meanings(insns)).enumerate() {
        let Insn { code, jt, jf, k } = *insn;
        let line = format_args!(" {at:04}: {code:#04x} {jt:#04x} {jf:#04x} {k:#010x}  {meaning}\n");
        text.write_fmt(line).expect("writing to a string cannot fail");
    }
    text
}

/// What each instruction of a filter does, as [`disassemble`] has it in its last column.
///
/// ```
/// use atlas_model::abi::offset;
/// use atlas_model::{Action, bpf};
/// let meanings = bpf::meanings(&[bpf::ld(offset::arg_low(2)), bpf::ret(Action::Allow)]);
/// assert_eq!(meanings, ["A = args[2]", "return ALLOW"]);
/// ```
#[must_use]
pub fn meanings(insns: &[Insn]) -> Vec<String> {
    let meaning = |(at, (insn, known)): (usize, (&Insn, Option<Known>))| {
        let unreached = if known.is_none() { "  ; never reached" } else { "" };
        format!("{}{unreached}", Meaning { insn, at, known: known.unwrap_or(Known::AT_ENTRY) })
    };
    insns.iter().zip(known_at(insns)).enumerate().map(meaning).collect()
}

/// What an instruction does at its place.
struct Meaning<'a> {
    insn: &'a Insn,
    at: usize,
    known: Known,
}

impl fmt::Display for Meaning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Insn { code, jt, jf, k } = *self.insn;
        let Some(kind) = op::kind(code) else {
            return write!(f, "code {code:#x}, which seccomp refuses");
        };
        let register = |x: bool| if x { "X" } else { "A" };
        match kind {
            Kind::LoadData => write!(f, "A = {}", field(k)),
            Kind::Load { x } if op::is_length(code) => {
                write!(f, "{} = sizeof(seccomp_data)", register(x))
            }
            Kind::Load { x } => write!(f, "{} = {k:#x}", register(x)),
            Kind::LoadMemory { x } => write!(f, "{} = mem[{k}]", register(x)),
            Kind::Store { x } => write!(f, "mem[{k}] = {}", register(x)),
            Kind::Alu { op: op::NEG, .. } => f.write_str("A = -A"),
            Kind::Alu { op, x: true } => write!(f, "A {}= X", alu_sign(op)),
            Kind::Alu { op, x: false } => write!(f, "A {}= {k:#x}", alu_sign(op)),
            Kind::Jump => write!(f, "goto {:04}", self.target(k)),
            Kind::Branch { op, x } => {
                let operand = if x { "X".to_owned() } else { self.operand(op) };
                let (yes, no) = (self.target(jt.into()), self.target(jf.into()));
                let (sign, reversed) = branch_signs(op);
                match (jt, jf, reversed) {
                    (_, 0, _) => write!(f, "if (A {sign} {operand}) goto {yes:04}"),
                    (0, _, Some(sign)) => write!(f, "if (A {sign} {operand}) goto {no:04}"),
                    (0, _, None) => write!(f, "if (!(A {sign} {operand})) goto {no:04}"),
                    _ => write!(f, "if (A {sign} {operand}) goto {yes:04} else goto {no:04}"),
                }
            }
            Kind::Return { a: true } => f.write_str("return A"),
            Kind::Return { a: false } => {
                let action = Action::from_word(k);
                write!(f, "return {action}")?;
                match k & !crate::action::ACTION_MASK {
                    _ if action.word() == k => Ok(()),
                    data => write!(f, " with data {data:#x}"),
                }
            }
            Kind::Copy { to_x: true } => f.write_str("X = A"),
            Kind::Copy { to_x: false } => f.write_str("A = X"),
        }
    }
}

impl Meaning<'_> {
    fn target(&self, skip: u32) -> usize {
        (self.at + 1).saturating_add(skip as usize)
    }

    /// What A is compared with, by name where it is the name of something.
    fn operand(&self, operation: u16) -> String {
        let k = self.insn.k;
        let bits = operation == op::JSET;
        let name = match self.known.a {
            Holds::Number if !bits || k == Abi::X32_BIT => self.call(operation),
            Holds::Arch if operation == op::JEQ => arch_name(k).map(str::to_owned),
            _ => None,
        };
        name.unwrap_or_else(|| format!("{k:#x}"))
    }

    fn call(&self, operation: u16) -> Option<String> {
        let k = self.insn.k;
        if self.known.arches == Arches::I386 {
            return syscalls::name(Abi::I386, k).map(|name| format!("i386.{name}"));
        }
        if !self.known.arches.has(Arches::X86_64) {
            return None;
        }
        if k == Abi::X32_BIT && operation != op::JEQ {
            return Some("X32_SYSCALL_BIT".to_owned());
        }
        let x32 = || syscalls::name(Abi::X32, k).map(|name| format!("x32.{name}"));
        syscalls::name(Abi::X86_64, k).map(str::to_owned).or_else(x32)
    }
}

/// `AUDIT_ARCH_*` (include/uapi/linux/audit.h) by name.
fn arch_name(arch: u32) -> Option<&'static str> {
    Some(match arch {
        0xc000_003e => "ARCH_X86_64",
        0x4000_0003 => "ARCH_I386",
        0xc000_00b7 => "ARCH_AARCH64",
        0x4000_0028 => "ARCH_ARM",
        0xc000_00f3 => "ARCH_RISCV64",
        0x8000_0016 => "ARCH_S390X",
        0xc000_0015 => "ARCH_PPC64LE",
        _ => return None,
    })
}

fn alu_sign(operation: u16) -> &'static str {
    match operation {
        op::ADD => "+",
        op::SUB => "-",
        op::MUL => "*",
        op::DIV => "/",
        op::OR => "|",
        op::AND => "&",
        op::LSH => "<<",
        op::RSH => ">>",
        _ => "^",
    }
}

/// The sign of a comparison, and of its reverse where there is one.
fn branch_signs(operation: u16) -> (&'static str, Option<&'static str>) {
    match operation {
        op::JEQ => ("==", Some("!=")),
        op::JGT => (">", Some("<=")),
        op::JGE => (">=", Some("<")),
        _ => ("&", None),
    }
}

/// A word of the call by its byte offset.
pub(super) fn field(at: u32) -> String {
    match at {
        offset::NR => "sys_number".to_owned(),
        offset::ARCH => "arch".to_owned(),
        offset::IP_LOW => "instruction_pointer".to_owned(),
        offset::IP_HIGH => "instruction_pointer >> 32".to_owned(),
        _ => {
            let argument = |index: &u32| at == offset::arg_low(*index) || at == offset::arg_high(*index);
            match (0..6).find(argument) {
                Some(index) if at == offset::arg_low(index) => format!("args[{index}]"),
                Some(index) => format!("args[{index}] >> 32"),
                None => format!("data[{at:#x}], which is out of bounds"),
            }
        }
    }
}
