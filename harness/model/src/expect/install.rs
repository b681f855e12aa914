//! Attaching filters: the checks in the kernel's order, TSYNC, and what comes of it.

use super::Value;
use super::judge::dialect;
use super::machine::{Attached, Machine, Mode};
use crate::Abi;
use crate::action::errno;
use crate::bpf::{self, Filter};
use crate::experiment::{Call, Install, Program, TaskId, Via, layout};
use crate::mutant::{Mutant, either, is};
use crate::traits::{Feature, Quirk};
use std::rc::Rc;

/// `SECCOMP_FILTER_FLAG_*` (include/uapi/linux/seccomp.h).
mod flag {
    pub(super) const TSYNC: u32 = 1;
    pub(super) const LOG: u32 = 2;
    pub(super) const SPEC_ALLOW: u32 = 4;
    pub(super) const NEW_LISTENER: u32 = 8;
    pub(super) const TSYNC_ESRCH: u32 = 16;
    pub(super) const WAIT_KILLABLE_RECV: u32 = 32;
}

/// The call an [`Install`] makes.
pub(super) fn as_call(install: &Install) -> Call {
    let pointer = match install.program {
        Program::NullFprog => 0,
        Program::BadFprog => layout::UNMAPPED,
        _ => layout::FPROG,
    };
    let (nr, args) = match install.via {
        Via::Prctl => (157, [22, 2, pointer, 0, 0, 0]),
        Via::Seccomp { flags } => (317, [1, u64::from(flags), pointer, 0, 0, 0]),
    };
    Call { abi: Abi::X86_64, nr, args }
}

fn fails(errno: i64) -> Value {
    Value::Exactly(-errno)
}

impl Machine<'_> {
    pub(super) fn install(&mut self, id: TaskId, install: &Install) -> Value {
        let flags = match install.via {
            Via::Prctl if !self.traits.has(Feature::ModeFilter) => return fails(errno::EINVAL),
            Via::Seccomp { .. } if !self.traits.has(Feature::SeccompSyscall) => {
                return fails(errno::ENOSYS);
            }
            // kernel/seccomp.c seccomp_set_mode_filter, the stub without CONFIG_SECCOMP_FILTER.
            Via::Seccomp { .. } if !self.traits.has(Feature::ModeFilter) => return fails(errno::EINVAL),
            Via::Prctl => 0,
            Via::Seccomp { flags } => flags,
        };
        match self.try_install(id, flags, &install.program) {
            Ok(value) => value,
            Err(errno) => fails(errno),
        }
    }

    /// kernel/seccomp.c seccomp_set_mode_filter, seccomp_prepare_user_filter,
    /// seccomp_prepare_filter and seccomp_attach_filter, in their order.
    fn try_install(&mut self, id: TaskId, flags: u32, program: &Program) -> Result<Value, i64> {
        self.check_flags(flags)?;
        let old_order = self.traits.shows(Quirk::ChainBeforePrivilege);
        if old_order && self.task(id).mode == Mode::Strict {
            return Err(errno::EINVAL);
        }
        let (length, filter) = match program {
            Program::NullFprog | Program::BadFprog => return Err(errno::EFAULT),
            Program::Filter(filter) => (filter.0.len() as u16 as usize, Ok(filter)),
            Program::Length(filter, length) => (usize::from(*length), Ok(filter)),
            Program::NullInsns(length) if self.traits.shows(Quirk::NullInsnsFault) => {
                (usize::from(*length), Err(errno::EFAULT))
            }
            Program::NullInsns(length) => (usize::from(*length), Err(errno::EINVAL)),
            Program::BadInsns(length) => (usize::from(*length), Err(errno::EFAULT)),
        };
        let longest = either(bpf::MAX_INSNS, [(Mutant::LengthMore, bpf::MAX_INSNS + 1)]);
        if (length == 0 && !is(Mutant::EmptyAccepted)) || length > longest {
            return Err(errno::EINVAL);
        }
        if old_order {
            self.check_chain(id, length)?;
        }
        let promised = self.task(id).no_new_privs && !is(Mutant::NoNewPrivsNotEnough);
        let capable = self.task(id).privileged && !is(Mutant::CapabilityNotEnough);
        let denied = !promised && !capable && !is(Mutant::PrivilegeNotNeeded);
        let eacces = either(errno::EACCES, [(Mutant::AccessErrno, errno::EPERM)]);
        if denied && !is(Mutant::AccessLast) {
            return Err(eacces);
        }
        let mut program = filter?.0.clone();
        // Beyond a filter's own instructions the board holds zeroes: `LD IMM 0`.
        program.resize(length, bpf::Insn { code: 0, jt: 0, jf: 0, k: 0 });
        let filter = Filter(program);
        let dialect = dialect(self.traits);
        bpf::check(&filter, &dialect)
            .map_err(|_| either(errno::EINVAL, [(Mutant::RefusedErrno, errno::EACCES)]))?;
        if denied {
            return Err(eacces);
        }
        let listener = flags & flag::NEW_LISTENER != 0;
        if listener
            && !is(Mutant::SecondListener)
            && self.task(id).filters.iter().any(|attached| attached.listener)
        {
            return Err(errno::EBUSY);
        }
        if !old_order {
            self.check_chain(id, bpf::kernel_len(&filter, dialect.chain_unit))?;
        }
        if flags & flag::TSYNC != 0
            && let Some(other) = self.diverged(id)
        {
            let esrch = flags & flag::TSYNC_ESRCH != 0 && !is(Mutant::TsyncEsrchIgnored);
            let tid = either(
                Value::TidOf(self.task(other).identity),
                [(Mutant::TsyncDivergedZero, Value::Exactly(0))],
            );
            return if esrch { Err(errno::ESRCH) } else { Ok(tid) };
        }
        self.attach(id, filter, listener);
        if flags & flag::TSYNC != 0 && !is(Mutant::TsyncSpreadsNothing) || is(Mutant::AttachSpreads) {
            self.synchronise(id);
        }
        Ok(match listener {
            true if self.experiment.watch => Value::Exactly(self.open_listener(id)),
            true => Value::Success,
            false => Value::Exactly(0),
        })
    }

    fn check_flags(&self, flags: u32) -> Result<(), i64> {
        let known = [
            (flag::TSYNC, Feature::Tsync),
            (flag::LOG, Feature::FlagLog),
            (flag::SPEC_ALLOW, Feature::SpecAllow),
            (flag::NEW_LISTENER, Feature::NewListener),
            (flag::TSYNC_ESRCH, Feature::TsyncEsrch),
            (flag::WAIT_KILLABLE_RECV, Feature::WaitKillable),
        ];
        let mask = known.iter().filter(|(_, f)| self.traits.has(*f)).fold(0, |mask, (bit, _)| mask | bit);
        let both = flag::TSYNC | flag::NEW_LISTENER;
        let ambiguous = flags & both == both
            && flags & flag::TSYNC_ESRCH == 0
            && !self.traits.shows(Quirk::TsyncListenerAccepted);
        let alone = flags & flag::WAIT_KILLABLE_RECV != 0 && flags & flag::NEW_LISTENER == 0;
        let unknown = flags & !mask != 0 && !is(Mutant::UnknownFlagAccepted);
        let ambiguous = ambiguous && !is(Mutant::AmbiguousAccepted);
        let alone = alone && !is(Mutant::WaitKillableAlone);
        if unknown || ambiguous || alone { Err(errno::EINVAL) } else { Ok(()) }
    }

    fn check_chain(&self, id: TaskId, new: usize) -> Result<(), i64> {
        let unit = dialect(self.traits).chain_unit;
        let old = self.task(id).filters.iter().map(|attached| bpf::attached_len(&attached.filter, unit));
        let enomem = either(errno::ENOMEM, [(Mutant::ChainErrno, errno::EINVAL)]);
        if bpf::chain_fits(new, old) { Ok(()) } else { Err(enomem) }
    }

    /// The first thread that cannot follow: one in strict mode, or with a filter that is not an
    /// ancestor of the caller's (kernel/seccomp.c seccomp_can_sync_threads).
    fn diverged(&self, id: TaskId) -> Option<TaskId> {
        let caller = self.task(id);
        let same = |one: &Attached, other: &Attached| {
            one.id == other.id || is(Mutant::TsyncSameContent) && one.filter == other.filter
        };
        let follows = |filters: &[Rc<Attached>]| {
            filters.len() <= caller.filters.len()
                && filters.iter().zip(&caller.filters).all(|(one, other)| same(one, other))
                && (filters.len() == caller.filters.len() || !is(Mutant::TsyncAncestorRefused))
        };
        self.tasks
            .iter()
            .filter(|(other, task)| **other != id && task.leader == caller.leader && task.end.is_none())
            .find(|(_, task)| match task.mode {
                Mode::Disabled => false,
                Mode::Strict => !is(Mutant::TsyncStrictFollows),
                Mode::Filter => !follows(&task.filters),
            })
            .map(|(other, _)| *other)
    }

    fn attach(&mut self, id: TaskId, filter: Filter, listener: bool) {
        self.attached += 1;
        let attached = Rc::new(Attached { id: self.attached, filter, listener });
        let task = self.task_mut(id);
        task.mode = Mode::Filter;
        task.filters.push(attached);
    }

    fn synchronise(&mut self, id: TaskId) {
        let caller = self.task(id).clone();
        let skips = self.traits.shows(Quirk::TsyncSkipsNnp);
        for task in self.tasks.values_mut() {
            if task.leader != caller.leader || task.end.is_some() {
                continue;
            }
            if caller.no_new_privs && !(skips && task.mode != Mode::Disabled) && !is(Mutant::TsyncForgetsNnp)
            {
                task.no_new_privs = true;
            }
            task.mode = either(Mode::Filter, [(Mutant::TsyncKeepsMode, task.mode)]);
            task.filters.clone_from(&caller.filters);
        }
    }
}
