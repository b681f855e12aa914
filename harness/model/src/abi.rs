//! The calling conventions of x86-64 kernels, and `struct seccomp_data`.

pub mod syscalls;
mod table_i386;
mod table_widths;
mod table_x86_64;

use crate::mutant::{Mutant, is};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A calling convention by which a task enters the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Abi {
    /// The `syscall` instruction with a native number.
    X86_64,
    /// `int $0x80` with an i386 number, by which 64-bit tasks too can call.
    I386,
    /// The `syscall` instruction with a number that carries [`Abi::X32_BIT`].
    X32,
}

impl Abi {
    /// Every ABI.
    pub const ALL: [Self; 3] = [Self::X86_64, Self::I386, Self::X32];
    /// The bit that marks an x32 call (`__X32_SYSCALL_BIT`, arch/x86/include/uapi/asm/unistd.h).
    pub const X32_BIT: u32 = 0x4000_0000;

    /// `AUDIT_ARCH_*` as filters see it (include/uapi/linux/audit.h). x32 calls carry the one of
    /// x86-64: only the number tells them apart (seccomp(2), "Caveats").
    ///
    /// ```
    /// use atlas_model::Abi;
    /// assert_eq!(Abi::X32.audit_arch(), Abi::X86_64.audit_arch());
    /// assert_ne!(Abi::I386.audit_arch(), Abi::X86_64.audit_arch());
    /// ```
    #[must_use]
    pub const fn audit_arch(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
        }
    }

    /// Whose a call is of which filters see this arch and this number. By the `syscall` instruction the kernel
    /// takes all numbers that carry the bit for x32's but -1, which it takes for no call at all
    /// (arch/x86/entry/common.c do_syscall_x64, do_syscall_64). `None` for an arch that is not this
    /// machine's.
    ///
    /// ```
    /// use atlas_model::Abi;
    /// let native = |nr| Abi::of(Abi::X86_64.audit_arch(), nr);
    /// assert_eq!((native(1), native(0x4000_0001), native(u32::MAX)), (Some(Abi::X86_64), Some(Abi::X32), Some(Abi::X86_64)));
    /// assert_eq!(Abi::of(Abi::I386.audit_arch(), 0x4000_0001), Some(Abi::I386));
    /// ```
    #[must_use]
    pub const fn of(arch: u32, nr: u32) -> Option<Self> {
        if arch == Self::I386.audit_arch() {
            Some(Self::I386)
        } else if arch != Self::X86_64.audit_arch() {
            None
        } else if nr & Self::X32_BIT != 0 && nr != u32::MAX {
            Some(Self::X32)
        } else {
            Some(Self::X86_64)
        }
    }

    /// Its name in reports, which [`str::parse`] takes back.
    ///
    /// ```
    /// use atlas_model::Abi;
    /// assert!(Abi::ALL.into_iter().all(|abi| abi.name().parse() == Ok(abi)));
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::I386 => "i386",
            Self::X32 => "x32",
        }
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no ABI's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an ABI: x86-64, i386 and x32 are")]
pub struct UnknownAbi(String);

impl std::str::FromStr for Abi {
    type Err = UnknownAbi;

    fn from_str(name: &str) -> Result<Self, UnknownAbi> {
        let unknown = || UnknownAbi(name.chars().take(32).collect());
        // As policies of others write it.
        let ours = if name.eq_ignore_ascii_case("x86_64") { Self::X86_64.name() } else { name };
        Self::ALL.into_iter().find(|abi| abi.name() == ours).ok_or_else(unknown)
    }
}

/// What a filter sees of a call: `struct seccomp_data` (include/uapi/linux/seccomp.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SeccompData {
    /// The call's number; the kernel's field is a signed `int` of the same bits.
    pub nr: u32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Address after the instruction that made the call.
    pub instruction_pointer: u64,
    /// The six argument registers.
    pub args: [u64; 6],
}

impl SeccompData {
    /// Its length in bytes, which is what `BPF_LEN` loads.
    pub const LEN: u32 = 64;

    /// The 32-bit word at a byte offset, as `BPF_LD | BPF_W | BPF_ABS` loads it. `None` for offsets
    /// that the checker refuses: beyond the end, or not a multiple of four.
    ///
    /// ```
    /// use atlas_model::abi::{SeccompData, offset};
    /// let data = SeccompData { args: [0x1_0000_0002, 0, 0, 0, 0, 0], ..SeccompData::default() };
    /// assert_eq!(data.word(offset::arg_low(0)), Some(2));
    /// assert_eq!(data.word(offset::arg_high(0)), Some(1));
    /// assert_eq!(data.word(64), None);
    /// ```
    #[must_use]
    pub fn word(&self, at: u32) -> Option<u32> {
        if at >= Self::LEN || !at.is_multiple_of(4) {
            return None;
        }
        let ip = matches!(at, offset::IP_LOW | offset::IP_HIGH);
        let swapped = is(if ip { Mutant::IpHalvesSwapped } else { Mutant::ArgHalvesSwapped });
        let half = |field: u64| {
            let field = if swapped { field.rotate_left(32) } else { field };
            if at % 8 == offset::LOW_HALF { field as u32 } else { (field >> 32) as u32 }
        };
        Some(match at {
            offset::NR => self.nr,
            offset::ARCH => self.arch,
            offset::IP_LOW | offset::IP_HIGH => half(self.instruction_pointer),
            argument => half(self.args[(argument as usize - 16) / 8]),
        })
    }
}

/// Byte offsets in [`SeccompData`], for `LD | W | ABS`.
///
/// This is the one place that knows the byte order. Where it is big-endian, the two halves change
/// places; the kernel leaves that to the filters (kernel/seccomp.c populate_seccomp_data).
pub mod offset {
    /// Where the lower half of a 64-bit field lies within it.
    pub(super) const LOW_HALF: u32 = 0;
    /// Where its upper half lies.
    const HIGH_HALF: u32 = 4;

    /// `nr`.
    pub const NR: u32 = 0;
    /// `arch`.
    pub const ARCH: u32 = 4;
    /// Lower half of `instruction_pointer`.
    pub const IP_LOW: u32 = 8 + LOW_HALF;
    /// Upper half of `instruction_pointer`.
    pub const IP_HIGH: u32 = 8 + HIGH_HALF;

    /// Lower half of an argument, counted from 0 to 5.
    ///
    /// ```
    /// use atlas_model::abi::offset;
    /// assert_eq!((offset::arg_low(1), offset::arg_high(1)), (24, 28));
    /// ```
    #[must_use]
    pub const fn arg_low(index: u32) -> u32 {
        16 + 8 * index + LOW_HALF
    }

    /// Upper half of an argument, counted from 0 to 5.
    #[must_use]
    pub const fn arg_high(index: u32) -> u32 {
        16 + 8 * index + HIGH_HALF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_data() {
        let mut data = SeccompData { nr: 0, arch: 1, instruction_pointer: 0x3_0000_0002, args: [0; 6] };
        for (index, arg) in (0_u64..).zip(&mut data.args) {
            *arg = (5 + 2 * index) << 32 | (4 + 2 * index);
        }
        let words: Vec<_> = (0..SeccompData::LEN).map(|at| data.word(at)).collect();
        for (at, word) in (0_u32..).zip(words) {
            assert_eq!(word, (at % 4 == 0).then_some(at / 4), "offset {at}");
        }
        assert_eq!(data.word(SeccompData::LEN), None);
        assert_eq!(data.word(u32::MAX - 3), None);
    }

    #[test]
    fn names_that_are_an_abi_or_none() {
        assert_eq!("X86_64".parse(), Ok(Abi::X86_64));
        let error = "arm64".parse::<Abi>().unwrap_err();
        assert_eq!(error.to_string(), "`arm64` is not an ABI: x86-64, i386 and x32 are");
    }
}
