//! The memory that PID 1, the maker and its callers share.

use crate::memory;
use atlas_model::observation::Sigsys;
use atlas_model::sweep::{Answer, COUNT};
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::OnceLock;

/// Why a sweep could not go on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    /// The kernel refused the marker, with this errno.
    Marker,
    /// The kernel refused the filter.
    Filter,
    /// There was no caller to be had.
    Clone,
    /// The canary was answered by the kernel itself.
    Inactive,
    /// A caller ended otherwise than by a signal, or before its call.
    Ran,
}

const FAILURES: [Failure; 5] =
    [Failure::Marker, Failure::Filter, Failure::Clone, Failure::Inactive, Failure::Ran];

/// What a process that the maker makes is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To make the sweep's calls.
    Calls,
    /// To find out whether the filter lets a maker go on.
    Trial,
    /// To be made and to end.
    End,
}

const ROLES: [Role; 3] = [Role::Calls, Role::Trial, Role::End];

/// What kind of answer a slot holds.
const NONE: u32 = 0;
const VALUE: u32 = 1;
const TRAP: u32 = 2;
const KILLED: u32 = 3;

/// One call's answer. `value` is the value, the signal, or what the result register held.
#[repr(C)]
struct Slot {
    kind: AtomicU32,
    signo: AtomicI32,
    code: AtomicI32,
    errno: AtomicI32,
    syscall: AtomicI32,
    arch: AtomicU32,
    call_addr: AtomicU64,
    value: AtomicI64,
}

/// The state of a sweep under way.
#[repr(C)]
pub(super) struct Board {
    /// PID 1 has done what it can for the maker.
    go: AtomicU32,
    /// The maker is not subject to its filters.
    suspended: AtomicU32,
    /// The maker is behind the filter, so that callers inherit it.
    inherited: AtomicU32,
    /// What a new process is for: index into [`ROLES`].
    role: AtomicU32,
    /// The canary has been answered, in whatever way.
    canary: AtomicU32,
    /// The next call.
    cursor: AtomicU32,
    /// The call that a caller has begun, counted from 1.
    begun: AtomicU32,
    children: AtomicU32,
    /// Index into [`FAILURES`], counted from 1.
    failure: AtomicU32,
    detail: AtomicI64,
    slots: [Slot; COUNT],
}

impl Board {
    /// The board, mapped at the first use.
    pub(super) fn get() -> Result<&'static Self, i64> {
        static BOARD: OnceLock<u64> = OnceLock::new();
        // SAFETY: every field is an atomic, for which any bit pattern is valid.
        unsafe { memory::shared(&BOARD) }
    }

    pub(super) fn reset(&self) {
        for word in [&self.go, &self.suspended, &self.inherited, &self.role, &self.canary] {
            word.store(0, SeqCst);
        }
        for word in [&self.cursor, &self.begun, &self.children, &self.failure] {
            word.store(0, SeqCst);
        }
        self.slots.iter().for_each(|slot| slot.kind.store(NONE, SeqCst));
    }

    pub(super) fn go(&self) {
        self.go.store(1, SeqCst);
    }

    pub(super) fn may_go(&self) -> bool {
        self.go.load(SeqCst) != 0
    }

    pub(super) fn say_suspended(&self) {
        self.suspended.store(1, SeqCst);
    }

    pub(super) fn suspended(&self) -> bool {
        self.suspended.load(SeqCst) != 0
    }

    pub(super) fn say_inherited(&self) {
        self.inherited.store(1, SeqCst);
    }

    pub(super) fn inherited(&self) -> bool {
        self.inherited.load(SeqCst) != 0
    }

    pub(super) fn give_role(&self, role: Role) {
        self.role.store(role as u32, SeqCst);
    }

    pub(super) fn role(&self) -> Role {
        ROLES.get(self.role.load(SeqCst) as usize).copied().unwrap_or(Role::End)
    }

    pub(super) fn child_made(&self) {
        self.children.fetch_add(1, SeqCst);
    }

    pub(super) fn children(&self) -> u32 {
        self.children.load(SeqCst)
    }

    pub(super) fn canary_answered(&self) -> bool {
        self.canary.load(SeqCst) != 0
    }

    pub(super) fn answer_canary(&self) {
        self.canary.store(1, SeqCst);
    }

    pub(super) fn cursor(&self) -> usize {
        self.cursor.load(SeqCst) as usize
    }

    pub(super) fn begin(&self, at: usize) {
        self.begun.store(at as u32 + 1, SeqCst);
    }

    pub(super) fn has_begun(&self, at: usize) -> bool {
        self.begun.load(SeqCst) as usize == at + 1
    }

    /// The first failure is the one that counts.
    pub(super) fn fail(&self, failure: Failure, detail: i64) {
        if self.failure().is_none() {
            self.detail.store(detail, SeqCst);
            self.failure.store(failure as u32 + 1, SeqCst);
        }
    }

    pub(super) fn failure(&self) -> Option<(Failure, i64)> {
        let index = (self.failure.load(SeqCst) as usize).checked_sub(1)?;
        Some((*FAILURES.get(index)?, self.detail.load(SeqCst)))
    }

    pub(super) fn give_value(&self, at: usize, value: i64) {
        self.give(at, VALUE, value);
    }

    pub(super) fn give_killed(&self, at: usize, signal: i32) {
        self.give(at, KILLED, signal.into());
    }

    pub(super) fn give_trap(&self, at: usize, seen: &Sigsys) {
        if let Some(slot) = self.slots.get(at) {
            slot.signo.store(seen.signo, SeqCst);
            slot.code.store(seen.code, SeqCst);
            slot.errno.store(seen.errno, SeqCst);
            slot.syscall.store(seen.syscall, SeqCst);
            slot.arch.store(seen.arch, SeqCst);
            slot.call_addr.store(seen.call_addr, SeqCst);
        }
        self.give(at, TRAP, seen.result);
    }

    fn give(&self, at: usize, kind: u32, value: i64) {
        if let Some(slot) = self.slots.get(at) {
            slot.value.store(value, SeqCst);
            slot.kind.store(kind, SeqCst);
            self.cursor.store(at as u32 + 1, SeqCst);
        }
    }

    /// The answers so far.
    pub(super) fn answers(&self) -> Vec<Answer> {
        self.slots.iter().map_while(Slot::read).collect()
    }
}

impl Slot {
    fn read(&self) -> Option<Answer> {
        let value = self.value.load(SeqCst);
        match self.kind.load(SeqCst) {
            VALUE => Some(Answer::Value(value)),
            KILLED => Some(Answer::Killed(value as i32)),
            TRAP => Some(Answer::Trap(Sigsys {
                signo: self.signo.load(SeqCst),
                code: self.code.load(SeqCst),
                errno: self.errno.load(SeqCst),
                call_addr: self.call_addr.load(SeqCst),
                syscall: self.syscall.load(SeqCst),
                arch: self.arch.load(SeqCst),
                result: value,
            })),
            _ => None,
        }
    }
}
