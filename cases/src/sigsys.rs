//! Handlers of SIGSYS in choreographies.

/// What runs at SIGSYS, behind whatever filter: it may store to atomics and make raw calls, and nothing else.
pub(crate) type Handler = extern "C" fn(i32, *const libc::siginfo_t, *const libc::ucontext_t);

/// Has SIGSYS run a handler, with more flags of sigaction(2).
pub(crate) fn handle(handler: Handler, flags: i32) {
    handle_signal(libc::SIGSYS, handler, flags);
}

/// The same of another signal.
pub(crate) fn handle_signal(signal: i32, handler: Handler, flags: i32) {
    // SAFETY: the structure is complete, and a `Handler` is what SA_SIGINFO calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags | libc::SA_SIGINFO;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}
