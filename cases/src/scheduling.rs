//! An order of processes that the scheduler keeps: one processor, and priorities on it.

use crate::setting::Setting;
use atlas_edge::{Stage, sys};

/// Microseconds of each second that priorities may use up at most.
const LIMIT: &str = "/proc/sys/kernel/sched_rt_runtime_us";

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

/// While there is one of these, its process runs only when nobody else of this processor wants to, and the one that made
/// it before all others.
///
/// The kernel would let even such a process run after a second in which others had all the time
/// (Documentation/scheduler/sched-rt-group.rst), and is told not to.
pub(crate) struct LastOfAll {
    pid: i32,
    _limit: Setting,
}

impl LastOfAll {
    /// `None` where that cannot be had: a control group may have no time for priorities.
    pub(crate) fn new(pid: i32) -> Option<Self> {
        let me = std::process::id() as i32;
        let last = Self { pid, _limit: Setting::change(LIMIT, "-1") };
        let had =
            pin(me) && pin(pid) && schedule(pid, libc::SCHED_IDLE, 0) && schedule(me, libc::SCHED_FIFO, 99);
        had.then_some(last)
    }
}

impl Drop for LastOfAll {
    fn drop(&mut self) {
        schedule(std::process::id() as i32, libc::SCHED_OTHER, 0);
        schedule(self.pid, libc::SCHED_OTHER, 0);
    }
}

/// Starts a child that runs while this process sleeps: before children of a lower priority (1 to 98), and before
/// whoever is [`LastOfAll`].
pub(crate) fn child(stage: &Stage, priority: i32, body: impl FnOnce()) -> i32 {
    stage.start(|_| {
        schedule(0, libc::SCHED_FIFO, priority);
        body();
    })
}
