//! Every limit: what stays under it passes, what goes over it ends by it and by no other, and the next
//! evaluation starts with none of it used.

use mruby_runner::{Ending, Limit, Limits, Outcome, Request, Sandbox};
use serde_json::json;
use std::time::Duration;

/// A sandbox with its limits changed.
fn with(change: impl FnOnce(&mut Limits)) -> Sandbox {
    let mut limits = Limits::default();
    // What is not under test must not come first, on a busy machine either.
    (limits.wall, limits.cpu) = (Duration::from_secs(30), Duration::from_secs(30));
    change(&mut limits);
    Sandbox::builder().limits(limits).native("wait", wait).build().unwrap()
}

/// Uses time without using the processor: no byte comes by the code's pipe any more.
fn wait(_: &[i64]) -> i64 {
    let mut byte = 0_u8;
    // SAFETY: the byte is there.
    unsafe { libc::read(0, (&raw mut byte).cast(), 1) as i64 }
}

#[track_caller]
fn passes(outcome: &Outcome) {
    assert!(matches!(outcome.ending, Ending::Value { .. }), "{outcome:?}");
}

#[track_caller]
fn ends_by(limit: Limit, limits: &Limits, outcome: &Outcome) {
    assert_eq!(outcome.ending, Ending::Limit { limit, value: limits.value(limit) }, "{outcome:?}");
}

/// The next evaluation has the whole limit: `under` passes before and after `over`, in a fresh worker
/// and in a session.
#[track_caller]
fn holds(sandbox: &mut Sandbox, limit: Limit, under: &str, over: &str) {
    let limits = sandbox.limits().clone();
    for _ in 0..2 {
        passes(&sandbox.eval(under).unwrap());
        ends_by(limit, &limits, &sandbox.eval(over).unwrap());
    }
    passes(&sandbox.eval(under).unwrap());

    let mut session = sandbox.session();
    for _ in 0..2 {
        session.eval("$kept = 1").unwrap();
        // Two in one worker: what the first has used is not held against the second.
        passes(&session.eval(under).unwrap());
        passes(&session.eval(under).unwrap());
        assert_eq!(session.eval("$kept").unwrap().value(), Some("1"));
        ends_by(limit, &limits, &session.eval(over).unwrap());
        // What is refused for its length alone never reached the worker.
        let kept = if limit == Limit::Code { "1" } else { "nil" };
        assert_eq!(session.is_alive(), limit == Limit::Code);
        assert_eq!(session.eval("$kept").unwrap().value(), Some(kept), "after {}", limit.name());
    }
}

#[test]
fn instructions_are_counted_to_the_last_one() {
    let code = "a = []; 500.times { |i| a << i * 2 }; a.map { |i| i.to_s }.join.size";
    let used = with(|_| {}).eval(code).unwrap().usage.instructions;
    assert!(used > 1000, "{used}");
    assert_eq!(with(|_| {}).eval(code).unwrap().usage.instructions, used, "the count does not vary");
    passes(&with(|limits| limits.instructions = used).eval(code).unwrap());
    let mut less = with(|limits| limits.instructions = used - 1);
    let outcome = less.eval(code).unwrap();
    ends_by(Limit::Instructions, less.limits(), &outcome);
    assert_eq!(outcome.usage.instructions, used - 1);
    let mut sandbox = with(|limits| limits.instructions = used);
    holds(&mut sandbox, Limit::Instructions, code, "loop {}");
    holds(&mut sandbox, Limit::Instructions, code, "begin; loop {}; rescue Exception; 1; ensure; 2; end");
}

#[test]
fn depth_is_counted_to_the_last_call() {
    let nested = |calls: usize| format!("def f(n) = n < 2 ? 1 : 1 + f(n - 1)\nf({calls})");
    for depth in [1, 2, 30, 1000] {
        let mut sandbox = with(|limits| limits.depth = depth);
        let outcome = sandbox.eval(&nested(depth)).unwrap();
        assert_eq!(outcome.value(), Some(depth.to_string().as_str()), "{outcome:?}");
        let outcome = sandbox.eval(&nested(depth + 1)).unwrap();
        ends_by(Limit::Depth, sandbox.limits(), &outcome);
    }
    holds(&mut with(|limits| limits.depth = 40), Limit::Depth, &nested(40), &nested(41));
    let rescued = "def f = f\nbegin; f; rescue Exception; 1; end";
    let mut sandbox = with(|_| {});
    holds(&mut sandbox, Limit::Depth, &nested(10_000), rescued);
}

#[test]
fn output_is_counted_to_the_last_byte() {
    for most in [0, 1, 100, 5000, 100_000] {
        let mut sandbox = with(|limits| limits.output = most);
        let at_once = |bytes: usize| format!("print 'x' * {bytes}; nil");
        let outcome = sandbox.eval(&at_once(most)).unwrap();
        passes(&outcome);
        assert_eq!((outcome.stdout.len(), outcome.usage.output), (most, most as u64));
        let outcome = sandbox.eval(&at_once(most + 1)).unwrap();
        ends_by(Limit::Output, sandbox.limits(), &outcome);
        assert_eq!(outcome.stdout.len(), most, "what came within the limit is kept");
        holds(&mut sandbox, Limit::Output, &at_once(most), "loop { print 'x' }");
    }
    // A value and its JSON are bounded likewise, each for itself; both have room for 4 KiB.
    for (limit, most) in [(0, 4096), (10_000, 10_000)] {
        let mut sandbox = with(|limits| limits.output = limit);
        let value = |bytes: usize| format!("'x' * {}", bytes - 2);
        holds(&mut sandbox, Limit::Output, &value(most), &value(most + 1));
        let raised = |bytes: usize| format!("raise 'x' * {bytes}");
        let outcome = sandbox.eval(&raised(most)).unwrap();
        assert!(
            matches!(&outcome.ending, Ending::Exception { message, .. } if message.len() == most),
            "{outcome:?}"
        );
        let outcome = sandbox.eval(&raised(most + 1)).unwrap();
        ends_by(Limit::Output, sandbox.limits(), &outcome);
    }
}

#[test]
fn code_and_input_are_counted_together() {
    let of = |bytes: usize| format!("1 {}", "#".repeat(bytes - 2));
    holds(&mut with(|limits| limits.code = 300), Limit::Code, &of(300), &of(301));
    let mut sandbox = with(|limits| limits.code = 300);
    let list = json!([1, 2, 3]);
    let input = list.to_string().len();
    let code = of(300 - input);
    passes(&sandbox.eval(Request::new(&code).input(&list).unwrap()).unwrap());
    let code = of(301 - input);
    let outcome = sandbox.eval(Request::new(&code).input(&list).unwrap()).unwrap();
    ends_by(Limit::Code, sandbox.limits(), &outcome);
    // More than a pipe holds.
    let mut sandbox = with(|limits| limits.code = 3 << 20);
    passes(&sandbox.eval(&of(3 << 20)).unwrap());
    let outcome = sandbox.eval(&of((3 << 20) + 1)).unwrap();
    ends_by(Limit::Code, sandbox.limits(), &outcome);
}

#[test]
fn memory_is_bounded_and_ruby_may_go_on() {
    const ALL: usize = 8 << 20;
    let mut sandbox = with(|limits| limits.memory = ALL);
    let bare = sandbox.eval("nil").unwrap().usage.memory as usize;
    // No string of mruby's is longer than 1 MiB. A session's garbage is swept first: mruby takes what
    // stands in dead frames for alive where the same frames come again.
    let of = |bytes: usize| format!("GC.start; (1..{}).map {{ 'x' * 10_000 }}.size", bytes / 10_000);
    let (fits, too_much) = (of(ALL - bare - ALL / 16), of(ALL - bare));
    let outcome = sandbox.eval(&fits).unwrap();
    passes(&outcome);
    assert!(outcome.usage.memory as usize > ALL - ALL / 8, "{outcome:?}");
    assert!(outcome.usage.memory as usize <= ALL);
    holds(&mut sandbox, Limit::Memory, &fits, &too_much);
    let small = "a = []; loop { a << 'x' * 100 }";
    holds(&mut sandbox, Limit::Memory, &fits, small);
    holds(&mut sandbox, Limit::Memory, &fits, "a = 1; loop { a = [a, a] }");
    holds(&mut sandbox, Limit::Memory, &fits, "2 ** (1 << 27)");
    for over in [&too_much, small] {
        let rescued = format!("begin; {over}; rescue NoMemoryError => e; a = nil; e.class.to_s; end");
        let outcome = sandbox.eval(&rescued).unwrap();
        assert_eq!(outcome.value(), Some("\"NoMemoryError\""), "{outcome:?}");
        assert!(outcome.usage.memory as usize <= ALL);
    }
}

#[test]
fn a_session_does_not_keep_what_it_answered() {
    let mut sandbox = with(|limits| limits.memory = 4 << 20);
    let mut session = sandbox.session();
    for _ in 0..100 {
        passes(&session.eval("'x' * 250_000").unwrap());
        assert!(matches!(session.eval("raise 'x' * 250_000").unwrap().ending, Ending::Exception { .. }));
    }
}

#[test]
fn code_that_needs_more_memory_than_there_is_to_parse() {
    let mut sandbox = with(|limits| limits.memory = 2 << 20);
    let code = "[1, 2, 3]; ".repeat(50_000);
    let outcome = sandbox.eval(&code).unwrap();
    ends_by(Limit::Memory, sandbox.limits(), &outcome);
    passes(&sandbox.eval("1").unwrap());
}

/// A program that works for about this long, by its own count of rounds.
fn work(rounds: u64) -> String {
    format!("i = 0; while i < {rounds}; i += 1; end; i")
}

fn rounds_for(time: Duration) -> u64 {
    let cpu = with(|_| {}).eval(&work(1_000_000)).unwrap().usage.cpu;
    (1_000_000.0 * time.as_secs_f64() / cpu.as_secs_f64()) as u64
}

#[test]
fn processor_time_is_bounded_and_waiting_is_not_counted() {
    let limit = Duration::from_millis(200);
    let rounds = rounds_for(limit);
    let mut sandbox = with(|limits| limits.cpu = limit);
    holds(&mut sandbox, Limit::Cpu, &work(rounds / 2), &work(rounds * 20));
    let outcome = sandbox.eval("loop {}").unwrap();
    ends_by(Limit::Cpu, sandbox.limits(), &outcome);
    assert!(outcome.usage.cpu >= limit && outcome.usage.cpu < limit * 3, "{outcome:?}");

    let mut limits = sandbox.limits().clone();
    limits.wall = limit * 3;
    let mut sandbox = Sandbox::builder().limits(limits.clone()).native("wait", wait).build().unwrap();
    let outcome = sandbox.eval("wait").unwrap();
    ends_by(Limit::Wall, &limits, &outcome);
    assert!(outcome.usage.cpu < limit / 2, "{outcome:?}");
}

#[test]
fn wall_time_is_bounded() {
    let limit = Duration::from_millis(400);
    // Others use the machine too, and their time counts: much room for that.
    let rounds = rounds_for(limit / 16);
    let mut sandbox = with(|limits| limits.wall = limit);
    holds(&mut sandbox, Limit::Wall, &work(rounds), "loop {}");
    holds(&mut sandbox, Limit::Wall, &work(rounds), "wait");
    let outcome = sandbox.eval("puts 'before'; wait").unwrap();
    ends_by(Limit::Wall, sandbox.limits(), &outcome);
    assert_eq!(outcome.text(), "before\n");
    assert!(outcome.usage.wall >= limit && outcome.usage.wall < limit * 4, "{outcome:?}");
}

/// Children of this thread, or of another process's only one.
fn children(of: &str) -> Vec<String> {
    let list = std::fs::read_to_string(format!("/proc/{of}/children")).unwrap();
    list.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_kernel_holds_the_fixed_ones() {
    let before = children("thread-self");
    let mut sandbox = with(|limits| limits.cpu = Duration::from_secs(2));
    let zygote = children("thread-self").into_iter().find(|pid| !before.contains(pid)).unwrap();
    let of_worker = |wanted: &dyn Fn(&str) -> bool| {
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while std::time::Instant::now() < until {
            if let [worker] = children(&format!("{zygote}/task/{zygote}")).as_slice() {
                let limits = std::fs::read_to_string(format!("/proc/{worker}/limits")).unwrap_or_default();
                let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap_or_default();
                if wanted(&status) {
                    return (limits, status);
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("no worker behind a filter");
    };
    let filtered = |status: &str| status.contains("\nSeccomp:\t2\n");
    let (limits, status) = std::thread::scope(|scope| {
        let looping = scope.spawn(|| sandbox.eval("loop {}").unwrap());
        let seen = of_worker(&filtered);
        ends_by(
            Limit::Cpu,
            &with(|limits| limits.cpu = Duration::from_secs(2)).limits().clone(),
            &looping.join().unwrap(),
        );
        seen
    });
    let bound = |name: &str| -> (String, String) {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}"));
        let mut columns = line[name.len()..].split_whitespace().map(str::to_owned);
        (columns.next().unwrap(), columns.next().unwrap())
    };
    let both = |value: &str| (value.to_owned(), value.to_owned());
    for name in [
        "Max open files",
        "Max processes",
        "Max core file size",
        "Max file size",
        "Max address space",
        "Max locked memory",
        "Max msgqueue size",
    ] {
        assert_eq!(bound(name), both("0"), "{name}");
    }
    assert_eq!(bound("Max cpu time"), ("3".to_owned(), "4".to_owned()));
    for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1", "Threads:\t1"] {
        assert!(status.contains(line), "{line} in {status}");
    }
}
