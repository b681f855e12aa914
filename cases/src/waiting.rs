//! Waiting for what another process does: by its state, never by the clock.

use atlas_edge::sys;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How long anything is waited for at most. It bounds a kernel that misbehaves and decides nothing.
pub(crate) const LIMIT: Duration = Duration::from_secs(12);

/// Waits until something holds. Says whether it came to that.
pub(crate) fn until(holds: impl FnMut() -> bool) -> bool {
    until_within(LIMIT, holds)
}

/// Waits until something holds, but no longer than this. Says whether it came to that.
pub(crate) fn until_within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !holds() {
        if Instant::now() > end {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// The state of a task as /proc says it: `S` sleeps, `D` sleeps and only dies, `T` is stopped. `X`
/// where there is no such task.
pub(crate) fn state(task: i32) -> char {
    stat(task, 0).chars().next().unwrap_or('X')
}

/// The parent of a process; `None` where there is no such process.
pub(crate) fn parent(process: i32) -> Option<i32> {
    stat(process, 1).parse().ok()
}

/// A field of a task's line in /proc, counted from its state (proc_pid_stat(5)); empty where there is no such task.
fn stat(task: i32, field: usize) -> String {
    let line = sys::read_file(&format!("/proc/{task}/stat")).unwrap_or_default();
    let rest = line.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split_whitespace().nth(field).unwrap_or_default().to_owned()
}

/// Waits until a task that is ending sleeps, as the first process of a pid namespace does until all others of it are
/// gone (kernel/pid_namespace.c zap_pid_ns_processes; 7.2 says `I` of it).
pub(crate) fn until_asleep_while_ending(task: i32) -> bool {
    // PF_EXITING, include/linux/sched.h.
    let ending = || stat(task, 6).parse().is_ok_and(|flags: u64| flags & 4 != 0);
    until(|| ending() && matches!(state(task), 'S' | 'I'))
}

/// Waits until a task sleeps in a call.
pub(crate) fn until_blocked(task: i32) -> bool {
    until(|| matches!(state(task), 'S' | 'Z' | 'X')) && state(task) == 'S'
}

/// Stops a task and lets it go on, which restarts the call that it sleeps in.
pub(crate) fn stop_and_continue(task: i32) {
    sys::kill(task, libc::SIGSTOP);
    until(|| state(task) == 'T');
    sys::kill(task, libc::SIGCONT);
}

/// How often the handler of [`count_signals`] has run in this process.
static SIGNALS: AtomicI64 = AtomicI64::new(0);

extern "C" fn count(_: i32) {
    SIGNALS.fetch_add(1, SeqCst);
}

/// Gives a signal a handler that counts, with flags such as `SA_RESTART`.
pub(crate) fn count_signals(signal: i32, flags: i32) {
    // SAFETY: the structure is complete, and the handler does nothing but add to an atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        action.sa_flags = flags;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

/// How many signals were counted in this process.
pub(crate) fn signals() -> i64 {
    SIGNALS.load(SeqCst)
}

/// A shared number: `0` at first, kept for as long as a choreography lives.
pub(crate) fn shared_number() -> &'static AtomicI64 {
    // SAFETY: a shared page, zeroed; an atomic takes any bits.
    unsafe { &*crate::tracee::shared().cast::<AtomicI64>() }
}

/// Waits until a child has ended, and leaves the zombie unreaped.
pub(crate) fn for_zombie(pid: i32) {
    // SAFETY: an all-zero siginfo is valid and has room for what the call fills in.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid as libc::id_t, &raw mut info, libc::WEXITED | libc::WNOWAIT);
    }
}
