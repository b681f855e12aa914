//! Numbers at which something changes.
//!
//! Each is made of a few plain integers, the first of which says how: a union of strategies would cost
//! several times as much to draw from, and these are drawn from by the dozen.

use crate::abi::{Abi, syscalls};
use proptest::prelude::*;
use std::sync::LazyLock;

/// Words: 0, 1, the edges of signed and unsigned numbers, powers of two and their neighbours, any.
pub fn word() -> impl Strategy<Value = u32> + Clone {
    (0..10_u8, any::<u32>()).prop_map(|(how, bits)| word_of(how, bits))
}

const WORDS: [u32; 11] =
    [0, 1, 2, 0xff, 0xffff, 0x7fff_fffe, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_fffe, u32::MAX];

fn word_of(how: u8, bits: u32) -> u32 {
    match how % 10 {
        0..3 => bits % 10,
        3..7 => among(&WORDS, bits),
        7..9 => (1_u32 << (bits % 32)).wrapping_add(bits >> 5 & 3).wrapping_sub(1),
        _ => bits,
    }
}

fn among<T: Copy>(of: &[T], bits: u32) -> T {
    of[bits as usize % of.len()]
}

/// Values of 64 bits: as [`word()`], also in the upper half, around 2^32 and 2^63, and with both halves
/// set.
pub fn long() -> impl Strategy<Value = u64> + Clone {
    (0..100_u8, any::<u64>()).prop_map(|(how, bits)| long_of(how, bits))
}

const LONGS: [u64; 12] = [
    1 << 32,
    (1 << 32) - 1,
    (1 << 32) + 1,
    1 << 31,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 1,
    u64::MAX - 1,
    u64::MAX,
    0xffff_ffff_0000_0000,
    0xffff_ffff_8000_0000,
    0x0000_0001_ffff_ffff,
];

fn long_of(how: u8, bits: u64) -> u64 {
    let (low, high) = (bits as u32, (bits >> 32) as u32);
    match how {
        0..40 => word_of(how, low).into(),
        40..70 => among(&LONGS, low),
        70..80 => u64::from(word_of(how, low)) << 32,
        80..95 => u64::from(word_of(how, high)) << 32 | u64::from(word_of(high as u8, low)),
        _ => bits,
    }
}

/// Six arguments of a call, many of them 0.
pub fn arguments() -> impl Strategy<Value = [u64; 6]> + Clone {
    any::<[(u8, u64); 6]>().prop_map(|drawn| {
        drawn.map(|(how, bits)| match how {
            0..100 => 0,
            _ => long_of((how - 100) % 100, bits),
        })
    })
}

/// Names of calls that do no harm in any process, do not block, and whose result the model knows;
/// `close` does so for a descriptor that is not open.
pub const HARMLESS: [&str; 7] = ["getpid", "gettid", "getppid", "getuid", "geteuid", "sched_yield", "close"];

/// What the table says of an ABI: numbers of the harmless calls, and of all.
struct Known {
    harmless: Vec<u32>,
    all: Vec<u32>,
}

fn known(abi: Abi) -> &'static Known {
    static KNOWN: LazyLock<[Known; 3]> = LazyLock::new(|| {
        Abi::ALL.map(|abi| {
            let base = base(abi);
            Known {
                harmless: HARMLESS.iter().filter_map(|name| syscalls::number(abi, name)).collect(),
                all: (base..base + 1024).filter(|&nr| syscalls::name(abi, nr).is_some()).collect(),
            }
        })
    });
    let index = Abi::ALL.iter().position(|&other| other == abi).unwrap_or(0);
    &KNOWN[index]
}

/// The bits that every number of the ABI carries.
const fn base(abi: Abi) -> u32 {
    match abi {
        Abi::X32 => Abi::X32_BIT,
        Abi::X86_64 | Abi::I386 => 0,
    }
}

/// A number of a call by an ABI: of the harmless ones, of the whole table, or at an edge. x32's carry
/// [`Abi::X32_BIT`], x86-64's never do.
pub fn number(abi: Abi) -> impl Strategy<Value = u32> + Clone {
    (0..9_u8, any::<u32>()).prop_map(move |(how, bits)| number_of(abi, how, bits))
}

/// Around the ends of the tables, and of what is x86-64's.
const NUMBERS: [u32; 9] = [0, 1, 511, 512, 1023, 1024, 0x1fff_ffff, 0x3fff_fffe, 0x3fff_ffff];

fn number_of(abi: Abi, how: u8, bits: u32) -> u32 {
    match how % 9 {
        0..4 => among(&known(abi).harmless, bits),
        4..7 => among(&known(abi).all, bits),
        7 => base(abi) | among(&NUMBERS, bits),
        _ => base(abi) | bits & 0x3fff_ffff,
    }
}

/// The number of a call that does no harm.
pub(super) fn harmless_number(abi: Abi) -> impl Strategy<Value = u32> + Clone {
    any::<u8>().prop_map(move |bits| among(&known(abi).harmless, bits.into()))
}

/// A number as some filter may compare it, by any ABI or none.
pub fn any_number() -> impl Strategy<Value = u32> + Clone {
    (any::<u8>(), any::<u32>()).prop_map(|(how, bits)| any_number_of(how, bits))
}

/// Where x32 begins and ends, the sign bit, and -1.
const STRANGE: [u32; 7] =
    [0x4000_0000, 0x4000_0027, 0x7fff_ffff, 0x8000_0000, 0xc000_0000, 0xffff_fffe, u32::MAX];

pub(super) fn any_number_of(how: u8, bits: u32) -> u32 {
    match how {
        0..160 => number_of(Abi::X86_64, how, bits),
        160..205 => number_of(Abi::I386, how, bits),
        205..241 => number_of(Abi::X32, how, bits),
        241..250 => among(&STRANGE, bits),
        _ => bits,
    }
}
