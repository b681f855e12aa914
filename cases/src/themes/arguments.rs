//! Arguments: filters see all 64 bits of each of the six.

use crate::case::{Want, both, case, is, staged};
use crate::{Case, Fact, Script};
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Insn};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, Experiment, Filter};

const NEEDS: &[Feature] = &[Feature::ModeFilter];

/// An answer for getppid when one word of the data has a value; another when it has not.
fn when(abi: Abi, at: u32, value: u32) -> Vec<Insn> {
    Script::computing(
        abi,
        &[
            bpf::ld(at),
            bpf::jeq(value, 0, 2),
            bpf::imm(Action::Errno(100).word()),
            bpf::ja(1),
            bpf::imm(Action::Errno(50).word()),
        ],
    )
}

/// Both halves of one argument, each matched, missed by one bit, and confused with the other half.
fn argument(abi: Abi, index: u32) -> Experiment {
    let (low, high) = (0x89ab_cdef_u64, 0xfedc_ba98_u64);
    let with = |value: u64| {
        let mut args = [0x1111_1111_2222_2222; 6];
        args[index as usize] = value;
        args
    };
    let asked = |script: Script| {
        script
            .call("getppid", with(high << 32 | low))
            .call("getppid", with(high << 32 | (low ^ 1)))
            .call("getppid", with((high ^ 0x8000_0000) << 32 | low))
            .call("getppid", with(low << 32 | high))
            .call("getppid", with(low))
    };
    let script = Script::new(abi).no_new_privs().fork(1);
    let script = asked(script.task(0).filter(when(abi, offset::arg_low(index), low as u32)));
    asked(script.task(1).filter(when(abi, offset::arg_high(index), high as u32))).done()
}

pub(crate) const CASES: &[Case] = &[
    both("arguments::first", "All 64 bits of the first argument.", NEEDS, |abi| argument(abi, 0)),
    both("arguments::second", "All 64 bits of the second argument.", NEEDS, |abi| argument(abi, 1)),
    both("arguments::third", "All 64 bits of the third argument.", NEEDS, |abi| argument(abi, 2)),
    both("arguments::fourth", "All 64 bits of the fourth argument.", NEEDS, |abi| argument(abi, 3)),
    both("arguments::fifth", "All 64 bits of the fifth argument.", NEEDS, |abi| argument(abi, 4)),
    both("arguments::sixth", "All 64 bits of the sixth argument.", NEEDS, |abi| argument(abi, 5)),
    case(
        "arguments::of_calls_that_take_none",
        "getppid takes no arguments, and filters see the registers all the same.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(when(abi, offset::arg_low(5), 7))
                .call("getppid", [0, 0, 0, 0, 0, 7])
                .done()
        },
    ),
    case(
        "arguments::upper_half_of_an_int",
        "A filter that compares all of an int parameter is passed by garbage above bit 31 (CVE-2019-10063).",
        NEEDS,
        |abi| {
            let tiocsti = 0x5412;
            let filter = vec![
                bpf::ld(offset::NR),
                bpf::jeq(16, 0, 5),
                bpf::ld(offset::arg_low(1)),
                bpf::jeq(tiocsti, 0, 3),
                bpf::ld(offset::arg_high(1)),
                bpf::jeq(0, 0, 1),
                bpf::ret(Action::Errno(1)),
                bpf::ret(Action::Allow),
            ];
            Script::new(abi)
                .no_new_privs()
                .filter(filter)
                .call("ioctl", [999, tiocsti.into()])
                .call("ioctl", [999, 1 << 32 | u64::from(tiocsti)])
                .done()
        },
    ),
    staged(
        "arguments::upper_half_cut_inside",
        "clone's flags, and descriptors that an entry takes as unsigned long, are cut to 32 bits further in.",
        NEEDS,
        observe_cut_inside,
        |_: &Traits| {
            let denied = |(name, ..): &Wide| is(name, -7);
            let around = |(name, ..): &Wide| Fact {
                name: format!("{name}, bit 40").into(),
                // preadv2 and pwritev2 came in 4.6.
                want: if name.ends_with('2') { Want::OneOf(&[1, -38]) } else { Want::Is(1) },
            };
            WIDE.iter().flat_map(|call| [denied(call), around(call)]).collect()
        },
    ),
];

/// A call, its number, and which of its arguments is cut.
type Wide = (&'static str, i64, usize);

const WIDE: [Wide; 8] = [
    ("clone", libc::SYS_clone, 0),
    ("mmap", libc::SYS_mmap, 4),
    ("writev", libc::SYS_writev, 0),
    ("pwritev", libc::SYS_pwritev, 0),
    ("pwritev2", libc::SYS_pwritev2, 0),
    ("preadv", libc::SYS_preadv, 0),
    ("preadv2", libc::SYS_preadv2, 0),
    ("readv", libc::SYS_readv, 0),
];

/// Each call, its argument denied as it is in all 64 bits, and then the same with a bit that is not.
fn observe_cut_inside(stage: &Stage) {
    let file = sys::open(c"/.upper", libc::O_RDWR | libc::O_CREAT) as u64;
    let _ = sys::number(libc::SYS_ftruncate, [file, 4096, 0, 0, 0, 0]);
    let mut byte = [0_u8; 8];
    let vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let vector = (&raw const vector) as u64;
    let args = |name: &str| match name {
        "clone" => [libc::SIGCHLD as u64, 0, 0, 0, 0, 0],
        "mmap" => [0, 4096, libc::PROT_READ as u64, libc::MAP_PRIVATE as u64, file, 0],
        _ => [file, vector, 1, 0, 0, 0],
    };
    let _ = sys::no_new_privs();
    for (name, nr, index) in WIDE {
        let mut args = args(name);
        let filter = Filter(vec![
            bpf::ld(offset::NR),
            bpf::jeq(nr as u32, 0, 5),
            bpf::ld(offset::arg_low(index as u32)),
            bpf::jeq(args[index] as u32, 0, 3),
            bpf::ld(offset::arg_high(index as u32)),
            bpf::jeq(0, 0, 1),
            bpf::ret(Action::Errno(7)),
            bpf::ret(Action::Allow),
        ]);
        let _ = sys::install_by_prctl(&filter);
        stage.fact(name, sys::number(nr, args));
        args[index] |= 1 << 40;
        let value = sys::number(nr, args);
        if (name, value) == ("clone", 0) {
            sys::exit(0)
        }
        // A pid, an address, or one byte.
        stage.fact(&format!("{name}, bit 40"), if value > 0 { 1 } else { value });
    }
    let _ = std::fs::remove_file("/.upper");
}
