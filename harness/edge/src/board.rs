//! The board: memory that tasks and their supervisor share.
//!
//! Tasks report by plain stores, never by calls, because a filter may forbid every call they could
//! make. The board lies at [`layout::BOARD`]; its first pages hold what `rt_sigaction`,
//! `rt_sigprocmask` and the installing calls point to.

use crate::sys;
use atlas_model::experiment::{MAX_STEPS, MAX_TASKS, TaskId, layout};
use atlas_model::observation::{MAX_TRAPS, Sigsys, StepSeen};
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Instant;

/// Where the atomics begin: past the instructions.
const STATE: u64 = layout::INSNS + 65_536 * 8;

/// One step as its task leaves it.
#[repr(C)]
pub struct Slot {
    reached: AtomicU32,
    returned: AtomicU32,
    value: AtomicI64,
    traps: AtomicU32,
    trap: [Trap; MAX_TRAPS],
    messages: AtomicU32,
    message: [AtomicU32; MAX_TRAPS],
}

/// One handler run.
#[repr(C)]
struct Trap {
    signo: AtomicI32,
    code: AtomicI32,
    errno: AtomicI32,
    syscall: AtomicI32,
    arch: AtomicU32,
    call_addr: AtomicU64,
    result: AtomicI64,
}

/// The state of a running experiment.
#[repr(C)]
pub struct Board {
    /// The step that may run.
    turn: AtomicU32,
    /// The number of steps.
    total: AtomicU32,
    /// 0: the first task is not ready; 1: it waits; 2: it may begin. For watched experiments only.
    gate: AtomicU32,
    /// Tasks that have run into the end of the experiment, a bit each.
    alive: AtomicU32,
    /// A counter a task, which goes on while the task waits.
    beats: [AtomicU32; MAX_TASKS],
    /// The tasks whose words were clear when this one's new image began, a bit each.
    cleared: [AtomicU32; MAX_TASKS],
    slots: [Slot; MAX_STEPS],
}

const _: () = assert!(STATE + size_of::<Board>() as u64 <= layout::BOARD + layout::BOARD_LEN);

/// The board. It is mapped for ever by [`crate::memory::map_all`].
#[must_use]
pub fn board() -> &'static Board {
    // SAFETY: mapped at start-up for the life of the process and its children, zeroed at first;
    // every field is an atomic, for which any bit pattern is valid.
    unsafe { &*(STATE as *const Board) }
}

/// The word that holds a task's thread id while the task lives.
pub fn tid_word(task: u8) -> &'static AtomicI32 {
    assert!(usize::from(task) < MAX_TASKS);
    // SAFETY: lies in the board, which is mapped for ever; the kernel writes it as one word.
    unsafe { &*(layout::tid_word(task) as *const AtomicI32) }
}

impl Board {
    /// Makes the board ready for an experiment of this many steps.
    pub fn reset(&self, steps: usize) {
        for slot in &self.slots[..steps] {
            slot.reached.store(0, SeqCst);
            slot.returned.store(0, SeqCst);
            slot.traps.store(0, SeqCst);
            slot.messages.store(0, SeqCst);
        }
        for task in 0..MAX_TASKS {
            tid_word(task as u8).store(0, SeqCst);
            self.cleared[task].store(0, SeqCst);
        }
        self.alive.store(0, SeqCst);
        self.gate.store(0, SeqCst);
        self.total.store(steps as u32, SeqCst);
        self.turn.store(0, SeqCst);
    }

    /// The first task waits until it may begin. It sleeps, for no filter is attached yet.
    pub fn wait_at_gate(&'static self) {
        self.gate.store(1, SeqCst);
        sys::wake(&self.gate);
        while self.gate.load(SeqCst) != 2 {
            sys::sleep_while(&self.gate, 1, None);
        }
    }

    /// Sleeps until the first task waits at the gate, which it says, or the time is over.
    pub fn await_arrival(&'static self, deadline: Instant) -> bool {
        loop {
            match self.gate.load(SeqCst) {
                1 => return true,
                _ if Instant::now() >= deadline => return false,
                _ => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    sys::sleep_while(&self.gate, 0, Some(left));
                }
            }
        }
    }

    /// Lets the first task begin.
    pub fn open_gate(&'static self) {
        self.gate.store(2, SeqCst);
        sys::wake(&self.gate);
    }

    /// The step that may run now.
    #[must_use]
    pub fn turn(&self) -> usize {
        self.turn.load(SeqCst) as usize
    }

    /// Lets a later step run.
    pub fn pass_on(&self, to: usize) {
        self.turn.store(to as u32, SeqCst);
    }

    /// Whether the last step is over.
    #[must_use]
    pub fn over(&self) -> bool {
        self.turn.load(SeqCst) >= self.total.load(SeqCst)
    }

    /// A task says that it has lived to see the end.
    pub fn say_alive(&self, task: u8) {
        self.alive.fetch_or(1 << task, SeqCst);
    }

    /// Whether a task has lived to see the end.
    #[must_use]
    pub fn is_alive(&self, task: u8) -> bool {
        self.alive.load(SeqCst) & (1 << task) != 0
    }

    /// A waiting task shows that it lives.
    pub fn beat(&self, task: u8) {
        self.beats[usize::from(task)].fetch_add(1, SeqCst);
        core::hint::spin_loop();
    }

    /// How often a task has shown that it lives.
    #[must_use]
    pub fn beats(&self, task: u8) -> u32 {
        self.beats[usize::from(task)].load(SeqCst)
    }

    /// A task that has executed an image says who of the tasks made so far has a clear word.
    pub fn say_cleared(&self, task: u8, made: impl Iterator<Item = TaskId>) {
        let clear = made.filter(|&other| tid_word(other).load(SeqCst) == 0);
        self.cleared[usize::from(task)].fetch_or(clear.fold(0, |bits, other| bits | 1 << other), SeqCst);
    }

    /// Whether a task's word was clear when another one's new image began.
    #[must_use]
    pub fn was_cleared(&self, task: usize, executor: usize) -> bool {
        self.cleared[executor].load(SeqCst) & (1 << task) != 0
    }

    /// A task begins a step.
    pub fn reach(&self, step: usize) {
        self.slots[step].reached.store(1, SeqCst);
    }

    /// A step's call came back.
    pub fn give(&self, step: usize, value: i64) {
        let slot = &self.slots[step];
        slot.value.store(value, SeqCst);
        slot.returned.store(1, SeqCst);
    }

    /// A signal handler ran during the step whose turn it is.
    pub fn trap(&self, seen: &Sigsys) {
        let Some(slot) = self.slots.get(self.turn()) else { return };
        let index = slot.traps.load(SeqCst) as usize;
        if let Some(trap) = slot.trap.get(index) {
            trap.signo.store(seen.signo, SeqCst);
            trap.code.store(seen.code, SeqCst);
            trap.errno.store(seen.errno, SeqCst);
            trap.syscall.store(seen.syscall, SeqCst);
            trap.arch.store(seen.arch, SeqCst);
            trap.call_addr.store(seen.call_addr, SeqCst);
            trap.result.store(seen.result, SeqCst);
            slot.traps.store(index as u32 + 1, SeqCst);
        }
    }

    /// The tracer was told this during the step whose turn it is.
    pub fn told(&self, message: u32) {
        let Some(slot) = self.slots.get(self.turn()) else { return };
        let index = slot.messages.load(SeqCst) as usize;
        if let Some(word) = slot.message.get(index) {
            word.store(message, SeqCst);
            slot.messages.store(index as u32 + 1, SeqCst);
        }
    }

    /// What a step returned, if it has.
    #[must_use]
    pub fn returned(&self, step: usize) -> Option<i64> {
        let slot = &self.slots[step];
        (slot.returned.load(SeqCst) != 0).then(|| slot.value.load(SeqCst))
    }

    /// What was seen of a step.
    #[must_use]
    pub fn seen(&self, step: usize) -> StepSeen {
        let slot = &self.slots[step];
        let traps = (slot.traps.load(SeqCst) as usize).min(MAX_TRAPS);
        let messages = (slot.messages.load(SeqCst) as usize).min(MAX_TRAPS);
        StepSeen {
            reached: slot.reached.load(SeqCst) != 0,
            returned: self.returned(step),
            traced: slot.message[..messages].iter().map(|word| word.load(SeqCst)).collect(),
            traps: slot.trap[..traps]
                .iter()
                .map(|trap| Sigsys {
                    signo: trap.signo.load(SeqCst),
                    code: trap.code.load(SeqCst),
                    errno: trap.errno.load(SeqCst),
                    call_addr: trap.call_addr.load(SeqCst),
                    syscall: trap.syscall.load(SeqCst),
                    arch: trap.arch.load(SeqCst),
                    result: trap.result.load(SeqCst),
                })
                .collect(),
        }
    }
}
