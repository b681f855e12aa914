//! What tasks have, and the world that they begin in.

use crate::experiment::layout;
use crate::world::{File, Holdings, Kind, Open, Place, Protection, World};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The user that [`crate::experiment`]'s unprivileged tasks become.
pub(super) const NOBODY: u64 = 65_534;

type Shared<T> = Rc<RefCell<T>>;

/// What a task has. A clone of it shares everything that can be shared.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) place: Shared<Place>,
    pub(super) descriptors: Shared<BTreeMap<u32, Open>>,
    pub(super) memory: Shared<Memory>,
    pub(super) limits: Shared<Limits>,
    pub(super) nice: i32,
    pub(super) personality: u32,
    users: [u32; 3],
}

type Limits = BTreeMap<crate::world::Resource, (u64, u64)>;

/// An address space.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) pages: BTreeMap<u32, Protection>,
    /// Whether it would be dumped, were a dump wanted (prctl(2), `PR_SET_DUMPABLE`).
    pub(super) dumpable: bool,
}

pub(super) const WRITABLE: Protection = Protection { read: true, write: true, execute: false, shared: false };

/// What `/proc/PID/fd` calls a listener.
pub(super) const LISTENER: &str = "seccomp notify";

/// A copy that is nobody else's.
pub(super) fn apart<T: Clone>(shared: &Shared<T>) -> Shared<T> {
    Rc::new(RefCell::new(shared.borrow().clone()))
}

impl Own {
    /// What the first task of a watched experiment has; see [`layout`]. What the model does not know,
    /// such as the limits, is left out: only changes matter.
    pub(super) fn first() -> Self {
        let file = |number: u64, name: &str| (number as u32, Open::File(path(name)));
        let mut descriptors = BTreeMap::from([
            file(layout::FD_FCHMOD, layout::FCHMOD),
            file(layout::FD_FTRUNCATE, layout::FTRUNCATE),
            file(layout::FD_PWRITE, layout::PWRITE),
        ]);
        descriptors
            .extend((0..layout::FD_FREE as u32).map(|number| (number, Open::File("/dev/console".into()))));
        let pipes = [
            layout::FD_READ,
            layout::FD_WRITE,
            layout::FD_READ + 10,
            layout::FD_WRITE + 10,
            layout::FD_CLOSE,
        ];
        descriptors.extend(pipes.map(|number| (number as u32, Open::Pipe)));
        let pages = (0..layout::WINDOW_MAPPED as u32).map(|page| (page, WRITABLE)).collect();
        let new = |value| Rc::new(RefCell::new(value));
        Self {
            place: Rc::new(RefCell::new(Place { directory: "/".into(), umask: Some(layout::UMASK) })),
            descriptors: Rc::new(RefCell::new(descriptors)),
            memory: Rc::new(RefCell::new(Memory { pages, dumpable: true })),
            limits: new(BTreeMap::new()),
            nice: 0,
            personality: 0,
            users: [0; 3],
        }
    }

    /// The address space of a new image: nothing of the window is in it.
    pub(super) fn new_memory() -> Shared<Memory> {
        Rc::new(RefCell::new(Memory { pages: BTreeMap::new(), dumpable: true }))
    }

    /// Another user. Memory is no longer dumped (kernel/cred.c commit_creds).
    pub(super) fn become_nobody(&mut self) {
        self.users = [NOBODY as u32; 3];
        self.memory.borrow_mut().dumpable = false;
    }

    pub(super) fn holdings(&self, shows_umask: bool) -> Holdings {
        let mut place = self.place.borrow().clone();
        place.umask = place.umask.filter(|_| shows_umask);
        Holdings {
            place,
            descriptors: self.descriptors.borrow().clone(),
            pages: self.memory.borrow().pages.clone(),
            limits: self.limits.borrow().clone(),
            nice: self.nice,
            personality: self.personality,
            users: self.users,
        }
    }
}

/// Where a name of the watched directory is.
pub(super) fn path(name: &str) -> String {
    format!("{}/{name}", layout::WORLD)
}

/// The world before the first step, without tasks.
pub(super) fn at_start() -> World {
    let file = |kind, mode| File { kind, mode, owner: 0 };
    let seed = || file(Kind::Regular { length: layout::SEED_LENGTH }, layout::SEED_MODE);
    let mut files: BTreeMap<String, File> =
        layout::SEED_FILES.iter().map(|name| ((*name).to_owned(), seed())).collect();
    let directory = || file(Kind::Directory, 0o755);
    files.extend(layout::SEED_DIRECTORIES.map(|name| (name.to_owned(), directory())));
    World { files, ..World::default() }
}
