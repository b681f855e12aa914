//! What calls change: the part of the world that experiments watch, and the changes in it.
//!
//! A [`World`] is looked at before the first step and after the last. The guest reads it from
//! outside the tasks; the model keeps one on paper. [`changes`] is what either reports, so that the
//! two can be compared without either knowing the whole of the other's world.

mod text;

pub use text::changes_text;

use crate::TaskId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most changes that are reported; those beyond are left out.
pub const MAX_CHANGES: usize = 1024;
/// The most bytes of a name that are kept.
pub const MAX_NAME: usize = 255;

/// What an experiment's calls can change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// What lies in [`crate::experiment::layout::WORLD`], by name.
    pub files: BTreeMap<String, File>,
    /// Bytes waiting in the pipe of [`crate::experiment::layout::FD_WRITE`].
    pub pipe: u32,
    /// Signals pending for process 1, which blocks them while it watches.
    pub pending: BTreeSet<u32>,
    /// The host name.
    pub hostname: String,
    /// What each living task has.
    pub tasks: BTreeMap<TaskId, Holdings>,
}

/// One entry of the watched directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// What it is.
    pub kind: Kind,
    /// Its permission bits.
    pub mode: u32,
    /// The user who owns it.
    pub owner: u32,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A regular file.
    Regular {
        /// Its length in bytes.
        length: u64,
    },
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A symbolic link.
    Link {
        /// Where it points to.
        target: String,
    },
    /// Anything else.
    Other,
}

/// What a task has. Tasks may share some of it: the table of descriptors, the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Directory and umask, which `CLONE_FS` shares.
    pub place: Place,
    /// Open descriptors, which `CLONE_FILES` shares.
    pub descriptors: BTreeMap<u32, Open>,
    /// Mapped pages of [`crate::experiment::layout::WINDOW`], by number, which `CLONE_VM` shares.
    pub pages: BTreeMap<u32, Protection>,
    /// Soft and hard limits, which the threads of a process share.
    pub limits: BTreeMap<Resource, (u64, u64)>,
    /// The task's nice value.
    pub nice: i32,
    /// The task's personality(2).
    pub personality: u32,
    /// Its real, effective and saved user.
    pub users: [u32; 3],
}

/// Where a task is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The working directory.
    pub directory: String,
    /// The umask; `None` where the kernel does not show it.
    pub umask: Option<u32>,
}

/// What a descriptor refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Open {
    /// One end of a pipe.
    Pipe,
    /// A socket.
    Socket,
    /// Something without a name in a file system, by its kind, such as `eventfd`.
    Anonymous(String),
    /// A file by its path.
    File(String),
}

/// What a mapping allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// `PROT_READ`.
    pub read: bool,
    /// `PROT_WRITE`.
    pub write: bool,
    /// `PROT_EXEC`.
    pub execute: bool,
    /// Others see what is written.
    pub shared: bool,
}

/// A limited resource of getrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Resource {
    /// `RLIMIT_STACK`.
    Stack,
    /// `RLIMIT_NOFILE`.
    Files,
}

/// One thing that is not as it was. What a task made later has is held against what task 0 had
/// before the first step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// An entry of the watched directory came, went or changed.
    File {
        /// Its name.
        name: String,
        /// What it was.
        before: Option<File>,
        /// What it is.
        after: Option<File>,
    },
    /// Other many bytes wait in the pipe.
    Pipe {
        /// How many did.
        before: u32,
        /// How many do.
        after: u32,
    },
    /// A signal arrived at process 1.
    Signal(u32),
    /// The host name is another.
    Hostname(String),
    /// Something of a task changed.
    Task(TaskId, Of),
}

/// What changed of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Of {
    /// The working directory is this.
    Directory(String),
    /// The umask is this.
    Umask(u32),
    /// A descriptor was opened, closed or replaced.
    Descriptor {
        /// Its number.
        number: u32,
        /// What it referred to.
        before: Option<Open>,
        /// What it refers to.
        after: Option<Open>,
    },
    /// A page of the watched window was mapped, unmapped or protected otherwise.
    Page {
        /// Its number, from the beginning of the window.
        number: u32,
        /// What it allowed.
        before: Option<Protection>,
        /// What it allows.
        after: Option<Protection>,
    },
    /// A limit is this.
    Limit {
        /// Of what.
        resource: Resource,
        /// The soft limit; `u64::MAX` is none.
        soft: u64,
        /// The hard limit.
        hard: u64,
    },
    /// The nice value is this.
    Nice(i32),
    /// The personality is this.
    Personality(u32),
    /// Real, effective and saved user are these.
    Users([u32; 3]),
}

/// What is otherwise in one world than in another, in a fixed order. Tasks are held against the
/// earlier world's task 0.
#[must_use]
pub fn changes(before: &World, after: &World) -> Vec<Change> {
    let mut found = Vec::new();
    each(&before.files, &after.files, |name, before, after| {
        found.push(Change::File { name: name.clone(), before: before.cloned(), after: after.cloned() });
    });
    if before.pipe != after.pipe {
        found.push(Change::Pipe { before: before.pipe, after: after.pipe });
    }
    found.extend(after.pending.difference(&before.pending).map(|&signal| Change::Signal(signal)));
    if before.hostname != after.hostname {
        found.push(Change::Hostname(after.hostname.clone()));
    }
    let start = Holdings::default();
    let start = before.tasks.get(&0).unwrap_or(&start);
    for (&task, holdings) in &after.tasks {
        found.extend(start.changes(holdings).into_iter().map(|of| Change::Task(task, of)));
    }
    found.truncate(MAX_CHANGES);
    found
}

impl Holdings {
    fn changes(&self, after: &Self) -> Vec<Of> {
        let mut found = Vec::new();
        if self.place.directory != after.place.directory {
            found.push(Of::Directory(after.place.directory.clone()));
        }
        if let Some(umask) = after.place.umask.filter(|_| self.place.umask != after.place.umask) {
            found.push(Of::Umask(umask));
        }
        each(&self.descriptors, &after.descriptors, |&number, before, after| {
            found.push(Of::Descriptor { number, before: before.cloned(), after: after.cloned() });
        });
        each(&self.pages, &after.pages, |&number, before, after| {
            found.push(Of::Page { number, before: before.copied(), after: after.copied() });
        });
        each(&self.limits, &after.limits, |&resource, _, limit| {
            let (soft, hard) = limit.copied().unwrap_or((0, 0));
            found.push(Of::Limit { resource, soft, hard });
        });
        if self.nice != after.nice {
            found.push(Of::Nice(after.nice));
        }
        if self.personality != after.personality {
            found.push(Of::Personality(after.personality));
        }
        if self.users != after.users {
            found.push(Of::Users(after.users));
        }
        found
    }
}

/// Calls for each key whose value is not the same in both.
fn each<K: Ord + Clone, V: PartialEq>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
    mut differs: impl FnMut(&K, Option<&V>, Option<&V>),
) {
    let keys: BTreeSet<&K> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let (old, new) = (before.get(key), after.get(key));
        if old != new {
            differs(key, old, new);
        }
    }
}
