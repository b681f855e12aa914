//! The world on paper: what the deeds of [`Effect`]s do to it.

use super::Value;
use super::machine::Machine;
use super::own::{LISTENER, NOBODY, Own, WRITABLE, at_start, path};
use crate::action::errno;
use crate::experiment::TaskId;
use crate::experiment::effects::{Deed, Effect, Made};
use crate::traits::Feature;
use crate::world::{Change, File, Kind, Open, changes};

impl Machine<'_> {
    /// What must have changed in the world; `None` where nobody watches, or where a call ran of which
    /// the model does not know what it does.
    pub(super) fn world_changes(&self) -> Option<Vec<Change>> {
        if !self.experiment.watch || self.world_unknown {
            return None;
        }
        let shows_umask = self.traits.has(Feature::StatusUmask);
        let mut before = at_start();
        before.tasks.insert(0, Own::first().holdings(shows_umask));
        let mut after = self.world.clone();
        let living = self.tasks.iter().filter(|(_, task)| task.end.is_none());
        after.tasks = living.map(|(&id, task)| (id, task.own.holdings(shows_umask))).collect();
        Some(changes(&before, &after))
    }

    /// Does what a call does that seccomp lets run. `None`: this is no effect's call, or its scratch
    /// memory is not as it needs it.
    pub(super) fn effect(&mut self, id: TaskId, call: &crate::Call) -> Option<Value> {
        let effect = Effect::of(call).filter(|_| self.experiment.watch)?;
        let filled = |(offset, bytes): &(u32, Vec<u8>)| {
            let at = u64::from(*offset);
            bytes.iter().zip(at..).all(|(&byte, position)| self.scratch_byte(position) == byte)
        };
        if !effect.memory(call.abi).iter().all(filled) {
            return None;
        }
        let done = self.perform(id, call, &effect.deed);
        Some(Value::Exactly(done.unwrap_or_else(|errno| -errno)))
    }

    fn perform(&mut self, id: TaskId, call: &crate::Call, deed: &Deed) -> Result<i64, i64> {
        match deed {
            Deed::Create { .. }
            | Deed::Make { .. }
            | Deed::Remove(_)
            | Deed::Rename { .. }
            | Deed::Mode(..)
            | Deed::Length(..)
            | Deed::WriteFile(..) => self.perform_on_files(id, call, deed),
            Deed::WritePipe(bytes) => {
                self.world.pipe += bytes;
                Ok(i64::from(*bytes))
            }
            Deed::Signal(signal) => {
                self.needs_root(id)?;
                self.world.pending.insert(*signal);
                Ok(0)
            }
            Deed::Hostname(name) => {
                self.needs_root(id)?;
                self.world.hostname = (*name).into();
                Ok(0)
            }
            Deed::Map(page) => {
                self.own(id).memory.borrow_mut().pages.insert(*page, WRITABLE);
                Ok(call.args[0] as i64)
            }
            Deed::Unmap(page) => {
                self.own(id).memory.borrow_mut().pages.remove(page);
                Ok(0)
            }
            Deed::Protect(page, protection) => {
                let mut memory = self.own(id).memory.borrow_mut();
                let mapped = memory.pages.get_mut(page).ok_or(errno::ENOMEM)?;
                *mapped = *protection;
                Ok(0)
            }
            Deed::DuplicateFrom(lowest) => Ok(self.open(id, *lowest, Open::Pipe)),
            Deed::DuplicateTo(number) => {
                self.own(id).descriptors.borrow_mut().insert(*number, Open::Pipe);
                Ok(i64::from(*number))
            }
            Deed::Close(number) => {
                self.own(id).descriptors.borrow_mut().remove(number).map(|_| 0).ok_or(errno::EBADF)
            }
            Deed::Open(what, returns) => {
                let numbers: Vec<i64> = what.iter().map(|one| self.open(id, 0, one.open())).collect();
                Ok(if *returns { numbers[0] } else { 0 })
            }
            Deed::Limit(resource, soft, hard) => {
                self.own(id).limits.borrow_mut().insert(*resource, (*soft, *hard));
                Ok(0)
            }
            Deed::Directory(name) => {
                self.own(id).place.borrow_mut().directory = path(name);
                Ok(0)
            }
            Deed::Umask(umask) => {
                let old = self.own(id).place.borrow_mut().umask.replace(*umask);
                Ok(old.map_or(0, i64::from))
            }
            Deed::Nice(nice) => {
                self.own(id).nice = *nice;
                Ok(0)
            }
            Deed::Personality(personality) => {
                Ok(i64::from(std::mem::replace(&mut self.own(id).personality, *personality)))
            }
            Deed::Nobody => {
                self.become_nobody(id);
                Ok(0)
            }
        }
    }

    fn perform_on_files(&mut self, id: TaskId, call: &crate::Call, deed: &Deed) -> Result<i64, i64> {
        let umask = self.own(id).place.borrow().umask.unwrap_or_default();
        let owner = if self.task(id).privileged { 0 } else { NOBODY as u32 };
        let new = |kind, mode| File { kind, mode: mode & !umask, owner };
        match deed {
            Deed::Create { name, write } => {
                match self.world.files.get(*name) {
                    Some(file) if !permits(file, owner, *write) => return Err(errno::EACCES),
                    Some(_) => {}
                    None => {
                        self.world.files.insert((*name).into(), new(Kind::Regular { length: 0 }, 0o644));
                    }
                }
                Ok(self.open(id, 0, Open::File(path(name))))
            }
            Deed::Make { name, .. } if self.world.files.contains_key(*name) => Err(errno::EEXIST),
            Deed::Make { name, what } => {
                let file = match what {
                    Made::Directory(mode) => new(Kind::Directory, *mode),
                    Made::Fifo(mode) => new(Kind::Fifo, *mode),
                    Made::Symlink(target) => {
                        File { kind: Kind::Link { target: (*target).into() }, mode: 0o777, owner }
                    }
                    Made::Link(of) => self.world.files.get(*of).cloned().ok_or(errno::ENOENT)?,
                };
                self.world.files.insert((*name).into(), file);
                Ok(0)
            }
            Deed::Remove(name) => self.world.files.remove(*name).map(|_| 0).ok_or(errno::ENOENT),
            Deed::Rename { from, to } => {
                let file = self.world.files.remove(*from).ok_or(errno::ENOENT)?;
                self.world.files.insert((*to).into(), file);
                Ok(0)
            }
            Deed::Mode(name, mode) => {
                let file = self.world.files.get_mut(*name).ok_or(errno::ENOENT)?;
                if owner != 0 && file.owner != owner {
                    return Err(errno::EPERM);
                }
                file.mode = *mode;
                Ok(0)
            }
            Deed::Length(name, length) | Deed::WriteFile(name, length) => {
                let file = self.world.files.get_mut(*name).ok_or(errno::ENOENT)?;
                let grows = matches!(deed, Deed::WriteFile(..));
                if let Kind::Regular { length: now } = &mut file.kind {
                    *now = if grows { (*now).max(*length) } else { *length };
                }
                Ok(if grows { call.args[2] as i64 } else { 0 })
            }
            _ => unreachable!("the caller hands over deeds on files"),
        }
    }

    fn own(&mut self, id: TaskId) -> &mut Own {
        &mut self.task_mut(id).own
    }

    fn needs_root(&self, id: TaskId) -> Result<(), i64> {
        if self.task(id).privileged { Ok(()) } else { Err(errno::EPERM) }
    }

    /// Opens by the lowest free number from this one on.
    fn open(&mut self, id: TaskId, from: u32, what: Open) -> i64 {
        let mut descriptors = self.own(id).descriptors.borrow_mut();
        let number = (from..).find(|number| !descriptors.contains_key(number)).unwrap_or(from);
        descriptors.insert(number, what);
        number.into()
    }

    /// A listener's descriptor is one that `execve` closes (kernel/seccomp.c seccomp_set_mode_filter).
    pub(super) fn open_listener(&mut self, id: TaskId) -> i64 {
        self.open(id, 0, Open::Anonymous(LISTENER.into()))
    }

    /// Gives root's privileges away.
    pub(super) fn become_nobody(&mut self, id: TaskId) {
        self.task_mut(id).privileged = false;
        self.own(id).become_nobody();
    }
}

/// Tasks keep group 0 when they become nobody, and files have group 0.
fn permits(file: &File, user: u32, write: bool) -> bool {
    let bits = if file.owner == user { file.mode >> 6 } else { file.mode >> 3 };
    user == 0 || bits & if write { 2 } else { 4 } != 0
}
