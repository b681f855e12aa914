//! CAP_SYS_ADMIN, which attaches without no_new_privs, and images that would raise privilege.

use crate::attached::{attach, become_user};
use crate::case::{is, staged};
use crate::program32;
use crate::setting::Setting;
use crate::{Case, Script};
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, Filter, bpf};

const NEEDS: &[Feature] = &[Feature::ModeFilter, Feature::NoNewPrivs];
const IMAGE: &[Feature] = &[Feature::ModeFilter, Feature::NoNewPrivs, Feature::AbiI386];
const EPERM: i64 = -1;
const EACCES: i64 = -13;
/// Somebody without privilege, whose number fits into an exit status.
const USER: u64 = 100;
const SYS_ADMIN: u32 = 21;
const SYS_TTY_CONFIG: u32 = 26;

pub(crate) const CASES: &[Case] = &[
    staged(
        "privilege::root_without_the_capability",
        "It is CAP_SYS_ADMIN that counts and not user 0: root that has dropped it gets EACCES.",
        NEEDS,
        observe_dropped,
        |_: &Traits| vec![is("user", 0), is("without it", EACCES), is("with it again", 0)],
    ),
    staged(
        "privilege::in_a_user_namespace",
        "CAP_SYS_ADMIN in the caller's own user namespace is enough.",
        &[Feature::ModeFilter, Feature::NoNewPrivs, Feature::UserNamespaces],
        observe_namespace,
        |_: &Traits| vec![is("before", EACCES), is("unshare", 0), is("in it", 0)],
    ),
    staged(
        "privilege::set_user_id_image",
        "A filter attached with privilege stays in a set-user-ID image, which gets its user; no_new_privs denies it that.",
        IMAGE,
        observe_set_user_id,
        |_: &Traits| {
            vec![
                is("its user", 0),
                is("its filtered call", -7),
                is("its user with no_new_privs", USER as i64),
                is("its filtered call with no_new_privs", -7),
            ]
        },
    ),
    staged(
        "privilege::set_group_id_image",
        "A set-group-ID image gets its group, and with no_new_privs keeps its caller's.",
        IMAGE,
        observe_set_group_id,
        |_: &Traits| vec![is("its group", 0), is("its group with no_new_privs", USER as i64)],
    ),
    staged(
        "privilege::root_and_execve",
        "execve gives root back what it had dropped; with no_new_privs it does not.",
        IMAGE,
        observe_regained,
        |_: &Traits| vec![is("privileged call", 0), is("privileged call with no_new_privs", EPERM)],
    ),
    staged(
        "privilege::no_new_privs_is_about_execve",
        "no_new_privs takes no privilege away: root changes its user all the same.",
        NEEDS,
        observe_kept,
        |_: &Traits| vec![is("setresuid", 0), is("user", USER as i64)],
    ),
];

fn attach_allowing() -> i64 {
    sys::install_by_prctl(&Filter(vec![bpf::ret(Action::Allow)]))
}

/// The effective and the permitted set, of which each has two words in version 3 of capset(2), are put through a
/// change.
fn change_sets(change: impl FnOnce(&mut u32, &mut u32)) {
    let header = [0x2008_0522_u32, 0];
    let mut sets = [[0_u32; 3]; 2];
    // SAFETY: header and sets have the sizes of version 3 and live until the calls return.
    unsafe {
        let _ = sys::raw(libc::SYS_capget, [header.as_ptr() as u64, sets.as_mut_ptr() as u64, 0, 0, 0, 0]);
        let [effective, permitted, _] = &mut sets[0];
        change(effective, permitted);
        let _ = sys::raw(libc::SYS_capset, [header.as_ptr() as u64, sets.as_ptr() as u64, 0, 0, 0, 0]);
    }
}

/// Takes CAP_SYS_ADMIN from this process, which may have it back.
pub(super) fn without_sys_admin() {
    change_sets(|effective, _| *effective &= !(1 << SYS_ADMIN));
}

fn observe_dropped(stage: &Stage) {
    without_sys_admin();
    stage.fact("user", sys::number(libc::SYS_geteuid, [0; 6]));
    stage.fact("without it", attach_allowing());
    change_sets(|effective, _| *effective |= 1 << SYS_ADMIN);
    stage.fact("with it again", attach_allowing());
}

/// Shared with the probe of user namespaces.
pub(crate) fn observe_namespace(stage: &Stage) {
    // Debian's kernels can forbid it, and the file is not there where they do not.
    const ALLOWED: &str = "/proc/sys/kernel/unprivileged_userns_clone";
    let _allowed = Setting::change(ALLOWED, "1");
    let _ = stage.child(|stage| {
        become_user(USER);
        stage.fact("before", attach_allowing());
        stage.fact("unshare", sys::number(libc::SYS_unshare, [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0]));
        stage.fact("in it", attach_allowing());
    });
}

/// What an image's exit status, of eight bits, is the negative of.
fn negated(status: i64) -> i64 {
    (256 - status) % 256
}

fn no_new_privs() {
    let _ = sys::no_new_privs();
}

fn observe_set_user_id(stage: &Stage) {
    let filter = || Filter(Script::on(Abi::I386, "getppid", Action::Errno(7)));
    let run = |call: &str, before: &dyn Fn()| program32::exit_with(stage, call, 0o4755, before);
    let privileged = || {
        let _ = sys::install_by_prctl(&filter());
        become_user(USER);
    };
    let unprivileged = || {
        become_user(USER);
        attach(filter());
    };
    stage.fact("its user", negated(run("geteuid", &privileged)));
    stage.fact("its filtered call", -run("getppid", &privileged));
    stage.fact("its user with no_new_privs", negated(run("geteuid", &unprivileged)));
    stage.fact("its filtered call with no_new_privs", -run("getppid", &unprivileged));
}

fn observe_set_group_id(stage: &Stage) {
    let group = |before: &dyn Fn()| {
        negated(program32::exit_with(stage, "getegid", 0o2755, || {
            let _ = sys::number(libc::SYS_setresgid, [USER, USER, USER, 0, 0, 0]);
            before();
            become_user(USER);
        }))
    };
    stage.fact("its group", group(&|| {}));
    stage.fact("its group with no_new_privs", group(&no_new_privs));
}

/// vhangup(2) wants CAP_SYS_TTY_CONFIG, and without a terminal does nothing.
fn observe_regained(stage: &Stage) {
    let after = |before: &dyn Fn()| {
        -program32::exit_with(stage, "vhangup", 0o755, || {
            change_sets(|effective, permitted| {
                *effective &= !(1 << SYS_TTY_CONFIG);
                *permitted &= !(1 << SYS_TTY_CONFIG);
            });
            before();
        })
    };
    stage.fact("privileged call", after(&|| {}));
    stage.fact("privileged call with no_new_privs", after(&no_new_privs));
}

fn observe_kept(stage: &Stage) {
    let _ = sys::no_new_privs();
    stage.fact("setresuid", sys::number(libc::SYS_setresuid, [USER, USER, USER, 0, 0, 0]));
    stage.fact("user", sys::number(libc::SYS_geteuid, [0; 6]));
}
