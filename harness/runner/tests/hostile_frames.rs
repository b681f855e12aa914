//! A worker that is in the enemy's hands: it writes what it likes, falls silent, or calls what it must
//! not. Every time the master gets a typed outcome in bounded time, and goes on.

use mruby_runner::{Ending, Limit, Limits, Outcome, Policy, Sandbox};
use std::time::{Duration, Instant};

const WALL: Duration = Duration::from_millis(300);

/// One byte on the answers' pipe.
fn put(of: &[i64]) -> i64 {
    let byte = of[0] as u8;
    // SAFETY: the byte is there.
    unsafe { libc::write(1, (&raw const byte).cast(), 1) as i64 }
}

/// The same eight bytes for ever.
fn flood(of: &[i64]) -> i64 {
    let bytes = of[0].to_be_bytes();
    let length = of[1] as usize;
    loop {
        // SAFETY: at most eight bytes are asked for, and they are there.
        unsafe { libc::write(1, bytes.as_ptr().cast(), length.min(8)) };
    }
}

fn exit(of: &[i64]) -> i64 {
    // SAFETY: ends the process.
    unsafe { libc::syscall(libc::SYS_exit, of[0]) }
}

/// Waits for a byte that does not come.
fn silent(_: &[i64]) -> i64 {
    let mut byte = 0_u8;
    // SAFETY: the byte is there.
    unsafe { libc::read(0, (&raw mut byte).cast(), 1) as i64 }
}

/// Any call: its number and its arguments.
fn call(of: &[i64]) -> i64 {
    let at = |index: usize| of.get(index).copied().unwrap_or(0);
    // SAFETY: the calls made here are forbidden, or touch no memory.
    unsafe { libc::syscall(at(0), at(1), at(2), at(3), at(4), at(5), at(6)) }
}

/// Any call by the i386 ABI: its number and three arguments.
fn call_i386(of: &[i64]) -> i64 {
    let at = |index: usize| of.get(index).copied().unwrap_or(0);
    let mut answer = at(0);
    // SAFETY: the calls made here are forbidden. rbx belongs to the compiler and is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) at(1) => _,
            inout("rax") answer,
            in("rcx") at(2),
            in("rdx") at(3),
        );
    }
    answer
}

fn sandbox(policy: Policy) -> Sandbox {
    let mut limits = Limits::default();
    (limits.wall, limits.cpu, limits.output) = (WALL, WALL, 10_000);
    Sandbox::builder()
        .policy(policy)
        .limits(limits)
        .native("put", put)
        .native("flood", flood)
        .native("bye", exit)
        .native("silent", silent)
        .native("call", call)
        .native("call_i386", call_i386)
        .build()
        .unwrap()
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind], (payload.len() as u32).to_le_bytes().as_slice(), payload].concat()
}

/// The last frame of an answer of this kind.
fn end(answer: u8) -> Vec<u8> {
    let mut payload = [0; 17];
    payload[0] = answer;
    frame(b'E', &payload)
}

/// Ruby that writes bytes, one by one.
fn writes(bytes: &[u8]) -> String {
    format!("{bytes:?}.each {{ |byte| put(byte) }}\n")
}

/// The outcome of hostile code, by a fresh worker and in a session: alike, in bounded time, and with the
/// master none the worse.
#[track_caller]
fn outcome(sandbox: &mut Sandbox, code: &str) -> Outcome {
    let began = Instant::now();
    let outcome = sandbox.eval(code).unwrap();
    assert!(began.elapsed() < WALL * 10, "{code}: {outcome:?}");
    assert_eq!(sandbox.eval("1 + 1").unwrap().value(), Some("2"), "after {code}");
    let mut session = sandbox.session();
    session.eval("nil").unwrap();
    session.eval(code).unwrap();
    // Whatever comes next, it is typed; a worker that is given up is followed by an honest one.
    session.eval("nil").unwrap();
    assert!(began.elapsed() < WALL * 20, "{code} in a session");
    drop(session);
    assert_eq!(sandbox.eval("1 + 1").unwrap().value(), Some("2"), "after {code} in a session");
    outcome
}

#[track_caller]
fn broken(sandbox: &mut Sandbox, code: &str, because: &str) {
    let outcome = outcome(sandbox, code);
    let Ending::Broken { why } = &outcome.ending else { panic!("{code}: {outcome:?}") };
    assert!(why.contains(because), "{code}: {why}");
}

#[track_caller]
fn limited(sandbox: &mut Sandbox, code: &str, by: &[Limit]) -> Outcome {
    let outcome = outcome(sandbox, code);
    assert!(
        matches!(outcome.ending, Ending::Limit { limit, .. } if by.contains(&limit)),
        "{code}: {outcome:?}"
    );
    outcome
}

#[test]
fn a_forged_answer_is_a_claim_and_no_more() {
    let mut sandbox = sandbox(Policy::Strict);
    let value = [frame(b'V', b"\"forged\""), frame(b'J', b"\"forged\""), end(0)].concat();
    // Untrusted code may say what it likes about its own value.
    let forged = outcome(&mut sandbox, &(writes(&value) + "bye(0)"));
    assert_eq!((forged.value(), forged.json()), (Some("\"forged\""), Some(&"forged".into())));
    // But one answer is all it has.
    broken(&mut sandbox, &writes(&value), "a frame after the last one");
    broken(&mut sandbox, &writes(&[value.clone(), end(0)].concat()), "a frame after the last one");
    // And with it the time to end runs on.
    limited(&mut sandbox, &(writes(&value) + "silent"), &[Limit::Wall]);
    limited(&mut sandbox, &(writes(&value) + "loop {}"), &[Limit::Wall, Limit::Cpu]);
}

#[test]
fn what_is_no_answer_is_broken() {
    let mut sandbox = sandbox(Policy::Strict);
    for (bytes, because) in [
        (frame(b'?', b""), "unknown kind"),
        (frame(0, b""), "unknown kind"),
        (vec![0xff; 64], "unknown kind"),
        (b"O\x01\x10\0\0".to_vec(), "4097 bytes"),
        (b"V\xff\xff\xff\xff".to_vec(), "4294967295 bytes"),
        (frame(b'R', b""), "ready twice"),
        (frame(b'R', b"x"), "ready twice"),
        // That the kernel has no filter, says the code behind the filter.
        (frame(b'U', &[6, 22, 0, 0, 0]), "ready twice"),
        (frame(b'E', b""), "misshapen"),
        (frame(b'E', &[0; 18]), "misshapen"),
        (end(9), "misshapen"),
        (frame(b'L', &[7; 17]), "misshapen"),
        (frame(b'P', &[0; 7]), "misshapen"),
        (frame(b'F', &[0; 67]), "misshapen"),
        (frame(b'S', &9_i32.to_le_bytes()), "misshapen"),
        ([frame(b'J', b"{\"a\":"), end(0)].concat(), "its JSON is none"),
        ([frame(b'J', &b"[".repeat(4000)), end(0)].concat(), "its JSON is none"),
        (frame(b'F', &[0; 68]), "under this policy"),
    ] {
        broken(&mut sandbox, &(writes(&bytes) + "bye(0)"), because);
    }
    broken(&mut sandbox, "bye(0)", "without an answer");
    broken(&mut sandbox, "bye(77)", "without an answer");
    broken(&mut sandbox, &(writes(&frame(b'O', b"abc")[..6]) + "bye(0)"), "within a frame");
    broken(&mut sandbox, &(writes(b"O\x03") + "bye(0)"), "within a frame");
}

#[test]
fn floods_are_cut_and_silence_ends() {
    let mut sandbox = sandbox(Policy::Strict);
    let number = |bytes: [u8; 8]| i64::from_be_bytes(bytes);
    let output = number(*b"O\x03\0\0\0abc");
    let flooded = limited(&mut sandbox, &format!("flood({output}, 8)"), &[Limit::Output]);
    assert_eq!(flooded.stdout.len(), 10_000);
    let value = number(*b"V\x03\0\0\0abc");
    limited(&mut sandbox, &format!("flood({value}, 8)"), &[Limit::Output]);
    // Empty frames never fill anything: time ends them.
    let empty = number(*b"O\0\0\0\0\0\0\0");
    limited(&mut sandbox, &format!("flood({empty}, 5)"), &[Limit::Wall, Limit::Cpu]);
    let ready = number(*b"R\0\0\0\0\0\0\0");
    broken(&mut sandbox, &format!("flood({ready}, 5)"), "ready twice");
    broken(&mut sandbox, "flood(0, 8)", "unknown kind");
    let silent = limited(&mut sandbox, "puts 'a'; silent", &[Limit::Wall]);
    assert_eq!(silent.text(), "a\n");
    // Half a frame, and nothing more.
    limited(&mut sandbox, &(writes(b"O\x03\0") + "silent"), &[Limit::Wall]);
    limited(&mut sandbox, &(writes(b"O\x03\0") + "loop {}"), &[Limit::Wall, Limit::Cpu]);
}

#[test]
fn a_master_that_sends_much_is_not_held_up_by_one_that_does_not_read() {
    let mut sandbox = sandbox(Policy::Strict);
    let mut session = sandbox.session();
    let forged = session.eval(&(writes(&end(0)) + "loop {}")).unwrap();
    assert_eq!(forged.value(), Some(""));
    let long = format!("1 {}", "#".repeat(1_000_000));
    let outcome = session.eval(&long).unwrap();
    assert!(matches!(outcome.ending, Ending::Limit { limit: Limit::Wall | Limit::Cpu, .. }), "{outcome:?}");
    assert_eq!(session.eval("1 + 1").unwrap().value(), Some("2"));
}

/// How a call is made; its number, its name, its ABI and its arguments.
type Call = (String, i32, Option<&'static str>, &'static str, Vec<u64>);

/// What must not be called.
fn forbidden() -> Vec<Call> {
    const X32: i64 = 0x4000_0000;
    let native = |number: i64, name, arguments: &[i64]| {
        let list: Vec<String> =
            std::iter::once(number).chain(arguments.iter().copied()).map(|one| one.to_string()).collect();
        let of = arguments.iter().map(|one| *one as u64).collect();
        let abi = if number & X32 == 0 { "x86-64" } else { "x32" };
        (format!("call({})", list.join(", ")), number as i32, name, abi, of)
    };
    vec![
        native(libc::SYS_close, Some("close"), &[1]),
        native(libc::SYS_kill, Some("kill"), &[0, libc::SIGSTOP.into()]),
        native(libc::SYS_tgkill, Some("tgkill"), &[1, 1, libc::SIGSTOP.into()]),
        native(libc::SYS_openat, Some("openat"), &[-100, 0, 0, 0]),
        native(libc::SYS_mmap, Some("mmap"), &[0, 4096, 3, 0x22, -1, 0]),
        native(libc::SYS_fork, Some("fork"), &[]),
        native(libc::SYS_getpid, Some("getpid"), &[]),
        native(libc::SYS_prctl, Some("prctl"), &[libc::PR_SET_SECCOMP.into(), 0, 0]),
        native(libc::SYS_exit_group, Some("exit_group"), &[0]),
        // The calls it has, on what it has not, and wider than the kernel looks.
        native(libc::SYS_write, Some("write"), &[2, 0, 0]),
        native(libc::SYS_read, Some("read"), &[1, 0, 0]),
        native(libc::SYS_write, Some("write"), &[(1 << 32) + 1, 0, 0]),
        native(9999, None, &[1, 2, 3, 4, 5, 6]),
        native(X32 | libc::SYS_getpid, Some("getpid"), &[]),
        native(X32 | libc::SYS_write, Some("write"), &[1, 0, 0]),
        ("call_i386(20, 7, 8, 9)".into(), 20, Some("getpid"), "i386", vec![7, 8, 9]),
        // By the native ABI, 1 would be write; 4 is the i386 one's.
        ("call_i386(4, 1, 0, 0)".into(), 4, Some("write"), "i386", vec![1, 0, 0]),
        ("call_i386(1, 0, 0, 0)".into(), 1, Some("exit"), "i386", vec![0, 0, 0]),
    ]
}

#[test]
fn strict_ends_a_forbidden_call_and_says_no_more() {
    let mut sandbox = sandbox(Policy::Strict);
    for (code, ..) in forbidden() {
        let outcome = outcome(&mut sandbox, &format!("puts 'before'; {code}; puts 'after'"));
        assert_eq!(outcome.ending, Ending::Forbidden { call: None }, "{code}");
        assert_eq!(outcome.text(), "before\n", "{code}");
    }
}

#[test]
fn diagnose_names_a_forbidden_call() {
    let mut sandbox = sandbox(Policy::Diagnose);
    for (code, number, name, abi, arguments) in forbidden() {
        let outcome = outcome(&mut sandbox, &format!("puts 'before'\n\n{code}\nputs 'after'"));
        assert_eq!(outcome.text(), "before\n", "{code}");
        let Ending::Forbidden { call: Some(call) } = outcome.ending else { panic!("{code}: {outcome:?}") };
        assert_eq!((call.number, call.name, call.abi), (number, name, abi), "{code}");
        assert_eq!(call.args[..arguments.len()], arguments, "{code}");
        let arch = if abi == "i386" { 0x4000_0003 } else { 0xc000_003e };
        assert_eq!(call.arch, arch, "{code}");
        assert_eq!(call.line, 3, "{code}");
        assert!(call.ip != 0, "{code}");
    }
}

#[test]
fn the_first_rule_of_getppid_is_the_canary() {
    // An errno, not the kernel's answer: -1.
    let mut sandbox = sandbox(Policy::Strict);
    let code = format!("call({})", libc::SYS_getppid);
    assert_eq!(sandbox.eval(&code).unwrap().value(), Some("-1"));
}
