//! What is looked at with every instruction: how many are left, how deep the calls are, and where the
//! interpreter stands, for a signal handler to find.

use super::{Arena, Native};
use crate::frame::Kind;
use crate::out;
use crate::{Limit, sys};
use mruby_sys as mrb;
use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

static TOTAL: AtomicU64 = AtomicU64::new(0);
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);
static DEPTH: AtomicI64 = AtomicI64::new(i64::MAX);
static ARENA: AtomicPtr<Arena> = AtomicPtr::new(std::ptr::null_mut());
static IREP: AtomicPtr<mrb::mrb_irep> = AtomicPtr::new(std::ptr::null_mut());
static AT: AtomicUsize = AtomicUsize::new(0);
static STATE: AtomicPtr<mrb::mrb_state> = AtomicPtr::new(std::ptr::null_mut());

/// The native functions of this zygote.
struct Natives(UnsafeCell<Vec<Native>>);
// SAFETY: written once, by a process of one thread, before anything reads.
unsafe impl Sync for Natives {}
static NATIVES: Natives = Natives(UnsafeCell::new(Vec::new()));

pub(super) fn set_natives(natives: &[(String, Native)]) {
    // SAFETY: the zygote has one thread and reads later.
    unsafe { *NATIVES.0.get() = natives.iter().map(|(_, call)| *call).collect() };
}

pub(super) fn native(index: usize) -> Option<Native> {
    // SAFETY: nothing writes any more.
    unsafe { (&*NATIVES.0.get()).get(index).copied() }
}

/// Counts from here.
pub(super) fn start(instructions: u64, depth: usize, arena: &Arena) {
    TOTAL.store(instructions, Relaxed);
    LEFT.store(instructions, Relaxed);
    DEPTH.store(depth as i64, Relaxed);
    ARENA.store(std::ptr::from_ref(arena).cast_mut(), Relaxed);
}

/// Instructions carried out since [`start`].
pub(crate) fn instructions() -> u64 {
    TOTAL.load(Relaxed) - LEFT.load(Relaxed)
}

/// mruby's `code_fetch_hook`.
pub(super) unsafe extern "C" fn hook(
    state: *mut mrb::mrb_state,
    irep: *const mrb::mrb_irep,
    at: *const mrb::mrb_code,
    _: *mut mrb::mrb_value,
) {
    let left = LEFT.load(Relaxed);
    if left == 0 {
        reached(Limit::Instructions);
    }
    LEFT.store(left - 1, Relaxed);
    IREP.store(irep.cast_mut(), Relaxed);
    AT.store(at as usize, Relaxed);
    STATE.store(state, Relaxed);
    // SAFETY: mruby calls this with an open state whose context has a stack of calls.
    let depth = unsafe { (*(*state).c).ci.offset_from((*(*state).c).cibase) };
    if depth as i64 > DEPTH.load(Relaxed) {
        reached(Limit::Depth);
    }
}

/// Says so, and ends the process: no Ruby code can rescue that.
pub(crate) fn reached(limit: Limit) -> ! {
    let index: u8 = match limit {
        Limit::Instructions => 0,
        _ => 1,
    };
    // SAFETY: the arena lives as long as the process.
    let peak = unsafe { ARENA.load(Relaxed).as_ref() }.map_or(0, Arena::peak);
    let mut payload = [0; 17];
    payload[0] = index;
    payload[1..9].copy_from_slice(&instructions().to_le_bytes());
    payload[9..].copy_from_slice(&peak.to_le_bytes());
    out::frame(Kind::Limit, &payload);
    sys::exit()
}

/// The line of the code at which the interpreter stands; 0 where it stands at none. In a method of the
/// prelude's that is the line it was called from. Makes no call and takes no memory, so that a signal
/// handler may ask.
pub(crate) fn line() -> u32 {
    let (state, irep) = (STATE.load(Relaxed), IREP.load(Relaxed));
    if state.is_null() {
        return 0;
    }
    // SAFETY: the interpreter stood in this code when it was interrupted, so it is there, and so are the
    // frames of the calls that led to it; `pc` of each is behind the instruction that calls.
    unsafe {
        if let Some(line) = line_of(state, irep, AT.load(Relaxed)) {
            return line;
        }
        let (base, mut frame) = ((*(*state).c).cibase, (*(*state).c).ci);
        while frame > base {
            frame = frame.sub(1);
            let of = (*frame).proc_;
            if of.is_null() || (*of).flags() & mrb::MRB_PROC_CFUNC_FL != 0 || (*frame).pc.is_null() {
                continue;
            }
            if let Some(line) = line_of(state, (*of).body.irep, (*frame).pc as usize - 1) {
                return line;
            }
        }
    }
    0
}

/// The line, where it is one of the code's and not of the prelude's.
///
/// # Safety
/// The state is open, and `irep` null or alive.
unsafe fn line_of(state: *mut mrb::mrb_state, irep: *const mrb::mrb_irep, at: usize) -> Option<u32> {
    // SAFETY: by the caller's word; mruby looks at no place outside the irep.
    unsafe {
        let offset = u32::try_from(at.checked_sub(irep.as_ref()?.iseq as usize)?).ok()?;
        let file = mrb::mrb_debug_get_filename(state, irep, offset);
        if file.is_null() || CStr::from_ptr(file) != super::MAIN {
            return None;
        }
        u32::try_from(mrb::mrb_debug_get_line(state, irep, offset)).ok()
    }
}
