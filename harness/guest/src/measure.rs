//! Counts instructions: carries a measurement out in a process of its own, and gives the distribution.
//!
//! The process that is measured makes no call but the measured one between its first round and its
//! last: it leaves its figures in a [`sheet`] that it shares with us, and ends by a fault, because a
//! filter may answer any call.

mod answer;
mod call;
mod death;
mod load;
mod ruby;
mod sheet;
mod speculation;
mod strict;

use atlas_edge::{stage, sys};
use atlas_model::observation::End;
use atlas_wire::measure::{Answerer, Behind, Distribution, Subject};
use atlas_wire::{Measure, Measured};
use sheet::Sheet;
use std::time::{Duration, Instant};

/// Rounds that come first and are not counted: they find pages not yet there.
const WARM_UP: u32 = 4;

/// What a measurement is carried out with.
struct Context<'a> {
    sheet: &'a Sheet,
    rounds: u32,
    deadline: Instant,
    /// Descriptors that the measured process shall not have.
    close: &'a [i32],
}

/// Carries a measurement out. Every other process of the guest is gone afterwards.
pub(crate) fn carry_out(asked: &Measure, limit: Duration, close: &[i32]) -> Measured {
    if let Err(problem) = asked.check() {
        return Measured::Impossible(problem);
    }
    let sheet = match Sheet::new(asked.rounds) {
        Ok(sheet) => sheet,
        Err(errno) => return Measured::Impossible(format!("no memory for figures: errno {}", -errno)),
    };
    let deadline = Instant::now() + limit;
    let context = Context { sheet: &sheet, rounds: asked.rounds, deadline, close };
    take_turns(true);
    let measured = of_subject(&context, asked);
    take_turns(false);
    sys::kill_everything(std::iter::empty());
    measured
}

fn of_subject(context: &Context<'_>, asked: &Measure) -> Measured {
    let sheet = context.sheet;
    let ended = match &asked.subject {
        Subject::Call { behind: Behind::Strict, call, answerer: Answerer::Kernel } => {
            strict::measure(context, call)
        }
        Subject::Call { behind: Behind::Strict, .. } => {
            return Measured::Impossible("nobody answers calls in strict mode".into());
        }
        Subject::Call { behind, call, answerer } => call::measure(context, behind, call, *answerer),
        Subject::Death { filter, call } => death::measure(context, filter, call),
        Subject::Load { filter, via, threads } => load::measure(context, filter, *via, *threads),
        Subject::Ruby { code, place } => ruby::measure(context, code, *place),
        Subject::Speculation { flags } => {
            return speculation::look(*flags, sheet).unwrap_or_else(|ended| ended);
        }
    };
    match ended {
        Err(ended) => ended,
        Ok(()) => {
            let figures = sheet.figures();
            if figures.len() != asked.rounds as usize {
                let count = figures.len();
                return Measured::Ended(format!("after {count} of {} rounds", asked.rounds));
            }
            Measured::Counted { instructions: Distribution::of(figures), returned: sheet.returned() }
        }
    }
}

impl Context<'_> {
    /// Waits for a process to end, at most until the deadline. One that has attached all filters and
    /// taken all rounds ends by the fault that it ends itself with.
    fn wait(&self, pid: i64) -> Result<(), Measured> {
        if pid < 0 {
            return Err(Measured::Impossible(format!("no process: errno {}", -pid)));
        }
        while Instant::now() < self.deadline {
            if let Some((ended, how)) = sys::reap() {
                if i64::from(ended) == pid {
                    return self.judge(how);
                }
                continue;
            }
            sys::wait_for_child_signal(self.deadline.saturating_duration_since(Instant::now()));
        }
        Err(Measured::Ended("time was over".into()))
    }

    /// What the end of a measured process says.
    fn judge(&self, end: End) -> Result<(), Measured> {
        if let Some((filter, errno)) = self.sheet.not_attached() {
            return Err(Measured::NotAttached { filter, errno });
        }
        if self.sheet.is_done() { Ok(()) } else { Err(Measured::Ended(end.to_text())) }
    }
}

/// fork, for a process that is measured. `flags` are more flags of clone(2).
fn fork(flags: i32) -> i64 {
    if flags == 0 { stage::fork() } else { sys::fork_with((flags | libc::SIGCHLD) as u64, 0) }
}

/// Waits until shortly after a tick of the kernel's clock, so that the next one is as far away as can be
/// and comes at the same place in every round. Ticks come every 4 ms or less often, by a divisor of
/// the period here; kernels since 6.4 have them at multiples of their period (kernel/time/tick-sched.c
/// tick_setup_sched_timer). Idle time passes at once under `-icount`.
fn settle() {
    settle_after(0);
}

/// The same after so much idle time.
fn settle_after(idle: i64) {
    const PERIOD: i64 = 20_000_000;
    const AFTER: i64 = 300_000;
    let mut now = [0_i64; 2];
    let clock = libc::CLOCK_MONOTONIC as u64;
    // SAFETY: the time lives until the call returns.
    let _ = unsafe { sys::raw(libc::SYS_clock_gettime, [clock, now.as_mut_ptr() as u64, 0, 0, 0, 0]) };
    let nanoseconds = now[0] * 1_000_000_000 + now[1] + idle;
    let then = (nanoseconds / PERIOD + 1) * PERIOD + AFTER;
    let until = [then / 1_000_000_000, then % 1_000_000_000];
    let absolute = libc::TIMER_ABSTIME as u64;
    // SAFETY: as above.
    let _ = unsafe { sys::raw(libc::SYS_clock_nanosleep, [clock, absolute, until.as_ptr() as u64, 0, 0, 0]) };
}

/// Has this process and those it makes run by turns, without a scheduler's thoughts on fairness: who
/// is woken then runs at the same point every time. Or puts it back.
fn take_turns(on: bool) {
    if !on {
        return sys::take_precedence();
    }
    let priority = 1_i32;
    // SAFETY: the structure is one `int`, which lives until the call returns.
    let _ = unsafe {
        let pointer = (&raw const priority) as u64;
        sys::raw(libc::SYS_sched_setscheduler, [0, libc::SCHED_FIFO as u64, pointer, 0, 0, 0])
    };
}

/// Ends the process without a call.
fn fault() -> ! {
    // SAFETY: raises SIGILL, whose disposition nobody changes.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}
