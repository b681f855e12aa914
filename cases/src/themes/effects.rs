//! Forbidden means forbidden: the world after calls whose effect shows.
//!
//! Two cases an effect of `atlas_model::experiment::effects`: behind a filter that lets the call run,
//! and behind one that answers it with an errno. The world is watched in both; a forbidden call
//! must leave it as it was.

use crate::case::{both, case};
use crate::script::number;
use crate::{Case, Script};
use atlas_model::abi::offset;
use atlas_model::experiment::effects::Effect;
use atlas_model::experiment::{CLONE_FILES, CLONE_FS, CLONE_VM};
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action, Experiment, Insn, bpf};

const NEEDS: &[Feature] = &[Feature::ModeFilter];

/// A filter that answers an effect's call and lets others run.
fn answering(abi: Abi, name: &str, action: Action) -> Vec<Insn> {
    let call = Effect::by_name(name).and_then(|effect| effect.call(abi));
    let nr = call.unwrap_or_else(|| panic!("no effect `{name}` by {abi}")).nr as u32;
    vec![
        bpf::ld(offset::ARCH),
        bpf::jeq(abi.audit_arch(), 0, 3),
        bpf::ld(offset::NR),
        bpf::jeq(nr, 0, 1),
        bpf::ret(action),
        bpf::ret(Action::Allow),
    ]
}

fn judged(abi: Abi, name: &str, action: Action) -> Experiment {
    Script::new(abi).watch().no_new_privs().filter(answering(abi, name, action)).effect(name).done()
}

macro_rules! cases {
    ($($name:literal)*; $($more:expr),* $(,)?) => {
        pub(crate) const CASES: &[Case] = &[
            $(
                both(
                    concat!("effects::", $name),
                    concat!("Allowed, ", $name, " has its effect and no other."),
                    NEEDS,
                    |abi| judged(abi, $name, Action::Allow),
                ),
                both(
                    concat!("effects::", $name, "_forbidden"),
                    concat!("Forbidden, ", $name, " leaves the world as it was."),
                    NEEDS,
                    |abi| judged(abi, $name, Action::Errno(1)),
                ),
            )*
            $($more,)*
        ];
    };
}

/// All effects in a row, those that end root's privileges last.
fn all(abi: Abi, script: Script) -> Script {
    let names = atlas_model::experiment::effects::ALL.iter().map(|effect| effect.name);
    let (last, first): (Vec<_>, Vec<_>) = names.partition(|name| *name == "setresuid");
    first.into_iter().chain(last).fold(script.by(abi), Script::effect)
}

/// A filter that answers every call but those of the harness.
fn nothing_else(word: u32) -> Vec<Insn> {
    let allowed = ["clone", "prctl", "seccomp", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn"];
    let to_word = 1 + allowed.len() as u8;
    let native = bpf::jeq(Abi::X86_64.audit_arch(), 0, to_word);
    let mut filter = vec![bpf::ld(offset::ARCH), native, bpf::ld(offset::NR)];
    for (index, name) in allowed.iter().enumerate() {
        filter.push(bpf::jeq(number(Abi::X86_64, name), (allowed.len() - index) as u8, 0));
    }
    filter.extend([bpf::ret_word(word), bpf::ret(Action::Allow)]);
    filter
}

cases! {
    "open"
    "openat"
    "creat"
    "mkdir"
    "mkdirat"
    "rmdir"
    "unlink"
    "unlinkat"
    "rename"
    "renameat"
    "link"
    "linkat"
    "symlink"
    "symlinkat"
    "mknod"
    "mknodat"
    "chmod"
    "fchmod"
    "fchmodat"
    "truncate"
    "ftruncate"
    "pwrite64"
    "write"
    "writev"
    "kill"
    "tkill"
    "tgkill"
    "rt_sigqueueinfo"
    "rt_tgsigqueueinfo"
    "mmap"
    "munmap"
    "mprotect"
    "dup"
    "dup2"
    "dup3"
    "fcntl"
    "close"
    "pipe"
    "pipe2"
    "socket"
    "eventfd2"
    "epoll_create1"
    "inotify_init1"
    "timerfd_create"
    "setrlimit"
    "prlimit64"
    "chdir"
    "umask"
    "setpriority"
    "personality"
    "setresuid"
    "sethostname";
    both("effects::all_at_once", "All of them run, one after the other.", NEEDS, |abi| {
        all(abi, Script::new(abi).watch()).done()
    }),
    both("effects::all_twice", "A second time each does what it does then.", NEEDS, |abi| {
        all(abi, all(abi, Script::new(abi).watch())).done()
    }),
    both("effects::none_at_all", "All of them forbidden: nothing changes.", NEEDS, |abi| {
        let errno = Action::Errno(1).word();
        all(abi, Script::new(abi).watch().no_new_privs().filter(nothing_else(errno))).done()
    }),
    both("effects::killed", "A call that kills its process has had no effect.", NEEDS, |abi| {
        let filter = answering(abi, "mkdir", Action::KillThread);
        Script::new(abi).watch().no_new_privs().effect("write").filter(filter).effect("mkdir").done()
    }),
    both("effects::trapped", "Nor has one that is trapped.", NEEDS, |abi| {
        let filter = answering(abi, "kill", Action::Trap(3));
        let script = Script::new(abi).watch().no_new_privs().filter(filter);
        script.sigsys(atlas_model::experiment::Disposition::Record).effect("kill").effect("umask").done()
    }),
    case("effects::by_a_child", "What a child has is its own.", NEEDS, |abi| {
        let script = Script::new(abi).watch().fork(1).thread(2).no_new_privs();
        let script = script.filter(answering(abi, "dup2", Action::Errno(1))).effect("dup2").effect("dup3");
        script.task(1).effect("dup2").effect("chdir").effect("setrlimit").task(2).effect("setpriority").done()
    }),
    both("effects::as_nobody", "Nobody may do some of it.", NEEDS, |abi| {
        all(abi, Script::new(abi).watch().effect("setresuid")).done()
    }),
    both("effects::files_of_others", "What root made under another umask nobody may not open.", NEEDS, |abi| {
        all(abi, all(abi, Script::new(abi).watch().effect("umask"))).done()
    }),
    case("effects::by_a_sharing_child", "What is shared changes for both.", NEEDS, |abi| {
        let script = Script::new(abi).watch().clone_with(1, CLONE_VM | CLONE_FS | CLONE_FILES).task(1);
        let names = ["dup2", "close", "chdir", "umask", "mmap", "munmap", "setrlimit", "setpriority", "personality"];
        names.iter().fold(script, |script, name| script.effect(name)).task(0).effect("open").done()
    }),
    case("effects::listener", "A listener is a descriptor.", &[Feature::NewListener], |abi| {
        let script = Script::new(abi).watch().no_new_privs();
        script.filter_with(8, vec![bpf::ret(Action::Allow)]).effect("dup").fork(1).exec().effect("dup").done()
    }),
    case("effects::dead_tasks", "What a dead task had is gone, what it did stays.", NEEDS, |abi| {
        let script = Script::new(abi).watch().no_new_privs().fork(1).task(1).effect("mkdir").effect("dup2");
        script.filter(answering(abi, "link", Action::KillThread)).effect("link").task(0).effect("symlink").done()
    }),
}
