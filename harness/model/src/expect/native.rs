//! What calls do that seccomp lets run, as far as experiments need to know.

use super::Value;
use super::machine::{Came, Machine, Mode, killed_by, signal};
use super::own::NOBODY;
use crate::abi::{Abi, syscalls};
use crate::action::{Action, errno};
use crate::experiment::{Call, Install, Program, TaskId, Via, layout};
use crate::mutant::{Mutant, either, is};
use crate::observation::End;
use crate::traits::{Feature, Quirk};

fn exactly(value: i64) -> Came {
    Came::Back(Value::Exactly(value))
}

fn in_scratch(address: u64, length: u64) -> bool {
    address >= layout::SCRATCH
        && address.checked_add(length).is_some_and(|end| end <= layout::SCRATCH + layout::SCRATCH_LEN)
}

impl Machine<'_> {
    pub(super) fn native(&mut self, id: TaskId, call: &Call) -> Came {
        let [a, b, c, ..] = match call.abi {
            // The i386 entry points take 32-bit arguments.
            Abi::I386 => call.args.map(|arg| arg & 0xffff_ffff),
            Abi::X86_64 | Abi::X32 => call.args,
        };
        let high_bits = call.abi != Abi::I386 && call.nr >> 32 != 0;
        // Whatever looks at a call before it runs hands its number on as an int (kernel/entry/common.c).
        let cut = self.task(id).mode != Mode::Disabled && self.traits.shows(Quirk::NumberCutBySeccomp);
        if high_bits && !cut && self.traits.shows(Quirk::NumberHighBitsRefused) {
            return exactly(-errno::ENOSYS);
        }
        let number = call.nr as u32;
        let x32 = call.abi == Abi::X32 || number & Abi::X32_BIT != 0;
        if x32 && call.abi != Abi::I386 && !self.traits.has(Feature::AbiX32) {
            return exactly(-errno::ENOSYS);
        }
        let Some(name) = syscalls::name(call.abi, number) else { return exactly(-errno::ENOSYS) };
        if let Some(value) = self.effect(id, call) {
            return Came::Back(value);
        }
        match name {
            "getpid" => Came::Back(Value::PidOf(id)),
            "gettid" => Came::Back(Value::TidOf(self.task(id).identity)),
            // The supervisor, PID 1, is every process's parent.
            "getppid" => exactly(1),
            "getuid" | "geteuid" => exactly(if self.task(id).privileged { 0 } else { NOBODY as i64 }),
            "getpgid" | "getsid" | "sched_yield" if name == "sched_yield" => exactly(0),
            "close" if a as u32 as u64 == layout::FD_CLOSED => exactly(-errno::EBADF),
            "read" => self.read(a, b, c),
            "write" => self.write(a, b, c),
            "exit" => Came::ThreadEnds(End::Exited(a as i32 & 0xff)),
            "exit_group" => Came::ProcessEnds(End::Exited(a as i32 & 0xff)),
            "setresuid" if [a, b, c].iter().all(|&user| user as u32 as u64 == NOBODY) => {
                self.become_nobody(id);
                exactly(0)
            }
            "prctl" => self.prctl(id, call.abi, call.args),
            "seccomp" => self.seccomp(id, a as u32, b as u32, c),
            // Nobody but the kernel's own trampoline may come here.
            "uretprobe" if self.traits.has(Feature::Uretprobe) => Came::ProcessEnds(killed_by(signal::ILL)),
            "uprobe" if self.traits.has(Feature::Uprobe) => {
                Came::Back(Value::OneOf(&[-errno::ENXIO, -errno::EPROTO]))
            }
            "uretprobe" | "uprobe" => exactly(-errno::ENOSYS),
            _ => Came::Back(Value::Any),
        }
    }

    fn read(&mut self, fd: u64, buffer: u64, count: u64) -> Came {
        match fd as u32 as u64 {
            layout::FD_CLOSED => exactly(-errno::EBADF),
            layout::FD_READ if count == 0 => exactly(0),
            layout::FD_READ if in_scratch(buffer, count) => {
                let got = count.min(self.pipe_left);
                self.pipe_left -= got;
                exactly(got as i64)
            }
            _ => Came::Back(Value::Any),
        }
    }

    fn write(&mut self, fd: u64, buffer: u64, count: u64) -> Came {
        match fd as u32 as u64 {
            layout::FD_CLOSED => exactly(-errno::EBADF),
            // A pipe holds at least a page before a writer blocks.
            layout::FD_WRITE if count <= 512 && in_scratch(buffer, count) => {
                self.world.pipe += count as u32;
                exactly(count as i64)
            }
            _ => Came::Back(Value::Any),
        }
    }

    fn prctl(&mut self, id: TaskId, abi: Abi, args: [u64; 6]) -> Came {
        let args = if abi == Abi::I386 { args.map(|arg| arg & 0xffff_ffff) } else { args };
        let [option, arg2, arg3, arg4, arg5, _] = args;
        let knows_nnp = self.traits.has(Feature::NoNewPrivs);
        match option as u32 {
            21 if self.traits.has(Feature::ModeStrict) || self.traits.has(Feature::ModeFilter) => {
                exactly(match self.task(id).mode {
                    Mode::Disabled => 0,
                    Mode::Strict => 1,
                    Mode::Filter => either(2, [(Mutant::GetSeccompOne, 1)]),
                })
            }
            21 => exactly(-errno::EINVAL),
            22 => self.set_seccomp(id, arg2, arg3),
            38 if knows_nnp && arg2 == 1 && (arg3 | arg4 | arg5) == 0 => {
                self.task_mut(id).no_new_privs = true;
                if is(Mutant::NnpForProcess) {
                    let leader = self.task(id).leader;
                    let mates = self.tasks.values_mut().filter(|task| task.leader == leader);
                    mates.for_each(|task| task.no_new_privs = true);
                }
                exactly(0)
            }
            39 if knows_nnp && (arg2 | arg3 | arg4 | arg5) == 0 => {
                exactly(i64::from(self.task(id).no_new_privs))
            }
            38 | 39 => exactly(-errno::EINVAL),
            _ => Came::Back(Value::Any),
        }
    }

    /// kernel/seccomp.c prctl_set_seccomp.
    fn set_seccomp(&mut self, id: TaskId, mode: u64, pointer: u64) -> Came {
        match mode {
            1 => self.enter_strict(id),
            2 => match null_or_bad(pointer) {
                Some(program) => Came::Back(self.install(id, &Install { via: Via::Prctl, program })),
                None => Came::Back(Value::Any),
            },
            _ => exactly(-errno::EINVAL),
        }
    }

    fn enter_strict(&mut self, id: TaskId) -> Came {
        if !self.traits.has(Feature::ModeStrict)
            || self.task(id).mode == Mode::Filter && !is(Mutant::StrictAfterFilter)
        {
            return exactly(-errno::EINVAL);
        }
        self.task_mut(id).mode = Mode::Strict;
        exactly(0)
    }

    /// kernel/seccomp.c do_seccomp.
    fn seccomp(&mut self, id: TaskId, operation: u32, flags: u32, pointer: u64) -> Came {
        if !self.traits.has(Feature::SeccompSyscall) {
            return exactly(-errno::ENOSYS);
        }
        match operation {
            0 if flags == 0 && pointer == 0 => self.enter_strict(id),
            1 => match null_or_bad(pointer) {
                Some(program) => {
                    Came::Back(self.install(id, &Install { via: Via::Seccomp { flags }, program }))
                }
                None => Came::Back(Value::Any),
            },
            2 if self.traits.has(Feature::GetActionAvail) && flags == 0 => self.action_avail(pointer),
            3 if self.traits.has(Feature::GetNotifSizes) && flags == 0 => {
                exactly(if in_scratch(pointer, 6) { 0 } else { -errno::EFAULT })
            }
            _ => exactly(-errno::EINVAL),
        }
    }

    fn action_avail(&self, pointer: u64) -> Came {
        let Some(word) = self.scratch_word(pointer) else { return exactly(-errno::EFAULT) };
        let word = either(word, [(Mutant::AvailIgnoresData, word & 0xffff_0000)]);
        // The whole word must be an action's value, data bits included.
        let known = match Action::from_word(word) {
            action if action.word() != word || word & 0xffff != 0 => false,
            Action::Unknown(_) => false,
            Action::KillProcess => self.traits.has(Feature::ActionKillProcess),
            Action::Log => self.traits.has(Feature::ActionLog),
            Action::UserNotif => self.traits.has(Feature::ActionUserNotif),
            _ => true,
        };
        exactly(if known || is(Mutant::AvailAlways) { 0 } else { -errno::EOPNOTSUPP })
    }

    /// A word of the scratch area as the experiment filled it.
    fn scratch_word(&self, address: u64) -> Option<u32> {
        if !in_scratch(address, 4) {
            return None;
        }
        let at = address - layout::SCRATCH;
        Some(u32::from_le_bytes([0, 1, 2, 3].map(|index| self.scratch_byte(at + index))))
    }

    /// A byte of the scratch area as the experiment filled it.
    pub(super) fn scratch_byte(&self, position: u64) -> u8 {
        let fill = self.experiment.memory.iter().rev().find_map(|(offset, bytes)| {
            let index = position.checked_sub(u64::from(*offset))?;
            bytes.get(index as usize).copied()
        });
        fill.unwrap_or(0)
    }
}

fn null_or_bad(pointer: u64) -> Option<Program> {
    match pointer {
        0 => Some(Program::NullFprog),
        layout::UNMAPPED => Some(Program::BadFprog),
        _ => None,
    }
}
