//! Who runs first on the guest's one processor.

use crate::sys;

/// `SCHED_RESET_ON_FORK` (sched(7)): what a task makes starts as others do.
const RESET_ON_FORK: u64 = 0x4000_0000;

/// Gives this process precedence over those that it makes: it looks at them while they spin, and would
/// wait a time slice for each look. They themselves start with nobody's precedence.
pub fn take() {
    let _ = sys::number(libc::SYS_setpriority, [libc::PRIO_PROCESS as u64, 0, -20_i64 as u64, 0, 0, 0]);
    schedule(0, libc::SCHED_OTHER as u64 | RESET_ON_FORK);
}

/// Lets a task run only when no other one wants to, or as others do (sched(7), `SCHED_IDLE`). Its
/// niceness stays what it is. A task that is gone is left alone.
pub(crate) fn put_behind(tid: i32, behind: bool) {
    let (idle, other) = (libc::SCHED_IDLE as u64 | RESET_ON_FORK, libc::SCHED_OTHER as u64);
    schedule(tid, if behind { idle } else { other });
}

/// sched_setscheduler(2) with a policy that has no priorities.
fn schedule(tid: i32, policy: u64) {
    let priority = 0_i32;
    // SAFETY: the structure is one `int`, which lives until the call returns.
    let _ = unsafe {
        let pointer = (&raw const priority) as u64;
        sys::raw(libc::SYS_sched_setscheduler, [tid as u64, policy, pointer, 0, 0, 0])
    };
}
