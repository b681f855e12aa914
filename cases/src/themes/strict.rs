//! Strict mode: four calls, and death for every other.

use crate::case::{both, case, is, staged};
use crate::script::{FD_READ, FD_WRITE, SCRATCH};
use crate::{Case, Script};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::Abi;
use atlas_model::traits::{Feature, Traits};

const NEEDS: &[Feature] = &[Feature::ModeStrict];

pub(crate) const CASES: &[Case] = &[
    both(
        "strict::read_and_write_work",
        "read and write, two of the four calls, go on working.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .strict()
                .call("read", [FD_READ, SCRATCH, 16])
                .call("write", [FD_WRITE, SCRATCH, 16])
                .done()
        },
    ),
    both("strict::exit_works", "exit ends the thread in an orderly way.", NEEDS, |abi| {
        Script::new(abi).strict().call("exit", [7]).done()
    }),
    staged(
        "strict::sigreturn_works",
        "A signal handler of a native task returns, so its rt_sigreturn is allowed.",
        NEEDS,
        observe_sigreturn,
        |_: &Traits| {
            vec![is("in strict mode", 1), is("handler ran", 1), is("came back from it", 1), is("end", 0)]
        },
    ),
    both("strict::exit_group_kills", "exit_group is not exit: SIGKILL.", NEEDS, |abi| {
        Script::new(abi).strict().call("exit_group", [7]).done()
    }),
    both("strict::getppid_kills", "A harmless call ends the thread with SIGKILL.", NEEDS, |abi| {
        Script::new(abi).strict().call("getppid", []).done()
    }),
    both("strict::prctl_kills", "Even asking for the mode ends the thread.", NEEDS, |abi| {
        Script::new(abi).strict().call("prctl", [21]).done()
    }),
    both("strict::clone_kills", "No new tasks.", NEEDS, |abi| {
        Script::new(abi).strict().call("clone", [17]).done()
    }),
    both("strict::unknown_number_kills", "A number beyond the table is no exception.", NEEDS, |abi| {
        Script::new(abi).strict().number(9_999, []).done()
    }),
    case(
        "strict::by_seccomp",
        "seccomp(2) with SET_MODE_STRICT is the same mode.",
        &[Feature::ModeStrict, Feature::SeccompSyscall],
        |abi| {
            Script::new(abi)
                .call("seccomp", [0, 0, 0])
                .call("read", [FD_READ, SCRATCH, 1])
                .call("getppid", [])
                .done()
        },
    ),
    case("strict::pointer_ignored_by_prctl", "prctl(2) ignores the third argument.", NEEDS, |abi| {
        Script::new(abi).call("prctl", [22, 1, 0xdead_beef]).call("getppid", []).done()
    }),
    case(
        "strict::rdtsc_faults",
        "Reading the time-stamp counter faults, which filters never cause.",
        NEEDS,
        |abi| Script::new(abi).strict().op(atlas_model::experiment::Op::Rdtsc).done(),
    ),
    case(
        "strict::i386_has_its_own_table",
        "An i386 call is judged by the i386 table: its write, which the native one has not, and its exit work.",
        &[Feature::ModeStrict, Feature::AbiI386],
        |abi| {
            let script = Script::new(abi).strict().by(Abi::I386);
            script.call("write", [FD_WRITE, SCRATCH, 16]).call("exit", [5]).done()
        },
    ),
    case(
        "strict::native_number_by_i386_kills",
        "The native number of read is i386's restart_syscall and kills (CVE-2009-0835).",
        &[Feature::ModeStrict, Feature::AbiI386],
        |abi| Script::new(abi).strict().by(Abi::I386).number(0, []).done(),
    ),
    case(
        "strict::native_exit_by_i386_kills",
        "The native number of exit is i386's umask and kills (CVE-2009-0835).",
        &[Feature::ModeStrict, Feature::AbiI386],
        |abi| Script::new(abi).strict().by(Abi::I386).number(60, [0o77]).done(),
    ),
    case(
        "strict::i386_number_by_native_kills",
        "i386's write is the native stat and kills.",
        &[Feature::ModeStrict, Feature::AbiI386],
        |abi| Script::new(abi).strict().number(4, [SCRATCH, SCRATCH]).done(),
    ),
    case(
        "strict::thread_dies_alone",
        "SIGKILL by strict mode ends the calling thread, not the process.",
        NEEDS,
        |abi| {
            Script::new(abi).thread(1).task(1).strict().call("getppid", []).task(0).call("getppid", []).done()
        },
    ),
    case("strict::sibling_is_free", "Strict mode is the thread's own: a sibling calls on.", NEEDS, |abi| {
        Script::new(abi).thread(1).task(1).strict().task(0).call("getppid", []).call("prctl", [21]).done()
    }),
];

/// Set in the handler.
static HANDLED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

extern "C" fn note(_: i32) {
    HANDLED.store(true, std::sync::atomic::Ordering::SeqCst);
}

fn observe_sigreturn(stage: &Stage) {
    use std::sync::atomic::Ordering::SeqCst;
    let pid = stage.start(|stage| {
        // SAFETY: the handler only stores an atomic.
        unsafe {
            libc::signal(libc::SIGUSR1, note as *const () as libc::sighandler_t);
        }
        let _ = sys::prctl(libc::PR_SET_SECCOMP, [1, 0, 0, 0]);
        stage.fact("in strict mode", 1);
        while !HANDLED.load(SeqCst) {
            std::hint::spin_loop();
        }
        stage.fact("handler ran", 1);
        stage.fact("came back from it", 1);
        let _ = sys::number(libc::SYS_exit, [0; 6]);
    });
    // Strict mode can only be seen from inside, so the child says when it is there.
    while stage.facts().is_empty() {
        std::thread::yield_now();
    }
    sys::kill(pid, libc::SIGUSR1);
    let status = sys::wait_for(pid, libc::__WALL);
    stage.fact("end", end_code(sys::end_of(status as i32)));
}
