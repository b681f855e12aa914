//! Entries: which arch and number filters see, and what slips past those that look at one only.

use crate::case::case;
use crate::{Case, Script};
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Insn};
use atlas_model::experiment::layout;
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const I386: &[Feature] = &[Feature::ModeFilter, Feature::AbiI386];
const GETPPID: u32 = 110;

/// Answers every call whose data has a value in a word with an errno.
fn on_word(at: u32, value: u32, errno: u16) -> Vec<Insn> {
    vec![bpf::ld(at), bpf::jeq(value, 0, 1), bpf::ret(Action::Errno(errno)), bpf::ret(Action::Allow)]
}

pub(crate) const CASES: &[Case] = &[
    case(
        "abi::arch_of_native_calls",
        "Calls by the syscall instruction carry AUDIT_ARCH_X86_64.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(on_word(offset::ARCH, Abi::X86_64.audit_arch(), 86))
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "abi::arch_of_i386_calls",
        "Calls by int 0x80 carry AUDIT_ARCH_I386, also from a 64-bit task.",
        I386,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(on_word(offset::ARCH, Abi::I386.audit_arch(), 38))
                .call("getppid", [])
                .by(Abi::I386)
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "abi::filter_without_arch_check",
        "A filter on the native number alone is passed by the i386 one, and hits another call there.",
        I386,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(on_word(offset::NR, GETPPID, 1))
                .call("getppid", [])
                .by(Abi::I386)
                .call("getppid", [])
                .number(GETPPID.into(), [])
                .done()
        },
    ),
    case(
        "abi::x32_number_is_another",
        "A filter on the native number is passed by the x32 one; kernels without x32 answer ENOSYS.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(on_word(offset::NR, GETPPID, 1))
                .call("getppid", [])
                .by(Abi::X32)
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "abi::x32_is_judged_first",
        "Filters see the x32 number, with its bit, even where the kernel has no x32.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(on_word(offset::NR, GETPPID | Abi::X32_BIT, 32))
                .call("getppid", [])
                .by(Abi::X32)
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "abi::x32_by_range",
        "The guard that libraries use: every number from the x32 bit on.",
        NEEDS,
        |abi| {
            let guard = vec![
                bpf::ld(offset::NR),
                bpf::jge(Abi::X32_BIT, 0, 1),
                bpf::ret(Action::Errno(2)),
                bpf::ret(Action::Allow),
            ];
            Script::new(abi)
                .no_new_privs()
                .filter(guard)
                .call("getppid", [])
                .by(Abi::X32)
                .call("getppid", [])
                .number(Abi::X32_BIT.into(), [])
                .number(0x7fff_ffff, [])
                .number(0xffff_ffff, [])
                .done()
        },
    ),
    case(
        "abi::number_minus_one",
        "Number -1 is judged like any other, and is ENOSYS where it is allowed.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .number(u64::MAX, [])
                .number(0xffff_ffff, [])
                .filter(on_word(offset::NR, u32::MAX, 9))
                .number(u64::MAX, [])
                .number(0xffff_ffff, [])
                .done()
        },
    ),
    case(
        "abi::numbers_beyond_the_table",
        "Numbers that no call has: ENOSYS where allowed, judged all the same.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .number(1023, [])
                .number(100_000, [])
                .filter(on_word(offset::NR, 100_000, 3))
                .number(1023, [])
                .number(100_000, [])
                .done()
        },
    ),
    case(
        "abi::bits_above_31_of_the_number",
        "Filters see the lower half of the register; what the kernel does with the rest has changed in 5.14.",
        NEEDS,
        |abi| {
            let high = 1 << 32 | u64::from(GETPPID);
            Script::new(abi)
                .number(high, [])
                .no_new_privs()
                .filter(on_word(offset::NR, GETPPID, 4))
                .number(high, [])
                .number(u64::from(GETPPID), [])
                .done()
        },
    ),
    case(
        "abi::bits_above_31_of_an_allowed_number",
        "Where a filter allows the lower half, that is the call that runs, also where the kernel refuses the whole unfiltered.",
        NEEDS,
        |abi| {
            let high = 1 << 32 | u64::from(GETPPID);
            Script::new(abi)
                .no_new_privs()
                .filter(on_word(offset::NR, 9_999, 4))
                .number(high, [])
                .number(u64::from(GETPPID), [])
                .done()
        },
    ),
    case(
        "abi::instruction_pointer",
        "Filters see the address after the instruction, both halves.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .fork(1)
                .filter(Script::computing(
                    abi,
                    &[
                        bpf::ld(offset::IP_LOW),
                        bpf::jeq(layout::SYSCALL_IP as u32, 0, 1),
                        bpf::ret(Action::Errno(1)),
                        bpf::imm(0x0005_0002),
                    ],
                ))
                .call("getppid", [])
                .task(1)
                .filter(Script::computing(
                    abi,
                    &[
                        bpf::ld(offset::IP_HIGH),
                        bpf::jeq((layout::SYSCALL_IP >> 32) as u32, 0, 1),
                        bpf::ret(Action::Errno(1)),
                        bpf::imm(0x0005_0002),
                    ],
                ))
                .call("getppid", [])
                .done()
        },
    ),
    case("abi::instruction_pointer_of_int80", "And that after int 0x80.", I386, |_| {
        let abi = Abi::I386;
        Script::new(abi)
            .no_new_privs()
            .filter(Script::computing(
                abi,
                &[
                    bpf::ld(offset::IP_LOW),
                    bpf::jeq(layout::INT80_IP as u32, 0, 1),
                    bpf::ret(Action::Errno(1)),
                    bpf::imm(0x0005_0002),
                ],
            ))
            .call("getppid", [])
            .done()
    }),
    case("abi::uretprobe_is_exempt", "Call 335 cannot be filtered since 6.14.", NEEDS, |abi| {
        Script::new(abi).no_new_privs().filter(on_word(offset::NR, 335, 7)).number(335, []).done()
    }),
    case("abi::uprobe_is_exempt", "Call 336 cannot be filtered since 6.18.", NEEDS, |abi| {
        Script::new(abi).no_new_privs().filter(on_word(offset::NR, 336, 7)).number(336, []).done()
    }),
    case(
        "abi::uretprobe_in_strict_mode",
        "The exemption of 335 holds in strict mode too.",
        &[Feature::ModeStrict],
        |abi| Script::new(abi).strict().number(335, []).done(),
    ),
    case(
        "abi::exempt_numbers_by_i386",
        "The exemption is the native entry's: i386 has nothing at 335.",
        I386,
        |_| Script::new(Abi::I386).no_new_privs().filter(on_word(offset::NR, 335, 7)).number(335, []).done(),
    ),
];
