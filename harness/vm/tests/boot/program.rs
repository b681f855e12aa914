//! Programs of a user's, run and traced in guests of the oldest and the newest kernel.

use crate::support::{self, AMPLE, Test, boot_image, is_named};
use atlas_model::abi::{offset, syscalls};
use atlas_model::observation::End;
use atlas_model::{Abi, Action, Filter, bpf};
use atlas_vm::kernels::Kernel;
use atlas_vm::{BootOptions, Machine};
use atlas_wire::program::{Kind, LeftOut, MAX_BYTES, MAX_EXAMPLES, MAX_OUTPUT, PART};
use atlas_wire::{Came, Made, Part, Request, Response, Trace, Traced};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[
    ("every_call_is_told", every_call_is_told),
    ("it_finds_what_a_program_expects", it_finds_what_a_program_expects),
    ("what_a_filter_does_shows", what_a_filter_does_shows),
    ("a_trap_shows_with_its_data", a_trap_shows_with_its_data),
    ("what_is_never_begun_is_no_program", what_is_never_begun_is_no_program),
    ("processes_and_threads_are_followed", processes_and_threads_are_followed),
    ("time_output_and_calls_are_bounded", time_output_and_calls_are_bounded),
    (
        "it_finds_its_files_and_what_it_does_not_find_is_told",
        it_finds_its_files_and_what_it_does_not_find_is_told,
    ),
    ("arguments_are_as_wide_as_kernels_say", arguments_are_as_wide_as_kernels_say),
    ("what_memory_is_not_enough_for_is_told", what_memory_is_not_enough_for_is_told),
    ("files_are_bounded_and_whole", files_are_bounded_and_whole),
];

/// The program, see `program.c`.
fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let (source, program) = (directory.path().join("program.c"), directory.path().join("program"));
        std::fs::write(&source, include_str!("program.c")).expect("the source can be written");
        let mut cc = Command::new("cc");
        cc.args(["-static", "-O1", "-pthread", "-o"]).arg(&program).arg(&source);
        assert!(cc.status().expect("there is a C compiler").success(), "program.c cannot be compiled");
        std::fs::read(program).expect("the program can be read")
    })
}

/// A guest that has the program.
pub(crate) fn guest(kernel: &Kernel, change: impl FnOnce(&mut BootOptions)) -> Machine {
    let mut machine = boot_image(&kernel.path, change).unwrap_or_else(|error| panic!("{error}"));
    put_program(&mut machine);
    machine
}

/// Gives the program to a guest.
pub(crate) fn put_program(machine: &mut Machine) {
    put(machine, image());
}

/// The text of a file in a guest that has the program. A kernel that is asked for by name may not have it; those by default
/// do.
pub(crate) fn text(machine: &mut Machine, path: &str) -> Option<String> {
    let mut show = asked("show", None);
    show.arguments.push(path.into());
    let shown = traced(machine, show);
    let there = shown.end == Some(End::Exited(7));
    assert!(there || is_named(), "{path}: {shown:?}");
    assert!(!shown.cut, "{path} is longer");
    there.then(|| String::from_utf8_lossy(&shown.stdout).trim().to_owned())
}

/// Tests guests that have the program, of each kernel.
fn on_each(test: impl Fn(&mut Machine)) {
    support::on_each(|machine| {
        put_program(machine);
        test(machine);
    });
}

/// Where the program is.
const PATH: &str = "/opt/program";

fn put(machine: &mut Machine, image: &[u8]) {
    let mut stored = 0;
    for bytes in image.chunks(PART) {
        let part = Part { path: PATH.into(), kind: Kind::Executable, offset: stored, bytes: bytes.to_vec() };
        stored += bytes.len() as u64;
        assert_eq!(machine.request(&Request::Put(part), AMPLE), Ok(Response::Stored(stored)));
    }
}

pub(crate) fn asked(part: &str, filter: Option<Filter>) -> Trace {
    Trace {
        limit_ms: 30_000,
        program: PATH.into(),
        directory: "/".into(),
        arguments: vec!["program".into(), part.into()],
        environment: vec!["NAME=value".into()],
        filter,
        ..Trace::default()
    }
}

#[track_caller]
pub(crate) fn traced(machine: &mut Machine, trace: Trace) -> Traced {
    match machine.request(&Request::Trace(trace), AMPLE) {
        Ok(Response::Traced(traced)) => traced,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn run(machine: &mut Machine, part: &str, filter: Option<Filter>) -> Traced {
    let traced = traced(machine, asked(part, filter));
    assert_eq!(traced.attached, 0, "{traced:?}");
    traced
}

pub(crate) fn number(name: &str) -> u32 {
    syscalls::number(Abi::X86_64, name).expect("a call of this name")
}

/// Gives the native call of this name the action, and lets all others go on.
pub(crate) fn filter(name: &str, action: Action) -> Filter {
    let [load, question] = [bpf::ld(offset::NR), bpf::jeq(number(name), 0, 1)];
    Filter(vec![load, question, bpf::ret(action), bpf::ret(Action::Allow)])
}

fn on(name: &str, action: Action) -> Option<Filter> {
    Some(filter(name, action))
}

fn all<'a>(traced: &'a Traced, name: &str) -> Vec<&'a Made> {
    let nr = number(name);
    traced.calls.iter().filter(|made| (made.abi, made.nr) == (Abi::X86_64, nr)).collect()
}

/// The entry of the native call of this name, of which there must be one.
#[track_caller]
fn one<'a>(traced: &'a Traced, name: &str) -> &'a Made {
    match &all(traced, name)[..] {
        [made] => made,
        other => panic!("{name}: {other:?} in {traced:?}"),
    }
}

const KILLED: Option<End> = Some(End::Signaled { signal: 31, core: false });

/// Without the core flag, which depends on the kernel's configuration.
fn end(traced: &Traced) -> Option<End> {
    match traced.end {
        Some(End::Signaled { signal, .. }) => Some(End::Signaled { signal, core: false }),
        end => end,
    }
}

fn every_call_is_told() {
    on_each(|machine| {
        let plain = run(machine, "plain", None);
        assert_eq!((plain.end, plain.tasks, plain.cut), (Some(End::Exited(7)), 1, false), "{plain:?}");
        assert_eq!((&plain.stdout[..], &plain.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        let first = &plain.calls[0];
        assert_eq!((first.nr, &first.came, first.task), (number("execve"), &Came::Back(0), 0));
        let writes = all(&plain, "write");
        assert_eq!(writes.iter().map(|made| made.args[0]).collect::<Vec<_>>(), [1, 2]);
        assert!(writes.iter().all(|made| made.came == Came::Back(4) && made.args[2] == 4 && made.ip != 0));
        let made = one(&plain, "mkdir");
        assert_eq!((&made.came, made.args[1], made.count), (&Came::Back(0), 0o751, 1));
        assert_eq!(one(&plain, "getppid").came, Came::Back(1));
        let last = one(&plain, "exit_group");
        assert_eq!((&last.came, last.args[0]), (&Came::Never, 7));
        assert_eq!(plain.calls.last(), Some(last));
        // The guest is as it was left: the directory is there now.
        assert_eq!(one(&run(machine, "plain", None), "mkdir").came, Came::Back(-17));

        let int80 = run(machine, "int80", None);
        assert_eq!(int80.end, Some(End::Exited(7)), "{int80:?}");
        let made: Vec<&Made> = int80.calls.iter().filter(|made| made.abi == Abi::I386).collect();
        assert!(matches!(made[..], [Made { nr: 20, args: [5, ..], count: 1, .. }]), "{made:?}");
        assert_eq!(made[0].came, one(&int80, "getpid").came);
    });
}

fn it_finds_what_a_program_expects() {
    on_each(|machine| {
        let echo = run(machine, "echo", on("mkdir", Action::Errno(1)));
        // Three descriptors, nothing to read, no signal blocked.
        assert_eq!(String::from_utf8_lossy(&echo.stdout), "3 0 / value 1\n", "{echo:?}");
    });
}

fn what_a_filter_does_shows() {
    on_each(|machine| {
        let denied = run(machine, "plain", on("mkdir", Action::Errno(13)));
        assert_eq!(one(&denied, "mkdir").came, Came::Back(-13));
        assert_eq!(denied.end, Some(End::Exited(7)));
        assert_eq!(denied.calls[0].nr, number("execve"));
        // Nobody who traces for the filter's sake.
        let asking = run(machine, "plain", on("mkdir", Action::Trace(1)));
        assert_eq!(one(&asking, "mkdir").came, Came::Back(-38));
        for kill in [Action::KillThread, Action::KillProcess] {
            let killed = run(machine, "plain", on("getppid", kill));
            assert_eq!((&one(&killed, "getppid").came, end(&killed)), (&Came::Never, KILLED), "{killed:?}");
            assert_eq!(killed.calls.last().map(|made| made.nr), Some(number("getppid")));
        }
    });
}

fn a_trap_shows_with_its_data() {
    on_each(|machine| {
        for (part, wanted) in [("plain", KILLED), ("handled", Some(End::Exited(7)))] {
            let trapped = run(machine, part, on("getppid", Action::Trap(77)));
            assert_eq!(end(&trapped), wanted, "{trapped:?}");
            let made = one(&trapped, "getppid");
            let Came::Trapped(signal) = &made.came else { panic!("{trapped:?}") };
            assert_eq!((signal.signo, signal.code, signal.errno), (31, 1, 77));
            assert_eq!((signal.call_addr, signal.arch), (made.ip, Abi::X86_64.audit_arch()));
            assert_eq!((signal.syscall, signal.result), (110, 110));
            if part == "handled" {
                assert_eq!(String::from_utf8_lossy(&trapped.stdout), "signal 31, errno 77\n");
            }
        }
    });
}

fn what_is_never_begun_is_no_program() {
    on_each(|machine| {
        for (action, came, wanted) in [
            (Action::Errno(1), Came::Back(-1), Some(End::NeverMade)),
            (Action::Errno(0), Came::Back(0), Some(End::NeverMade)),
            (Action::KillProcess, Came::Never, KILLED),
        ] {
            let seen = run(machine, "plain", on("execve", action));
            assert_eq!(end(&seen), wanted, "{seen:?}");
            assert_eq!((seen.calls.len(), &seen.calls[0].came), (1, &came), "{seen:?}");
            assert!(seen.stdout.is_empty());
        }
        let trapped = run(machine, "plain", on("execve", Action::Trap(5)));
        assert!(matches!(one(&trapped, "execve").came, Came::Trapped(_)), "{trapped:?}");
        assert_eq!((end(&trapped), trapped.calls.len()), (KILLED, 1));

        // A filter without a return is refused.
        let refused = traced(machine, asked("plain", Some(Filter(vec![bpf::ld(offset::NR)]))));
        let nothing = (refused.attached, refused.end, refused.calls.len());
        assert_eq!(nothing, (-22, Some(End::NeverMade), 0), "{refused:?}");
    });
}

fn processes_and_threads_are_followed() {
    on_each(|machine| {
        let family = run(machine, "family", None);
        assert_eq!((family.end, family.tasks), (Some(End::Exited(7)), 3), "{family:?}");
        let own: Vec<_> = all(&family, "getpgid").iter().map(|made| (made.args[0], made.task)).collect();
        assert_eq!(own, [(4141, 1), (4242, 2)]);

        // The filter counts for all of them, and a child outlives its parent.
        let orphan = run(machine, "orphan", on("getpgid", Action::Errno(12)));
        assert_eq!((orphan.end, orphan.tasks), (Some(End::Exited(7)), 2), "{orphan:?}");
        let made = one(&orphan, "getpgid");
        assert_eq!((&made.came, made.task), (&Came::Back(-12), 1));

        // A thread that executes an image takes its leader's id, and the leader is gone.
        let executed = run(machine, "exec-by-thread", None);
        assert_eq!((executed.end, executed.tasks), (Some(End::Exited(7)), 2), "{executed:?}");
        let never = executed.calls.iter().filter(|made| made.came == Came::Never);
        let never: Vec<_> = never.map(|made| (made.task, made.nr)).collect();
        assert_eq!(never, [(0, number("write")), (1, number("exit_group"))], "{executed:?}");
        let by: Vec<_> = all(&executed, "execve").iter().map(|made| (made.task, made.came.clone())).collect();
        assert_eq!(by, [(0, Came::Back(0)), (1, Came::Back(0))]);
        assert_eq!(one(&executed, "mkdir").task, 1);

        // One that stops itself goes on when another continues it, and not before.
        let stopped = run(machine, "stopped", None);
        assert_eq!((stopped.end, stopped.tasks), (Some(End::Exited(7)), 2), "{stopped:?}");
    });
}

fn time_output_and_calls_are_bounded() {
    on_each(|machine| {
        let began = Instant::now();
        let forever = traced(machine, Trace { limit_ms: 500, ..asked("forever", None) });
        assert_eq!((forever.end, forever.tasks), (None, 2), "{forever:?}");
        let late: Vec<u32> = forever.late.iter().flatten().map(|late| late.task).collect();
        assert_eq!(late, [0, 1], "{forever:?}");
        assert_eq!(forever.late.as_ref().unwrap()[0].call, None, "it makes no calls");
        assert!((500_000..3_000_000).contains(&forever.micros), "{forever:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());

        // What the first process left behind does not hide how that one ended.
        let stays = traced(machine, Trace { limit_ms: 2000, ..asked("stays", None) });
        assert_eq!((stays.end, stays.tasks), (Some(End::Exited(7)), 2), "{stays:?}");
        let [late] = &stays.late.as_ref().unwrap()[..] else { panic!("{stays:?}") };
        assert_eq!(
            (late.task, late.call.map(|call| call.nr)),
            (1, Some(number("pause").into())),
            "{stays:?}"
        );

        let chatty = run(machine, "chatty", None);
        assert_eq!(chatty.late, None);
        assert_eq!((chatty.end, chatty.cut), (Some(End::Exited(7)), true));
        assert_eq!((chatty.stdout.len(), &chatty.stderr[..]), (MAX_OUTPUT, &b"done\n"[..]));
        assert!(chatty.stdout.starts_with(b"0123456789\n0123456789\n"));
        assert_eq!(all(&chatty, "write").iter().map(|made| made.count).sum::<u64>(), 20_001);

        let many = run(machine, "many", None);
        println!("5000 calls and more in {} ms", many.micros / 1000);
        assert_eq!((many.end, one(&many, "getppid").count), (Some(End::Exited(7)), 5000));
        let left_out = LeftOut { denied: 0, allowed: 20 - MAX_EXAMPLES as u64 };
        assert_eq!((all(&many, "getpgid").len(), many.left_out), (MAX_EXAMPLES, left_out));
        // Nothing is left over of a program when the next one comes.
        assert_eq!(run(machine, "plain", None).tasks, 1);
    });
}

fn it_finds_its_files_and_what_it_does_not_find_is_told() {
    on_each(|machine| {
        for (offset, bytes) in [(0, &b"wr"[..]), (2, b"ong"), (0, b""), (0, b"rig"), (3, b"ht")] {
            let (path, kind) = ("/srv/in/conf".to_owned(), Kind::File);
            let part = Part { path, kind, offset, bytes: bytes.to_vec() };
            let stored = offset + bytes.len() as u64;
            assert_eq!(machine.request(&Request::Put(part), AMPLE), Ok(Response::Stored(stored)));
        }
        let asked = Trace { directory: "/srv/in".into(), ..asked("files", None) };
        let files = traced(machine, asked.clone());
        assert_eq!(String::from_utf8_lossy(&files.stdout), "right 644 /srv/in 0 0 -1 1\n", "{files:?}");
        // A user namespace is not refused, as it is to who is in a chroot.
        assert_eq!((files.attached, files.end), (0, Some(End::Exited(7))), "{files:?}");
        assert_eq!(files.missed, ["/etc/none", "none", "/init"]);
        // What the filter says is not there may well be.
        let denied = traced(machine, Trace { filter: on("openat", Action::Errno(2)), ..asked.clone() });
        assert_eq!(denied.missed, ["none", "/init"], "{denied:?}");
        let paths: Vec<_> = all(&denied, "openat").iter().map(|made| made.path.as_deref()).collect();
        assert_eq!(paths, [Some("conf"), Some("/etc/none"), Some("/tmp/own")], "{denied:?}");
        assert!(files.calls.iter().all(|made| made.path.is_none()), "{files:?}");
        let directory = Part { path: "/srv/made".into(), kind: Kind::Directory, ..Part::default() };
        assert_eq!(machine.request(&Request::Put(directory), AMPLE), Ok(Response::Stored(0)));
        // A directory that is not there is made.
        let nowhere = traced(machine, Trace { directory: "/srv/none".into(), ..asked });
        assert_eq!(nowhere.missed, ["conf", "/etc/none", "none", "/init"], "{nowhere:?}");
    });
}

/// The model's table against what kernels tell their tracers (kernel/trace/trace_syscalls.c, tracefs
/// `events/syscalls`). Names are those of entries there, and most are those of calls. Older kernels may have had fewer
/// arguments: bpf(2) got two more in 7.3.
fn arguments_are_as_wide_as_kernels_say() {
    on_each(|machine| {
        let told = run(machine, "widths", None);
        assert_eq!(
            (told.end, told.cut),
            (Some(End::Exited(7)), false),
            "{}",
            String::from_utf8_lossy(&told.stderr)
        );
        let (mut compared, mut same) = (0, 0);
        for line in String::from_utf8_lossy(&told.stdout).lines() {
            let (name, types) = line.split_once(' ').expect("a name and types");
            let number = syscalls::number(Abi::X86_64, name);
            let Some(widths) = number.and_then(|number| syscalls::widths(Abi::X86_64, number)) else {
                continue;
            };
            let types: Vec<u32> = types.split_terminator(';').map(width).collect();
            assert!(widths.starts_with(&types), "{line}: {widths:?}");
            same += usize::from(types == widths);
            compared += 1;
        }
        println!("{compared} calls compared, {same} are the same");
        assert!(compared > 280, "{compared}");
        let is_of_the_tables = machine.hello().release.starts_with(&format!("{}.", syscalls::RELEASE));
        assert!(compared == same || !is_of_the_tables);
    });
}

/// How many bits a type has, as x86-64 has them.
fn width(of: &str) -> u32 {
    let plain = of.trim().trim_start_matches("const ");
    match plain {
        "umode_t" => 16,
        pointer if pointer.contains('*') => 64,
        "long" | "unsigned long" | "size_t" | "off_t" | "loff_t" | "u64" | "__u64" | "aio_context_t"
        | "cap_user_header_t" | "cap_user_data_t" => 64,
        _ => 32,
    }
}

fn what_memory_is_not_enough_for_is_told() {
    on_each(|machine| {
        assert_eq!(run(machine, "plain", None).starved, Some(0));
        let hungry = run(machine, "hungry", None);
        assert_eq!(hungry.end, Some(End::Signaled { signal: 9, core: false }), "{hungry:?}");
        assert!(hungry.starved > Some(0), "{hungry:?}");
        assert_eq!(run(machine, "plain", None).end, Some(End::Exited(7)));
    });
}

fn files_are_bounded_and_whole() {
    on_each(|machine| {
        let mut refusal = |request| match machine.request(&request, AMPLE) {
            Ok(Response::Refused(why)) => why,
            other => panic!("{other:?}"),
        };
        let at = |path: &str, offset| {
            Request::Put(Part { path: path.into(), kind: Kind::Executable, offset, bytes: vec![0; 2] })
        };
        assert!(refusal(at(PATH, MAX_BYTES - 1)).contains("41943040 is the most"));
        assert!(refusal(at(PATH, u64::MAX)).contains("is the most"));
        assert!(refusal(at(PATH, image().len() as u64 + 1)).contains("a part for byte"));
        for path in ["it", "", "/opt/../it", "/..", &"/long".repeat(900)] {
            assert!(refusal(at(path, 0)).contains("not an absolute path"), "{path}");
        }
        assert!(refusal(at("/opt/program/it", 0)).contains("/opt/program/it: "));
        let nowhere = Trace { directory: "../..".into(), ..asked("plain", None) };
        assert!(refusal(Request::Trace(nowhere)).contains("not an absolute path"));
        let file = Trace { directory: PATH.into(), ..asked("plain", None) };
        assert!(refusal(Request::Trace(file)).contains("/opt/program: "));
        let argument = Trace { arguments: vec!["a".into(), "b\0".into()], ..asked("", None) };
        assert!(refusal(Request::Trace(argument)).contains("argument 1 of the program has a NUL"));
        // What is no program is executed by nobody, and a new image takes its place.
        put(machine, b"no program");
        let none = run(machine, "plain", None);
        assert_eq!((none.end, &one(&none, "execve").came), (Some(End::NeverMade), &Came::Back(-8)));
        put(machine, image());
        assert_eq!(run(machine, "plain", None).end, Some(End::Exited(7)));
        // As much as there may be, beside a program that wants some memory as well.
        let largest = [image(), &vec![0; MAX_BYTES as usize - image().len()]].concat();
        put(machine, &largest);
        assert_eq!(run(machine, "plain", None).end, Some(End::Exited(7)));
    });
}
