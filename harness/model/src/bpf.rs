//! Classic BPF as seccomp accepts it.
//!
//! [`check()`] refuses what the kernel refuses, [`run()`] gives the word the kernel gets,
//! [`kernel_len`] counts as the kernel counts, [`disassemble`] writes a filter down for people,
//! [`assemble()`] reads that back, [`explain()`] says which instruction of several filters decides, and
//! [`ways()`] finds what a call can come to and what that takes.
//! What differs between kernels is in the [`Dialect`].

mod asm;
mod assemble;
mod build;
mod chain;
mod check;
mod disasm;
mod explain;
mod interp;
pub mod op;
mod serial;
mod ways;

pub use assemble::{AssembleError, assemble};
pub use build::*;
pub use chain::{CHAIN_LIMIT, ChainUnit, attached_len, chain_fits, kernel_len};
pub use check::{Rejection, Rule, check};
pub use disasm::{disassemble, meanings};
pub use explain::{Explanation, explain};
pub use interp::{Ran, run, run_seen};
pub use ways::{Free, Test, Way, Ways, ways};

use serde::{Deserialize, Serialize};

/// The most instructions a filter may have (`BPF_MAXINSNS`, include/uapi/linux/bpf_common.h).
pub const MAX_INSNS: usize = 4096;
/// Number of scratch words (`BPF_MEMWORDS`, include/uapi/linux/filter.h).
pub const MEMORY_WORDS: usize = 16;

/// One instruction: `struct sock_filter` (include/uapi/linux/filter.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Insn {
    /// The operation, see [`op`].
    pub code: u16,
    /// How many instructions a conditional jump skips when it is true.
    pub jt: u8,
    /// How many it skips when it is false.
    pub jf: u8,
    /// The operand: a constant, an offset in bytes, a scratch word or a jump's distance.
    pub k: u32,
}

/// A filter: a classic BPF program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter(pub Vec<Insn>);

impl std::ops::Deref for Filter {
    type Target = [Insn];

    fn deref(&self) -> &[Insn] {
        &self.0
    }
}

impl From<Vec<Insn>> for Filter {
    fn from(insns: Vec<Insn>) -> Self {
        Self(insns)
    }
}

/// Bytes that are not a whole number of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are not a filter: instructions have 8, and the last is cut off")]
pub struct CutOff(pub usize);

impl Filter {
    /// The records as the kernel takes them: eight bytes an instruction, little-endian.
    ///
    /// ```
    /// use atlas_model::bpf::{self, Filter};
    /// let filter = Filter(vec![bpf::jeq(0x6e, 1, 2)]);
    /// assert_eq!(filter.to_bytes(), [0x15, 0, 1, 2, 0x6e, 0, 0, 0]);
    /// assert_eq!(Filter::from_bytes(&filter.to_bytes()), Ok(filter));
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let record = |insn: &Insn| {
            let ([c0, c1], [k0, k1, k2, k3]) = (insn.code.to_le_bytes(), insn.k.to_le_bytes());
            [c0, c1, insn.jt, insn.jf, k0, k1, k2, k3]
        };
        self.iter().flat_map(record).collect()
    }

    /// Reads records as [`Filter::to_bytes`] writes them.
    ///
    /// # Errors
    /// [`CutOff`] when the last record is not whole.
    ///
    /// ```
    /// use atlas_model::bpf::Filter;
    /// let error = Filter::from_bytes(&[0x06, 0, 0]).unwrap_err();
    /// assert_eq!(error.to_string(), "3 bytes are not a filter: instructions have 8, and the last is cut off");
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CutOff> {
        if !bytes.len().is_multiple_of(8) {
            return Err(CutOff(bytes.len()));
        }
        let insn = |record: &[u8]| Insn {
            code: u16::from_le_bytes([record[0], record[1]]),
            jt: record[2],
            jf: record[3],
            k: u32::from_le_bytes([record[4], record[5], record[6], record[7]]),
        };
        Ok(Self(bytes.chunks_exact(8).map(insn).collect()))
    }
}

/// What differs between kernels in how they read a filter. The default is the newest kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dialect {
    /// XOR is accepted, as since 3.10 (kernel/seccomp.c seccomp_check_filter).
    pub xor: bool,
    /// Shifts by constants of 32 and more are accepted, as before 4.5 (net/core/filter.c
    /// bpf_check_classic). They shift by the constant modulo 32.
    pub wide_shift: bool,
    /// Division by a constant goes through a reciprocal, as before 3.13 (net/core/filter.c
    /// sk_chk_filter). It is wrong for some dividends, and gives 0 for the divisor 1.
    pub reciprocal_division: bool,
    /// What the limit of a chain counts.
    pub chain_unit: ChainUnit,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            xor: true,
            wide_shift: false,
            reciprocal_division: false,
            chain_unit: ChainUnit::EbpfPrologue3,
        }
    }
}
