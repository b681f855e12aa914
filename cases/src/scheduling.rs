//! An order of processes that the scheduler keeps: one processor, and priorities on it.

use atlas_edge::{Stage, sys};

/// Microseconds of each second that priorities may use up at most, and what the kernel begins with.
const LIMIT: &str = "/proc/sys/kernel/sched_rt_runtime_us";
const USUAL: &str = "950000";

/// Keeps a process on the first processor.
fn pin(pid: i32) -> bool {
    let only_here = 1_u64;
    // SAFETY: one word of processors, which lives until the call returns.
    let pinned = unsafe {
        sys::raw(libc::SYS_sched_setaffinity, [pid as u64, 8, (&raw const only_here) as u64, 0, 0, 0])
    };
    pinned == 0
}

/// sched_setscheduler(2).
fn schedule(pid: i32, policy: i32, priority: i32) -> bool {
    // SAFETY: the parameter lives until the call returns.
    let scheduled = unsafe {
        let priority = (&raw const priority) as u64;
        sys::raw(libc::SYS_sched_setscheduler, [pid as u64, policy as u64, priority, 0, 0, 0])
    };
    scheduled == 0
}

/// Has a process run only while nobody else of this processor wants to, and this one before all others, until
/// [`as_ever`]. Says whether that could be had: a control group may have no time for priorities.
///
/// The kernel would let even such a process run after a second in which others had all the time
/// (Documentation/scheduler/sched-rt-group.rst), and is told not to.
pub(crate) fn last_of_all(pid: i32) -> bool {
    let me = std::process::id() as i32;
    let _ = std::fs::write(LIMIT, "-1");
    pin(me) && pin(pid) && schedule(pid, libc::SCHED_IDLE, 0) && schedule(me, libc::SCHED_FIFO, 99)
}

/// Ends what [`last_of_all`] began.
pub(crate) fn as_ever(pid: i32) {
    let _ = std::fs::write(LIMIT, USUAL);
    schedule(std::process::id() as i32, libc::SCHED_OTHER, 0);
    schedule(pid, libc::SCHED_OTHER, 0);
}

/// Starts a child that runs while this process sleeps: before children of a lower priority (1 to 98), and before
/// whoever is [`last_of_all`].
pub(crate) fn child(stage: &Stage, priority: i32, body: impl FnOnce()) -> i32 {
    stage.start(|_| {
        schedule(0, libc::SCHED_FIFO, priority);
        body();
    })
}
