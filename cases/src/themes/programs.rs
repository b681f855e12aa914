//! Whole programs: the three that tutorials on seccomp begin with.

use crate::case::{both, is, staged};
use crate::script::{FD_READ, FD_WRITE, SCRATCH, number};
use crate::{Case, Script};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Insn};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action};
use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
/// An end by SIGSYS as a fact shows it.
const SIGSYS: i64 = 1031;

pub(crate) const CASES: &[Case] = &[
    both(
        "programs::by_hand",
        "A filter written by hand: check the arch, load the number, allow five calls, kill the rest.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .fork(1)
                .filter(by_hand(abi))
                .call("read", [FD_READ, SCRATCH, 4])
                .call("write", [FD_WRITE, SCRATCH, 4])
                .call("exit_group", [0])
                .task(1)
                .filter(by_hand(abi))
                .call("write", [FD_WRITE, SCRATCH, 4])
                .call("getppid", [])
                .done()
        },
    ),
    both(
        "programs::by_hand_through_the_other_entry",
        "Its check of the arch kills what comes through the other entry.",
        &[Feature::ModeFilter, Feature::AbiI386],
        |abi| {
            let other = if abi == Abi::I386 { Abi::X86_64 } else { Abi::I386 };
            Script::new(abi)
                .no_new_privs()
                .filter(by_hand(abi))
                .by(other)
                .call("write", [FD_WRITE, SCRATCH, 4])
                .done()
        },
    ),
    staged(
        "programs::libseccomp_base",
        "libseccomp's smallest program: seccomp_init(KILL), load, and no call is left, not even exit_group.",
        NEEDS,
        observe_base,
        |_: &Traits| vec![is("seccomp_load", 0), is("end", SIGSYS)],
    ),
    staged(
        "programs::libseccomp_sample",
        "libseccomp's second program: a few calls, and read and write on given descriptors only.",
        NEEDS,
        observe_sample,
        |_: &Traits| {
            vec![
                is("seccomp_load", 0),
                is("read on its descriptor", 4),
                is("write on its descriptor", 4),
                is("exit_group", 3),
                is("read on another", SIGSYS),
                is("write on another", SIGSYS),
                is("getppid", SIGSYS),
                is("open", SIGSYS),
                is("an x32 number", SIGSYS),
            ]
        },
    ),
    staged(
        "programs::libseccomp_i386",
        "A filter of libseccomp for the native arch kills calls by int 0x80.",
        &[Feature::ModeFilter, Feature::AbiI386],
        |stage| {
            let end = stage.child(|_| {
                let _ = sample().load();
                let call = atlas_model::Call { abi: Abi::I386, nr: 4, args: [FD_WRITE, SCRATCH, 1, 0, 0, 0] };
                // SAFETY: a write from the scratch area.
                let _ = unsafe { atlas_edge::stub::call(&call) };
            });
            stage.fact("write by int 0x80", end_code(end));
        },
        |_: &Traits| vec![is("write by int 0x80", SIGSYS)],
    ),
];

fn by_hand(abi: Abi) -> Vec<Insn> {
    let mut filter = vec![
        bpf::ld(offset::ARCH),
        bpf::jeq(abi.audit_arch(), 1, 0),
        bpf::ret(Action::KillThread),
        bpf::ld(offset::NR),
    ];
    for name in ["rt_sigreturn", "exit_group", "exit", "read", "write"] {
        filter.extend([bpf::jeq(number(abi, name), 0, 1), bpf::ret(Action::Allow)]);
    }
    filter.push(bpf::ret(Action::KillThread));
    filter
}

fn observe_base(stage: &Stage) {
    let end = stage.child(|stage| {
        let loaded = ScmpFilterContext::new(ScmpAction::KillThread).and_then(|context| context.load());
        // Reached only by luck: freeing the context may need no call.
        stage.fact("seccomp_load", loaded.is_err().into());
    });
    stage.fact("end", end_code(end));
}

/// rt_sigreturn, exit, exit_group; read on one descriptor, write on another.
fn sample() -> ScmpFilterContext {
    let make = || {
        let mut context = ScmpFilterContext::new(ScmpAction::KillThread)?;
        for name in ["rt_sigreturn", "exit", "exit_group"] {
            context.add_rule(ScmpAction::Allow, ScmpSyscall::from_name(name)?)?;
        }
        for (name, fd) in [("read", FD_READ), ("write", FD_WRITE)] {
            let only = ScmpArgCompare::new(0, ScmpCompareOp::Equal, fd);
            context.add_rule_conditional(ScmpAction::Allow, ScmpSyscall::from_name(name)?, &[only])?;
        }
        Ok::<_, libseccomp::error::SeccompError>(context)
    };
    make().unwrap_or_else(|error| panic!("libseccomp refuses the sample: {error}"))
}

fn observe_sample(stage: &Stage) {
    let call = |nr: libc::c_long, args: [u64; 3]| {
        // SAFETY: reads and writes go to the scratch area, paths come from it.
        unsafe { sys::raw(nr, [args[0], args[1], args[2], 0, 0, 0]) }
    };
    let context = sample();
    let end = stage.child(|stage| {
        stage.fact("seccomp_load", context.load().is_err().into());
        stage.fact("read on its descriptor", call(libc::SYS_read, [FD_READ, SCRATCH, 4]));
        stage.fact("write on its descriptor", call(libc::SYS_write, [FD_WRITE, SCRATCH, 4]));
        sys::exit(3)
    });
    stage.fact("exit_group", end_code(end));
    let attempts: [(&str, libc::c_long, [u64; 3]); 5] = [
        ("read on another", libc::SYS_read, [FD_READ + 10, SCRATCH, 4]),
        ("write on another", libc::SYS_write, [1, SCRATCH, 0]),
        ("getppid", libc::SYS_getppid, [0; 3]),
        ("open", libc::SYS_open, [SCRATCH, 0, 0]),
        ("an x32 number", Abi::X32_BIT as libc::c_long, [FD_READ, SCRATCH, 4]),
    ];
    for (name, nr, args) in attempts {
        let end = stage.child(|_| {
            let _ = context.load();
            let _ = call(nr, args);
        });
        stage.fact(name, end_code(end));
    }
}
