//! Operation codes, named after their parts in include/uapi/linux/bpf_common.h and filter.h.
//!
//! Loads, stores, returns and copies are whole codes. Arithmetic and jumps are put together: class,
//! operation, and [`X`] where the operand is X.
//!
//! ```
//! use atlas_model::bpf::{self, op};
//! assert_eq!(bpf::alu_x(op::XOR).code, op::ALU | op::XOR | op::X);
//! assert_eq!(bpf::jeq(0, 0, 0).code, op::JMP | op::JEQ);
//! ```

/// `BPF_LD | BPF_IMM`: A = k.
pub const LD_IMM: u16 = 0x00;
/// `BPF_LDX | BPF_IMM`: X = k.
pub const LDX_IMM: u16 = 0x01;
/// `BPF_ST`: scratch word k = A.
pub const ST: u16 = 0x02;
/// `BPF_STX`: scratch word k = X.
pub const STX: u16 = 0x03;
/// `BPF_LD | BPF_W | BPF_ABS`: A = the word of `seccomp_data` at byte k.
pub const LD_ABS: u16 = 0x20;
/// `BPF_LD | BPF_MEM`: A = scratch word k.
pub const LD_MEM: u16 = 0x60;
/// `BPF_LDX | BPF_MEM`: X = scratch word k.
pub const LDX_MEM: u16 = 0x61;
/// `BPF_LD | BPF_W | BPF_LEN`: A = 64.
pub const LD_LEN: u16 = 0x80;
/// `BPF_LDX | BPF_W | BPF_LEN`: X = 64.
pub const LDX_LEN: u16 = 0x81;
/// `BPF_JMP | BPF_JA`: skip k instructions.
pub const JA: u16 = 0x05;
/// `BPF_RET | BPF_K`: the result is k.
pub const RET_K: u16 = 0x06;
/// `BPF_RET | BPF_A`: the result is A.
pub const RET_A: u16 = 0x16;
/// `BPF_MISC | BPF_TAX`: X = A.
pub const TAX: u16 = 0x07;
/// `BPF_MISC | BPF_TXA`: A = X.
pub const TXA: u16 = 0x87;

/// `BPF_ALU`; an operation and a source are added.
pub const ALU: u16 = 0x04;
/// `BPF_JMP`; an operation and a source are added.
pub const JMP: u16 = 0x05;
/// `BPF_X`: the operand is X instead of k.
pub const X: u16 = 0x08;

/// `BPF_ADD`.
pub const ADD: u16 = 0x00;
/// `BPF_SUB`.
pub const SUB: u16 = 0x10;
/// `BPF_MUL`.
pub const MUL: u16 = 0x20;
/// `BPF_DIV`.
pub const DIV: u16 = 0x30;
/// `BPF_OR`.
pub const OR: u16 = 0x40;
/// `BPF_AND`.
pub const AND: u16 = 0x50;
/// `BPF_LSH`.
pub const LSH: u16 = 0x60;
/// `BPF_RSH`.
pub const RSH: u16 = 0x70;
/// `BPF_NEG`; has no operand.
pub const NEG: u16 = 0x80;
/// `BPF_MOD`; seccomp refuses it.
pub const MOD: u16 = 0x90;
/// `BPF_XOR`.
pub const XOR: u16 = 0xa0;

/// `BPF_JEQ`.
pub const JEQ: u16 = 0x10;
/// `BPF_JGT`.
pub const JGT: u16 = 0x20;
/// `BPF_JGE`.
pub const JGE: u16 = 0x30;
/// `BPF_JSET`.
pub const JSET: u16 = 0x40;

/// What an operation is, for those that seccomp accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Loads a word of `seccomp_data`.
    LoadData,
    /// Loads a constant into A (`x` false) or X; the length counts as one.
    Load {
        /// Into X.
        x: bool,
    },
    /// Loads a scratch word into A or X.
    LoadMemory {
        /// Into X.
        x: bool,
    },
    /// Stores A or X into a scratch word.
    Store {
        /// From X.
        x: bool,
    },
    /// Arithmetic; the operation's bits, and whether the operand is X.
    Alu {
        /// [`ADD`] and so on.
        op: u16,
        /// The operand is X.
        x: bool,
    },
    /// An unconditional jump.
    Jump,
    /// A conditional jump.
    Branch {
        /// [`JEQ`] and so on.
        op: u16,
        /// The operand is X.
        x: bool,
    },
    /// Ends the program with k, or with A.
    Return {
        /// With A.
        a: bool,
    },
    /// Copies between A and X.
    Copy {
        /// From A to X.
        to_x: bool,
    },
}

/// What an operation code is; `None` for every code that seccomp refuses in all dialects
/// (kernel/seccomp.c seccomp_check_filter). The code is matched whole: a bit more makes it another.
///
/// ```
/// use atlas_model::bpf::op::{self, Kind};
/// assert_eq!(op::kind(op::JMP | op::JGE | op::X), Some(Kind::Branch { op: op::JGE, x: true }));
/// assert_eq!(op::kind(op::ALU | op::MOD), None);
/// ```
#[must_use]
pub const fn kind(code: u16) -> Option<Kind> {
    let operand_x = code & X != 0;
    Some(match code {
        LD_ABS => Kind::LoadData,
        LD_IMM | LD_LEN => Kind::Load { x: false },
        LDX_IMM | LDX_LEN => Kind::Load { x: true },
        LD_MEM => Kind::LoadMemory { x: false },
        LDX_MEM => Kind::LoadMemory { x: true },
        ST => Kind::Store { x: false },
        STX => Kind::Store { x: true },
        JA => Kind::Jump,
        RET_K => Kind::Return { a: false },
        RET_A => Kind::Return { a: true },
        TAX => Kind::Copy { to_x: true },
        TXA => Kind::Copy { to_x: false },
        0x04 | 0x0c | 0x14 | 0x1c | 0x24 | 0x2c | 0x34 | 0x3c | 0x44 | 0x4c | 0x54 | 0x5c | 0x64 | 0x6c
        | 0x74 | 0x7c | 0x84 | 0xa4 | 0xac => Kind::Alu { op: code & 0xf0, x: operand_x },
        0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d => {
            Kind::Branch { op: code & 0xf0, x: operand_x }
        }
        _ => return None,
    })
}

/// Whether a [`Kind::Load`] loads the length of `seccomp_data` instead of k.
#[must_use]
pub(super) const fn is_length(code: u16) -> bool {
    matches!(code, LD_LEN | LDX_LEN)
}

/// Codes that the general checker knows and seccomp refuses: what reads packets, and MOD, which
/// nobody has let through yet (net/core/filter.c chk_code_allowed).
#[must_use]
pub(super) const fn sockets_only(code: u16) -> bool {
    matches!(
        code,
        LD_ABS_HALF | LD_ABS_BYTE | LD_IND_WORD | LD_IND_HALF | LD_IND_BYTE | LDX_MSH | MOD_K | MOD_X
    )
}

/// `BPF_LD | BPF_H | BPF_ABS`.
pub(super) const LD_ABS_HALF: u16 = 0x28;
/// `BPF_LD | BPF_B | BPF_ABS`.
pub(super) const LD_ABS_BYTE: u16 = 0x30;
/// `BPF_ALU | BPF_MOD | BPF_K`.
pub(super) const MOD_K: u16 = ALU | MOD;
const MOD_X: u16 = ALU | MOD | X;
const LD_IND_WORD: u16 = 0x40;
const LD_IND_HALF: u16 = 0x48;
const LD_IND_BYTE: u16 = 0x50;
const LDX_MSH: u16 = 0xb1;
