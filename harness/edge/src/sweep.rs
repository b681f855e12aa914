//! The sweep: what a filter answers to every call, seen from user space, none of them carried out
//! (see [`atlas_model::sweep`]).
//!
//! PID 1 makes a maker, a process behind the marker. It also goes behind the filter, and callers
//! inherit that, where its filters can be suspended or the filter lets it go on; elsewhere each
//! caller attaches the filter for itself, which costs most where filters are compiled. The maker
//! makes callers: processes that share its memory and make call after call until
//! a call ends them. A caller is no thread of the maker's, so what ends it ends nothing else; the
//! memory is not dumpable, because a core dump would take every process that shares it
//! (fs/coredump.c zap_threads).

mod board;
mod maker;

use crate::{ptrace, sys};
use atlas_model::Call;
use atlas_model::sweep::{self, Sweep, Swept};
use board::{Board, Failure};
use std::time::{Duration, Instant};

/// `PTRACE_O_SUSPEND_SECCOMP` and `PTRACE_O_EXITKILL` (include/uapi/linux/ptrace.h).
const SUSPEND_SECCOMP: u64 = 1 << 21;
const EXITKILL: u64 = 1 << 20;

/// What the maker and its callers go by. It lies in memory that they have a copy of and share.
struct Plan {
    calls: Vec<Call>,
    marker: Program,
    filter: Program,
    board: &'static Board,
}

/// A filter as the kernel takes it, encoded once.
struct Program {
    records: Vec<u8>,
    length: u16,
}

impl Program {
    fn of(filter: &atlas_model::Filter) -> Self {
        Self { records: filter.to_bytes(), length: filter.0.len() as u16 }
    }
}

/// Sweeps a filter. Every other process of the guest is gone afterwards. `close` lists descriptors
/// that no process of the sweep shall have.
///
/// # Errors
/// A sentence: the filter was refused, time ran out at some call, or a call really ran.
pub fn carry_out(sweep: &Sweep, limit: Duration, close: &[i32]) -> Result<Swept, String> {
    if sweep.filter.0.len() > usize::from(u16::MAX) {
        return Err(format!("a filter of {} instructions cannot be handed over", sweep.filter.0.len()));
    }
    if sweep.calls.count() > sweep::COUNT {
        return Err(format!("{} calls are more than {} in one sweep", sweep.calls.count(), sweep::COUNT));
    }
    let board = Board::get().map_err(|errno| format!("no memory for the sweep: errno {}", -errno))?;
    let plan = Plan {
        calls: sweep.calls.list(),
        marker: Program::of(&sweep::marker(sweep.marker)),
        filter: Program::of(&sweep.filter),
        board,
    };
    board.reset();
    let start = Instant::now();
    let pid = crate::stage::fork();
    if pid == 0 {
        sys::prepare_descriptors(close);
        maker::run(&plan)
    }
    if pid < 0 {
        return Err(format!("the maker could not be made: errno {}", -pid));
    }
    let seized = sweep.suspend && ptrace::seize(pid as i32, SUSPEND_SECCOMP | EXITKILL).is_ok();
    board.go();
    let ended = watch(pid as i32, seized, start + limit);
    sys::kill_everything(std::iter::once(pid as i32));
    verdict(&plan, ended)?;
    Ok(Swept {
        answers: board.answers(),
        suspended: board.suspended(),
        children: board.children(),
        micros: start.elapsed().as_micros() as u64,
    })
}

/// Waits for the maker's end; `None` when time ran out first. A traced maker stops for its signals,
/// which it gets.
fn watch(maker: i32, seized: bool, deadline: Instant) -> Option<i32> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        sys::wait_for_child_signal(left);
        while let Some((pid, status)) = sys::news() {
            if seized && pid == maker && libc::WIFSTOPPED(status) {
                ptrace::go_on(maker, libc::WSTOPSIG(status));
            } else if pid == maker {
                return Some(status);
            }
        }
    }
}

fn verdict(plan: &Plan, ended: Option<i32>) -> Result<(), String> {
    let at = plan.board.cursor();
    let call =
        plan.calls.get(at).map_or("the end".into(), |call| format!("{} call {:#x}", call.abi, call.nr));
    let failed = plan.board.failure();
    match (failed, ended) {
        (Some((Failure::Marker, errno)), _) => Err(format!("the marker was refused: errno {}", -errno)),
        (Some((Failure::Filter, errno)), _) => Err(format!("the filter was refused: errno {}", -errno)),
        (Some((Failure::Clone, errno)), _) => Err(format!("no process for {call}: errno {}", -errno)),
        (Some((Failure::Inactive, value)), _) => {
            Err(format!("no filter judged the canary: getppid returned {value}"))
        }
        (Some((Failure::Ran, status)), _) => {
            Err(format!("a caller ended with wait status {status:#x} at {call}: a call really ran"))
        }
        (None, None) => Err(format!("time was over at {call}, {at} of {} were done", plan.calls.len())),
        (None, Some(_)) if at == plan.calls.len() => Ok(()),
        (None, Some(status)) => Err(format!("the maker ended with wait status {status:#x} at {call}")),
    }
}
