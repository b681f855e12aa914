//! A call in strict mode, timed from the outside.
//!
//! Strict mode forbids RDTSC to the task (kernel/seccomp.c seccomp_set_mode_strict, disable_TSC), so
//! another process reads the counter: before it wakes the task by a byte, and after the task has made
//! [`BATCH`] calls and answered. From that is taken the same with as many calls left out. A round is
//! such a pair, and its figure the difference by the batch.

use super::{Context, fault, fork, settle};
use atlas_edge::{stub, sys};
use atlas_model::experiment::Call;
use atlas_wire::Measured;

/// Calls a round.
const BATCH: u64 = 256;
/// Rounds that are not counted.
const FIRST: u32 = 4;
/// The byte that asks for calls, and the one that asks for none.
const CALLS: u8 = 1;
const NONE: u8 = 0;
/// The answer of a task that is not in strict mode.
const REFUSED: u8 = 2;

pub(super) fn measure(context: &Context<'_>, call: &Call) -> Result<(), Measured> {
    let sheet = context.sheet;
    let [asked, asking] = sys::pipe();
    let [answer, answering] = sys::pipe();
    let pid = fork(0);
    if pid == 0 {
        // Its own copies of our ends would keep the pipes open when we have closed them.
        shut(asking);
        shut(answer);
        let mode = u64::from(libc::SECCOMP_MODE_STRICT);
        let result = sys::prctl(libc::PR_SET_SECCOMP, [mode, 0, 0, 0]);
        if result < 0 {
            sheet.refuse(0, result);
            write(answering, REFUSED);
            fault()
        }
        loop {
            let Some(byte) = read(asked) else { fault() };
            for _ in 0..BATCH {
                // SAFETY: as in `call`.
                sheet.give(unsafe { stub::call_or_not(call, byte == CALLS) });
            }
            write(answering, byte);
        }
    }
    let span = |byte| {
        settle();
        let before = sys::rdtsc();
        write(asking, byte);
        let answered = read(answer);
        let after = sys::rdtsc();
        (answered == Some(byte)).then(|| after.wrapping_sub(before))
    };
    // Without our own copy of its end a dead caller is the end of the pipe.
    shut(answering);
    let mut returned = 0;
    let mut done = true;
    for round in 0..FIRST + context.rounds {
        let (Some(without), Some(with)) = (span(NONE), span(CALLS)) else {
            done = false;
            break;
        };
        returned = sheet.returned();
        if round >= FIRST {
            // The two ways through the scheduler may differ by a few instructions, never by half a batch.
            sheet.add((with.saturating_sub(without) + BATCH / 2) / BATCH);
        }
    }
    if done {
        sheet.finish();
    }
    sheet.give(returned);
    // The end of what it reads ends it.
    for fd in [asked, asking, answer] {
        shut(fd);
    }
    context.wait(pid)
}

fn read(fd: i32) -> Option<u8> {
    let mut byte = 0_u8;
    // SAFETY: the byte lives until the call returns.
    let result = unsafe { sys::raw(libc::SYS_read, [fd as u64, (&raw mut byte) as u64, 1, 0, 0, 0]) };
    (result == 1).then_some(byte)
}

fn write(fd: i32, byte: u8) {
    // SAFETY: the byte lives until the call returns.
    let _ = unsafe { sys::raw(libc::SYS_write, [fd as u64, (&raw const byte) as u64, 1, 0, 0, 0]) };
}

fn shut(fd: i32) {
    let _ = sys::number(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
}
