//! Arguments: filters see all 64 bits of each of the six.

use crate::case::{both, case};
use crate::{Case, Script};
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Insn};
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action, Experiment};

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
];
