//! Every mutant: its name, the rule it flips, and the place of its hook.

macro_rules! mutants {
    ($($file:literal $function:literal { $($variant:ident $name:literal $about:literal;)* })*) => {
        /// The model with one rule flipped, each a mistake that somebody could make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mutant {
            $($(#[doc = $about] $variant,)*)*
        }

        impl Mutant {
            /// Every mutant, place by place.
            pub const ALL: &[Self] = &[$($(Self::$variant,)*)*];

            /// Stable name, in small letters with hyphens.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $($(Self::$variant => $name,)*)*
                }
            }

            /// What the flipped rule says.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self {
                    $($(Self::$variant => $about,)*)*
                }
            }

            /// File in `harness/model/src` and function in which the rule stands.
            #[must_use]
            pub fn place(self) -> (&'static str, &'static str) {
                match self {
                    $($(Self::$variant => ($file, $function),)*)*
                }
            }
        }
    };
}

mutants! {
    "action.rs" "most_restrictive" {
        ActionsUnsigned "actions-unsigned" "Actions are compared unsigned, so that KILL_PROCESS is the weakest.";
        ActionsByWord "actions-by-word" "Among equal actions the one with the lowest data counts.";
        OldestOfEquals "oldest-of-equals" "Among equal actions the oldest filter's counts.";
        NewestObjection "newest-objection" "The newest filter that says anything but ALLOW decides, whatever older ones say.";
        SwapKills "swap-kills" "KILL_THREAD comes before KILL_PROCESS.";
        SwapKillTrap "swap-kill-trap" "TRAP comes before KILL_THREAD.";
        SwapTrapErrno "swap-trap-errno" "ERRNO comes before TRAP.";
        SwapErrnoNotif "swap-errno-notif" "USER_NOTIF comes before ERRNO.";
        SwapNotifTrace "swap-notif-trace" "TRACE comes before USER_NOTIF, and so before unknown actions between them.";
        SwapTraceLog "swap-trace-log" "LOG comes before TRACE.";
        SwapLogAllow "swap-log-allow" "ALLOW comes before LOG, and so before unknown actions between them.";
    }
    "expect/judge.rs" "filter_ruling" {
        DataTwelveBits "data-twelve-bits" "An action has 12 bits of data.";
        DataFifteenBits "data-fifteen-bits" "An action has 15 bits of data.";
    }
    "expect/judge.rs" "ruling_of" {
        ErrnoCapLess "errno-cap-less" "RET_ERRNO is capped at 4094.";
        ErrnoCapMissing "errno-cap-missing" "RET_ERRNO is not capped.";
        ErrnoZeroRuns "errno-zero-runs" "RET_ERRNO with 0 lets the call run.";
        TrapDataCapped "trap-data-capped" "The data of RET_TRAP is capped like an errno.";
        UnknownAllowed "unknown-allowed" "An unknown action lets the call run.";
        UnknownKillKind "unknown-kill-kind" "An unknown action ends the thread where it should end the process, and the other way round.";
        KillProcessAsThread "kill-process-as-thread" "KILL_PROCESS ends the thread alone.";
        KillThreadAsProcess "kill-thread-as-process" "KILL_THREAD ends the process.";
        TraceMessage "trace-message" "A tracer is told 0 instead of the data.";
        TraceRuns "trace-runs" "RET_TRACE without a tracer lets the call run.";
        NotifRuns "notif-runs" "RET_USER_NOTIF without a listener lets the call run.";
        LogRefuses "log-refuses" "RET_LOG answers with ENOSYS.";
    }
    "expect/judge.rs" "trap" {
        TrapErrno "trap-errno" "si_errno is 0 instead of the filter's data.";
        TrapCode "trap-code" "si_code is SI_KERNEL.";
        TrapSyscall "trap-syscall" "si_syscall is -1, the number of a call that is skipped.";
        TrapArch "trap-arch" "si_arch is that of x86-64 for i386 calls too.";
        TrapCallAddr "trap-call-addr" "si_call_addr is the address of the instruction and not the one behind it.";
        TrapResult "trap-result" "The handler finds ENOSYS in the result register.";
        TrapReturn "trap-return" "Behind the handler the call returns ENOSYS.";
        SigreturnUnfiltered "sigreturn-unfiltered" "The rt_sigreturn of a handler is not filtered.";
        TrapBlocked "trap-blocked" "A blocked SIGSYS still runs its handler.";
        TrapIgnored "trap-ignored" "An ignored SIGSYS skips the call and ends nothing.";
        TrapDefaultThread "trap-default-thread" "A SIGSYS without handler ends the thread alone.";
    }
    "expect/judge.rs" "restart" {
        RestartMissing "restart-missing" "No trapped number is taken for a restart code.";
        RestartLess "restart-less" "A trapped -514 is not taken for a restart code.";
        RestartMore "restart-more" "A trapped -515 is taken for a restart code.";
    }
    "expect/judge.rs" "ruling" {
        ExemptionsMissing "exemptions-missing" "Filters and strict mode apply to the calls of the kernel's trampolines.";
    }
    "experiment.rs" "Call::data_at" {
        X32BitMasked "x32-bit-masked" "Filters see the number of an x32 call without its bit.";
        X32OwnArch "x32-own-arch" "Filters see an arch of its own for x32.";
        I386Arch "i386-arch" "Filters see the arch of x86-64 for i386 calls.";
        I386ArgsTruncated "i386-args-truncated" "Filters see the lower halves of the argument registers of i386 calls.";
        ArgsLowHalves "args-low-halves" "Filters see the lower halves of all argument registers.";
        ArgsReversed "args-reversed" "Filters see the first two arguments in each other's place.";
        IpOfTheCall "ip-of-the-call" "Filters see the address of the instruction that calls and not the one behind it.";
    }
    "abi.rs" "SeccompData::word" {
        IpHalvesSwapped "ip-halves-swapped" "The halves of the instruction pointer lie the other way round.";
        ArgHalvesSwapped "arg-halves-swapped" "The halves of arguments lie the other way round.";
    }
    "bpf/interp.rs" "run" {
        AStartsAtOne "a-starts-at-one" "A begins with 1.";
        XStartsAtOne "x-starts-at-one" "X begins with 1.";
        MemoryOfEight "memory-of-eight" "Scratch words are counted modulo 8.";
        LengthIsK "length-is-k" "The length that is loaded is k.";
        LdxMemLoadsA "ldx-mem-loads-a" "A scratch word for X goes into A.";
        StxStoresA "stx-stores-a" "STX stores A.";
        AluXTakesK "alu-x-takes-k" "Arithmetic with X takes k.";
        JumpXTakesK "jump-x-takes-k" "A comparison with X takes k.";
        JtOffByOne "jt-off-by-one" "A true branch skips one instruction more.";
        JfOffByOne "jf-off-by-one" "A false branch skips one instruction more.";
        JaOffByOne "ja-off-by-one" "JA skips one instruction more.";
        RetALosesData "ret-a-loses-data" "RET A returns the action part of A alone.";
        CopiesSwapped "copies-swapped" "TAX and TXA have changed places.";
    }
    "bpf/interp.rs" "alu" {
        AddSaturates "add-saturates" "ADD stops at the largest number.";
        SubReversed "sub-reversed" "SUB takes A from the operand.";
        MulSaturates "mul-saturates" "MUL stops at the largest number.";
        DivSigned "div-signed" "DIV is signed.";
        DivByZeroGoesOn "div-by-zero-goes-on" "DIV by an X of 0 gives 0, and the program goes on.";
        OrAsXor "or-as-xor" "OR clears bits that both have.";
        AndAsOr "and-as-or" "AND keeps bits that one has.";
        XorAsOr "xor-as-or" "XOR keeps bits that both have.";
        LshRotates "lsh-rotates" "LSH brings the bits it shifts out in again.";
        RshArithmetic "rsh-arithmetic" "RSH copies the sign.";
        ShiftsBeyond "shifts-beyond" "A shift by 32 or more gives 0.";
        NegAsNot "neg-as-not" "NEG is a bitwise complement.";
    }
    "bpf/interp.rs" "branch" {
        JgtOrEqual "jgt-or-equal" "JGT is true of equal numbers.";
        JgeStrict "jge-strict" "JGE is false of equal numbers.";
        JgtSigned "jgt-signed" "JGT is signed.";
        JgeSigned "jge-signed" "JGE is signed.";
        JsetAll "jset-all" "JSET needs all bits of the operand.";
        JeqLowHalf "jeq-low-half" "JEQ compares 16 bits.";
    }
    "bpf/check.rs" "check" {
        LengthLess "length-less" "A filter has at most 4095 instructions.";
        LengthMore "length-more" "A filter may have 4097 instructions.";
        EmptyAccepted "empty-accepted" "A filter may have no instruction.";
        NoReturnAccepted "no-return-accepted" "The last instruction need not be a return.";
        UnsetAccepted "unset-accepted" "Scratch words may be loaded before they are stored.";
    }
    "bpf/check.rs" "check_classic" {
        DivZeroAccepted "div-zero-accepted" "Division by the constant 0 is accepted.";
        ShiftLess "shift-less" "A shift by the constant 31 is refused.";
        ShiftMore "shift-more" "A shift by the constant 32 is accepted.";
        MemoryLess "memory-less" "Scratch word 15 does not exist.";
        MemoryMore "memory-more" "Scratch word 16 exists.";
        JaPastEnd "ja-past-end" "JA may go to the place behind the last instruction.";
        JaWraps "ja-wraps" "JA may wrap around to an earlier instruction.";
        BranchPastEnd "branch-past-end" "A branch may go to the place behind the last instruction.";
        JumpToLastRefused "jump-to-last-refused" "A branch may not go to the last instruction.";
        UnknownCodeAccepted "unknown-code-accepted" "A code that is none of classic BPF's is accepted.";
    }
    "bpf/check.rs" "load_before_store" {
        UnsetOnPathAccepted "unset-on-path-accepted" "A scratch word may be loaded that some path to it has not stored.";
        ReturnResetsStores "return-resets-stores" "Behind a return every scratch word counts as stored, as behind a jump.";
    }
    "bpf/check.rs" "check_seccomp" {
        ModAccepted "mod-accepted" "MOD is accepted.";
        SocketCodesAccepted "socket-codes-accepted" "Loads that read packets are accepted.";
        AncillaryAccepted "ancillary-accepted" "Loads of socket extensions are accepted.";
        XorRefused "xor-refused" "XOR is refused.";
        OffsetLess "offset-less" "The last word of seccomp_data may not be loaded.";
        OffsetMore "offset-more" "The word behind seccomp_data may be loaded.";
        UnalignedAccepted "unaligned-accepted" "Words of seccomp_data may be loaded at any byte.";
    }
    "bpf/chain.rs" "chain_fits" {
        ChainLimitLess "chain-limit-less" "A chain may count 32,767.";
        ChainLimitMore "chain-limit-more" "A chain may count 32,769.";
        PenaltyMissing "penalty-missing" "A filter of a chain counts nothing beside its instructions.";
    }
    "bpf/chain.rs" "attached_len" {
        PrologueMissing "prologue-missing" "A converted filter counts without its prologue.";
        ConversionMissing "conversion-missing" "Each instruction of a converted filter counts one.";
    }
    "expect/install.rs" "try_install" {
        RefusedErrno "refused-errno" "A filter that the checker refuses is answered with EACCES.";
        ChainErrno "chain-errno" "A chain beyond its limit is answered with EINVAL.";
        AccessErrno "access-errno" "Missing privilege is answered with EPERM.";
        AccessLast "access-last" "Privilege is asked for behind the checker.";
        PrivilegeNotNeeded "privilege-not-needed" "Anybody may attach a filter.";
        NoNewPrivsNotEnough "no-new-privs-not-enough" "Only CAP_SYS_ADMIN may attach a filter.";
        CapabilityNotEnough "capability-not-enough" "Only a task with no_new_privs may attach a filter.";
        SecondListener "second-listener" "A chain may have two listeners.";
        TsyncDivergedZero "tsync-diverged-zero" "TSYNC returns 0 and attaches nothing where a thread cannot follow.";
        TsyncEsrchIgnored "tsync-esrch-ignored" "TSYNC_ESRCH changes nothing.";
        TsyncSpreadsNothing "tsync-spreads-nothing" "TSYNC gives the filter to nobody else.";
        AttachSpreads "attach-spreads" "A filter is attached to all threads without TSYNC.";
    }
    "expect/install.rs" "check_flags" {
        UnknownFlagAccepted "unknown-flag-accepted" "Flags that the kernel does not know are accepted.";
        AmbiguousAccepted "ambiguous-accepted" "TSYNC and NEW_LISTENER go together without TSYNC_ESRCH.";
        WaitKillableAlone "wait-killable-alone" "WAIT_KILLABLE_RECV goes without NEW_LISTENER.";
    }
    "expect/install.rs" "diverged" {
        TsyncStrictFollows "tsync-strict-follows" "A thread in strict mode follows a TSYNC.";
        TsyncAncestorRefused "tsync-ancestor-refused" "A thread with some of the caller's filters cannot follow a TSYNC.";
        TsyncSameContent "tsync-same-content" "A thread with other filters of the same content follows a TSYNC.";
    }
    "expect/install.rs" "synchronise" {
        TsyncKeepsMode "tsync-keeps-mode" "TSYNC gives filters to threads and leaves their mode as it was.";
        TsyncForgetsNnp "tsync-forgets-nnp" "TSYNC does not spread no_new_privs.";
    }
    "expect/judge.rs" "strict_ruling" {
        StrictAllowsMore "strict-allows-more" "Strict mode allows exit_group.";
        StrictForbidsRead "strict-forbids-read" "Strict mode forbids read.";
        StrictForbidsWrite "strict-forbids-write" "Strict mode forbids write.";
        StrictForbidsExit "strict-forbids-exit" "Strict mode forbids exit.";
        StrictI386Numbers "strict-i386-numbers" "Strict mode holds i386 calls against the numbers of x86-64.";
        StrictMasksX32 "strict-masks-x32" "Strict mode does not look at the x32 bit.";
    }
    "expect/judge.rs" "obey" {
        ForbiddenActs "forbidden-acts" "A call that is answered with an errno has its effect all the same.";
        StrictSignal "strict-signal" "Strict mode ends a thread with SIGSYS.";
        StrictKillsProcess "strict-kills-process" "Strict mode ends the process.";
    }
    "expect/walk.rs" "came_out" {
        StrictRdtsc "strict-rdtsc" "Strict mode allows RDTSC.";
    }
    "expect/lives.rs" "make_thread" {
        ThreadDropsFilters "thread-drops-filters" "A new thread has no filters.";
        ThreadDropsNnp "thread-drops-nnp" "A new thread is without no_new_privs.";
    }
    "expect/lives.rs" "end_thread" {
        LeaderStatusStays "leader-status-stays" "A process ends with its leader's status, though another thread was the last.";
    }
    "expect/lives.rs" "execute" {
        ExecDropsFilters "exec-drops-filters" "A new image has no filters.";
        ExecKeepsHandler "exec-keeps-handler" "A new image has the old one's handler for SIGSYS.";
    }
    "expect/lives.rs" "make_process" {
        ForkDropsFilters "fork-drops-filters" "A new process has no filters.";
        ForkDropsNnp "fork-drops-nnp" "A new process is without no_new_privs.";
        ForkDropsMask "fork-drops-mask" "A new process has SIGSYS unblocked.";
        ForkDropsHandler "fork-drops-handler" "A new process has the default disposition for SIGSYS.";
    }
    "expect/native.rs" "prctl" {
        GetSeccompOne "get-seccomp-one" "PR_GET_SECCOMP returns 1 under filters.";
        NnpForProcess "nnp-for-process" "PR_SET_NO_NEW_PRIVS sets it for every thread.";
    }
    "expect/native.rs" "enter_strict" {
        StrictAfterFilter "strict-after-filter" "A task with filters may enter strict mode.";
    }
    "expect/native.rs" "action_avail" {
        AvailAlways "avail-always" "Every action is available.";
        AvailIgnoresData "avail-ignores-data" "Data bits do not matter where an action is asked for.";
    }
}

/// Flips that are no mutants, since no experiment tells them from the right model, and why.
pub const EQUIVALENT: &[(&str, &str)] = &[
    (
        "Scratch words do not begin with 0.",
        "The checker refuses a filter with a path on which a word is loaded before it is stored.",
    ),
    (
        "Scratch words are stored in another order.",
        "Loads and stores go to the same word still, and nothing else sees which it is.",
    ),
    (
        "Behind a KILL_PROCESS no older filter runs.",
        "Filters have no side effects, and nothing comes before KILL_PROCESS.",
    ),
    (
        "Strict mode forbids rt_sigreturn.",
        "No handler runs in strict mode, and the model does not say what rt_sigreturn does outside of one.",
    ),
    (
        "The order of two rules of the checker.",
        "Every rule's errno is EINVAL, and that is all the kernel says.",
    ),
];
