//! The maker of callers, and the callers.
//!
//! Behind the filters neither may make a call but by the address that the marker lets through, and
//! where the filter is not suspended callers may not even that once it is attached. So this code
//! neither allocates nor calls into libc.

use super::board::{Board, Failure, Role};
use super::{Plan, Program};
use crate::task::{self, SigsysInfo};
use crate::{stub, sys};
use atlas_model::experiment::layout;
use atlas_model::{Abi, Call};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicPtr, Ordering::SeqCst};

/// What a caller shares with its maker: `CLONE_VM | CLONE_FS | CLONE_FILES`, and no signal at its end,
/// which would stop a traced maker. Signal handlers are not shared: a kill resets the one of SIGSYS
/// (kernel/signal.c force_sig_info_to_task).
const CALLER_FLAGS: u64 = 0x100 | 0x200 | 0x400;
/// getppid, whose real answer is positive, which no filter's is.
const CANARY: u64 = libc::SYS_getppid as u64;

/// The sweep under way, for callers, which start with nothing.
static PLAN: AtomicPtr<Plan> = AtomicPtr::new(core::ptr::null_mut());

global_asm!(
    // A new caller arrives here from the stub's `ret`.
    ".globl atlas_edge_caller",
    "atlas_edge_caller:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    main = sym caller,
);

unsafe extern "C" {
    fn atlas_edge_caller();
}

/// Makes callers until every call is answered, and exits.
pub(super) fn run(plan: &Plan) -> ! {
    PLAN.store(core::ptr::from_ref(plan).cast_mut(), SeqCst);
    let _ = sys::prctl(libc::PR_SET_DUMPABLE, [0; 4]);
    task::put_sigaction(trapped as *const () as u64, libc::SA_NODEFER as u64);
    // SAFETY: the action was just put there.
    let _ = unsafe { sys::raw(libc::SYS_rt_sigaction, [libc::SIGSYS as u64, layout::SIGACTION, 0, 8, 0, 0]) };
    while !plan.board.may_go() {
        let _ = sys::number(libc::SYS_sched_yield, [0; 6]);
    }
    work(plan, plan.board);
    loop {
        by_the_gap(libc::SYS_exit_group, [0; 6]);
        // SAFETY: a filter may have answered the call; a fault ends the process all the same.
        unsafe { asm!("ud2") }
    }
}

fn work(plan: &Plan, board: &Board) {
    let marked = install(&plan.marker);
    if marked != 0 {
        return board.fail(Failure::Marker, marked);
    }
    // Behind a marker that counts, only a task whose filters are suspended has a parent.
    if canary() > 0 {
        board.say_suspended();
    } else {
        try_the_filter(board);
    }
    if board.suspended() || board.inherited() {
        let filtered = install(&plan.filter);
        if filtered != 0 {
            return board.fail(Failure::Filter, filtered);
        }
        board.say_inherited();
    }
    while board.cursor() < plan.calls.len() && board.failure().is_none() {
        one_caller(plan, board);
    }
}

/// Lets a process attach the filter and then do what a maker does. Where it can, the maker can, and
/// no caller has to attach the filter for itself.
fn try_the_filter(board: &Board) {
    board.give_role(Role::Trial);
    if let Ok(pid) = make(0) {
        let _ = wait_for(pid);
    }
    board.give_role(Role::Calls);
}

/// The process of [`try_the_filter`]. Its maker sees to it that a refused filter is said.
fn trial(plan: &Plan) -> ! {
    let board = plan.board;
    board.give_role(Role::End);
    if install(&plan.filter) == 0
        && let Ok(pid) = make(1)
        && wait_for(pid).is_ok()
    {
        board.say_inherited();
    }
    end()
}

/// Makes a process on one of the stacks, which must not be in use.
fn make(stack: u8) -> Result<i64, i64> {
    let top = layout::stack_top(stack);
    // SAFETY: thread stacks are mapped at fixed addresses; whoever had this one has ended.
    unsafe { (top as *mut u64).write(atlas_edge_caller as *const () as u64) };
    // A filter may answer with errno 0, which is no process.
    match by_the_gap(libc::SYS_clone, [CALLER_FLAGS, top, 0, 0, 0, 0]) {
        pid @ 1.. => Ok(pid),
        other => Err(other),
    }
}

/// Waits for a process to end and gives its wait status.
fn wait_for(pid: i64) -> Result<i32, i64> {
    let mut status = 0_i32;
    let word = (&raw mut status) as u64;
    // Not tried again on EINTR: no signal comes, but a filter may answer so for ever.
    let waited = by_the_gap(libc::SYS_wait4, [pid as u64, word, libc::__WALL as u64, 0, 0, 0]);
    if waited == pid { Ok(status) } else { Err(waited) }
}

/// Makes a caller and waits for its end, which answers the call it was at.
fn one_caller(plan: &Plan, board: &Board) {
    let pid = match make(0) {
        Ok(pid) => pid,
        Err(errno) => return board.fail(Failure::Clone, errno),
    };
    board.child_made();
    let status = match wait_for(pid) {
        Ok(status) => status,
        Err(errno) => return board.fail(Failure::Clone, errno),
    };
    let at = board.cursor();
    if board.failure().is_some() {
        return;
    }
    if !board.canary_answered() && libc::WIFSIGNALED(status) {
        board.answer_canary();
    } else if board.has_begun(at) && libc::WIFSIGNALED(status) {
        board.give_killed(at, libc::WTERMSIG(status));
    } else if at < plan.calls.len() {
        board.fail(Failure::Ran, status.into());
    }
}

/// Where callers begin.
extern "C" fn caller() -> ! {
    // SAFETY: set before the first caller was made, in memory that callers share with their maker.
    let plan = unsafe { &*PLAN.load(SeqCst) };
    match plan.board.role() {
        Role::Calls => {}
        Role::Trial => trial(plan),
        Role::End => end(),
    }
    if !plan.board.inherited() {
        let filtered = install(&plan.filter);
        if filtered != 0 {
            plan.board.fail(Failure::Filter, filtered);
            end();
        }
    }
    go_on()
}

/// Makes call after call. A handled SIGSYS begins it anew.
extern "C" fn go_on() -> ! {
    // SAFETY: as in `caller`.
    let plan = unsafe { &*PLAN.load(SeqCst) };
    let board = plan.board;
    if !board.canary_answered() {
        let value = canary();
        board.answer_canary();
        if value > 0 {
            board.fail(Failure::Inactive, value);
            end();
        }
    }
    loop {
        let at = board.cursor();
        let Some(call) = plan.calls.get(at) else { end() };
        board.begin(at);
        // SAFETY: the marker answers it, and the canary has shown that the filters are there.
        let value = unsafe { stub::call(call) };
        board.give_value(at, value);
    }
}

/// The handler of SIGSYS. It does not return, because the marker would answer the `rt_sigreturn`: the
/// signal is not blocked meanwhile, and the stack begins anew.
extern "C" fn trapped(_: i32, info: *const SigsysInfo, context: *const libc::ucontext_t) {
    // SAFETY: as in `caller`.
    let board = unsafe { (*PLAN.load(SeqCst)).board };
    if board.role() != Role::Calls {
        end();
    }
    if board.canary_answered() {
        // SAFETY: the kernel hands both pointers to an SA_SIGINFO handler, valid while it runs.
        board.give_trap(board.cursor(), &unsafe { task::sigsys(info, context) });
    } else {
        board.answer_canary();
    }
    // SAFETY: the caller's stack is mapped for ever, nothing on it is used any more, and the function
    // never returns.
    unsafe {
        asm!("mov rsp, {top}", "xor ebp, ebp", "call {go_on}", "ud2",
            top = in(reg) layout::stack_top(0), go_on = sym go_on, options(noreturn))
    }
}

fn canary() -> i64 {
    // SAFETY: the call has no pointers and changes nothing.
    unsafe { stub::call(&Call { abi: Abi::X86_64, nr: CANARY, args: [0; 6] }) }
}

/// Ends a caller by a fault, because no call may be possible.
fn end() -> ! {
    // SAFETY: `ud2` raises SIGILL, whose disposition nobody changes.
    unsafe { asm!("ud2", options(noreturn)) }
}

/// A call from the address that the marker lets through.
fn by_the_gap(nr: i64, args: [u64; 6]) -> i64 {
    // SAFETY: the few calls made here have pointers to live memory of the caller's, or none.
    unsafe { stub::call_for_sweep(nr, args) }
}

/// Attaches a filter by prctl(2), which every kernel with filters has; a privileged task needs no
/// no_new_privs.
fn install(program: &Program) -> i64 {
    let fprog = libc::sock_fprog { len: program.length, filter: program.records.as_ptr().cast_mut().cast() };
    let mode = u64::from(libc::SECCOMP_MODE_FILTER);
    by_the_gap(libc::SYS_prctl, [libc::PR_SET_SECCOMP as u64, mode, (&raw const fprog) as u64, 0, 0, 0])
}
