//! Quirks: what a kernel without does, and what to do.

use atlas_model::traits::Quirk;

/// What a kernel without the quirk does, and what to do.
pub(super) fn texts(quirk: Quirk) -> (&'static str, &'static str) {
    match quirk {
        Quirk::VsyscallKills => (
            "Filters judge a call of the vsyscall page by its number, as they judge others.",
            "Run no program there that was linked against a C library which calls the vsyscall page.",
        ),
        Quirk::XorRefused => (
            "The checker takes BPF_XOR as it takes other arithmetic.",
            "Write (a | b) - (a & b) for an exclusive or in filters that must be accepted there.",
        ),
        Quirk::ReciprocalDivision => (
            "A division gives the exact quotient, rounded down.",
            "Shift instead of dividing in filters for these kernels, and never divide by 1.",
        ),
        Quirk::ChainCountsClassic => (
            "The limit of a chain counts instructions after conversion, which are more than the classic ones.",
            "Keep the filters of a task together below half of the limit, which either way of counting accepts.",
        ),
        Quirk::ChainSkipsNewest => (
            "The limit of a chain counts every filter in converted instructions.",
            "Do not take that a long chain was accepted there as a sign that later kernels accept it.",
        ),
        Quirk::ChainShortPrologue => (
            "Each converted filter begins with three instructions, so that fewer of them fit into a chain.",
            "Leave room for two more instructions a filter when you test against the limit there.",
        ),
        Quirk::ChainBeforePrivilege => (
            "Privilege and the program are checked first, and the limit of a chain last.",
            "Do not conclude from the errno alone why an attachment failed: several causes may hold at once.",
        ),
        Quirk::ErrnoUncapped => (
            "Data beyond 4095 is cut to 4095.",
            "Never return data beyond 4095 with RET_ERRNO, or a denied call looks as if it had run.",
        ),
        Quirk::NullInsnsFault => (
            "A null instruction pointer is answered with EINVAL.",
            "Take EFAULT and EINVAL alike in a test that attaches a program without instructions.",
        ),
        Quirk::WideShiftAccepted => (
            "The checker refuses shifts by constants of 32 and more with EINVAL.",
            "Shift by 31 at most: that a filter is accepted there does not mean that later kernels take it.",
        ),
        Quirk::TsyncSkipsNnp => (
            "TSYNC gives no_new_privs to every thread when the caller has it.",
            "Set no_new_privs before the first thread starts, and do not leave it to TSYNC.",
        ),
        Quirk::TraceNoRecheck => (
            "A call that a tracer has rewritten is judged again before it runs.",
            "Deny ptrace(2) in the sandbox, and give no RET_TRACE to tracers that you do not trust with every call.",
        ),
        Quirk::ActionHighBitIgnored => (
            "The whole word is compared, as a signed number, and RET_KILL_PROCESS is an action of its own.",
            "Expect RET_KILL_PROCESS to end one thread there, and end the rest of the process yourself.",
        ),
        Quirk::UnknownActionKillsThread => (
            "An unknown action ends the whole process.",
            "Return known actions only, and ask by SECCOMP_GET_ACTION_AVAIL for those newer than your oldest kernel.",
        ),
        Quirk::KillCountsZombies => (
            "The last thread that lives takes its process with it by SIGSYS, with a dump if one is wanted.",
            "Do not tell by the exit status alone whether a thread was killed whose leader had ended: use RET_KILL_PROCESS.",
        ),
        // docs/findings/number-as-errno.md.
        Quirk::NumberAsErrno => (
            "The handler finds the number in the result register, as for any other number, and the call comes back with it.",
            "Set the result in the handler of SIGSYS, as handlers do anyway, and deny numbers that no call has by ERRNO or KILL.",
        ),
        Quirk::KilledKeepMode => (
            "The status of a task that seccomp has killed says mode 3 until it is reaped.",
            "Tell a kill by the signal that wait(2) gives, and not by the mode of the zombie.",
        ),
        Quirk::LeaderGivesStatus => (
            "A process leaves the status of the thread that ended last.",
            "End processes by exit_group(2), whose status holds on every kernel.",
        ),
        Quirk::FilterMitigates => (
            "Mitigations of speculation stay as they were, unless the boot asks for them (spec_store_bypass_disable=seccomp).",
            "Give SPEC_ALLOW there if no untrusted code runs behind the filter, for the mitigation costs time.",
        ),
        Quirk::StrictNativeNumbers => (
            "Strict mode judges a call by the numbers of the ABI that it comes by.",
            "Run no untrusted code in strict mode there: it has i386's chmod and umask.",
        ),
        Quirk::ForkLeaksArch => (
            "A child's native call is judged by the native arch, however its maker forked.",
            "Kill calls by the arch of i386 in filters, so that no i386 fork is made.",
        ),
        Quirk::TsyncListenerAccepted => (
            "The two flags together give EINVAL, unless TSYNC_ESRCH is there and given as well.",
            "Never give both flags without TSYNC_ESRCH, and attach listeners before the first thread starts.",
        ),
        Quirk::ListenerNoCompat => (
            "A 32-bit task's ioctl does what a 64-bit task's does, since the structures are the same.",
            "Run a 64-bit supervisor there, also for 32-bit programs.",
        ),
        Quirk::RecvDirtyBuffer => (
            "NOTIF_RECV refuses a buffer that is not zero with EINVAL.",
            "Clear the buffer before each NOTIF_RECV, also when the same one is used again.",
        ),
        Quirk::NotifNewestFirst => (
            "Waiting notifications are received in the order of the calls.",
            "Receive at once and queue in the listener, since under load the oldest call waits longest there.",
        ),
        Quirk::ZombieHoldsFilter => (
            "A task lets go of its filters as it ends, and a listener sees the hang-up before it is reaped.",
            "Reap children at once where you wait for a listener's hang-up, or watch the process by a pidfd.",
        ),
        Quirk::DumpKillsSharers => (
            "Only the process that met the filter ends.",
            "Attach no filter between vfork(2) and execve(2), or set PR_SET_DUMPABLE to 0 before.",
        ),
        Quirk::RecvWaitsForNobody => (
            "NOTIF_RECV ends with ENOENT when no task with the filter is left.",
            "Wait by poll(2) and call NOTIF_RECV only when there is something to receive.",
        ),
        Quirk::NumberHighBitsRefused => (
            "The upper half of the register is ignored, and the call of the lower half runs.",
            "Nothing is to be done in a filter, which sees the lower half in either case.",
        ),
        Quirk::NumberCutBySeccomp => (
            "Such a number is refused, or its lower half runs, whether there are filters or not.",
            "Nothing is to be done in a filter: what runs is the call that it has judged.",
        ),
        Quirk::SuspendBySeize => (
            "PTRACE_SEIZE takes the option from a tracer with CAP_SYS_ADMIN alone, as PTRACE_SETOPTIONS does.",
            "Deny ptrace(2) to what is confined, and keep other programs of its user from tracing it.",
        ),
        Quirk::TsyncStaleCount => (
            "The count tells the filters that each thread has.",
            "Do not take a thread's Seccomp_filters as a sign of what TSYNC did: its filters hold all the same.",
        ),
        Quirk::TsyncTraceBypass => (
            "The stopped call is judged by the new filter before it runs.",
            "Attach filters before there are threads to synchronize, and keep tracers away until all have theirs.",
        ),
        // docs/findings/failed-clone-keeps-filter.md.
        Quirk::FailedCloneKeepsFilter => (
            "A task that was never made has no filters either.",
            "Wait for the end of the filtered processes themselves, by pidfds, and not for the hang-up alone.",
        ),
        // docs/findings/addfd-early-return.md.
        Quirk::AddfdEarlyReturn => (
            "The interrupted request leaves the call waiting, and can be made again.",
            "Block signals in the listener around the request.",
        ),
        // docs/findings/addfd-send-lost.md.
        Quirk::AddfdSendLost => (
            "The interrupted request leaves the call unanswered, and can be made again.",
            "Block signals in the listener around the request, or add the descriptor and answer in two steps.",
        ),
        Quirk::UretprobeExempt => (
            "Filters and strict mode judge call 335 as any other.",
            "Expect 335 to run whatever a filter says, and to end who calls it with SIGILL.",
        ),
        Quirk::UprobeExempt => (
            "Filters and strict mode judge call 336 as any other.",
            "Expect 336 to run whatever a filter says, and to do nothing but fail for who calls it.",
        ),
    }
}
