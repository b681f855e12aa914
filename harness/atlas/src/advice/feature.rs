//! Features: what a kernel without does, and what to do.

use atlas_model::traits::Feature;

/// What a kernel without the feature does, and what to do.
pub(super) fn texts(feature: Feature) -> (&'static str, &'static str) {
    match feature {
        Feature::ModeStrict => (
            "prctl(2) answers PR_SET_SECCOMP with EINVAL, and nothing restricts the process.",
            "Check that strict mode was entered, and run no untrusted code where it was not.",
        ),
        Feature::NoNewPrivs => (
            "prctl(2) answers PR_SET_NO_NEW_PRIVS with EINVAL, and only CAP_SYS_ADMIN may attach a filter.",
            "Check the result of prctl(2), and do not go on without the restriction.",
        ),
        Feature::ModeFilter => (
            "prctl(2) answers the filter mode with EINVAL, and no filter is attached.",
            "Check that each filter was attached, and stop where one was not.",
        ),
        Feature::ActionKillThread => (
            "There are no filters, for this action came with them.",
            "Prefer RET_KILL_PROCESS where it is there, since the other threads live on after this action.",
        ),
        Feature::ActionTrap => (
            "There are no filters, for this action came with them, and no call raises SIGSYS.",
            "Install the SIGSYS handler before the filter and never block the signal, or it kills the process.",
        ),
        Feature::ActionErrno => (
            "There are no filters, for this action came with them, and no call is denied by an errno.",
            "Deny by an errno that callers expect: ENOSYS for calls that C libraries can do without, else EPERM.",
        ),
        // PTRACE_O_EXITKILL: ptrace(2).
        Feature::ActionTrace => (
            "There are no filters, for this action came with them, and a tracer has to stop at every call.",
            "Set PTRACE_O_EXITKILL, and expect ENOSYS from each such call once the tracer is gone.",
        ),
        Feature::ActionAllow => (
            "There are no filters, for this action came with them, and every call runs.",
            "Allow what is needed and deny the rest, so that calls of later kernels are denied as well.",
        ),
        // PR_GET_SECCOMP: PR_GET_SECCOMP(2const).
        Feature::StatusSeccomp => (
            "/proc/PID/status does not tell the mode of a task.",
            "Ask from within by prctl(PR_GET_SECCOMP), which the filter must allow, and which strict mode kills.",
        ),
        // CONFIG_BPF_JIT_ALWAYS_ON: kernel/bpf/Kconfig.
        Feature::JitToggle => (
            "The build decides: filters are always interpreted, or always compiled (CONFIG_BPF_JIT_ALWAYS_ON).",
            "Measure what a filter costs on the kernels you ship to, since it cannot be switched there.",
        ),
        Feature::Landlock => (
            "The calls give ENOSYS, or EOPNOTSUPP where the boot left it out, and files are judged by their modes alone.",
            "Ask for its version first, and keep a filter that is enough without it.",
        ),
        Feature::MemoryControl => (
            "No control group counts memory in the second version, as the build or cgroup_disable= says.",
            "Bound memory by RLIMIT_AS where no control group does.",
        ),
        Feature::FilterMemoryCharged => (
            "The memory of filters is charged to nobody, and a sandbox may take much of it unseen.",
            "Bound the number of processes of a sandbox there, since each may hold a chain of long filters.",
        ),
        Feature::EntrySysenter => (
            "The instruction is SIGILL in 32-bit programs, as AMD has it, or the build has no i386 calls.",
            "Judge i386 calls by arch and number, and never by an address, which may lie in the vDSO.",
        ),
        Feature::EntrySyscall32 => (
            "The instruction is SIGILL in 32-bit programs, as Intel has it, or the build has no i386 calls.",
            "Check the arch in filters even where int 0x80 is not to be had: this is a way around it.",
        ),
        // vsyscall=: Documentation/admin-guide/kernel-parameters.txt.
        Feature::VsyscallPage => (
            "A program that calls the page dies of SIGSEGV, whatever its filter says.",
            "Judge gettimeofday, time and getcpu in filters even though C libraries never make these calls.",
        ),
        Feature::VsyscallReadable => (
            "Reading the page is SIGSEGV, so that its code is no help to an exploit.",
            "Boot with vsyscall=none or xonly unless a program has to read the page to rewrite it.",
        ),
        Feature::SeccompSyscall => (
            "seccomp(2) gives ENOSYS, and prctl(2) attaches filters without flags.",
            "Fall back to prctl(2) where the filter needs no flag, and stop where it does.",
        ),
        Feature::Tsync => (
            "The attachment fails, and a filter holds for the calling thread and what it starts, not for its siblings.",
            "Attach filters before the first thread starts, or have every thread attach its own.",
        ),
        Feature::PtraceGetFilter => (
            "ptrace(2) refuses the request, and a task's filters cannot be read from outside.",
            "Keep a copy of the filters you attach if you want to look at them later.",
        ),
        Feature::SuspendSeccomp => (
            "The option gives EINVAL, and filters stay in force under a tracer that makes checkpoints.",
            "Do not plan on checkpoints of filtered tasks there: what the tracer does in the task meets the filter.",
        ),
        Feature::StatusUmask => (
            "/proc/PID/status does not tell the umask, which can then be read only by setting it.",
            "Read it by umask(2) and set it back, while no other thread makes files.",
        ),
        // Documentation/admin-guide/sysctl/net.rst: 1 is for unprivileged users, 2 for all.
        Feature::JitHarden => (
            "Constants of a compiled filter stand in the kernel's memory as the filter's author chose them.",
            "Set net.core.bpf_jit_harden where others may attach filters, and interpret filters where it is missing.",
        ),
        Feature::GetActionAvail => (
            "The question itself gives EINVAL, or ENOSYS where there is no seccomp(2).",
            "Ask before you use an action, and take every failure as a no.",
        ),
        Feature::ActionKillProcess => (
            "The action is taken for RET_KILL_THREAD: one thread ends, and the others of its process go on.",
            "End a process that has lost a thread to SIGSYS yourself, since it may hold locks or half-made state.",
        ),
        Feature::ActionLog => (
            "It is an unknown action, which ends the caller instead of logging the call.",
            "Ask by SECCOMP_GET_ACTION_AVAIL before you ship a filter that logs, and allow where the answer is no.",
        ),
        Feature::FlagLog => (
            "The attachment fails with EINVAL, as with any unknown flag, and denials are not logged on request.",
            "Attach again without the flag, and learn of denials in another way, such as a SIGSYS handler.",
        ),
        Feature::ActionsAvail => (
            "The file is not there, which says nothing of the actions.",
            "Ask by seccomp(2) from the program itself, since a sandbox may have no /proc.",
        ),
        Feature::ActionsLogged => (
            "The file is not there, and nobody can choose what is logged.",
            "Do not wait for a line in the log: an administrator may have taken the action out of the list.",
        ),
        Feature::PtraceGetMetadata => (
            "ptrace(2) refuses the request, and the flags of an attached filter cannot be read from outside.",
            "Keep a record of the flags beside each filter if you restore tasks.",
        ),
        Feature::SpecAllow => (
            "The attachment fails with EINVAL, as with any unknown flag.",
            "Attach again without the flag, and expect filtered code to be slower where the kernel mitigates.",
        ),
        Feature::ActionUserNotif => (
            "It is an unknown action, which ends the caller instead of asking a listener.",
            "Ask by SECCOMP_GET_ACTION_AVAIL first, and use RET_TRACE or deny the call where the answer is no.",
        ),
        Feature::NewListener => (
            "The attachment fails with EINVAL, and there is no listener to hand calls to.",
            "Decide in the filter what a filter can decide, so that the sandbox holds without a listener too.",
        ),
        Feature::GetNotifSizes => (
            "The question gives EINVAL, and there are no notifications whose sizes could be asked.",
            "Ask for the sizes and allocate that much, since the structures may grow from kernel to kernel.",
        ),
        Feature::NotifReceive => (
            "There is no listener and nothing to receive.",
            "Check with NOTIF_ID_VALID after each look at the caller's memory and before you act on it.",
        ),
        // The ambiguity: ptrace(2), PTRACE_GET_SYSCALL_INFO; arch/x86/entry/entry_64_compat.S.
        Feature::PtraceSyscallInfo => (
            "A tracer has to read registers, and cannot tell from them by which ABI a call came.",
            "Do not derive the ABI from registers in a tracer: int 0x80 in a 64-bit task looks like a native call.",
        ),
        Feature::PtraceSetSyscallInfo => (
            "The request gives EIO, and a tracer changes a call by writing registers, each architecture's its own way.",
            "Where it is missing write number and arguments by PTRACE_SETREGSET, and know the ABI before you do.",
        ),
        Feature::NotifContinue => (
            "The flag gives EINVAL, and the listener has to carry out each call on the caller's behalf.",
            "Never let a call continue as a security decision, since what its pointers show can change after a look.",
        ),
        Feature::TsyncEsrch => (
            "The flag gives EINVAL, and TSYNC fails with a thread's id, which looks like a listener's descriptor.",
            "Attach the listener's filter before the first thread starts where the flag is missing.",
        ),
        // include/uapi/linux/seccomp.h SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR.
        Feature::NotifIdValid => (
            "A kernel with listeners knows the request by the old number 0x80082102 alone.",
            "Try the old number where the new one gives EINVAL: every kernel with listeners takes it.",
        ),
        Feature::NotifAddfd => (
            "The request gives EINVAL, and a listener cannot give the caller a descriptor.",
            "Deny calls that must return a descriptor, or let the caller fetch it from a Unix socket.",
        ),
        Feature::NotifHangUp => (
            "The supervisor is not told that nobody is left, and poll(2) sleeps on.",
            "Wait for the filtered processes themselves, by pidfds or as their parent.",
        ),
        Feature::StatusFilters => (
            "/proc/PID/status does not tell how many filters a task has.",
            "Read the line Seccomp for the mode, and keep your own count of filters.",
        ),
        Feature::ActionCache => (
            "Every call runs every filter, those that are always allowed too.",
            "Test the most frequent calls first in a filter, since each comparison before them costs.",
        ),
        Feature::AddfdSend => (
            "The flag gives EINVAL: the listener adds and then answers, and a signal between leaves a stray descriptor.",
            "Add and answer in two steps, and expect that a call which a signal restarts gets a second descriptor.",
        ),
        Feature::WaitKillable => (
            "The flag gives EINVAL, and any signal may interrupt a call on which the listener is at work.",
            "Make what the listener does safe to do twice, since an interrupted call is often made again.",
        ),
        Feature::NotifSetFlags => (
            "The request gives EINVAL, and a wake-up may take the listener to another processor.",
            "Treat it as a matter of speed alone, and go on without it.",
        ),
        // github.com/systemd/systemd/issues/34615: services died on 6.11 once they were probed.
        Feature::Uretprobe => (
            "Number 335 gives ENOSYS, and uretprobes return by a breakpoint.",
            "Allow 335 where programs may be probed on kernels without the exemption of 6.14, or probes break them.",
        ),
        Feature::Uprobe => (
            "Number 336 gives ENOSYS, and uprobes are entered by a breakpoint.",
            "Write no rule for 336: mainline has exempted it from filters since the release that brought it.",
        ),
        Feature::Clone3 => (
            "clone3(2) gives ENOSYS, and C libraries use clone(2).",
            "Deny clone3(2) with ENOSYS where flags matter: they lie in memory, which a filter cannot read.",
        ),
        Feature::IoUring => (
            "No ring opens a file: io_uring_setup(2) fails, or its rings have no such request.",
            "Deny io_uring_setup(2), since what a ring does for a task is no call and meets no filter.",
        ),
        Feature::Freezer => (
            "There is no file cgroup.freeze, and the first version's freezer has to do.",
            "Expect calls that wait for a listener to come again once their caller is thawed, and answer them then.",
        ),
        Feature::PidNamespaces => (
            "A clone with CLONE_NEWPID gives EINVAL.",
            "Know that a filter's kill ends the first process of a namespace too, and with it all others.",
        ),
        Feature::UserNamespaces => (
            "Who has no privilege gets EINVAL, EPERM or ENOSPC from unshare(2) and clone(2).",
            "Deny CLONE_NEWUSER to what is confined: a user namespace gives CAP_SYS_ADMIN in it, and much kernel to attack.",
        ),
        Feature::LogRecords => (
            "Whatever filters log, nothing of it can be read.",
            "Do not take an empty log for a sign that nothing was denied.",
        ),
        Feature::Userfaultfd => (
            "The call gives ENOSYS, or EPERM where a sysctl keeps it from who has no privilege.",
            "Deny userfaultfd(2): who can stop the kernel at an access makes narrow races wide ones.",
        ),
        // Documentation/admin-guide/syscall-user-dispatch.rst.
        Feature::SyscallUserDispatch => (
            "prctl(2) answers with EINVAL, and emulators have to use a filter with RET_TRAP.",
            "Do not take it for a sandbox: the program switches it by a byte in its own memory.",
        ),
        Feature::UprobeEvents => (
            "perf_event_open(2) makes no uprobes, and probes are made by way of tracefs, if at all.",
            "Deny perf_event_open(2) in a sandbox, which has no need to probe other programs.",
        ),
        Feature::AbiI386 => (
            "A call by int 0x80 ends in SIGSEGV, and no i386 call reaches a filter.",
            "Check the arch first in every filter all the same, and deny what is not native: most kernels have it.",
        ),
        Feature::AbiX32 => (
            "Numbers with bit 30 give ENOSYS, where the filter lets them pass.",
            "Deny numbers from 0x40000000 on: they come with the arch of x86-64, and run where x32 is built.",
        ),
    }
}
