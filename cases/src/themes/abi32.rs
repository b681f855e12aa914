//! Entries that 32-bit programs alone have: sysenter and AMD's 32-bit syscall
//! (arch/x86/entry/entry_64_compat.S), beside int $0x80 from 32-bit code.

use crate::case::{is, staged};
use crate::program32::{self, BASE, Entry};
use crate::{Case, Fact};
use atlas_edge::Stage;
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Insn};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action};

const INT80: &[Feature] = &[Feature::ModeFilter, Entry::Int80.needs()];
const SYSENTER: &[Feature] = &[Feature::ModeFilter, Entry::Sysenter.needs()];
const SYSCALL: &[Feature] = &[Feature::ModeFilter, Entry::Syscall.needs()];
const SIGSYS: i64 = 1031;
const SIGSEGV: i64 = 1011;

macro_rules! entry {
    ($name:literal, $about:literal, $needs:ident, $entry:ident, $address:literal) => {
        staged($name, $about, $needs, |stage| observe(stage, Entry::$entry), |_: &Traits| facts($address))
    };
}

pub(crate) const CASES: &[Case] = &[
    entry!(
        "abi::int80_of_32_bit_code",
        "A 32-bit program's int 0x80 carries AUDIT_ARCH_I386, i386's number, and the address behind it.",
        INT80,
        Int80,
        7
    ),
    entry!(
        "abi::sysenter",
        "So does sysenter from 32-bit code, but for the address: it lies in the vDSO, not in the program.",
        SYSENTER,
        Sysenter,
        8
    ),
    entry!(
        "abi::syscall_of_32_bit_code",
        "And so does the syscall instruction in 32-bit code: by its arch it is no native call.",
        SYSCALL,
        Syscall,
        8
    ),
    staged(
        "abi::sysenter_without_a_stack",
        "sysenter takes its sixth argument from the stack before filters are asked: where there is none a kill does not come.",
        SYSENTER,
        |stage| {
            let kill = || Some(on_call(Abi::I386, vec![bpf::ret(Action::KillThread)]));
            stage.fact("with a stack", program32::run(stage, Entry::Sysenter, kill()));
            stage.fact("without", program32::run(stage, Entry::SysenterNowhere, kill()));
        },
        // The call comes back, and what it comes back to needs the stack.
        |_: &Traits| vec![is("with a stack", SIGSYS), is("without", SIGSEGV)],
    ),
];

fn facts(address: i64) -> Vec<Fact> {
    vec![
        is("no filter", 0),
        is("arch and number", 7),
        is("number alone", 7),
        is("native arch", 0),
        is("address", address),
        is("sixth argument", 9),
        is("killed", SIGSYS),
    ]
}

/// A filter that answers the program's call with what `last` decides, and allows everything else.
fn on_call(arch: Abi, mut last: Vec<Insn>) -> Vec<Insn> {
    let skip = last.len() as u8;
    let mut filter = vec![
        bpf::ld(offset::ARCH),
        bpf::jeq(arch.audit_arch(), 0, skip + 2),
        bpf::ld(offset::NR),
        bpf::jeq(program32::call(), 0, skip),
    ];
    filter.append(&mut last);
    filter.push(bpf::ret(Action::Allow));
    filter
}

fn observe(stage: &Stage, entry: Entry) {
    let errno = |errno| bpf::ret(Action::Errno(errno));
    stage.fact("no filter", program32::run(stage, entry, None));
    let tell = |name, filter| stage.fact(name, program32::run(stage, entry, Some(filter)));
    tell("arch and number", on_call(Abi::I386, vec![errno(7)]));
    // i386's getuid is the native sched_yield, which nothing here needs.
    let number =
        vec![bpf::ld(offset::NR), bpf::jeq(program32::call(), 0, 1), errno(7), bpf::ret(Action::Allow)];
    tell("number alone", number);
    tell("native arch", on_call(Abi::X86_64, vec![errno(7)]));
    let within = vec![
        bpf::ld(offset::IP_LOW),
        bpf::alu(bpf::op::AND, !0xfff),
        bpf::jeq(BASE, 0, 1),
        errno(7),
        errno(8),
    ];
    tell("address", on_call(Abi::I386, within));
    // The fast entries carry it on the program's stack (arch/x86/entry/common.c do_fast_syscall_32).
    let sixth = vec![bpf::ld(offset::arg_low(5)), bpf::jeq(program32::SIXTH, 0, 1), errno(9), errno(10)];
    tell("sixth argument", on_call(Abi::I386, sixth));
    tell("killed", on_call(Abi::I386, vec![bpf::ret(Action::KillThread)]));
}
