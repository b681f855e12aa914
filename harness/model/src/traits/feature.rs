//! What a kernel may be able to do.

use super::{Series, series};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is known of a feature.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Stable name, as reports show it.
    pub name: &'static str,
    /// The mainline series that brought it.
    pub since: Series,
    /// What it is, and what a kernel without it does.
    pub about: &'static str,
    /// Where that stands: manual page or kernel source.
    pub source: &'static str,
}

macro_rules! features {
    ($($variant:ident $name:literal $since:tt $about:literal $source:literal;)*) => {
        /// One thing a kernel may be able to do, found out by a probe.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Feature {
            $(#[doc = $about] $variant,)*
        }

        impl Feature {
            /// Every feature, in the order reports show them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// What is known of it.
            #[must_use]
            pub fn info(self) -> Info {
                match self {
                    $(Self::$variant => Info {
                        name: $name,
                        since: const { series!($since).unwrap() },
                        about: $about,
                        source: $source,
                    },)*
                }
            }
        }
    };
}

features! {
    ModeStrict "mode-strict" (2, 6, 23) "Strict mode by prctl(2): read, write, exit and sigreturn, anything else ends the thread with SIGKILL." "PR_SET_SECCOMP(2const), kernel/seccomp.c __secure_computing_strict";
    NoNewPrivs "no-new-privs" (3, 5) "PR_SET_NO_NEW_PRIVS, which lets an unprivileged task attach filters; without it EINVAL." "PR_SET_NO_NEW_PRIVS(2const)";
    ModeFilter "mode-filter" (3, 5) "Filters attached by prctl(2); without it EINVAL." "PR_SET_SECCOMP(2const)";
    ActionKillThread "action-kill-thread" (3, 5) "RET_KILL_THREAD ends the calling thread with SIGSYS." "seccomp(2), Filters";
    ActionTrap "action-trap" (3, 5) "RET_TRAP sends SIGSYS with the call's number, arch and address." "seccomp(2), Filters";
    ActionErrno "action-errno" (3, 5) "RET_ERRNO answers the call with an errno." "seccomp(2), Filters";
    ActionTrace "action-trace" (3, 5) "RET_TRACE hands the call to a tracer, and answers ENOSYS where there is none." "seccomp(2), Filters";
    ActionAllow "action-allow" (3, 5) "RET_ALLOW lets the call run." "seccomp(2), Filters";
    StatusSeccomp "status-seccomp" (3, 8) "The line `Seccomp:` in /proc/PID/status." "proc_pid_status(5)";
    JitToggle "jit-toggle" (3, 16) "net.core.bpf_jit_enable switches between compiled and interpreted filters." "Documentation/admin-guide/sysctl/net.rst";
    SeccompSyscall "seccomp-syscall" (3, 17) "seccomp(2); without it ENOSYS." "seccomp(2)";
    Tsync "tsync" (3, 17) "FILTER_FLAG_TSYNC gives a filter to every thread of the process." "seccomp(2)";
    PtraceGetFilter "ptrace-get-filter" (4, 4) "PTRACE_SECCOMP_GET_FILTER dumps a task's filters; needs CONFIG_CHECKPOINT_RESTORE." "ptrace(2)";
    SuspendSeccomp "suspend-seccomp" (4, 3) "PTRACE_O_SUSPEND_SECCOMP; needs CONFIG_CHECKPOINT_RESTORE." "ptrace(2)";
    StatusUmask "status-umask" (4, 7) "The line `Umask:` in /proc/PID/status." "proc_pid_status(5)";
    JitHarden "jit-harden" (4, 7) "net.core.bpf_jit_harden blinds constants in compiled filters." "Documentation/admin-guide/sysctl/net.rst";
    GetActionAvail "get-action-avail" (4, 14) "SECCOMP_GET_ACTION_AVAIL says which actions the kernel knows." "seccomp(2)";
    ActionKillProcess "action-kill-process" (4, 14) "RET_KILL_PROCESS ends every thread with SIGSYS." "seccomp(2), Filters";
    ActionLog "action-log" (4, 14) "RET_LOG lets the call run and logs it; before, it killed." "seccomp(2), Filters";
    FlagLog "flag-log" (4, 14) "FILTER_FLAG_LOG asks for every action but ALLOW to be logged." "seccomp(2)";
    ActionsAvail "actions-avail" (4, 14) "/proc/sys/kernel/seccomp/actions_avail lists the actions." "seccomp(2), /proc interfaces";
    ActionsLogged "actions-logged" (4, 14) "/proc/sys/kernel/seccomp/actions_logged chooses what is logged." "seccomp(2), /proc interfaces";
    PtraceGetMetadata "ptrace-get-metadata" (4, 16) "PTRACE_SECCOMP_GET_METADATA says with which flags a filter was attached." "include/uapi/linux/ptrace.h";
    SpecAllow "spec-allow" (4, 17) "FILTER_FLAG_SPEC_ALLOW attaches a filter without speculation mitigations." "seccomp(2)";
    ActionUserNotif "action-user-notif" (5, 0) "RET_USER_NOTIF hands the call to a listener, and answers ENOSYS where there is none." "seccomp_unotify(2)";
    NewListener "new-listener" (5, 0) "FILTER_FLAG_NEW_LISTENER returns the listener's descriptor." "seccomp_unotify(2)";
    GetNotifSizes "get-notif-sizes" (5, 0) "SECCOMP_GET_NOTIF_SIZES says how large the notification structures are." "seccomp(2)";
    NotifReceive "notif-receive" (5, 0) "NOTIF_RECV and NOTIF_SEND carry a call to the listener and its answer back." "seccomp_unotify(2)";
    PtraceSyscallInfo "ptrace-syscall-info" (5, 3) "PTRACE_GET_SYSCALL_INFO." "ptrace(2)";
    NotifContinue "notif-continue" (5, 5) "A listener may let the call run with USER_NOTIF_FLAG_CONTINUE." "seccomp_unotify(2)";
    TsyncEsrch "tsync-esrch" (5, 7) "FILTER_FLAG_TSYNC_ESRCH answers a failed TSYNC with ESRCH, and so lets it go with a listener." "seccomp(2)";
    NotifIdValid "notif-id-valid" (5, 9) "NOTIF_ID_VALID under its corrected number 0x40082102." "seccomp_unotify(2)";
    NotifAddfd "notif-addfd" (5, 9) "NOTIF_ADDFD puts a descriptor into the caller." "seccomp_unotify(2)";
    NotifHangUp "notif-hang-up" (5, 9) "A listener hangs up once nobody is left with its filter." "seccomp_unotify(2), kernel/seccomp.c seccomp_notify_poll";
    StatusFilters "status-seccomp-filters" (5, 9) "The line `Seccomp_filters:` in /proc/PID/status." "proc_pid_status(5)";
    ActionCache "action-cache" (5, 11) "Filters that allow a call by its number alone are not run for it." "kernel/seccomp.c seccomp_cache_check_allow";
    AddfdSend "notif-addfd-send" (5, 14) "ADDFD_FLAG_SEND answers the call in the same step." "seccomp_unotify(2)";
    WaitKillable "wait-killable" (5, 19) "FILTER_FLAG_WAIT_KILLABLE_RECV: once received, only a fatal signal interrupts the call." "seccomp(2)";
    NotifSetFlags "notif-set-flags" (6, 6) "NOTIF_SET_FLAGS with the synchronous wake-up." "include/uapi/linux/seccomp.h";
    Uretprobe "uretprobe" (6, 11) "Call 335, which the kernel's own trampolines make; anyone else gets SIGILL." "arch/x86/kernel/uprobes.c";
    PtraceSetSyscallInfo "ptrace-set-syscall-info" (6, 16) "PTRACE_SET_SYSCALL_INFO changes a stopped call without registers." "kernel/ptrace.c ptrace_set_syscall_info";
    Uprobe "uprobe" (6, 18) "Call 336, which the kernel's own trampolines make; anyone else gets ENXIO or EPROTO." "arch/x86/kernel/uprobes.c";
    Clone3 "clone3" (5, 3) "clone3(2); without it ENOSYS." "clone(2)";
    IoUring "io-uring" (5, 6) "io_uring opens files; the build and a sysctl decide whether it may." "io_uring(7), io_uring/openclose.c";
    PidNamespaces "pid-namespaces" (2, 6, 24) "Pid namespaces, whose first process is not ended by signals from inside that it does not handle; needs CONFIG_PID_NS." "pid_namespaces(7)";
    UserNamespaces "user-namespaces" (3, 8) "Anybody may make a user namespace; the build and sysctls decide." "user_namespaces(7)";
    LogRecords "log-records" (4, 14) "Records of seccomp reach the kernel's log; needs CONFIG_AUDIT." "kernel/auditsc.c audit_seccomp";
    Userfaultfd "userfaultfd" (4, 3) "userfaultfd(2) lets a program stop the kernel where it touches the program's memory." "userfaultfd(2)";
    SyscallUserDispatch "syscall-user-dispatch" (5, 11) "PR_SET_SYSCALL_USER_DISPATCH sends a program's calls back to it." "PR_SET_SYSCALL_USER_DISPATCH(2const)";
    UprobeEvents "uprobe-events" (4, 17) "perf_event_open(2) makes uprobes and uretprobes; needs CONFIG_UPROBE_EVENTS." "perf_event_open(2), kernel/events/core.c perf_uprobe";
    Landlock "landlock" (5, 13) "Landlock, by which a program restricts its own access to files; the build and the boot decide." "landlock(7)";
    MemoryControl "memory-control" (4, 5) "Control groups of the second version that count memory; the build and the boot decide." "cgroups(7), Documentation/admin-guide/cgroup-v2.rst";
    Freezer "freezer" (5, 2) "Control groups of the second version that freeze." "Documentation/admin-guide/cgroup-v2.rst, cgroup.freeze";
    FilterMemoryCharged "filter-memory-charged" (5, 11) "The memory of filters is charged to the control group of who attaches them." "kernel/bpf/core.c bpf_prog_alloc_no_stats";
    EntrySysenter "entry-sysenter" (2, 6) "32-bit programs make i386 calls by sysenter; the processor decides." "arch/x86/entry/entry_64_compat.S entry_SYSENTER_compat";
    EntrySyscall32 "entry-syscall32" (2, 6) "32-bit programs make i386 calls by syscall; the processor decides." "arch/x86/entry/entry_64_compat.S entry_SYSCALL_compat";
    VsyscallPage "vsyscall-page" (2, 6) "The vsyscall page can be called; with vsyscall=none SIGSEGV." "Documentation/admin-guide/kernel-parameters.txt, arch/x86/entry/vsyscall/vsyscall_64.c";
    VsyscallReadable "vsyscall-readable" (2, 6) "The vsyscall page can be read, as under vsyscall=emulate; else SIGSEGV." "Documentation/admin-guide/kernel-parameters.txt";
    AbiI386 "abi-i386" (2, 6) "i386 calls by int 0x80; without them SIGSEGV." "arch/x86/Kconfig IA32_EMULATION";
    AbiX32 "abi-x32" (3, 4) "x32 calls; without them ENOSYS." "arch/x86/Kconfig X86_X32_ABI";
}

impl Feature {
    /// Whether the build configuration, the boot or the processor decides, so that its absence says nothing of the release.
    #[must_use]
    pub fn decided_by_build(self) -> bool {
        matches!(
            self,
            Self::AbiX32
                | Self::AbiI386
                | Self::JitToggle
                | Self::JitHarden
                | Self::UprobeEvents
                | Self::IoUring
                | Self::Landlock
                | Self::MemoryControl
                | Self::FilterMemoryCharged
                | Self::EntrySysenter
                | Self::EntrySyscall32
                | Self::VsyscallPage
                | Self::VsyscallReadable
                | Self::PtraceGetFilter
                | Self::PtraceGetMetadata
                | Self::SuspendSeccomp
                | Self::PidNamespaces
                | Self::UserNamespaces
                | Self::LogRecords
                | Self::Freezer
                | Self::Userfaultfd
        )
    }

    /// The feature of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|feature| feature.info().name == name)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().name)
    }
}
