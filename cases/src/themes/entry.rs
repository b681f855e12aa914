//! Ways into the kernel, and what seccomp does not see of them.

use crate::attached::attach;
use crate::case::{is, staged};
use crate::{Case, Script, sigsys, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, bpf};
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const NATIVE: Abi = Abi::X86_64;
/// `PR_SET_SYSCALL_USER_DISPATCH`.
const DISPATCH: i32 = 59;
const EXECVEAT: i64 = 322;

pub(crate) const CASES: &[Case] = &[
    staged(
        "entry::dispatched_call_is_not_judged",
        "A call that syscall user dispatch sends back to the program never reaches a filter.",
        &[Feature::ModeFilter, Feature::SyscallUserDispatch],
        |stage| dispatch(stage, 1),
        |_: &Traits| vec![is("code of SIGSYS", 2), is("end", 0)],
    ),
    staged(
        "entry::undispatched_call_is_judged",
        "While dispatch's selector allows calls they go to the filters.",
        &[Feature::ModeFilter, Feature::SyscallUserDispatch],
        |stage| dispatch(stage, 0),
        |_: &Traits| vec![is("code of SIGSYS", 0), is("end", 1031)],
    ),
    staged(
        "entry::clone3_is_its_own_call",
        "A filter on clone, fork and vfork is passed by clone3, whose flags stand in memory that filters cannot read.",
        &[Feature::ModeFilter, Feature::Clone3],
        observe_clone3,
        |_: &Traits| vec![is("clone", -1), is("fork", -1), is("vfork", -1), is("clone3 made a process", 1)],
    ),
    staged(
        "entry::vfork_child_is_filtered",
        "The child of vfork, which runs in its maker's memory, has its maker's filters.",
        NEEDS,
        observe_vfork,
        |_: &Traits| vec![is("in the child", -7), is("in the maker", -7)],
    ),
    staged(
        "entry::execveat_is_its_own_call",
        "A filter on execve is passed by execveat.",
        NEEDS,
        observe_execveat,
        |_: &Traits| vec![is("execve", -1), is("execveat of no file", -2)],
    ),
];

/// A filter that answers these numbers with EPERM.
fn refuse(numbers: &[u32]) -> Vec<atlas_model::Insn> {
    let mut filter = vec![bpf::ld(offset::NR)];
    let count = numbers.len();
    filter.extend(numbers.iter().enumerate().map(|(at, &nr)| bpf::jeq(nr, (count - at) as u8, 0)));
    filter.extend([bpf::ret(Action::Allow), bpf::ret(Action::Errno(1))]);
    filter
}

/// Dispatch's selector: 0 allows, 1 blocks.
static SELECTOR: AtomicU8 = AtomicU8::new(0);
static CODE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

extern "C" fn dispatched(_: i32, info: *const libc::siginfo_t, _: *const libc::ucontext_t) {
    SELECTOR.store(0, SeqCst);
    let code = CODE.load(SeqCst) as *const std::sync::atomic::AtomicI64;
    // SAFETY: the kernel hands a siginfo to a handler with SA_SIGINFO; the number is shared memory.
    unsafe { (*code).store((*info).si_code.into(), SeqCst) }
}

fn dispatch(stage: &Stage, selector: u8) {
    let code = waiting::shared_number();
    let pid = stage.start(|_| {
        CODE.store(code.as_ptr() as usize, SeqCst);
        sigsys::handle(dispatched, 0);
        attach(Script::on(NATIVE, "getppid", Action::KillProcess));
        // On, with no range that is always allowed.
        let _ = sys::prctl(DISPATCH, [1, 0, 0, SELECTOR.as_ptr() as u64]);
        SELECTOR.store(selector, SeqCst);
        let _ = sys::number(libc::SYS_getppid, [0; 6]);
    });
    let end = end_code(sys::end_of(sys::wait_for(pid, libc::__WALL) as i32));
    stage.fact("code of SIGSYS", code.load(SeqCst));
    stage.fact("end", end);
}

/// The probe of dispatch: turning on what is not on.
pub(crate) fn observe_dispatch(stage: &Stage) {
    stage.fact("off", sys::prctl(DISPATCH, [0, 0, 0, 0]));
}

/// clone3(2) as a fork.
fn clone3() -> i64 {
    // struct clone_args, CLONE_ARGS_SIZE_VER0: flags, three pointers, exit signal, stack, tls.
    let mut arguments = [0_u64; 8];
    arguments[4] = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM the child has its own copy of everything; the structure lives until
    // the call returns.
    unsafe { sys::raw(libc::SYS_clone3, [arguments.as_ptr() as u64, 64, 0, 0, 0, 0]) }
}

fn observe_clone3(stage: &Stage) {
    attach(refuse(&[56, 57, 58]));
    stage.fact("clone", sys::number(libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0]));
    stage.fact("fork", sys::number(libc::SYS_fork, [0; 6]));
    stage.fact("vfork", sys::number(libc::SYS_vfork, [0; 6]));
    let pid = clone3();
    if pid == 0 {
        sys::exit(0)
    }
    stage.fact("clone3 made a process", (pid > 0 && sys::wait_for(pid as i32, libc::__WALL) == 0).into());
}

/// The probe of clone3: a process made by it.
pub(crate) fn observe_clone3_there(stage: &Stage) {
    let pid = clone3();
    if pid == 0 {
        sys::exit(0)
    }
    stage.fact("made", (pid > 0).into());
}

fn observe_vfork(stage: &Stage) {
    let got = waiting::shared_number();
    attach(Script::on(NATIVE, "getppid", Action::Errno(7)));
    // CLONE_VFORK alone: the maker waits as in vfork, and the child has its own stack frames.
    let pid = sys::fork_with(libc::CLONE_VFORK as u64 | libc::SIGCHLD as u64, 0);
    if pid == 0 {
        got.store(sys::number(libc::SYS_getppid, [0; 6]), SeqCst);
        sys::exit(0)
    }
    stage.fact("in the child", got.load(SeqCst));
    stage.fact("in the maker", sys::number(libc::SYS_getppid, [0; 6]));
}

fn observe_execveat(stage: &Stage) {
    attach(refuse(&[59]));
    let path = c"/no/such/file".as_ptr() as u64;
    let none = [0_u64];
    let list = none.as_ptr() as u64;
    // SAFETY: the path and the empty list live until the calls return, which they do.
    unsafe {
        stage.fact("execve", sys::raw(libc::SYS_execve, [path, list, list, 0, 0, 0]));
        stage.fact("execveat of no file", sys::raw(EXECVEAT, [-100_i64 as u64, path, list, list, 0, 0]));
    }
}
