//! libseccomp on the kernel that runs: what it takes the kernel for, what it hands over, and what comes of it.
//!
//! The library is linked into the guest, so it is one and the same on every kernel. Its levels and
//! attributes are those of seccomp_api_get(3) and seccomp_attr_set(3).

use crate::attached::{NOBODY, attach, become_user};
use crate::case::{Want, is, staged};
use crate::script::FD_WRITE;
use crate::{Case, Fact, Script, listener, sigsys, tracee, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, bpf};
use libseccomp::error::SeccompError;
use libseccomp::{
    ScmpAction, ScmpFilterAttr, ScmpFilterContext, ScmpNotifReq, ScmpNotifResp, ScmpNotifRespFlags,
    ScmpSyscall, ScmpVersion, check_version, get_api, notify_id_valid,
};
use std::os::fd::{AsFd, FromRawFd};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const SECCOMP: &[Feature] = &[Feature::ModeFilter, Feature::SeccompSyscall, Feature::GetActionAvail];
const DUMPS: &[Feature] = &[Feature::PtraceGetFilter];
const NOTIFY: &[Feature] = &[Feature::NotifReceive, Feature::TsyncEsrch, Feature::NotifIdValid];
const EPERM: i32 = 1;
/// The attributes that reach the kernel as flags, with what the kernel must know for them.
const FLAGS: [(&str, ScmpFilterAttr, Feature, i64); 3] = [
    ("TSYNC", ScmpFilterAttr::CtlTsync, Feature::Tsync, 1),
    ("LOG", ScmpFilterAttr::CtlLog, Feature::FlagLog, 2),
    ("SSB", ScmpFilterAttr::CtlSsb, Feature::SpecAllow, 4),
];

pub(crate) const CASES: &[Case] = &[
    staged(
        "libseccomp::api_level",
        "The level that the library finds is that of the kernel's features; level 7 only versions from 2.6 on know.",
        NEEDS,
        |stage| stage.fact("level", get_api().into()),
        |traits: &Traits| vec![Fact { name: "level".into(), want: level(traits) }],
    ),
    staged(
        "libseccomp::flags",
        "Each attribute reaches the kernel as its flag, as a trap on seccomp(2) finds it; what the kernel lacks is refused before.",
        SECCOMP,
        observe_flags,
        |traits: &Traits| {
            // With TSYNC the library asks for its errno as well, where there is one.
            let more = |name| if name == "TSYNC" && traits.has(Feature::TsyncEsrch) { 16 } else { 0 };
            let flag = |(name, _, needs, flag): &(&'static str, _, Feature, i64)| {
                is(name, if traits.has(*needs) { *flag + more(*name) } else { -95 })
            };
            let mut facts = vec![is("no attribute", 0)];
            facts.extend(FLAGS.iter().map(flag));
            facts
        },
    ),
    staged(
        "libseccomp::listener_flags",
        "A rule that notifies asks for a listener, and with TSYNC for TSYNC_ESRCH as well.",
        NOTIFY,
        |stage| {
            stage.fact("notify", flags_of(|context| notify_on_getppid(context).map(|_| ())));
            stage.fact(
                "notify and TSYNC",
                flags_of(|context| {
                    notify_on_getppid(context)?.set_filter_attr(ScmpFilterAttr::CtlTsync, 1).map(|_| ())
                }),
            );
        },
        |_: &Traits| vec![is("notify", 8), is("notify and TSYNC", 25)],
    ),
    staged(
        "libseccomp::waitkill",
        "The attribute WAITKILL keeps a received call from signals; versions before 2.6 do not have it, and say so.",
        &[Feature::WaitKillable, Feature::NotifIdValid],
        observe_waitkill,
        |_: &Traits| {
            vec![
                Fact { name: "2.6 or later".into(), want: Want::OneOf(&[0, 1]) },
                is("it is accepted just there", 1),
                is("flags are as accepted", 1),
            ]
        },
    ),
    staged(
        "libseccomp::no_new_privs",
        "The library sets no_new_privs unless told not to; then nobody's filter is refused.",
        NEEDS,
        observe_nnp,
        |_: &Traits| {
            vec![is("set", 1), is("root without it", 0), is("left alone", 0), is("nobody without it", -13)]
        },
    ),
    staged(
        "libseccomp::tsync",
        "With TSYNC a thread that was there before is filtered as well.",
        &[Feature::Tsync],
        observe_tsync,
        |_: &Traits| vec![is("load", 0), is("in the other thread", -1)],
    ),
    staged(
        "libseccomp::optimized",
        "A filter by the binary tree is another program and gives the same answers.",
        NEEDS,
        observe_optimized,
        |_: &Traits| {
            vec![is("programs differ", 1), is("getppid", -1), is("dup", -1), is("getuid", 0), is("x32", 1031)]
        },
    ),
    staged(
        "libseccomp::exported_is_loaded",
        "What the library exports is, instruction by instruction, what the kernel has of it.",
        DUMPS,
        |stage| {
            exported_is_loaded(stage, "of a list", 1);
            exported_is_loaded(stage, "of a tree", 2);
        },
        |_: &Traits| vec![is("of a list", 1), is("of a tree", 1)],
    ),
    staged(
        "libseccomp::notify",
        "Receive, id_valid, respond and the descriptor, by the library's own calls.",
        NOTIFY,
        observe_notify,
        |_: &Traits| {
            vec![
                is("load", 0),
                is("number", 110),
                is("id valid", 0),
                is("respond", 0),
                is("caller got", 4242),
                is("id valid afterwards", -2),
                is("the descriptor is a listener", 1),
            ]
        },
    ),
];

/// As src/api.c of the library counts: each level asks for the one below.
fn level(traits: &Traits) -> Want {
    let steps: [&[Feature]; 5] = [
        &[Feature::SeccompSyscall, Feature::Tsync],
        &[Feature::FlagLog, Feature::ActionLog, Feature::ActionKillProcess],
        &[Feature::SpecAllow],
        &[Feature::NewListener, Feature::ActionUserNotif],
        &[Feature::TsyncEsrch],
    ];
    let reached = steps.iter().take_while(|step| step.iter().all(|&it| traits.has(it))).count();
    match reached {
        5 if traits.has(Feature::WaitKillable) => Want::OneOf(&[6, 7]),
        reached => Want::Is(1 + reached as i64),
    }
}

fn errno<T>(result: Result<T, SeccompError>) -> i64 {
    result.err().map_or(0, |error| error.sysrawrc().unwrap_or(i32::MIN).into())
}

/// A filter that answers getppid with EPERM.
fn refusing() -> Result<ScmpFilterContext, SeccompError> {
    let mut context = ScmpFilterContext::new(ScmpAction::Allow)?;
    context.add_rule(ScmpAction::Errno(EPERM), ScmpSyscall::from_name("getppid")?)?;
    context.set_filter_attr(ScmpFilterAttr::ApiSysRawRc, 1)?;
    Ok(context)
}

fn notify_on_getppid(context: &mut ScmpFilterContext) -> Result<&mut ScmpFilterContext, SeccompError> {
    context.add_rule(ScmpAction::Notify, ScmpSyscall::from_name("getppid")?)
}

/// The second argument of the trapped seccomp(2).
static SECOND: AtomicI64 = AtomicI64::new(0);

extern "C" fn trapped(_: i32, _: *const libc::siginfo_t, context: *const libc::ucontext_t) {
    // SAFETY: the kernel hands a ucontext to a handler with SA_SIGINFO.
    SECOND.store(unsafe { (*context).uc_mcontext.gregs[libc::REG_RSI as usize] }, SeqCst);
}

/// The flags that the library attaches a filter with, or the errno of an attribute it refuses: a filter
/// that was there before traps seccomp(2), and the handler looks. An errno would not do, since the
/// library passes few of them on (src/api.c `_rc_filter`).
fn flags_of(attributes: impl FnOnce(&mut ScmpFilterContext) -> Result<(), SeccompError>) -> i64 {
    // What the library asks the kernel at first must not meet that filter.
    let _ = get_api();
    let said = waiting::shared_number();
    let pid = atlas_edge::stage::fork();
    if pid == 0 {
        let made = ScmpFilterContext::new(ScmpAction::Allow)
            .and_then(|mut context| attributes(&mut context).map(|()| context));
        said.store(made.map_or_else(|error| errno::<()>(Err(error)), |context| spied(&context)), SeqCst);
        sys::exit(0)
    }
    let _ = sys::wait_for(pid as i32, libc::__WALL);
    said.load(SeqCst)
}

fn spied(context: &ScmpFilterContext) -> i64 {
    sigsys::handle(trapped, 0);
    attach(Script::on(Abi::X86_64, "seccomp", Action::Trap(0)));
    SECOND.store(i64::MIN, SeqCst);
    let _ = context.load();
    SECOND.load(SeqCst)
}

fn observe_flags(stage: &Stage) {
    stage.fact("no attribute", flags_of(|_| Ok(())));
    for (name, attribute, _, _) in FLAGS {
        stage.fact(name, flags_of(|context| context.set_filter_attr(attribute, 1).map(|_| ())));
    }
}

fn observe_waitkill(stage: &Stage) {
    let version = check_version(ScmpVersion::from((2, 6, 0))).unwrap_or(false);
    stage.fact("2.6 or later", version.into());
    let flags = flags_of(|context| {
        notify_on_getppid(context)?.set_filter_attr(ScmpFilterAttr::CtlWaitkill, 1).map(|_| ())
    });
    stage.fact("it is accepted just there", ((flags >= 0) == version).into());
    stage.fact("flags are as accepted", (flags == if version { 40 } else { -22 }).into());
}

fn observe_nnp(stage: &Stage) {
    const GET: i32 = libc::PR_GET_NO_NEW_PRIVS;
    let without = || {
        let mut context = refusing()?;
        context.set_filter_attr(ScmpFilterAttr::CtlNnp, 0)?;
        Ok(context)
    };
    let _ = stage.child(|stage| {
        let _ = refusing().and_then(|context| context.load());
        stage.fact("set", sys::prctl(GET, [0; 4]));
    });
    let _ = stage.child(|stage| {
        stage.fact("root without it", errno(without().and_then(|context| context.load())));
        stage.fact("left alone", sys::prctl(GET, [0; 4]));
    });
    let _ = stage.child(|stage| {
        become_user(NOBODY);
        stage.fact("nobody without it", errno(without().and_then(|context| context.load())));
    });
}

fn observe_tsync(stage: &Stage) {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // Ready: this thread is there before the filter is.
        let _ = tell.send(0);
        let _ = wait.recv();
        let _ = tell.send(sys::number(libc::SYS_getppid, [0; 6]));
    });
    let _ = told.recv();
    let loaded = refusing().and_then(|mut context| {
        context.set_filter_attr(ScmpFilterAttr::CtlTsync, 1)?;
        context.load()
    });
    stage.fact("load", errno(loaded));
    let _ = go.send(());
    stage.fact("in the other thread", told.recv().unwrap_or(i64::MIN));
}

/// A filter of three rules, by a list or by a tree.
fn three_rules(optimize: u32) -> Result<ScmpFilterContext, SeccompError> {
    let mut context = refusing()?;
    context.set_filter_attr(ScmpFilterAttr::CtlOptimize, optimize)?;
    for name in ["dup", "dup2", "sync"] {
        context.add_rule(ScmpAction::Errno(EPERM), ScmpSyscall::from_name(name)?)?;
    }
    Ok(context)
}

/// The program that the library makes of a filter. It fits into a pipe.
fn exported(context: &ScmpFilterContext) -> Vec<u8> {
    let [reader, writer] = sys::pipe();
    // SAFETY: both were just made and belong to nobody else.
    let (mut reader, writer) =
        unsafe { (std::fs::File::from_raw_fd(reader), std::fs::File::from_raw_fd(writer)) };
    let _ = context.export_bpf(writer.as_fd());
    drop(writer);
    let mut bytes = Vec::new();
    let _ = std::io::Read::read_to_end(&mut reader, &mut bytes);
    bytes
}

fn observe_optimized(stage: &Stage) {
    let (Ok(list), Ok(tree)) = (three_rules(1), three_rules(2)) else { return };
    let (of_list, of_tree) = (exported(&list), exported(&tree));
    let differ = !of_list.is_empty() && !of_tree.is_empty() && of_list != of_tree;
    stage.fact("programs differ", differ.into());
    let end = stage.child(|stage| {
        let _ = tree.load();
        stage.fact("getppid", sys::number(libc::SYS_getppid, [0; 6]));
        stage.fact("dup", sys::number(libc::SYS_dup, [FD_WRITE, 0, 0, 0, 0, 0]));
        stage.fact("getuid", sys::number(libc::SYS_getuid, [0; 6]));
        let _ = sys::number(i64::from(Abi::X32_BIT) | libc::SYS_getuid, [0; 6]);
    });
    stage.fact("x32", end_code(end));
}

fn exported_is_loaded(stage: &Stage, name: &str, optimize: u32) {
    let Ok(context) = three_rules(optimize) else { return };
    let ours = exported(&context);
    let pid = tracee::start(stage, 0, |_| {
        let _ = context.load();
        sys::kill(std::process::id() as i32, libc::SIGSTOP);
    });
    let _ = tracee::resume(pid, libc::PTRACE_CONT);
    let count = tracee::get_filter(pid, 0, None);
    let mut kernels = vec![0; 8 * bpf::MAX_INSNS];
    let _ = tracee::get_filter(pid, 0, Some(&mut kernels));
    sys::kill(pid, libc::SIGKILL);
    let length = usize::try_from(count).unwrap_or(0) * 8;
    stage.fact(name, (length > 0 && kernels[..length] == ours[..]).into());
}

fn observe_notify(stage: &Stage) {
    let loaded = ScmpFilterContext::new(ScmpAction::Allow).and_then(|mut context| {
        notify_on_getppid(&mut context)?.load()?;
        Ok(context)
    });
    let Ok(context) = loaded else { return stage.fact("load", errno(loaded)) };
    stage.fact("load", 0);
    let Ok(listener) = context.get_notify_fd() else { return };
    let caller = listener::Caller::start(stage, listener, 0);
    let Ok(request) = ScmpNotifReq::receive(listener) else { return };
    stage.fact("number", i32::from(request.data.syscall).into());
    stage.fact("id valid", errno(notify_id_valid(listener, request.id)));
    let answer = ScmpNotifResp::new_val(request.id, 4242, ScmpNotifRespFlags::empty());
    stage.fact("respond", errno(answer.respond(listener)));
    stage.fact("caller got", caller.got());
    stage.fact("id valid afterwards", errno(notify_id_valid(listener, request.id)));
    // Of all descriptors a listener alone answers so: nothing has this id.
    stage.fact("the descriptor is a listener", (listener::id_valid(listener, request.id) == -2).into());
}
