//! RET_TRAP: SIGSYS with what the handler needs to know.

use crate::attached::attach;
use crate::case::{both, case, is, staged};
use crate::sigsys::handle;
use crate::{Case, Script, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::bpf::{self, op};
use atlas_model::experiment::{Disposition, Op};
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Abi, Action};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

const NEEDS: &[Feature] = &[Feature::ModeFilter];

fn handled(abi: Abi, data: u16) -> Script {
    Script::new(abi).no_new_privs().sigsys(Disposition::Record).filter(Script::on(
        abi,
        "getppid",
        Action::Trap(data),
    ))
}

pub(crate) const CASES: &[Case] = &[
    both(
        "trap::siginfo",
        "The handler sees code, data, number, arch and the address after the call.",
        NEEDS,
        |abi| handled(abi, 42).call("getppid", []).call("gettid", []).done(),
    ),
    both("trap::all_data_bits", "All 16 data bits reach si_errno, without a cap.", NEEDS, |abi| {
        handled(abi, 65_535).call("getppid", []).done()
    }),
    both(
        "trap::result_is_the_number",
        "A handler that changes nothing leaves the number as the result.",
        NEEDS,
        |abi| handled(abi, 0).call("getppid", [1, 2, 3, 4, 5, 6]).done(),
    ),
    case("trap::again_and_again", "Every call is trapped anew.", NEEDS, |abi| {
        handled(abi, 1).call("getppid", []).call("getppid", []).call("getppid", []).done()
    }),
    case("trap::default_disposition_kills", "Without a handler SIGSYS ends the process.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .filter(Script::on(abi, "getppid", Action::Trap(1)))
            .call("getppid", [])
            .done()
    }),
    case("trap::ignored_kills", "Ignoring SIGSYS does not help.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .sigsys(Disposition::Ignore)
            .filter(Script::on(abi, "getppid", Action::Trap(1)))
            .call("getppid", [])
            .done()
    }),
    case("trap::blocked_kills", "Nor does blocking it, handler or not.", NEEDS, |abi| {
        handled(abi, 1).op(Op::MaskSigsys { block: true }).call("getppid", []).done()
    }),
    case("trap::unblocked_again", "Once unblocked the handler runs.", NEEDS, |abi| {
        handled(abi, 1)
            .op(Op::MaskSigsys { block: true })
            .op(Op::MaskSigsys { block: false })
            .call("getppid", [])
            .done()
    }),
    both(
        "trap::numbers_like_restart_codes",
        "A number from -516 to -512 is no errno, though the result register holds it when SIGSYS is delivered.",
        NEEDS,
        |abi| {
            let trapped = vec![
                bpf::ld(offset::NR),
                bpf::jump(op::JGE, 0x8000_0000, 0, 1),
                bpf::ret(Action::Trap(9)),
                bpf::ret(Action::Allow),
            ];
            let script = Script::new(abi).no_new_privs().sigsys(Disposition::Record).filter(trapped);
            // int 0x80 takes 32 bits; a native number is an errno only with the sign in all 64.
            let negative = |nr: i64| if abi == Abi::I386 { u64::from(nr as u32) } else { nr as u64 };
            let numbers = [-511, -512, -514, -515, -516, -517].map(negative);
            let script = numbers.iter().fold(script, |script, &nr| script.number(nr, []));
            script.number(-512_i64 as u32 as u64, []).call("getppid", []).done()
        },
    ),
    staged(
        "trap::numbers_like_restart_codes_again",
        "A number of -513, or of -512 with SA_RESTART, is trapped once, and what its handler sets is the result.",
        NEEDS,
        observe_again,
        |traits: &Traits| {
            // After the third time the handler ends it. `syscall` has two bytes.
            let again = traits.shows(Quirk::NumberAsErrno);
            let (times, back, end) = if again { (3, 2, 33) } else { (1, 0, 0) };
            vec![
                is("-513: handlers that ran", times),
                is("-513: bytes back", back),
                is("-513: end", end),
                is("-512: handlers that ran", times),
                is("-512: bytes back", back),
                is("-512: end", end),
                is("emulated call was made", i64::from(again)),
            ]
        },
    ),
    case(
        "trap::sigreturn_is_judged",
        "The handler's return is a call like any other: with an errno the handler cannot end.",
        NEEDS,
        |abi| {
            handled(abi, 1)
                .filter(Script::on(abi, "rt_sigreturn", Action::Errno(1)))
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "trap::trap_in_the_handler_kills",
        "SIGSYS is blocked while its handler runs, so a trapped return ends the process.",
        NEEDS,
        |abi| {
            handled(abi, 1)
                .filter(Script::on(abi, "rt_sigreturn", Action::Trap(2)))
                .call("getppid", [])
                .done()
        },
    ),
    case(
        "trap::kills_every_thread",
        "SIGSYS without a handler ends the process, not the thread.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .thread(1)
                .task(1)
                .filter(Script::on(abi, "getppid", Action::Trap(1)))
                .call("getppid", [])
                .task(0)
                .call("gettid", [])
                .done()
        },
    ),
    case(
        "trap::everything",
        "A filter that traps everything traps the handler's return as well.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .sigsys(Disposition::Record)
                .filter(vec![bpf::ret(Action::Trap(3))])
                .call("getppid", [])
                .done()
        },
    ),
];

/// Where handlers report, beyond their process's end: how often one ran, and how far before the address in
/// its siginfo it would have gone on the first time.
static RAN: AtomicI64 = AtomicI64::new(0);
static BACK: AtomicI64 = AtomicI64::new(0);

extern "C" fn thrice(_: i32, info: *const libc::siginfo_t, context: *const libc::ucontext_t) {
    // SAFETY: set to the addresses of shared numbers before any handler runs.
    let [ran, back] = [&RAN, &BACK].map(|at| unsafe { &*(at.load(SeqCst) as *const AtomicI64) });
    // SAFETY: the kernel hands both to a handler with SA_SIGINFO; behind the three numbers and their padding
    // a siginfo of SIGSYS has the address of the call (include/uapi/asm-generic/siginfo.h).
    let [call, next] =
        unsafe { [info.cast::<i64>().add(2).read(), (*context).uc_mcontext.gregs[libc::REG_RIP as usize]] };
    match ran.fetch_add(1, SeqCst) {
        0 => back.store(call - next, SeqCst),
        1 => {}
        _ => sys::exit(33),
    }
}

/// Answers a call as a handler does that emulates calls, by what happens to be a number, too.
extern "C" fn emulate(_: i32, _: *const libc::siginfo_t, context: *const libc::ucontext_t) {
    // SAFETY: the kernel hands it to a handler with SA_SIGINFO, on the handler's own stack.
    unsafe { (*context.cast_mut()).uc_mcontext.gregs[libc::REG_RAX as usize] = libc::SYS_getuid };
}

fn trapped(nr: i32) {
    let filter = Script::on_number(nr, Action::Trap(1));
    attach(filter);
}

fn again(stage: &Stage, nr: i32, flags: i32, facts: [&str; 3]) {
    let (ran, back) = (waiting::shared_number(), waiting::shared_number());
    let end = stage.child(|_| {
        RAN.store(ran.as_ptr() as i64, SeqCst);
        BACK.store(back.as_ptr() as i64, SeqCst);
        handle(thrice, flags);
        trapped(nr);
        let _ = sys::number(nr.into(), [0; 6]);
    });
    for (name, value) in facts.into_iter().zip([ran.load(SeqCst), back.load(SeqCst), end_code(end)]) {
        stage.fact(name, value);
    }
}

fn observe_again(stage: &Stage) {
    again(stage, -513, 0, ["-513: handlers that ran", "-513: bytes back", "-513: end"]);
    again(stage, -512, libc::SA_RESTART, ["-512: handlers that ran", "-512: bytes back", "-512: end"]);
    let _ = stage.child(|stage| {
        handle(emulate, 0);
        trapped(-513);
        let value = sys::number(-513, [0; 6]);
        // Root's number, which is no call's that was answered with its number.
        stage.fact("emulated call was made", (value == 0).into());
    });
}
