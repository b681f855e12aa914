//! The first task of an experiment: how it is made, and what it does before its first step.
//!
//! It has a copy of its supervisor's memory, or that memory itself. A copy is made, faulted in and torn down. Under
//! emulation, besides, each switch between two memories loses what was known of addresses and code, a tenth of a
//! millisecond's worth (QEMU's accel/tcg/cputlb.c tlb_flush), and a small experiment is a dozen switches.

use crate::board::board;
use crate::{sys, task, world};
use atlas_model::Experiment;
use atlas_model::experiment::{CLONE_VM, FORK_FLAGS, layout};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::SeqCst};

/// `CLONE_PARENT`, which PID 1 may not use.
const CLONE_PARENT: u64 = 0x8000;
const FLAGS: u64 = FORK_FLAGS & !CLONE_PARENT;

/// What the first task does before its first step.
pub(crate) struct First<'a> {
    /// It closes these descriptors, and makes those of [`layout`]. Without a list it leaves all as they are.
    pub(crate) close: Option<&'a [i32]>,
    /// It makes what watched experiments refer to.
    pub(crate) watched: bool,
    /// It waits at the gate.
    pub(crate) gated: bool,
}

/// What the first task finds here that has its supervisor's memory: it starts with nothing but its number.
static FIRST: AtomicPtr<First<'static>> = AtomicPtr::new(ptr::null_mut());

impl First<'_> {
    /// Makes the first task with a copy of this process's memory. Gives its thread id, or the errno negated.
    pub(crate) fn make_with_copy(&self, experiment: &Experiment) -> i64 {
        let tid = sys::fork_with(FLAGS, layout::tid_word(0));
        if tid == 0 {
            self.prepare();
            task::run(experiment, 0)
        }
        tid
    }

    /// Makes the first task of the current experiment with this process's memory. Gives its thread id, or the errno
    /// negated.
    pub(crate) fn make_sharing(&self) -> i64 {
        FIRST.store(ptr::from_ref(self).cast::<First<'static>>().cast_mut(), SeqCst);
        task::start(FLAGS | CLONE_VM)
    }

    /// Allocates nothing: the supervisor may at the same time.
    fn prepare(&self) {
        if let Some(close) = self.close {
            sys::prepare_descriptors(close);
        }
        if self.watched {
            world::furnish();
        }
        if self.gated {
            board().wait_at_gate();
        }
    }
}

/// What a first task does that was made with its supervisor's memory.
pub(crate) fn prepare() {
    // SAFETY: set before the task was made, and kept by the supervisor until all tasks are gone: from their making to
    // their end it neither returns (supervise.rs `follow`) nor unwinds (the guest's profile).
    unsafe { &*FIRST.load(SeqCst) }.prepare();
}

/// As long as it lives, this process's memory is not dumped: before 5.16 a core dump, even an empty one, ends every
/// process of the same memory (fs/coredump.c zap_threads).
pub(crate) struct Undumped(());

impl Undumped {
    pub(crate) fn begin() -> Self {
        sys::set_dumpable(false);
        Self(())
    }
}

impl Drop for Undumped {
    fn drop(&mut self) {
        sys::set_dumpable(true);
    }
}
