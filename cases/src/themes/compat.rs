//! What a call by one ABI leaves behind for the next by another: compat state that must not leak.

use crate::case::{case, is, staged};
use crate::listener;
use crate::{Case, Script, waiting};
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
        observe_attach,
        |traits: &Traits| {
            // Where the compat layout has its pointer the native one has its padding.
            let null = if traits.shows(Quirk::NullInsnsFault) { -14 } else { -22 };
            let call = traits.has(Feature::SeccompSyscall);
            let behind = |attached: bool| if attached { -7 } else { 1 };
            vec![
                is("prctl, native layout", null),
                is("prctl", 0),
                is("prctl: getppid by i386", -7),
                is("prctl: getppid", -7),
                is("seccomp", if call { 0 } else { -38 }),
                is("seccomp: getppid by i386", behind(call)),
                is("seccomp: getppid", behind(call)),
            ]
        },
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

/// By an i386 call, from the scratch area, which lies below 4 GiB as its pointers must.
fn observe_attach(stage: &Stage) {
    use crate::script::SCRATCH;
    let word = |at: u64, value: u32| {
        // SAFETY: the scratch area is mapped, writable and longer than what is put there.
        unsafe { (at as *mut u32).write(value) }
    };
    let filter = Filter(vec![
        bpf::ld(offset::NR),
        // getppid of x86-64 and of i386.
        bpf::jeq(110, 1, 0),
        bpf::jeq(64, 0, 1),
        bpf::ret(Action::Errno(7)),
        bpf::ret(Action::Allow),
    ]);
    let (compat, native, insns) = (SCRATCH, SCRATCH + 32, SCRATCH + 64);
    for (insn, at) in filter.iter().zip((insns..).step_by(8)) {
        word(at, u32::from(insn.code) | u32::from(insn.jt) << 16 | u32::from(insn.jf) << 24);
        word(at + 4, insn.k);
    }
    for (place, pointer) in [(compat, 4), (native, 8)] {
        (0..4).for_each(|index| word(place + 4 * index, 0));
        word(place, filter.len() as u32);
        word(place + pointer, insns as u32);
    }
    let by_i386 = |nr: u64, args: [u64; 3]| {
        let args = [args[0], args[1], args[2], 0, 0, 0];
        // SAFETY: the kernel reads the scratch area at most.
        unsafe { atlas_edge::stub::call(&atlas_model::Call { abi: Abi::I386, nr, args }) }
    };
    let _ = sys::no_new_privs();
    // i386's prctl, seccomp and getppid are 172, 354 and 64. The children's parent is none of them.
    stage.fact("prctl, native layout", by_i386(172, [22, 2, native]));
    let one_if_pid = |value: i64| if value > 0 { 1 } else { value };
    for (nr, args, names) in [
        (172, [22, 2, compat], ["prctl", "prctl: getppid by i386", "prctl: getppid"]),
        (354, [1, 0, compat], ["seccomp", "seccomp: getppid by i386", "seccomp: getppid"]),
    ] {
        let _ = stage.child(|stage| {
            stage.fact(names[0], by_i386(nr, args));
            stage.fact(names[1], one_if_pid(by_i386(64, [0; 3])));
            stage.fact(names[2], one_if_pid(sys::number(libc::SYS_getppid, [0; 6])));
        });
    }
}

/// Shared with the probe: ID_VALID of an id that nothing has.
pub(crate) fn observe_ioctl(stage: &Stage) {
    let _ = sys::no_new_privs();
    let listener = listener::attach(&Filter(vec![bpf::ret(Action::Allow)]), 0);
    let native = listener::id_valid(listener as i32, 0);
    // i386's ioctl is 54; the scratch area lies below 4 GiB, and what stands there is no id.
    let args = [listener as u64, listener::ID_VALID, crate::script::SCRATCH, 0, 0, 0];
    // SAFETY: the request reads eight bytes of the scratch area.
    let by_i386 = unsafe { atlas_edge::stub::call(&atlas_model::Call { abi: Abi::I386, nr: 54, args }) };
    stage.fact("native", native);
    stage.fact("by i386", by_i386);
}

/// Answers number 39 of i386 with an errno, and of x86-64 nothing.
fn attach() {
    let _ = sys::no_new_privs();
    let _ = sys::install_by_prctl(&Filter(vec![
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::I386.audit_arch(), 0, 3),
        bpf::ld(offset::NR),
        bpf::jeq(GETPID, 0, 1),
        bpf::ret(Action::Errno(7)),
        bpf::ret(Action::Allow),
    ]));
}

/// A native getpid: 1 where it came to a pid, else the errno negated.
fn native() -> i64 {
    match sys::number(GETPID.into(), [0; 6]) {
        pid if pid > 0 => 1,
        errno => errno,
    }
}

/// An i386 call without arguments, in place: a fork must not share a stack page with its maker's stub.
fn int80(nr: i64) -> i64 {
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
