//! How tasks come, change their image and go.

use super::Value;
use super::machine::{Machine, Process, Task, killed_by, signal};
use super::own::{LISTENER, Own, apart};
use crate::action::errno;
use crate::experiment::{CLONE_FILES, CLONE_FS, CLONE_SIGHAND, CLONE_VM, Disposition, SHARES, TaskId};
use crate::mutant::{Mutant, either, is};
use crate::observation::End;
use crate::traits::Quirk;
use crate::world::Open;
use std::cell::Cell;
use std::rc::Rc;

impl Machine<'_> {
    /// A thread shares everything.
    pub(super) fn make_thread(&mut self, maker: TaskId, child: TaskId) -> Value {
        let mut task = Task { identity: child, ..self.task(maker).clone() };
        if is(Mutant::ThreadDropsFilters) {
            task.forget_filters();
        }
        task.no_new_privs &= !is(Mutant::ThreadDropsNnp);
        self.tasks.insert(child, task);
        Value::TidOf(child)
    }

    /// Inheritance: a new task has its maker's mode, filters and no_new_privs (clone(2),
    /// kernel/fork.c copy_seccomp). A process has copies of what it does not share.
    pub(super) fn make_process(&mut self, maker: TaskId, child: TaskId, shares: u64) -> Value {
        // kernel/fork.c copy_process.
        if shares & CLONE_SIGHAND != 0 && shares & CLONE_VM == 0 {
            return Value::Exactly(-errno::EINVAL);
        }
        let sigsys = Rc::clone(&self.process(maker).sigsys);
        let shared = shares & CLONE_SIGHAND != 0;
        let own = either(sigsys.get(), [(Mutant::ForkDropsHandler, Disposition::Default)]);
        let sigsys = if shared { sigsys } else { Rc::new(Cell::new(own)) };
        let mut task = Task { leader: child, identity: child, ..self.task(maker).clone() };
        if is(Mutant::ForkDropsFilters) {
            task.forget_filters();
        }
        task.no_new_privs &= !is(Mutant::ForkDropsNnp);
        task.sigsys_blocked &= !is(Mutant::ForkDropsMask);
        task.own.unshare(SHARES & !shares);
        task.own.limits = apart(&task.own.limits);
        self.processes.insert(child, Process { sigsys, leader_end: None });
        self.tasks.insert(child, task);
        Value::TidOf(child)
    }

    /// execve(2), "Effect on process attributes": the other threads are gone, the caller takes the
    /// leader's id; handlers are reset, what is ignored stays so, and so do mask, mode, filters and
    /// no_new_privs. Directory and umask alone may still be shared with other processes.
    pub(super) fn execute(&mut self, id: TaskId) -> Value {
        let leader = self.task(id).leader;
        for (&other, task) in &mut self.tasks {
            if other != id && task.leader == leader && task.end.is_none() {
                task.end = Some(End::ThreadGone);
            }
        }
        let sigsys = match self.process(id).sigsys.get() {
            Disposition::Ignore => Disposition::Ignore,
            Disposition::Record if is(Mutant::ExecKeepsHandler) => Disposition::Record,
            Disposition::Default | Disposition::Record => Disposition::Default,
        };
        self.processes.insert(leader, Process { sigsys: Rc::new(Cell::new(sigsys)), leader_end: None });
        let identity = self.tasks.get(&leader).map_or(leader, |task| task.identity);
        let task = self.task_mut(id);
        if is(Mutant::ExecDropsFilters) {
            task.forget_filters();
        }
        task.identity = identity;
        task.own.unshare(CLONE_FILES);
        let listener = Open::Anonymous(LISTENER.into());
        task.own.descriptors.borrow_mut().retain(|_, open| *open != listener);
        task.own.memory = Own::new_memory();
        Value::Exactly(0)
    }

    fn mates(&mut self, id: TaskId) -> impl Iterator<Item = &mut Task> {
        let leader = self.task(id).leader;
        self.tasks.values_mut().filter(move |task| task.leader == leader && task.end.is_none())
    }

    pub(super) fn end_process(&mut self, id: TaskId, end: End) {
        self.mates(id).for_each(|task| task.end = Some(end));
        self.spread(id, end);
    }

    /// The last thread's end is the process's, on older kernels with the status that its leader left
    /// (kernel/exit.c wait_task_zombie, which read the leader's exit code).
    pub(super) fn end_thread(&mut self, id: TaskId, end: End) {
        let is_leader = self.task(id).identity == self.task(id).leader;
        if self.mates(id).count() > 1 {
            self.task_mut(id).end = Some(End::ThreadGone);
            if is_leader {
                self.process_mut(id).leader_end = Some(end);
            }
        } else {
            let leader_end = self.process(id).leader_end;
            // A kill of the last thread is a signal to its process (kernel/seccomp.c __seccomp_filter).
            let alone = leader_end.is_none() || !self.traits.shows(Quirk::KillCountsZombies);
            let signalled = end == killed_by(signal::SYS) && alone;
            let leaders = self.traits.shows(Quirk::LeaderGivesStatus) || is(Mutant::LeaderStatusStays);
            let status = leader_end.filter(|_| leaders && !signalled);
            self.task_mut(id).end = Some(status.unwrap_or(end));
            if alone {
                self.spread(id, end);
            }
        }
    }

    /// A dump, though its limit is 0, first stopped every process that had the memory.
    fn spread(&mut self, id: TaskId, end: End) {
        let End::Signaled { signal, .. } = end else { return };
        let dumps = [signal::ILL, signal::SEGV, signal::SYS].contains(&signal);
        let memory = Rc::clone(&self.task(id).own.memory);
        if !dumps || !memory.borrow().dumpable || !self.traits.shows(Quirk::DumpKillsSharers) {
            return;
        }
        for task in self.tasks.values_mut() {
            if task.end.is_none() && Rc::ptr_eq(&task.own.memory, &memory) {
                task.end = Some(killed_by(signal));
            }
        }
    }
}

impl Own {
    /// Makes copies of what these bits of [`SHARES`] name.
    fn unshare(&mut self, bits: u64) {
        if bits & CLONE_VM != 0 {
            self.memory = apart(&self.memory);
        }
        if bits & CLONE_FS != 0 {
            self.place = apart(&self.place);
        }
        if bits & CLONE_FILES != 0 {
            self.descriptors = apart(&self.descriptors);
        }
    }
}
