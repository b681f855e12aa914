//! The vsyscall page: three old calls at fixed addresses, which the kernel emulates behind a page fault.
//!
//! The boot decides what is there (`vsyscall=` in Documentation/admin-guide/kernel-parameters.txt):
//! `none`, `xonly`, which can be called, or `emulate`, which can be read as well. What filters see of it
//! stands in Documentation/userspace-api/seccomp_filter.rst, Caveats, and in
//! arch/x86/entry/vsyscall/vsyscall_64.c emulate_vsyscall.

use crate::attached::attach;
use crate::case::{is, staged};
use crate::listener::{self, CONTINUE, Caller};
use crate::{Case, Fact, sigsys, tracee, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Insn};
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Action, Filter};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

/// The entries, and the numbers by which filters know them.
const GETTIMEOFDAY: (u64, u32) = (0xffff_ffff_ff60_0000, 96);
const TIME: (u64, u32) = (0xffff_ffff_ff60_0400, 201);
const GETCPU: (u64, u32) = (0xffff_ffff_ff60_0800, 309);

const NEEDS: &[Feature] = &[Feature::ModeFilter, Feature::VsyscallPage];
const NOTIFY: &[Feature] = &[Feature::VsyscallPage, Feature::NotifReceive, Feature::NotifContinue];
const SIGKILL: i64 = 1009;
const SIGSEGV: i64 = 1011;
const SIGSYS: i64 = 1031;

pub(crate) const CASES: &[Case] = &[
    staged(
        "vsyscall::page",
        "The page can be read under vsyscall=emulate, called under xonly as well, and is not there under none.",
        &[],
        observe_page,
        |traits: &Traits| {
            let end = |there| if traits.has(there) { 0 } else { SIGSEGV };
            vec![
                is("reading it", end(Feature::VsyscallReadable)),
                is("calling it", end(Feature::VsyscallPage)),
            ]
        },
    ),
    staged(
        "vsyscall::numbers",
        "Filters see its three entries as gettimeofday, time and getcpu.",
        NEEDS,
        |stage| {
            for (name, entry) in [("gettimeofday", GETTIMEOFDAY), ("time", TIME), ("getcpu", GETCPU)] {
                behind(stage, name, &on(offset::NR, entry.1, Action::Errno(7)), entry.0);
            }
        },
        |traits: &Traits| behind_says(traits, &["gettimeofday", "time", "getcpu"], -7),
    ),
    staged(
        "vsyscall::instruction_pointer",
        "The instruction pointer that they see is the entry itself, not the address after an instruction.",
        NEEDS,
        |stage| behind(stage, "by address", &on(offset::IP_LOW, TIME.0 as u32, Action::Errno(7)), TIME.0),
        |traits: &Traits| behind_says(traits, &["by address"], -7),
    ),
    staged(
        "vsyscall::allowed",
        "A filter that allows everything allows it.",
        NEEDS,
        |stage| {
            let says = child(stage, &[bpf::ret(Action::Allow)], || (call(TIME.0) > 0).into());
            stage.fact("a time came back", says);
        },
        |traits: &Traits| behind_says(traits, &["a time came back"], 1),
    ),
    staged(
        "vsyscall::killed",
        "RET_KILL ends who calls it.",
        NEEDS,
        |stage| behind(stage, "killed", &on(offset::NR, TIME.1, Action::KillThread), TIME.0),
        |traits: &Traits| behind_says(traits, &["killed"], SIGSYS),
    ),
    staged(
        "vsyscall::strict",
        "Strict mode ends who calls it, as it ends who makes such a call by an instruction.",
        &[Feature::ModeStrict, Feature::VsyscallPage],
        |stage| {
            let end = stage.child(|_| {
                let _ = sys::prctl(libc::PR_SET_SECCOMP, [1, 0, 0, 0]);
                let _ = call(TIME.0);
            });
            stage.fact("end", end_code(end));
        },
        |_: &Traits| vec![is("end", SIGKILL)],
    ),
    staged(
        "vsyscall::trapped",
        "A trap names the entry as its address, and the call has returned when the handler runs.",
        NEEDS,
        observe_trapped,
        |traits: &Traits| {
            if traits.shows(Quirk::VsyscallKills) {
                return vec![is("end", SIGKILL)];
            }
            vec![
                is("address is the entry", 1),
                is("number", 201),
                is("result is the number", 1),
                is("end", 0),
            ]
        },
    ),
    staged(
        "vsyscall::traced",
        "A tracer finds the entry as instruction pointer; it may skip the call, and any other number ends it.",
        NEEDS,
        |stage| {
            traced(stage, u64::MAX, "skipped");
            traced(stage, 186, "renumbered");
        },
        |traits: &Traits| {
            if traits.shows(Quirk::VsyscallKills) {
                return vec![is("skipped", SIGKILL), is("renumbered", SIGKILL)];
            }
            let at = || is("stopped at the entry", 1);
            vec![at(), is("skipped", 4242), at(), is("renumbered", SIGSYS)]
        },
    ),
    staged(
        "vsyscall::notified",
        "A listener answers it or lets it go on.",
        NOTIFY,
        observe_notified,
        |_: &Traits| {
            vec![is("number", 201), is("value", 4242), is("number", 201), is("continued to a time", 1)]
        },
    ),
];

/// Calls an entry with null pointers.
fn call(entry: u64) -> i64 {
    // SAFETY: where the page is, this is a function of three pointers that may be null
    // (gettimeofday(2), time(2), getcpu(2)); where it is not, the process faults, which callers want.
    unsafe {
        let entry: extern "C" fn(u64, u64, u64) -> i64 = core::mem::transmute(entry as usize);
        entry(0, 0, 0)
    }
}

fn on(at: u32, value: u32, action: Action) -> Vec<Insn> {
    vec![bpf::ld(at), bpf::jeq(value, 0, 1), bpf::ret(action), bpf::ret(Action::Allow)]
}

/// What a body says in a child behind a filter, or the child's end where it comes to a bad one.
fn child(stage: &Stage, filter: &[Insn], body: impl FnOnce() -> i64) -> i64 {
    let said = waiting::shared_number();
    let end = end_code(stage.child(|_| {
        attach(filter.to_vec());
        said.store(body(), SeqCst);
    }));
    if end == 0 { said.load(SeqCst) } else { end }
}

fn behind(stage: &Stage, name: &str, filter: &[Insn], entry: u64) {
    stage.fact(name, child(stage, filter, || call(entry)));
}

/// Before 3.6 every such call in filter mode ended in SIGKILL.
fn behind_says(traits: &Traits, names: &[&'static str], value: i64) -> Vec<Fact> {
    let value = if traits.shows(Quirk::VsyscallKills) { SIGKILL } else { value };
    names.iter().map(|name| is(name, value)).collect()
}

/// Shared with the probes of the page.
pub(crate) fn observe_page(stage: &Stage) {
    let read = stage.child(|_| {
        // SAFETY: where the page cannot be read the process faults, which is what is asked.
        let _ = unsafe { core::ptr::read_volatile(TIME.0 as *const u8) };
    });
    stage.fact("reading it", end_code(read));
    stage.fact("calling it", end_code(stage.child(|_| sys::exit((call(TIME.0) <= 0).into()))));
}

/// The probe of calls that end in SIGKILL.
pub(crate) fn observe_filtered(stage: &Stage) {
    observe_page(stage);
    behind(stage, "filtered", &on(offset::NR, TIME.1, Action::Errno(7)), TIME.0);
}

static ADDRESS: AtomicI64 = AtomicI64::new(0);
static NUMBER: AtomicI64 = AtomicI64::new(0);

extern "C" fn trapped(_: i32, info: *const libc::siginfo_t, _: *const libc::ucontext_t) {
    // SAFETY: the kernel hands a siginfo to a handler with SA_SIGINFO; of SIGSYS it has the call's
    // address at byte 16 and its number at byte 24 (include/uapi/asm-generic/siginfo.h).
    unsafe {
        ADDRESS.store(info.byte_add(16).cast::<i64>().read(), SeqCst);
        NUMBER.store(info.byte_add(24).cast::<i32>().read().into(), SeqCst);
    }
}

fn observe_trapped(stage: &Stage) {
    let end = stage.child(|stage| {
        sigsys::handle(trapped, 0);
        attach(on(offset::NR, TIME.1, Action::Trap(1)));
        let result = call(TIME.0);
        stage.fact("address is the entry", (ADDRESS.load(SeqCst) as u64 == TIME.0).into());
        stage.fact("number", NUMBER.load(SeqCst));
        stage.fact("result is the number", (result == i64::from(TIME.1)).into());
    });
    stage.fact("end", end_code(end));
}

/// A tracer that puts another number and a result into the stopped call.
fn traced(stage: &Stage, number: u64, name: &str) {
    let said = waiting::shared_number();
    let pid = tracee::start(stage, tracee::TRACE_SECCOMP, |_| {
        attach(on(offset::NR, TIME.1, Action::Trace(1)));
        said.store(call(TIME.0), SeqCst);
    });
    let mut status = tracee::resume(pid, libc::PTRACE_CONT) as i32;
    if libc::WIFSTOPPED(status) {
        let mut regs = tracee::registers(pid);
        stage.fact("stopped at the entry", (regs.rip == TIME.0).into());
        regs.orig_rax = number;
        regs.rax = 4242;
        tracee::set_registers(pid, &regs);
        status = tracee::resume(pid, libc::PTRACE_CONT) as i32;
    }
    let end = end_code(sys::end_of(status));
    stage.fact(name, if end == 0 { said.load(SeqCst) } else { end });
}

fn observe_notified(stage: &Stage) {
    let _ = sys::no_new_privs();
    let listener = listener::attach(&Filter(on(offset::NR, TIME.1, Action::UserNotif)), 0) as i32;
    for flags in [0, CONTINUE] {
        let caller = Caller::start_with(stage, listener, |_| call(TIME.0));
        let Ok(seen) = listener::receive(listener) else { return };
        stage.fact("number", seen.nr.into());
        let value = if flags == 0 { 4242 } else { 0 };
        let _ = listener::send(listener, seen.id, value, 0, flags);
        let got = caller.got();
        if flags == 0 {
            stage.fact("value", got);
        } else {
            stage.fact("continued to a time", (got > 0 && got != 4242).into());
        }
    }
}
