//! Inheritance: who has a filter after fork, clone and execve.

use crate::case::{both, case, is, staged};
use crate::{Case, Script};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, Filter};

const NEEDS: &[Feature] = &[Feature::ModeFilter];

/// The word after `/init` that makes the guest binary only call getppid and exit with its errno.
pub const AFTER_EXEC: &str = "--getppid";

pub(crate) const CASES: &[Case] = &[
    both("inherit::fork", "A child has its maker's filters.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .filter(Script::on(abi, "getppid", Action::Errno(6)))
            .fork(1)
            .task(1)
            .call("getppid", [])
            .call("gettid", [])
            .done()
    }),
    both("inherit::thread", "So has a thread.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .filter(Script::on(abi, "getppid", Action::Errno(6)))
            .thread(1)
            .task(1)
            .call("getppid", [])
            .call("gettid", [])
            .done()
    }),
    case("inherit::grandchild", "And a child's child, with the filters of both generations.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .filter(Script::on(abi, "getppid", Action::Errno(1)))
            .fork(1)
            .task(1)
            .filter(Script::on(abi, "gettid", Action::Errno(2)))
            .fork(2)
            .task(2)
            .call("getppid", [])
            .call("gettid", [])
            .task(0)
            .call("gettid", [])
            .done()
    }),
    case("inherit::not_upwards", "What a child attaches does not reach its maker.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .fork(1)
            .task(1)
            .filter(Script::on(abi, "getppid", Action::Errno(6)))
            .call("getppid", [])
            .task(0)
            .call("getppid", [])
            .call("prctl", [21])
            .done()
    }),
    case(
        "inherit::not_afterwards",
        "Nor does what the maker attaches later reach a child or a thread that is there already.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .fork(1)
                .thread(2)
                .filter(Script::on(abi, "getppid", Action::Errno(6)))
                .task(1)
                .call("getppid", [])
                .task(2)
                .call("getppid", [])
                .task(0)
                .call("getppid", [])
                .done()
        },
    ),
    case("inherit::clone_can_be_filtered", "Making a task is a call that filters judge.", NEEDS, |abi| {
        Script::new(abi)
            .no_new_privs()
            .filter(Script::on(Abi::X86_64, "clone", Action::Errno(12)))
            .fork(1)
            .thread(2)
            .task(1)
            .call("getppid", [])
            .done()
    }),
    staged(
        "inherit::execve",
        "execve keeps mode, filters and no_new_privs.",
        NEEDS,
        observe_exec,
        |_: &Traits| vec![is("exit status after execve: errno of getppid, plus 100 with no_new_privs", 106)],
    ),
];

fn observe_exec(stage: &Stage) {
    let end = stage.child(|_| {
        let _ = sys::no_new_privs();
        let _ = sys::install_by_prctl(&Filter(Script::on(Abi::X86_64, "getppid", Action::Errno(6))));
        let _ = std::os::unix::process::CommandExt::exec(std::process::Command::new("/init").arg(AFTER_EXEC));
    });
    stage.fact("exit status after execve: errno of getppid, plus 100 with no_new_privs", end_code(end));
}

/// What the guest binary does when it is started with [`AFTER_EXEC`].
#[must_use]
pub fn after_exec() -> u8 {
    let errno = -sys::number(libc::SYS_getppid, [0; 6]);
    let nnp = sys::prctl(libc::PR_GET_NO_NEW_PRIVS, [0; 4]);
    (errno.clamp(0, 99) + 100 * nnp) as u8
}
