//! Each hostile kind between two healthy neighbours.

use super::{HEALTHY, assert_whole, numbered, of, options, run};
use serde_json::{Value, json};
use std::time::Duration;

/// A native function that makes a call no policy allows.
fn forbidden(_: &[i64]) -> i64 {
    // SAFETY: no arguments.
    unsafe { libc::syscall(libc::SYS_getpid) }
}

/// One that crashes.
fn crash(_: &[i64]) -> i64 {
    // SAFETY: the process ends here.
    unsafe { std::arch::asm!("ud2", options(noreturn)) }
}

/// One that writes where answers go what is no answer.
fn garble(_: &[i64]) -> i64 {
    let bytes = [0xff_u8; 64];
    // SAFETY: the bytes are there.
    unsafe { libc::write(1, bytes.as_ptr().cast(), bytes.len()) as i64 }
}

/// The event at which it happens; it stands within a batch.
const AT: u64 = 11;

/// Runs a rule that does `deed` at one event, and gives that event's verdict.
fn does(deed: &str, change: fn(&mut atlas_rules::Options)) -> Value {
    let rule = format!(
        "def down(n) = down(n + 1) + 1\ndef decide(event)\n  if event['n'] == {AT}\n{deed}\n  end\n  :accept\nend"
    );
    let mut options = options();
    let natives: [(&str, mruby_runner::Native); 3] =
        [("forbidden", forbidden), ("crash", crash), ("garble", garble)];
    options.natives.extend(natives.map(|(name, function)| (name.to_owned(), function)));
    change(&mut options);
    let tenants = [("before", HEALTHY), ("rule", rule.as_str()), ("after", HEALTHY)];
    let (records, summary) = run(&tenants, numbered(30), options);
    assert_eq!(records.len(), 90, "{deed}");
    assert_whole(&records, "before", 30);
    assert_whole(&records, "after", 30);
    let mut struck = None;
    for (seq, verdict) in of(&records, "rule") {
        if seq == AT {
            struck = Some(verdict);
        } else {
            assert_eq!(verdict, json!({"result": "accept"}), "{deed} at {seq}");
        }
    }
    assert_eq!((summary.strikes(), summary.quarantined()), (1, 0), "{deed}");
    let mut struck = struck.unwrap();
    let fields = struck.as_object_mut().unwrap();
    assert_eq!(fields.remove("result"), Some(json!("strike")), "{deed}");
    assert_eq!(fields.remove("strikes"), Some(json!(1)), "{deed}");
    assert_eq!(fields.remove("quarantined"), Some(json!(false)), "{deed}");
    struck
}

fn limit(name: &str) -> Value {
    json!({"reason": "limit", "limit": name})
}

#[test]
fn one_that_loops() {
    assert_eq!(does("loop {}", |_| ()), limit("instructions"));
    let cpu = |options: &mut atlas_rules::Options| {
        options.limits.cpu = Duration::from_millis(400);
        options.limits.instructions = 1 << 50;
    };
    assert_eq!(does("loop {}", cpu), limit("cpu"));
    assert_eq!(does("begin; loop {}; rescue Exception; retry; ensure; loop {}; end", cpu), limit("cpu"));
}

#[test]
fn one_that_has_no_time_left() {
    let mut options = options();
    options.limits.wall = Duration::from_millis(300);
    options.limits.instructions = 1 << 50;
    options.strikes = 1;
    let (records, _) = run(&[("rule", "def decide(event) = loop {}")], numbered(1), options);
    assert_eq!((&records[0]["limit"], &records[0]["quarantined"]), (&json!("wall"), &json!(true)));
}

#[test]
fn one_that_eats_memory() {
    assert_eq!(does("a = []; loop { a << 'x' * 100_000 }", |_| ()), limit("memory"));
    let at_once = does("'x' * (1 << 40)", |_| ());
    assert_eq!((&at_once["reason"], &at_once["class"]), (&json!("exception"), &json!("ArgumentError")));
}

#[test]
fn one_that_recurses() {
    assert_eq!(does("down(0)", |options| options.limits.depth = 500), limit("depth"));
}

#[test]
fn one_that_floods() {
    assert_eq!(does("loop { puts 'x' * 10_000 }", |_| ()), limit("output"));
    assert_eq!(does("return 'x' * 400_000", |_| ()), limit("output"));
}

#[test]
fn one_that_attacks() {
    assert_eq!(does("forbidden", |_| ()), json!({"reason": "forbidden"}));
    let named = |options: &mut atlas_rules::Options| options.policy = mruby_runner::Policy::Diagnose;
    assert_eq!(does("forbidden", named), json!({"reason": "forbidden", "call": "getpid"}));
}

#[test]
fn one_that_crashes() {
    assert_eq!(does("crash", |_| ()), json!({"reason": "crashed", "signal": libc::SIGILL}));
}

#[test]
fn one_that_breaks_the_protocol() {
    assert_eq!(does("garble", |_| ())["reason"], "broken");
}

#[test]
fn one_that_raises() {
    let raised = does("raise ArgumentError, 'a' * 1000", |_| ());
    let at = "main.rb:4:in decide";
    let wanted =
        json!({"reason": "exception", "class": "ArgumentError", "message": "a".repeat(256), "at": at});
    assert_eq!(raised, wanted);
    // An exception that raises when it is asked.
    let deed = "e = Class.new(StandardError) { def message = raise(TypeError, 'no') }; raise e";
    let raised = does(deed, |_| ());
    assert_eq!((&raised["reason"], &raised["class"]), (&json!("exception"), &json!("TypeError")));
    // What no `rescue => e` catches.
    assert_eq!(does("raise Exception, 'x'", |_| ())["class"], "Exception");
    assert_eq!(does("throw :x", |_| ())["class"], "UncaughtThrowError");
}

#[test]
fn one_that_meddles_with_what_is_ours() {
    // What is ours is replaced while it runs: the answers do not fit any more.
    let meddle = "Object.class_eval { def __rules(events) = [7] * events.size }; loop {}";
    assert_eq!(does(meddle, |_| ()), limit("instructions"));
    let meddle = "Array.class_eval { def map = 3 }; loop {}";
    assert_eq!(does(meddle, |_| ()), limit("instructions"));
}
