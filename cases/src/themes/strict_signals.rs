//! Strict mode and signals: what it takes to end somebody who may return from handlers.

use crate::case::{is, staged};
use crate::{Case, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

const NEEDS: &[Feature] = &[Feature::ModeStrict];
const KILLED: i64 = 1009;
const FAULTED: i64 = 1011;

pub(crate) const CASES: &[Case] = &[
    staged(
        "strict::handler_blocks_signals",
        "The return from a handler sets the mask of signals: a strict task blocks whatever it likes, and SIGKILL alone ends it.",
        NEEDS,
        observe_mask,
        |_: &Traits| {
            vec![
                is("blocked before", 0),
                is("blocked behind the handler", 1),
                is("SIGTERM waits", 1),
                is("end", KILLED),
            ]
        },
    ),
    staged(
        "strict::timer_that_kills",
        "So a limit of its time must come as SIGKILL, as from a timer.",
        NEEDS,
        observe_timer,
        |_: &Traits| vec![is("in strict mode", 1), is("end", KILLED)],
    ),
    staged(
        "strict::sigreturn_of_i386",
        "Of i386's two returns from handlers strict mode has sigreturn, which finds no frame here, and not rt_sigreturn.",
        &[Feature::ModeStrict, Feature::AbiI386],
        |stage| {
            returned(stage, "sigreturn", 119);
            returned(stage, "rt_sigreturn", 173);
        },
        |_: &Traits| vec![is("sigreturn", FAULTED), is("rt_sigreturn", KILLED)],
    ),
];

fn enter_strict() {
    let _ = sys::prctl(libc::PR_SET_SECCOMP, [1, 0, 0, 0]);
}

/// The address of a number that a handler adds to, in memory that others see.
static RAN: AtomicI64 = AtomicI64::new(0);

/// Blocks every signal from its return on.
extern "C" fn block_all(_: i32, _: *const libc::siginfo_t, context: *const libc::ucontext_t) {
    // SAFETY: the kernel hands the context to a handler with SA_SIGINFO, on the handler's own stack, and takes the mask
    // from it; the number is shared memory that is kept for good.
    unsafe {
        // As many as the kernel has (include/uapi/asm-generic/signal.h _NSIG).
        (&raw mut (*context.cast_mut()).uc_sigmask).cast::<u64>().write(u64::MAX);
        (*(RAN.load(SeqCst) as *const AtomicI64)).fetch_add(1, SeqCst);
    }
}

/// Whether SIGTERM stands in one of the sets that /proc tells.
fn has_term(pid: i32, set: &str) -> i64 {
    let mask = super::proc::status_line(&format!("/proc/{pid}/status"), set).unwrap_or_default();
    let mask = u64::from_str_radix(&mask, 16).unwrap_or_default();
    (mask >> (libc::SIGTERM - 1) & 1) as i64
}

fn observe_mask(stage: &Stage) {
    let ran = waiting::shared_number();
    let pid = stage.start(|_| {
        RAN.store(ran.as_ptr() as i64, SeqCst);
        crate::sigsys::handle_signal(libc::SIGUSR1, block_all, 0);
        enter_strict();
        ran.store(1, SeqCst);
        loop {
            std::hint::spin_loop();
        }
    });
    waiting::until(|| ran.load(SeqCst) == 1);
    stage.fact("blocked before", has_term(pid, "SigBlk"));
    sys::kill(pid, libc::SIGUSR1);
    waiting::until(|| ran.load(SeqCst) == 2 && has_term(pid, "SigBlk") == 1);
    stage.fact("blocked behind the handler", has_term(pid, "SigBlk"));
    sys::kill(pid, libc::SIGTERM);
    stage.fact("SIGTERM waits", has_term(pid, "ShdPnd"));
    sys::kill(pid, libc::SIGKILL);
    stage.fact("end", end_code(sys::end_of(sys::wait_for(pid, libc::__WALL) as i32)));
}

fn observe_timer(stage: &Stage) {
    // One that goes off before its task is in strict mode shows nothing.
    let mut tries = [5_000_000, 50_000_000, 500_000_000].into_iter().map(|delay| timed(stage, delay));
    let [inside, end] = tries.find(|[inside, _]| *inside == 1).unwrap_or_default();
    stage.fact("in strict mode", inside);
    stage.fact("end", end);
}

/// Whether a task was in strict mode when a timer of so many nanoseconds went off, and its end.
fn timed(stage: &Stage, delay: u64) -> [i64; 2] {
    let inside = waiting::shared_number();
    let end = stage.child(|_| {
        // struct sigevent: a value, the signal, and SIGEV_SIGNAL, which is 0; then struct itimerspec.
        let event: [u64; 8] = [0, libc::SIGKILL as u64, 0, 0, 0, 0, 0, 0];
        let once: [u64; 4] = [0, 0, 0, delay];
        let mut timer = 0_u64;
        // SAFETY: the structures have the sizes that the kernel reads, and live until the calls return.
        let armed = unsafe {
            let create =
                [libc::CLOCK_MONOTONIC as u64, event.as_ptr() as u64, (&raw mut timer) as u64, 0, 0, 0];
            let made = sys::raw(libc::SYS_timer_create, create);
            made | sys::raw(libc::SYS_timer_settime, [timer, 0, once.as_ptr() as u64, 0, 0, 0])
        };
        if armed != 0 {
            sys::exit(1)
        }
        enter_strict();
        inside.store(1, SeqCst);
        loop {
            std::hint::spin_loop();
        }
    });
    [inside.load(SeqCst), end_code(end)]
}

/// The end of a strict task that returns by i386 from a handler that never ran, with a stack pointer to nowhere.
fn returned(stage: &Stage, name: &str, nr: u32) {
    let end = stage.child(|_| {
        enter_strict();
        // SAFETY: nothing comes back from it, and nothing behind it needs a stack.
        unsafe { core::arch::asm!("xor esp, esp", "int 0x80", "ud2", in("eax") nr, options(noreturn)) }
    });
    stage.fact(name, end_code(end));
}
