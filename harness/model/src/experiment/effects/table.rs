//! The effects, one a row.

use super::Arg::{self, Is, Longs, Path, Room, Text, Wide, Words};
use super::{Deed, Effect, Form, Made, Opened};
use crate::experiment::layout;
use crate::world::{Protection, Resource};

/// `AT_FDCWD`, as both ABIs take it.
const HERE: Arg = Is(0xffff_ff9c);
/// `O_WRONLY | O_CREAT` and `O_RDONLY | O_CREAT`.
const CREATE_TO_WRITE: Arg = Is(0o101);
const CREATE_TO_READ: Arg = Is(0o100);
/// `S_IFIFO | 0600`.
const FIFO: Arg = Is(0o010_600);
/// `MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS`.
const AT_PLACE: Arg = Is(0x32);
/// Process 1, who has no other thread.
const INIT: Arg = Is(1);
/// A descriptor for what needs none, as both ABIs take it.
const NONE: Arg = Is(0xffff_ffff);
/// `SI_QUEUE` (include/uapi/asm-generic/siginfo.h).
const QUEUED: u32 = 0xffff_ffff;

const fn page(number: u64) -> Arg {
    Is(layout::WINDOW + number * layout::PAGE)
}

/// A call of the same name and arguments by both ABIs.
const fn same(name: &'static str, args: &'static [Arg], deed: Deed) -> Effect {
    differs(name, args, name, args, deed)
}

const fn differs(
    name: &'static str,
    args: &'static [Arg],
    i386: &'static str,
    i386_args: &'static [Arg],
    deed: Deed,
) -> Effect {
    Effect { name, deed, native: Form { call: name, args }, i386: Form { call: i386, args: i386_args } }
}

const fn opens(name: &'static str, args: &'static [Arg], what: &'static [Opened]) -> Effect {
    same(name, args, Deed::Open(what, true))
}

const READABLE: Protection = Protection { read: true, write: false, execute: false, shared: false };

/// Every effect.
pub const ALL: &[Effect] = &[
    same("open", &[Path("opened"), CREATE_TO_READ, Is(0o644)], Deed::Create { name: "opened", write: false }),
    same(
        "openat",
        &[HERE, Path("opened-at"), CREATE_TO_WRITE, Is(0o644)],
        Deed::Create { name: "opened-at", write: true },
    ),
    same("creat", &[Path("created"), Is(0o644)], Deed::Create { name: "created", write: true }),
    same("mkdir", &[Path("made"), Is(0o755)], Deed::Make { name: "made", what: Made::Directory(0o755) }),
    same(
        "mkdirat",
        &[HERE, Path("made-at"), Is(0o755)],
        Deed::Make { name: "made-at", what: Made::Directory(0o755) },
    ),
    same("rmdir", &[Path("to-rmdir")], Deed::Remove("to-rmdir")),
    same("unlink", &[Path("to-unlink")], Deed::Remove("to-unlink")),
    same("unlinkat", &[HERE, Path("to-unlinkat"), Is(0)], Deed::Remove("to-unlinkat")),
    same("rename", &[Path("to-rename"), Path("renamed")], Deed::Rename { from: "to-rename", to: "renamed" }),
    same(
        "renameat",
        &[HERE, Path("to-renameat"), HERE, Path("renamed-at")],
        Deed::Rename { from: "to-renameat", to: "renamed-at" },
    ),
    same(
        "link",
        &[Path("to-link"), Path("linked")],
        Deed::Make { name: "linked", what: Made::Link("to-link") },
    ),
    same(
        "linkat",
        &[HERE, Path("to-link"), HERE, Path("linked-at"), Is(0)],
        Deed::Make { name: "linked-at", what: Made::Link("to-link") },
    ),
    same(
        "symlink",
        &[Text("anywhere\0"), Path("symlinked")],
        Deed::Make { name: "symlinked", what: Made::Symlink("anywhere") },
    ),
    same(
        "symlinkat",
        &[Text("anywhere\0"), HERE, Path("symlinked-at")],
        Deed::Make { name: "symlinked-at", what: Made::Symlink("anywhere") },
    ),
    same("mknod", &[Path("node"), FIFO, Is(0)], Deed::Make { name: "node", what: Made::Fifo(0o600) }),
    same(
        "mknodat",
        &[HERE, Path("node-at"), FIFO, Is(0)],
        Deed::Make { name: "node-at", what: Made::Fifo(0o600) },
    ),
    same("chmod", &[Path("to-chmod"), Is(0o604)], Deed::Mode("to-chmod", 0o604)),
    same("fchmod", &[Is(layout::FD_FCHMOD), Is(0o640)], Deed::Mode(layout::FCHMOD, 0o640)),
    same("fchmodat", &[HERE, Path("to-fchmodat"), Is(0o606)], Deed::Mode("to-fchmodat", 0o606)),
    same("truncate", &[Path("to-truncate"), Is(100)], Deed::Length("to-truncate", 100)),
    same("ftruncate", &[Is(layout::FD_FTRUNCATE), Is(1)], Deed::Length(layout::FTRUNCATE, 1)),
    same(
        "pwrite64",
        &[Is(layout::FD_PWRITE), Text("written!"), Is(8), Is(0)],
        Deed::WriteFile(layout::PWRITE, 8),
    ),
    same("write", &[Is(layout::FD_WRITE), Text("eight by"), Is(8)], Deed::WritePipe(8)),
    same("writev", &[Is(layout::FD_WRITE), Longs(&[layout::SCRATCH, 5]), Is(1)], Deed::WritePipe(5)),
    same("kill", &[INIT, Is(10)], Deed::Signal(10)),
    same("tkill", &[INIT, Is(12)], Deed::Signal(12)),
    same("tgkill", &[INIT, INIT, Is(34)], Deed::Signal(34)),
    same("rt_sigqueueinfo", &[INIT, Is(35), Words(&[35, 0, QUEUED])], Deed::Signal(35)),
    same("rt_tgsigqueueinfo", &[INIT, INIT, Is(36), Words(&[36, 0, QUEUED])], Deed::Signal(36)),
    differs(
        "mmap",
        &[page(2), Is(layout::PAGE), Is(3), AT_PLACE, NONE, Is(0)],
        "mmap2",
        &[page(2), Is(layout::PAGE), Is(3), AT_PLACE, NONE, Is(0)],
        Deed::Map(2),
    ),
    same("munmap", &[page(0), Is(layout::PAGE)], Deed::Unmap(0)),
    same("mprotect", &[page(1), Is(layout::PAGE), Is(1)], Deed::Protect(1, READABLE)),
    same("dup", &[Is(layout::FD_READ)], Deed::DuplicateFrom(0)),
    same("dup2", &[Is(layout::FD_READ), Is(130)], Deed::DuplicateTo(130)),
    same("dup3", &[Is(layout::FD_READ), Is(131), Is(0)], Deed::DuplicateTo(131)),
    same("fcntl", &[Is(layout::FD_READ), Is(0), Is(140)], Deed::DuplicateFrom(140)),
    same("close", &[Is(layout::FD_CLOSE)], Deed::Close(layout::FD_CLOSE as u32)),
    same("pipe", &[Room], Deed::Open(&[Opened::Pipe, Opened::Pipe], false)),
    same("pipe2", &[Room, Is(0)], Deed::Open(&[Opened::Pipe, Opened::Pipe], false)),
    // i386 has socket(2) as a call of its own since 4.3 only; AF_UNIX, SOCK_STREAM.
    differs(
        "socket",
        &[Is(1), Is(1), Is(0)],
        "socketcall",
        &[Is(1), Words(&[1, 1, 0])],
        Deed::Open(&[Opened::Socket], true),
    ),
    opens("eventfd2", &[Is(0), Is(0)], &[Opened::Anonymous("eventfd")]),
    opens("epoll_create1", &[Is(0)], &[Opened::Anonymous("eventpoll")]),
    opens("inotify_init1", &[Is(0)], &[Opened::Anonymous("inotify")]),
    opens("timerfd_create", &[Is(1), Is(0)], &[Opened::Anonymous("timerfd")]),
    same("setrlimit", &[Is(7), Longs(&[512, 1024])], Deed::Limit(Resource::Files, 512, 1024)),
    same(
        "prlimit64",
        &[Is(0), Is(3), Wide(&[0x40_0000, 0x100_0000]), Is(0)],
        Deed::Limit(Resource::Stack, 0x40_0000, 0x100_0000),
    ),
    same("chdir", &[Path("to-enter")], Deed::Directory("to-enter")),
    same("umask", &[Is(0o077)], Deed::Umask(0o077)),
    same("setpriority", &[Is(0), Is(0), Is(5)], Deed::Nice(5)),
    // ADDR_NO_RANDOMIZE.
    same("personality", &[Is(0x4_0000)], Deed::Personality(0x4_0000)),
    same("setresuid", &[Is(65_534), Is(65_534), Is(65_534)], Deed::Nobody),
    same("sethostname", &[Text("changed"), Is(7)], Deed::Hostname("changed")),
];
