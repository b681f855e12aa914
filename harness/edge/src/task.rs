//! A task: takes its steps of the experiment when their turn comes.
//!
//! Once a filter is attached a task may not make any call but the experiment's own, so this code
//! neither allocates nor calls into libc, and reports through the [`crate::board`].

use crate::board::board;
use crate::{first, image, stub, sys};
use atlas_model::Abi;
use atlas_model::experiment::{
    CLONE_VM, Call, Disposition, Experiment, FORK_FLAGS, Install, Op, Program, THREAD_FLAGS, TaskId, Via,
    layout,
};
use atlas_model::observation::Sigsys;
use core::arch::global_asm;
use core::sync::atomic::{AtomicPtr, Ordering::SeqCst};

/// The experiment under way, for threads that start with nothing but their task number.
static CURRENT: AtomicPtr<Experiment> = AtomicPtr::new(core::ptr::null_mut());

/// Makes an experiment the one whose steps tasks take.
pub(crate) fn set_current(experiment: &Experiment) {
    CURRENT.store(core::ptr::from_ref(experiment).cast_mut(), SeqCst);
}

/// Makes task 0 of the current experiment on its own stack, by clone(2) with these flags, of which `CLONE_VM` is one.
/// Gives its thread id, or the errno negated.
pub(crate) fn start(flags: u64) -> i64 {
    // SAFETY: the new process begins in `thread_main`, which takes the steps of the current experiment without
    // allocating, and never returns.
    unsafe { stub::call(&on_own_stack(flags, 0)) }
}

global_asm!(
    // A new thread arrives here from the stub's `ret`, its task number on top of its stack.
    ".globl atlas_edge_thread",
    "atlas_edge_thread:",
    "pop rdi",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    main = sym thread_main,
);

unsafe extern "C" {
    fn atlas_edge_thread();
}

/// Prepares a new thread's stack so that the stub's `ret` lands in the thread's main function.
/// Returns the stack pointer to hand to `clone`.
fn prepare_thread(task: u8) -> u64 {
    let top = layout::stack_top(task);
    // SAFETY: thread stacks are mapped at fixed addresses, and a task's is unused until now.
    unsafe {
        (top as *mut u64).write(atlas_edge_thread as *const () as u64);
        (top as *mut u64).add(1).write(u64::from(task));
    }
    top
}

/// Where new threads begin.
extern "C" fn thread_main(task: u64) -> ! {
    // SAFETY: set before the first task was made; the experiment lives in the supervisor's memory
    // until all tasks are gone, and this task has that memory or a copy of it.
    let experiment = unsafe { &*CURRENT.load(SeqCst) };
    if task == 0 {
        first::prepare();
    }
    run(experiment, task as TaskId)
}

/// Takes a task's steps, each when its turn has come, then stays until it is killed.
pub(crate) fn run(experiment: &Experiment, me: TaskId) -> ! {
    let board = board();
    for (index, step) in experiment.steps.iter().enumerate() {
        if step.task != me {
            continue;
        }
        // The supervisor passes over the steps of dead tasks, never over those of a live one.
        while board.turn() < index {
            board.beat(me);
        }
        if board.turn() > index {
            continue;
        }
        board.reach(index);
        let value = match &step.op {
            Op::Fork { child } => fork(experiment, *child, 0),
            Op::Clone { child, shares } if shares & CLONE_VM == 0 => fork(experiment, *child, *shares),
            op => take(op, me),
        };
        board.give(index, value);
        board.pass_on(index + 1);
    }
    while !board.over() {
        board.beat(me);
    }
    board.say_alive(me);
    let alone = || experiment.steps.iter().all(|step| step.task == 0 && step.op.makes().is_none());
    if !experiment.watch && alone() {
        // Alone: ends itself at once, by a fault because no call may be possible.
        // SAFETY: `ud2` raises SIGILL, whose disposition nobody changes.
        unsafe { core::arch::asm!("ud2", options(noreturn)) }
    }
    loop {
        board.beat(me);
    }
}

fn plain(nr: libc::c_long, args: [u64; 6]) -> Call {
    Call { abi: Abi::X86_64, nr: nr as u64, args }
}

/// The maker gets the call's result; the child takes its steps and does not come back.
fn fork(experiment: &Experiment, child: TaskId, shares: u64) -> i64 {
    let tid = layout::tid_word(child);
    let clone = plain(libc::SYS_clone, [FORK_FLAGS | shares, 0, tid, tid, 0, 0]);
    // SAFETY: without CLONE_VM this is a fork; both pointers are the child's word on the board.
    match unsafe { stub::call(&clone) } {
        0 => run(experiment, child),
        other => other,
    }
}

fn take(op: &Op, me: TaskId) -> i64 {
    let call = match op {
        Op::Call(call) => *call,
        Op::Fork { .. } => unreachable!("the caller forks"),
        Op::Thread { child } => on_own_stack(THREAD_FLAGS, *child),
        Op::Clone { child, shares } => on_own_stack(FORK_FLAGS | shares, *child),
        Op::Exec => {
            image::prepare(me);
            let pointers = [layout::EXEC_PATH, layout::EXEC_ARGV, layout::EXEC_ENVP, 0, 0, 0];
            plain(libc::SYS_execve, pointers)
        }
        Op::Install(install) => prepare_install(install),
        Op::Sigsys(disposition) => {
            prepare_sigaction(*disposition);
            plain(libc::SYS_rt_sigaction, [libc::SIGSYS as u64, layout::SIGACTION, 0, 8, 0, 0])
        }
        Op::MaskSigsys { block } => {
            // SAFETY: lies in the board, eight bytes long, used by the task whose turn it is.
            unsafe { (layout::SIGSET as *mut u64).write(1 << (libc::SIGSYS - 1)) };
            let how = if *block { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
            plain(libc::SYS_rt_sigprocmask, [how as u64, layout::SIGSET, 0, 8, 0, 0])
        }
        Op::Rdtsc => {
            sys::rdtsc();
            return 0;
        }
    };
    // SAFETY: pointers of the steps above lie in the board; those of a plain call are the
    // experiment's, which may at worst hurt this task, and its supervisor is prepared for that. Where
    // it has its supervisor's memory, its calls leave that alone (`Experiment::leaves_memory_alone`).
    unsafe { stub::call(&call) }
}

fn on_own_stack(flags: u64, child: TaskId) -> Call {
    let tid = layout::tid_word(child);
    plain(libc::SYS_clone, [flags, prepare_thread(child), tid, tid, 0, 0])
}

fn prepare_install(install: &Install) -> Call {
    let (len, insns, pointer) = match &install.program {
        Program::Filter(filter) => (filter.0.len() as u16, layout::INSNS, layout::FPROG),
        Program::Length(_, len) => (*len, layout::INSNS, layout::FPROG),
        Program::NullInsns(len) => (*len, 0, layout::FPROG),
        Program::BadInsns(len) => (*len, layout::UNMAPPED, layout::FPROG),
        Program::NullFprog => (0, 0, 0),
        Program::BadFprog => (0, 0, layout::UNMAPPED),
    };
    if let Program::Filter(filter) | Program::Length(filter, _) = &install.program {
        let mut to = layout::INSNS as *mut u64;
        for insn in filter.0.iter().take(65_535) {
            let [c0, c1] = insn.code.to_le_bytes();
            let [k0, k1, k2, k3] = insn.k.to_le_bytes();
            // SAFETY: the board has room for 65,535 instructions there, and it is this task's turn.
            unsafe {
                to.write(u64::from_le_bytes([c0, c1, insn.jt, insn.jf, k0, k1, k2, k3]));
                to = to.add(1);
            }
        }
    }
    // SAFETY: lies in the board, is large enough and aligned; it is this task's turn.
    unsafe {
        (layout::FPROG as *mut libc::sock_fprog).write(libc::sock_fprog { len, filter: insns as *mut _ });
    };
    match install.via {
        Via::Prctl => plain(
            libc::SYS_prctl,
            [libc::PR_SET_SECCOMP as u64, u64::from(libc::SECCOMP_MODE_FILTER), pointer, 0, 0, 0],
        ),
        Via::Seccomp { flags } => plain(
            libc::SYS_seccomp,
            [u64::from(libc::SECCOMP_SET_MODE_FILTER), u64::from(flags), pointer, 0, 0, 0],
        ),
    }
}

/// The kernel's own `struct sigaction` on x86-64 (arch/x86/include/uapi/asm/signal.h).
#[repr(C)]
struct KernelSigaction {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

const SA_RESTORER: u64 = 0x0400_0000;

fn prepare_sigaction(disposition: Disposition) {
    match disposition {
        Disposition::Default => put_sigaction(0, 0),
        Disposition::Ignore => put_sigaction(1, 0),
        Disposition::Record => put_sigaction(record as *const () as u64, 0),
    }
}

/// Puts a `struct sigaction` with these flags, beside those that every handler needs, where
/// [`layout::SIGACTION`] says.
pub(crate) fn put_sigaction(handler: u64, flags: u64) {
    let action = KernelSigaction {
        handler,
        flags: flags | libc::SA_SIGINFO as u64 | SA_RESTORER,
        restorer: stub::RESTORER,
        mask: 0,
    };
    // SAFETY: lies in the board, is large enough and aligned; nobody else uses it at the time.
    unsafe { (layout::SIGACTION as *mut KernelSigaction).write(action) };
}

/// The head of `siginfo_t` with the `_sigsys` union member (include/uapi/asm-generic/siginfo.h).
#[repr(C)]
pub(crate) struct SigsysInfo {
    signo: i32,
    errno: i32,
    code: i32,
    _pad: i32,
    call_addr: u64,
    syscall: i32,
    arch: u32,
}

extern "C" fn record(_: i32, info: *const SigsysInfo, context: *const libc::ucontext_t) {
    // SAFETY: the kernel hands both pointers to an SA_SIGINFO handler, valid while it runs.
    board().trap(&unsafe { sigsys(info, context) });
}

/// What the handler of a SIGSYS is told.
///
/// # Safety
/// Both pointers are the ones that the kernel has handed to the handler, and it still runs.
pub(crate) unsafe fn sigsys(info: *const SigsysInfo, context: *const libc::ucontext_t) -> Sigsys {
    // SAFETY: passed on to the caller.
    let (info, result) = unsafe { (&*info, (*context).uc_mcontext.gregs[libc::REG_RAX as usize]) };
    Sigsys {
        signo: info.signo,
        code: info.code,
        errno: info.errno,
        call_addr: info.call_addr,
        syscall: info.syscall,
        arch: info.arch,
        result,
    }
}
