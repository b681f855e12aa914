//! Inheritance: who has a filter after fork, clone and execve.

use crate::attached::attach;
use crate::case::{both, case, is, staged};
use crate::script::number;
use crate::{Case, Script};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::abi::offset;
use atlas_model::experiment::{CLONE_FILES, CLONE_FS, CLONE_SIGHAND, CLONE_VM, Disposition, EXEC_NEEDS};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Action, Insn, bpf};

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
    both(
        "inherit::clone_vm",
        "A process that shares the memory has its maker's filters as well.",
        NEEDS,
        |abi| {
            let script = filtered(abi).clone_with(1, CLONE_VM).task(1);
            script.call("getppid", []).call("getpid", []).call("prctl", [39, 1, 0, 0, 0]).done()
        },
    ),
    case(
        "inherit::clone_vm_stays_apart",
        "Filters are the task's, not the memory's: neither side gets what the other attaches.",
        NEEDS,
        |abi| {
            let six = || Script::on(abi, "getppid", Action::Errno(6));
            let seven = || Script::on(abi, "gettid", Action::Errno(7));
            let script = Script::new(abi).no_new_privs().clone_with(1, CLONE_VM | CLONE_FS | CLONE_FILES);
            let script = script.filter(six()).task(1).call("getppid", []).filter(seven());
            script.call("gettid", []).task(0).call("gettid", []).call("getppid", []).done()
        },
    ),
    case(
        "inherit::clone_vm_is_no_thread",
        "TSYNC ends at the process, though the memory is shared.",
        &[Feature::Tsync],
        |abi| {
            let script = Script::new(abi).no_new_privs().clone_with(1, CLONE_VM | CLONE_SIGHAND);
            let script = script.filter_with(1, Script::on(abi, "getppid", Action::Errno(6)));
            script.call("getppid", []).task(1).call("getppid", []).call("prctl", [21]).done()
        },
    ),
    case(
        "inherit::clone_sighand_shares_the_handler",
        "A handler set on one side catches the other side's SIGSYS.",
        NEEDS,
        |abi| {
            let script = Script::new(abi).no_new_privs().clone_with(1, CLONE_VM | CLONE_SIGHAND).task(1);
            let script = script.filter(Script::on(abi, "getppid", Action::Trap(5))).task(0);
            script.sigsys(Disposition::Record).task(1).call("getppid", []).done()
        },
    ),
    case("inherit::clone_sighand_needs_vm", "Handlers without the memory are refused.", NEEDS, |abi| {
        filtered(abi).clone_with(1, CLONE_SIGHAND).task(1).call("getppid", []).done()
    }),
    case(
        "inherit::killed_beside_shared_memory",
        "RET_KILL ends one process; before 5.16 all that share the memory, though no core was wanted.",
        NEEDS,
        |abi| {
            let script = Script::new(abi).no_new_privs().clone_with(1, CLONE_VM).fork(2).task(1);
            let script = script.filter(Script::on(abi, "getppid", Action::KillThread)).call("getppid", []);
            script.task(0).call("gettid", []).task(2).call("gettid", []).done()
        },
    ),
    case(
        "inherit::killed_beside_undumpable_memory",
        "Memory that is not to be dumped ends with nobody else on any kernel.",
        NEEDS,
        |abi| {
            let script = Script::new(abi).no_new_privs().become_nobody().clone_with(1, CLONE_VM).task(1);
            let script = script.filter(Script::on(abi, "getppid", Action::KillThread)).call("getppid", []);
            script.task(0).call("gettid", []).done()
        },
    ),
    both("inherit::exec", "A new image has the filters, the mode and no_new_privs.", NEEDS, |abi| {
        let script = filtered(abi).exec().call("getppid", []).call("gettid", []);
        script.by(Abi::X86_64).call("prctl", [21]).call("prctl", [39]).done()
    }),
    case("inherit::exec_adds", "It may attach more, and passes all on.", NEEDS, |abi| {
        let script = filtered(abi).exec().filter(Script::on(abi, "gettid", Action::Errno(7))).fork(1);
        script.exec().call("gettid", []).task(1).call("getppid", []).exec().call("gettid", []).done()
    }),
    case(
        "inherit::exec_needs",
        "To start, the guest binary needs the calls that the language names.",
        NEEDS,
        |abi| {
            Script::new(abi)
                .no_new_privs()
                .filter(only_to_start())
                .exec()
                .call("gettid", [])
                .call("getppid", [])
                .done()
        },
    ),
    case("inherit::exec_can_be_filtered", "execve is a call like others.", NEEDS, |abi| {
        let script = Script::new(abi).no_new_privs().filter(Script::on(abi, "execve", Action::Errno(2)));
        script.exec().call("getppid", []).done()
    }),
    case("inherit::exec_resets_the_handler", "A new image has no handler: RET_TRAP kills.", NEEDS, |abi| {
        let script = Script::new(abi).no_new_privs().sigsys(Disposition::Record);
        let script = script.filter(Script::on(abi, "getppid", Action::Trap(5))).call("getppid", []);
        script.exec().call("gettid", []).call("getppid", []).done()
    }),
    case(
        "inherit::exec_keeps_the_mask",
        "What is blocked stays blocked: the handler cannot run.",
        NEEDS,
        |abi| {
            let script = Script::new(abi).no_new_privs().mask_sigsys().exec().sigsys(Disposition::Record);
            script.filter(Script::on(abi, "getppid", Action::Trap(5))).call("getppid", []).done()
        },
    ),
    case(
        "inherit::exec_ends_threads",
        "The other threads are gone; the caller has the leader's id.",
        NEEDS,
        |abi| {
            let script = filtered(abi).thread(1).thread(2).task(1).exec();
            let script = script.call("getppid", []).call("gettid", []).call("getpid", []);
            script.task(2).call("getppid", []).task(0).call("getppid", []).task(1).call("gettid", []).done()
        },
    ),
    case(
        "inherit::exec_ends_threads_and_itself",
        "A new image whose next call is killed for dies alone: its threads went when it began.",
        NEEDS,
        |abi| {
            let killed = Script::on(abi, "getppid", Action::KillThread);
            let script = Script::new(abi).no_new_privs().filter(killed).thread(1).thread(2);
            script.task(1).exec().call("getppid", []).done()
        },
    ),
    case(
        "inherit::exec_beside_shared_memory",
        "A process that had the memory goes on in it.",
        NEEDS,
        |abi| {
            let script =
                filtered(abi).clone_with(1, CLONE_VM | CLONE_SIGHAND).task(1).exec().call("getppid", []);
            script.thread(2).task(0).call("getppid", []).task(2).call("getppid", []).done()
        },
    ),
    case("inherit::exec_as_nobody", "Nobody's image has root's filters and no privilege.", NEEDS, |abi| {
        let script = Script::new(abi).filter(Script::on(abi, "getppid", Action::Errno(6))).become_nobody();
        let script = script.exec().call("getppid", []).call("getuid", []);
        script.filter(Script::on(abi, "gettid", Action::Errno(7))).done()
    }),
    case(
        "inherit::exec_world",
        "It keeps descriptors, directory, umask, limits and the rest.",
        NEEDS,
        |abi| {
            let names =
                ["dup2", "chdir", "umask", "setrlimit", "prlimit64", "setpriority", "personality", "mmap"];
            let script = names.iter().fold(filtered(abi).watch(), |script, name| script.effect(name));
            script.exec().effect("mprotect").effect("pipe").effect("open").call("getppid", []).done()
        },
    ),
    staged(
        "inherit::execve",
        "execve keeps mode, filters and no_new_privs.",
        NEEDS,
        observe_exec,
        |_: &Traits| vec![is("exit status after execve: errno of getppid, plus 100 with no_new_privs", 106)],
    ),
];

/// A task whose getppid is answered with errno 6.
fn filtered(abi: Abi) -> Script {
    Script::new(abi).no_new_privs().filter(Script::on(abi, "getppid", Action::Errno(6)))
}

/// A filter that kills for every call but those that an image needs to start.
fn only_to_start() -> Vec<Insn> {
    let mut filter = vec![bpf::ld(offset::NR)];
    for (index, name) in EXEC_NEEDS.iter().enumerate() {
        filter.push(bpf::jeq(number(Abi::X86_64, name), (EXEC_NEEDS.len() - index) as u8, 0));
    }
    filter.extend([bpf::ret(Action::KillThread), bpf::ret(Action::Allow)]);
    filter
}

fn observe_exec(stage: &Stage) {
    let end = stage.child(|_| {
        attach(Script::on(Abi::X86_64, "getppid", Action::Errno(6)));
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
