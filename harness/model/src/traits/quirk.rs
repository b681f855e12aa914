//! Known differences of behaviour between kernels.

use super::{Kind, Series, series};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is known of a quirk.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Stable name, as reports show it.
    pub name: &'static str,
    /// Whether it was meant.
    pub kind: Kind,
    /// The first mainline series that shows it; `None` when it was there from the beginning.
    pub from: Option<Series>,
    /// The mainline series that ended it; `None` while the newest shows it.
    pub until: Option<Series>,
    /// What a kernel with the quirk does.
    pub about: &'static str,
    /// Where that stands: manual page, kernel source or advisory.
    pub source: &'static str,
}

impl Info {
    /// Whether the mainline release of a series shows it.
    #[must_use]
    pub fn shown_by(&self, series: Series) -> bool {
        self.from.is_none_or(|from| from <= series) && self.until.is_none_or(|until| series < until)
    }

    /// The mainline releases that show it, in words.
    #[must_use]
    pub fn span(&self) -> String {
        match (self.from, self.until) {
            (None, None) => "always".into(),
            (Some(from), None) => format!("since {from}"),
            (None, Some(until)) => format!("before {until}"),
            (Some(from), Some(until)) => format!("{from} to before {until}"),
        }
    }
}

macro_rules! quirks {
    ($($variant:ident $name:literal $kind:ident $from:tt $until:tt $about:literal $source:literal;)*) => {
        /// One known difference of behaviour, found out by a probe and obeyed by the model.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Quirk {
            $(#[doc = $about] $variant,)*
        }

        impl Quirk {
            /// Every quirk, in the order reports show them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// What is known of it.
            #[must_use]
            pub fn info(self) -> Info {
                match self {
                    $(Self::$variant => Info {
                        name: $name,
                        kind: Kind::$kind,
                        from: series!($from),
                        until: series!($until),
                        about: $about,
                        source: $source,
                    },)*
                }
            }
        }
    };
}

quirks! {
    StrictNativeNumbers "strict-native-numbers" Bug _ (2, 6, 29) "Strict mode judges i386 calls of 64-bit tasks by the native numbers, of which 15 is i386's chmod (CVE-2009-0835)." "kernel/seccomp.c __secure_computing";
    VsyscallKills "vsyscall-kills" Change _ (3, 6) "A call of the vsyscall page in any seccomp mode ends in SIGKILL, whatever filters say." "arch/x86/kernel/vsyscall_64.c emulate_vsyscall";
    XorRefused "xor-refused" Change _ (3, 10) "The checker refuses BPF_XOR." "net/core/filter.c sk_chk_filter, kernel/seccomp.c seccomp_check_filter";
    ReciprocalDivision "reciprocal-division" Bug _ (3, 13) "Division by a constant goes through a reciprocal and is wrong for some divisors; by 1 it gives 0." "net/core/filter.c reciprocal_divide";
    ChainCountsClassic "chain-counts-classic" Change _ (3, 15) "The limit of a chain counts classic instructions." "kernel/seccomp.c seccomp_attach_filter";
    ChainSkipsNewest "chain-skips-newest" Change (3, 15) (3, 17) "The limit of a chain counts the new filter in classic and the others in converted instructions." "kernel/seccomp.c seccomp_attach_filter";
    ChainShortPrologue "chain-short-prologue" Change (3, 17) (4, 5) "Converted filters begin with one instruction instead of three, so that more of them fit into a chain." "net/core/filter.c bpf_convert_filter";
    ChainBeforePrivilege "chain-before-privilege" Change _ (3, 17) "The limit of a chain is checked before privilege and before the program." "kernel/seccomp.c seccomp_attach_filter";
    ErrnoUncapped "errno-uncapped" Change _ (4, 0) "RET_ERRNO's data reaches user space beyond 4095, where C libraries take it for success." "kernel/seccomp.c __secure_computing, seccomp(2)";
    NullInsnsFault "null-insns-fault" Change _ (4, 2) "A null instruction pointer is answered with EFAULT instead of EINVAL." "net/core/filter.c bpf_prog_create_from_user";
    WideShiftAccepted "wide-shift-accepted" Change _ (4, 5) "The checker accepts shifts by constants of 32 and more." "net/core/filter.c bpf_check_classic";
    TsyncSkipsNnp "tsync-skips-nnp" Bug (3, 17) (4, 5) "TSYNC gives no_new_privs only to threads that had no filter." "kernel/seccomp.c seccomp_sync_threads";
    TraceNoRecheck "trace-no-recheck" Bug _ (4, 8) "A call that a tracer has rewritten is not judged again (CVE-2019-2054)." "kernel/seccomp.c __seccomp_filter, seccomp(2)";
    ActionHighBitIgnored "action-high-bit-ignored" Change _ (4, 14) "The highest bit of a filter's result is ignored, and the rest compared unsigned." "kernel/seccomp.c seccomp_run_filters";
    UnknownActionKillsThread "unknown-action-kills-thread" Change _ (5, 10) "An unknown action ends the thread; later kernels end the process." "kernel/seccomp.c __seccomp_filter";
    KillCountsZombies "kill-counts-zombies" Change _ (5, 16) "RET_KILL_THREAD of the last thread that lives ends no process by a signal where the leader has ended before and is there as a zombie." "kernel/seccomp.c __seccomp_filter";
    NumberAsErrno "number-as-errno" Bug (5, 14) _ "A trapped call with the number -512, -513, -514 or -516 has it taken for an errno of the kernel's own: it is answered with EINTR, or made and trapped again for ever." "arch/x86/kernel/signal.c handle_signal, arch/x86/include/asm/syscall.h syscall_rollback";
    KilledKeepMode "killed-keep-mode" Change _ (5, 17) "A task that seccomp has killed shows the mode that it had until it is reaped." "kernel/seccomp.c __secure_computing, SECCOMP_MODE_DEAD";
    LeaderGivesStatus "leader-gives-status" Change _ (6, 0) "A process leaves its leader's exit status, though another thread was the last." "kernel/exit.c wait_task_zombie, synchronize_group_exit";
    FilterMitigates "filter-mitigates" Change (4, 17) (5, 16) "A filter without SPEC_ALLOW forces the mitigation of speculative store bypass on its task, without being told to at boot." "kernel/seccomp.c seccomp_assign_mode, Documentation/userspace-api/spec_ctrl.rst";
    ForkLeaksArch "fork-leaks-arch" Bug _ (4, 0) "The child of an i386 fork makes its next native call under the arch of i386 (CVE-2015-2830)." "arch/x86/kernel/entry_64.S int_ret_from_sys_call, arch/x86/include/asm/syscall.h syscall_get_arch";
    TsyncListenerAccepted "tsync-listener-accepted" Bug (5, 0) (5, 2) "TSYNC and NEW_LISTENER go together although their results cannot be told apart." "kernel/seccomp.c seccomp_set_mode_filter";
    ListenerNoCompat "listener-no-compat" Bug (5, 0) (5, 7) "A listener answers every ioctl of a 32-bit task with ENOTTY." "kernel/seccomp.c seccomp_notify_ops";
    RecvDirtyBuffer "recv-dirty-buffer" Change (5, 0) (5, 5) "NOTIF_RECV accepts a buffer that is not zero." "kernel/seccomp.c seccomp_notify_recv";
    NotifNewestFirst "notif-newest-first" Change (5, 0) (5, 19) "Waiting notifications are received newest first." "kernel/seccomp.c seccomp_do_user_notification";
    ZombieHoldsFilter "zombie-holds-filter" Change _ (6, 11) "A zombie keeps its filters until it is reaped; a listener sees no hang-up before." "kernel/exit.c, kernel/seccomp.c seccomp_filter_release";
    DumpKillsSharers "dump-kills-sharers" Change _ (5, 16) "A signal that dumps core, SIGSYS by seccomp among them, ends every process that shares the memory, such as the parent of a vfork." "fs/coredump.c zap_threads";
    RecvWaitsForNobody "recv-waits-for-nobody" Change (5, 0) (6, 11) "NOTIF_RECV waits for ever when no task with the filter is left." "kernel/seccomp.c recv_wait_event";
    NumberHighBitsRefused "number-high-bits-refused" Change _ (5, 14) "A call whose number register has bits above 31 is answered with ENOSYS, though filters see the lower half." "arch/x86/entry/common.c do_syscall_64";
    NumberCutBySeccomp "number-cut-by-seccomp" Change (5, 9) (5, 14) "Under seccomp, as under a tracer or audit, a number with bits above 31 is cut to its lower half, which runs; without, it is refused." "kernel/entry/common.c syscall_trace_enter, arch/x86/include/asm/syscall.h syscall_get_nr";
    SuspendBySeize "suspend-by-seize" Bug (4, 3) (5, 18) "PTRACE_SEIZE accepts PTRACE_O_SUSPEND_SECCOMP without privilege (CVE-2022-30594)." "kernel/ptrace.c ptrace_attach";
    TsyncStaleCount "tsync-stale-count" Bug (5, 9) (5, 15) "TSYNC leaves the other threads' Seccomp_filters count as it was." "kernel/seccomp.c seccomp_sync_threads";
    TsyncTraceBypass "tsync-trace-bypass" Bug (3, 17) (7, 3) "A call stopped at ptrace's entry while a sibling attaches its first filter by TSYNC runs unfiltered (CVE-2026-89603)." "include/linux/entry-common.h, kernel/entry/syscall-common.c";
    FailedCloneKeepsFilter "failed-clone-keeps-filter" Bug (5, 9) (6, 1) "A clone that fails late leaves its copy of the filters behind: they are never freed, and a listener sees no hang-up." "kernel/fork.c copy_process";
    AddfdEarlyReturn "addfd-early-return" Bug (5, 9) (5, 13) "NOTIF_ADDFD that a signal interrupts makes the call return 0, though nobody answered it." "kernel/seccomp.c seccomp_do_user_notification";
    AddfdSendLost "addfd-send-lost" Bug (5, 14) (7, 4) "NOTIF_ADDFD with SEND that a signal interrupts leaves the call answered with 0 and without the descriptor." "kernel/seccomp.c seccomp_notify_addfd";
    UretprobeExempt "uretprobe-exempt" Change (6, 14) _ "Call 335 is allowed whatever filters and strict mode say." "kernel/seccomp.c seccomp_uprobe_exception";
    UprobeExempt "uprobe-exempt" Change (6, 18) _ "Call 336 is allowed whatever filters and strict mode say." "kernel/seccomp.c seccomp_uprobe_exception";
}

impl Quirk {
    /// The quirk of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|quirk| quirk.info().name == name)
    }
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().name)
    }
}
