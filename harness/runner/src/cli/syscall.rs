//! A system call as a Ruby function, for trying a policy.

/// Makes the call that the integers say: its number, and up to six arguments. Returns what the kernel
/// does; an errno, negated. Without a number it is EINVAL.
pub(super) fn make(of: &[i64]) -> i64 {
    let [number, rest @ ..] = of else { return -i64::from(libc::EINVAL) };
    let arg = |at: usize| rest.get(at).copied().unwrap_or_default();
    // SAFETY: none for this process: a read(2) may write where it likes. It is the worker, which is not
    // trusted, shares no writable memory with any other process and can do nothing else.
    let result = unsafe { libc::syscall(*number, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) };
    if result == -1 {
        // SAFETY: the C library's errno of this thread.
        return -i64::from(unsafe { *libc::__errno_location() });
    }
    result
}
