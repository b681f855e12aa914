//! What a call by one ABI leaves behind for the next by another: compat state that must not leak.

use crate::attached;
use crate::case::{case, is, named, staged};
use crate::listener;
use crate::script::SCRATCH;
use crate::{Case, Fact, Script, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Abi, Action, Filter, bpf};
use std::sync::atomic::Ordering::SeqCst;

/// getpid by x86-64, which is mkdir by i386.
const GETPID: u32 = 39;

pub(crate) const CASES: &[Case] = &[
    staged(
        "abi::native_call_after_an_i386_fork",
        "The child of an i386 fork makes its native calls under the native arch; before 4.0 the first went by i386's (CVE-2015-2830).",
        &[Feature::ModeFilter, Feature::AbiI386],
        observe_fork,
        |traits: &Traits| {
            let leaked = if traits.shows(Quirk::ForkLeaksArch) { -7 } else { 1 };
            vec![is("fork", 1), is("child's native call", leaked)]
        },
    ),
    staged(
        "abi::native_call_after_an_i386_call",
        "A native call right after an i386 one is judged by the native arch, in the same task.",
        &[Feature::ModeFilter, Feature::AbiI386],
        |stage| {
            attach();
            // i386's getpid is 20.
            stage.fact("i386", (int80(20) > 0).into());
            stage.fact("native", native());
        },
        |_: &Traits| vec![is("i386", 1), is("native", 1)],
    ),
    staged(
        "abi::attach_by_i386",
        "An i386 call attaches a filter by the compat layout of sock_fprog, and the filter judges both ABIs.",
        &[Feature::ModeFilter, Feature::AbiI386],
        |stage| attach_by(stage, &I386),
        |traits: &Traits| attached_by(&I386, traits),
    ),
    staged(
        "abi::attach_by_x32",
        "So does an x32 call, though it is made from 64-bit code: x32's pointers have 32 bits.",
        &[Feature::ModeFilter, Feature::AbiX32],
        |stage| attach_by(stage, &X32),
        |traits: &Traits| attached_by(&X32, traits),
    ),
    staged(
        "notify::ioctl_by_i386",
        "A 32-bit supervisor's ioctl reaches the listener; before 5.7 it was ENOTTY.",
        &[Feature::NotifIdValid, Feature::AbiI386],
        observe_ioctl,
        |traits: &Traits| {
            vec![
                is("native", -2),
                is("by i386", if traits.shows(Quirk::ListenerNoCompat) { -25 } else { -2 }),
            ]
        },
    ),
    case(
        "abi::x32_only_numbers_without_the_bit",
        "Numbers 512 to 547 are x32's own and nothing without its bit; before 5.4 a kernel with x32 ran them.",
        &[Feature::ModeFilter],
        |abi| {
            let script = Script::new(abi).no_new_privs().number(512, []).number(521, []).number(547, []);
            let filter = vec![
                bpf::ld(offset::NR),
                bpf::jeq(521, 0, 1),
                bpf::ret(Action::Errno(7)),
                bpf::ret(Action::Allow),
            ];
            script.filter(filter).number(521, []).number(520, []).done()
        },
    ),
];

/// An ABI with the compat layouts (kernel/seccomp.c seccomp_prepare_user_filter), and its numbers of three calls.
struct Compat {
    abi: Abi,
    prctl: u32,
    seccomp: u32,
    getppid: u32,
}

const I386: Compat = Compat { abi: Abi::I386, prctl: 172, seccomp: 354, getppid: 64 };
const X32: Compat = Compat {
    abi: Abi::X32,
    prctl: Abi::X32_BIT | 157,
    seccomp: Abi::X32_BIT | 317,
    getppid: Abi::X32_BIT | 110,
};
const NATIVE_GETPPID: u32 = 110;

fn attached_by(by: &Compat, traits: &Traits) -> Vec<Fact> {
    // Where the compat layout has its pointer the native one has its padding.
    let null = if traits.shows(Quirk::NullInsnsFault) { -14 } else { -22 };
    let facts_of = |call: &str, result: i64| {
        let behind = if result == 0 { -7 } else { 1 };
        [(String::new(), result), (format!(": getppid by {}", by.abi), behind), (": getppid".into(), behind)]
            .map(|(what, value)| named(format!("{call}{what}"), value))
    };
    let seccomp = if traits.has(Feature::SeccompSyscall) { 0 } else { -38 };
    let first = is("prctl, native layout", null);
    [vec![first], facts_of("prctl", 0).into(), facts_of("seccomp", seccomp).into()].concat()
}

/// Puts a word into the scratch area, which lies below 4 GiB as pointers of these ABIs must.
pub(super) fn put(at: u64, value: u32) {
    // SAFETY: the scratch area is mapped and writable, and callers stay in it.
    unsafe { (at as *mut u32).write(value) }
}

/// Makes a call by an ABI with at most three arguments, of which pointers are to the scratch area.
pub(super) fn call(abi: Abi, nr: u32, args: [u64; 3]) -> i64 {
    let args = [args[0], args[1], args[2], 0, 0, 0];
    // SAFETY: the kernel reads and writes the scratch area at most.
    unsafe { atlas_edge::stub::call(&atlas_model::Call { abi, nr: nr.into(), args }) }
}

fn attach_by(stage: &Stage, by: &Compat) {
    let filter = Filter(vec![
        bpf::ld(offset::NR),
        bpf::jeq(NATIVE_GETPPID, 1, 0),
        bpf::jeq(by.getppid, 0, 1),
        bpf::ret(Action::Errno(7)),
        bpf::ret(Action::Allow),
    ]);
    let (compat, native, insns) = (SCRATCH, SCRATCH + 32, SCRATCH + 64);
    for (insn, at) in filter.iter().zip((insns..).step_by(8)) {
        put(at, u32::from(insn.code) | u32::from(insn.jt) << 16 | u32::from(insn.jf) << 24);
        put(at + 4, insn.k);
    }
    for (place, pointer) in [(compat, 4), (native, 8)] {
        (0..4).for_each(|index| put(place + 4 * index, 0));
        put(place, filter.len() as u32);
        put(place + pointer, insns as u32);
    }
    let called = |nr: u32, args: [u64; 3]| call(by.abi, nr, args);
    let _ = sys::no_new_privs();
    stage.fact("prctl, native layout", called(by.prctl, [22, 2, native]));
    // The children's parent has none of these errnos for a pid.
    let one_if_pid = |value: i64| if value > 0 { 1 } else { value };
    for (name, nr, args) in [("prctl", by.prctl, [22, 2, compat]), ("seccomp", by.seccomp, [1, 0, compat])] {
        let _ = stage.child(|stage| {
            stage.fact(name, called(nr, args));
            stage.fact(&format!("{name}: getppid by {}", by.abi), one_if_pid(called(by.getppid, [0; 3])));
            stage.fact(&format!("{name}: getppid"), one_if_pid(sys::number(libc::SYS_getppid, [0; 6])));
        });
    }
}

/// Shared with the probe: ID_VALID of an id that nothing has.
pub(crate) fn observe_ioctl(stage: &Stage) {
    let _ = sys::no_new_privs();
    let listener = listener::attach(&Filter(vec![bpf::ret(Action::Allow)]), 0);
    let native = listener::id_valid(listener as i32, 0);
    // i386's ioctl is 54; the scratch area lies below 4 GiB, and what stands there is no id.
    let by_i386 = call(Abi::I386, 54, [listener as u64, listener::ID_VALID, SCRATCH]);
    stage.fact("native", native);
    stage.fact("by i386", by_i386);
}

/// Answers number 39 of i386 with an errno, and of x86-64 nothing.
fn attach() {
    attached::attach(vec![
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::I386.audit_arch(), 0, 3),
        bpf::ld(offset::NR),
        bpf::jeq(GETPID, 0, 1),
        bpf::ret(Action::Errno(7)),
        bpf::ret(Action::Allow),
    ]);
}

/// A native getpid: 1 where it came to a pid, else the errno negated.
fn native() -> i64 {
    match sys::number(GETPID.into(), [0; 6]) {
        pid if pid > 0 => 1,
        errno => errno,
    }
}

/// An i386 call without arguments, in place: a fork must not share a stack page with its maker's stub.
pub(super) fn int80(nr: i64) -> i64 {
    let result: i64;
    // SAFETY: callers make calls without pointers. Old kernels clear r8 to r11.
    unsafe {
        core::arch::asm!("int 0x80", inlateout("rax") nr => result,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _);
    }
    i64::from(result as i32)
}

/// Shared with the probe of the leak.
pub(crate) fn observe_fork(stage: &Stage) {
    let said = waiting::shared_number();
    attach();
    // i386's fork is 2. The child makes no other call first.
    let pid = int80(2);
    if pid == 0 {
        said.store(native(), SeqCst);
        sys::exit(0)
    }
    let _ = sys::wait_for(pid as i32, libc::__WALL);
    stage.fact("fork", (pid > 0).into());
    stage.fact("child's native call", said.load(SeqCst));
}
