//! What seccomp says of a call, and what that does to the task.

use super::Value;
use super::machine::{Came, Machine, Mode, decided, killed_by, signal};
use crate::abi::{Abi, SeccompData};
use crate::action::{Action, errno, most_restrictive};
use crate::bpf::{self, Dialect};
use crate::experiment::{Call, Disposition, TaskId, layout};
use crate::mutant::{Mutant, either, flipped, is};
use crate::observation::{MAX_TRAPS, Sigsys};
use crate::traits::{Feature, Quirk, Traits};

/// x86-64 numbers that the model speaks of.
const RT_SIGRETURN: u32 = 15;
const URETPROBE: u32 = 335;
const UPROBE: u32 = 336;
/// `si_code` of a SIGSYS from seccomp (`SYS_SECCOMP`).
const SYS_SECCOMP: i32 = 1;

/// Whether this is one of the calls that the kernel's own trampolines make, and that newer kernels let run
/// whatever filters say (kernel/seccomp.c seccomp_uprobe_exception).
#[must_use]
pub fn is_for_probes(call: &Call) -> bool {
    call.abi != Abi::I386 && [URETPROBE, UPROBE].contains(&(call.nr as u32))
}

/// What seccomp says of a call.
enum Ruling {
    Run,
    Kill {
        process: bool,
    },
    Strict,
    Trap(u16),
    /// A tracer is told, then the call runs: since 4.8 the filters are run again, and TRACE counts as
    /// ALLOW the second time (kernel/seccomp.c __seccomp_filter, recheck_after_trace).
    Traced(u16),
    Return(i64),
}

/// The dialect of classic BPF that a kernel with these traits speaks.
#[must_use]
pub fn dialect(traits: &Traits) -> Dialect {
    use crate::bpf::ChainUnit;
    let chain_unit = if traits.shows(Quirk::ChainCountsClassic) {
        ChainUnit::Classic
    } else if traits.shows(Quirk::ChainSkipsNewest) {
        ChainUnit::EbpfNewUncounted
    } else if traits.shows(Quirk::ChainShortPrologue) {
        ChainUnit::EbpfPrologue1
    } else {
        ChainUnit::EbpfPrologue3
    };
    Dialect {
        xor: !traits.shows(Quirk::XorRefused),
        wide_shift: traits.shows(Quirk::WideShiftAccepted),
        reciprocal_division: traits.shows(Quirk::ReciprocalDivision),
        chain_unit,
    }
}

/// What becomes of a trapped call whose number is taken for an errno of the kernel's own
/// (include/linux/errno.h), its handler being one without SA_RESTART.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    /// Its number is none of them.
    No,
    /// It is answered with EINTR: ERESTARTSYS, ERESTARTNOHAND, ERESTART_RESTARTBLOCK.
    Interrupted,
    /// It is made again when the handler has returned: ERESTARTNOINTR.
    Again,
}

impl Machine<'_> {
    /// A call as it stands.
    pub(super) fn call(&mut self, id: TaskId, call: &Call) -> Came {
        self.call_from(id, call, call.address())
    }

    /// The same by an instruction elsewhere than in the stub.
    pub(super) fn call_from(&mut self, id: TaskId, call: &Call, ip: u64) -> Came {
        if call.abi == Abi::I386 && !self.traits.has(Feature::AbiI386) {
            self.step.why = "the kernel has no int 0x80".into();
            return Came::ProcessEnds(killed_by(signal::SEGV));
        }
        let ruling = self.ruling(id, &call.data_at(ip));
        self.obey(id, call, &ruling, |machine| machine.native(id, call))
    }

    /// A call whose working the caller knows.
    pub(super) fn guarded(&mut self, id: TaskId, call: &Call, work: impl FnOnce(&mut Self) -> Value) -> Came {
        let ruling = self.ruling(id, &call.data());
        self.obey(id, call, &ruling, |machine| Came::Back(work(machine)))
    }

    fn obey(
        &mut self,
        id: TaskId,
        call: &Call,
        ruling: &Ruling,
        work: impl FnOnce(&mut Self) -> Came,
    ) -> Came {
        match *ruling {
            Ruling::Run => work(self),
            Ruling::Traced(data) => {
                self.step.traced.push(data.into());
                work(self)
            }
            Ruling::Return(value) if is(Mutant::ForbiddenActs) => {
                work(self);
                Came::Back(Value::Exactly(value))
            }
            Ruling::Return(value) => Came::Back(Value::Exactly(value)),
            Ruling::Strict if is(Mutant::StrictKillsProcess) => Came::ProcessEnds(killed_by(signal::KILL)),
            Ruling::Strict if is(Mutant::StrictSignal) => Came::ThreadEnds(killed_by(signal::SYS)),
            // do_exit(SIGKILL) in __secure_computing_strict ends the thread alone.
            Ruling::Strict => Came::ThreadEnds(killed_by(signal::KILL)),
            Ruling::Kill { process: true } => Came::ProcessEnds(killed_by(signal::SYS)),
            Ruling::Kill { process: false } => Came::ThreadEnds(killed_by(signal::SYS)),
            Ruling::Trap(data) => self.trap(id, call, data),
        }
    }

    fn ruling(&mut self, id: TaskId, data: &SeccompData) -> Ruling {
        let exempt = !is(Mutant::ExemptionsMissing)
            && data.arch == Abi::X86_64.audit_arch()
            && match data.nr {
                URETPROBE => self.traits.shows(Quirk::UretprobeExempt),
                UPROBE => self.traits.shows(Quirk::UprobeExempt),
                _ => false,
            };
        match self.task(id).mode {
            Mode::Disabled => Ruling::Run,
            _ if exempt => {
                self.step.why = format!("call {} is exempt from seccomp", data.nr);
                Ruling::Run
            }
            Mode::Strict => self.strict_ruling(data),
            Mode::Filter => self.filter_ruling(id, data),
        }
    }

    /// Each entry has its own table of four calls (kernel/seccomp.c mode1_syscalls,
    /// arch/x86/include/asm/seccomp.h). With the quirk the table goes by the program's kind (TIF_32BIT), and
    /// programs are native here.
    fn strict_ruling(&mut self, data: &SeccompData) -> Ruling {
        let by_entry = !self.traits.shows(Quirk::StrictNativeNumbers) && !is(Mutant::StrictI386Numbers);
        let allowed: [u32; 4] = if by_entry && data.arch == Abi::I386.audit_arch() {
            [3, 4, 1, 119]
        } else {
            [0, 1, 60, RT_SIGRETURN]
        };
        let nr = either(data.nr, [(Mutant::StrictMasksX32, data.nr & !Abi::X32_BIT)]);
        let only = [Mutant::StrictForbidsRead, Mutant::StrictForbidsWrite, Mutant::StrictForbidsExit];
        let forbidden = only.iter().zip(allowed).any(|(mutant, allowed)| is(*mutant) && nr == allowed);
        let more = is(Mutant::StrictAllowsMore) && nr == 231;
        if allowed.contains(&nr) && !forbidden || more {
            return Ruling::Run;
        }
        self.step.why = "strict mode".into();
        Ruling::Strict
    }

    fn filter_ruling(&mut self, id: TaskId, data: &SeccompData) -> Ruling {
        let dialect = dialect(self.traits);
        let data = &flipped::seen(*data);
        let filters = &self.task(id).filters;
        let runs: Vec<_> =
            filters.iter().rev().map(|attached| bpf::run(&attached.filter, data, &dialect)).collect();
        let words: Vec<u32> = runs.iter().map(|run| run.word).collect();
        let high_bit_ignored = self.traits.shows(Quirk::ActionHighBitIgnored);
        let winner = most_restrictive(&words, high_bit_ignored);
        let Some(index) = winner else { return Ruling::Run };
        let word = if high_bit_ignored { words[index] & 0x7fff_ffff } else { words[index] };
        let masks = [(Mutant::DataTwelveBits, 0xffff_0fff), (Mutant::DataFifteenBits, 0xffff_7fff)];
        let action = Action::from_word(word & either(u32::MAX, masks));
        self.step.why = decided(action, index, words.len(), runs[index].decided_at);
        self.ruling_of(action)
    }

    /// seccomp(2), "Filters", and kernel/seccomp.c __seccomp_filter.
    fn ruling_of(&self, action: Action) -> Ruling {
        let thread = self.traits.shows(Quirk::UnknownActionKillsThread);
        let unknown = Ruling::Kill { process: either(!thread, [(Mutant::UnknownKillKind, thread)]) };
        match action {
            Action::Unknown(_) if is(Mutant::UnknownAllowed) => Ruling::Run,
            Action::Trace(_) if is(Mutant::TraceRuns) => Ruling::Run,
            Action::Errno(0) if is(Mutant::ErrnoZeroRuns) => Ruling::Run,
            Action::Trap(data) if is(Mutant::TrapDataCapped) => Ruling::Trap(data.min(errno::MAX as u16)),
            Action::Allow => Ruling::Run,
            Action::KillThread => Ruling::Kill { process: is(Mutant::KillThreadAsProcess) },
            Action::KillProcess if self.traits.has(Feature::ActionKillProcess) => {
                Ruling::Kill { process: !is(Mutant::KillProcessAsThread) }
            }
            Action::Log if self.traits.has(Feature::ActionLog) => {
                either(Ruling::Run, [(Mutant::LogRefuses, Ruling::Return(-errno::ENOSYS))])
            }
            // Experiments have no listener that answers.
            Action::UserNotif if self.traits.has(Feature::ActionUserNotif) => {
                either(Ruling::Return(-errno::ENOSYS), [(Mutant::NotifRuns, Ruling::Run)])
            }
            Action::Trace(data) if self.experiment.tracer => {
                Ruling::Traced(either(data, [(Mutant::TraceMessage, 0)]))
            }
            Action::Trace(_) => Ruling::Return(-errno::ENOSYS),
            Action::Trap(data) => Ruling::Trap(data),
            Action::Errno(data) => {
                let cap = either(errno::MAX, [(Mutant::ErrnoCapLess, errno::MAX - 1)]);
                let capped = i64::from(data).min(cap);
                let uncapped = self.traits.shows(Quirk::ErrnoUncapped) || is(Mutant::ErrnoCapMissing);
                Ruling::Return(-if uncapped { i64::from(data) } else { capped })
            }
            Action::KillProcess | Action::Log | Action::UserNotif | Action::Unknown(_) => unknown,
        }
    }

    /// arch/x86/kernel/signal.c handle_signal looks at the result register, where syscall_rollback has put
    /// the number; before 5.14 only for numbers that are not negative.
    fn restart(&self, call: &Call) -> Restart {
        let number = match call.abi {
            Abi::I386 => i64::from(call.nr as i32),
            Abi::X86_64 | Abi::X32 => call.nr as i64,
        };
        match number {
            _ if !self.traits.shows(Quirk::NumberAsErrno) || is(Mutant::RestartMissing) => Restart::No,
            -514 if is(Mutant::RestartLess) => Restart::No,
            -515 if is(Mutant::RestartMore) => Restart::Interrupted,
            -512 | -514 | -516 => Restart::Interrupted,
            -513 => Restart::Again,
            _ => Restart::No,
        }
    }

    /// SIGSYS is forced: where it is blocked or ignored the kernel resets it to its default, which
    /// ends the process (kernel/signal.c force_sig_info_to_task).
    fn trap(&mut self, id: TaskId, call: &Call, data: u16) -> Came {
        let handled = self.process(id).sigsys.get() == Disposition::Record;
        if is(Mutant::TrapIgnored) && self.process(id).sigsys.get() == Disposition::Ignore {
            return Came::Back(Value::Exactly(-errno::ENOSYS));
        }
        if is(Mutant::TrapDefaultThread) && !handled {
            return Came::ThreadEnds(killed_by(signal::SYS));
        }
        if !handled || self.task(id).sigsys_blocked && !is(Mutant::TrapBlocked) {
            return Came::ProcessEnds(killed_by(signal::SYS));
        }
        // syscall_rollback puts the number back into the result register.
        let result = match call.abi {
            Abi::I386 => i64::from(call.nr as u32),
            Abi::X86_64 | Abi::X32 => call.nr as i64,
        };
        let restart = self.restart(call);
        let result = if restart == Restart::Interrupted { -errno::EINTR } else { result };
        self.step.traps.push(Sigsys {
            signo: signal::SYS,
            code: either(SYS_SECCOMP, [(Mutant::TrapCode, 0x80)]),
            errno: either(i32::from(data), [(Mutant::TrapErrno, 0)]),
            call_addr: call.address() - either(0, [(Mutant::TrapCallAddr, 2)]),
            syscall: either(call.nr as i32, [(Mutant::TrapSyscall, -1)]),
            arch: either(call.abi, [(Mutant::TrapArch, Abi::X86_64)]).audit_arch(),
            result: either(result, [(Mutant::TrapResult, -errno::ENOSYS)]),
        });
        let why = std::mem::take(&mut self.step.why);
        let back = SeccompData {
            nr: RT_SIGRETURN,
            arch: Abi::X86_64.audit_arch(),
            instruction_pointer: layout::SIGRETURN_IP,
            args: [0; 6],
        };
        let ruling = either(self.ruling(id, &back), [(Mutant::SigreturnUnfiltered, Ruling::Run)]);
        if let Ruling::Traced(data) = ruling {
            self.step.traced.push(data.into());
        }
        let came = match ruling {
            Ruling::Run if is(Mutant::TrapReturn) => Came::Back(Value::Exactly(-errno::ENOSYS)),
            Ruling::Run | Ruling::Traced(_) if restart == Restart::Again => {
                // As often as there is room for.
                self.step.traps = vec![self.step.traps[0].clone(); MAX_TRAPS];
                if let Ruling::Traced(data) = ruling {
                    self.step.traced = vec![data.into(); MAX_TRAPS];
                }
                Came::Forever
            }
            Ruling::Run | Ruling::Traced(_) => Came::Back(Value::Exactly(match call.abi {
                Abi::I386 => i64::from(result as i32),
                Abi::X86_64 | Abi::X32 => result,
            })),
            // The stub has nothing behind its rt_sigreturn but a fault.
            Ruling::Return(_) => Came::ProcessEnds(killed_by(signal::ILL)),
            // SIGSYS is blocked while its handler runs.
            Ruling::Trap(_) => Came::ProcessEnds(killed_by(signal::SYS)),
            Ruling::Strict => Came::ThreadEnds(killed_by(signal::KILL)),
            Ruling::Kill { process: true } => Came::ProcessEnds(killed_by(signal::SYS)),
            Ruling::Kill { process: false } => Came::ThreadEnds(killed_by(signal::SYS)),
        };
        self.step.why = why;
        came
    }
}
