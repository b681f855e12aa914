//! What each step took: asked for, bounded by the master's own clock, and never believed out of order.

use mruby_runner::{Ending, Limits, Outcome, Policy, Sandbox, Steps};
use std::time::Duration;

/// One byte on the answers' pipe.
fn put(of: &[i64]) -> i64 {
    let byte = of[0] as u8;
    // SAFETY: the byte is there.
    unsafe { libc::write(1, (&raw const byte).cast(), 1) as i64 }
}

/// Ends the worker.
fn bye(_: &[i64]) -> i64 {
    // SAFETY: ends the process.
    unsafe { libc::syscall(libc::SYS_exit, 0) }
}

fn sandbox(policy: Policy, timed: bool) -> Sandbox {
    let mut limits = Limits::default();
    (limits.wall, limits.cpu) = (Duration::from_secs(30), Duration::from_secs(30));
    let builder = Sandbox::builder().policy(policy).limits(limits).time_steps(timed);
    builder.native("put", put).native("bye", bye).build().unwrap()
}

fn sum(steps: &Steps) -> Duration {
    steps.named().into_iter().map(|(_, took)| took).sum()
}

#[test]
fn the_steps_are_the_whole_of_an_evaluation() {
    for policy in [Policy::Strict, Policy::Diagnose, Policy::Sample] {
        let mut sandbox = sandbox(policy, true);
        for code in ["1 + 1", "raise 'x'", "("] {
            let usage = sandbox.eval(code).unwrap().usage;
            let steps = usage.steps.unwrap();
            assert!(steps.named().iter().all(|(_, took)| !took.is_zero()), "{steps:?}");
            // The rate is found by two readings of two clocks, between which others may have run.
            assert!(sum(&steps) < usage.wall + usage.wall / 5 + Duration::from_millis(5), "{usage:?}");
        }
    }
}

#[test]
fn a_step_that_takes_long_is_the_one_that_does() {
    let mut sandbox = sandbox(Policy::Strict, true);
    let quick = (0..5).map(|_| sandbox.eval("1").unwrap().usage.steps.unwrap().eval).min().unwrap();
    let usage = sandbox.eval("i = 0; i += 1 while i < 1_000_000").unwrap().usage;
    let steps = usage.steps.unwrap();
    assert!(steps.eval > quick * 10 && steps.eval > usage.wall / 2, "{usage:?}, {quick:?}");
    assert!(steps.eval <= usage.wall + usage.wall / 5, "{usage:?}");
}

#[test]
fn there_are_none_where_nobody_asks_or_nobody_can_say() {
    let none = |outcome: &Outcome| assert_eq!(outcome.usage.steps, None, "{outcome:?}");
    none(&sandbox(Policy::Strict, false).eval("1").unwrap());
    // Strict mode forbids the counter: the worker must not try.
    let outcome = sandbox(Policy::Mode1, true).eval("6 * 7").unwrap();
    assert_eq!(outcome.value(), Some("42"));
    none(&outcome);
    let mut sandbox = sandbox(Policy::Strict, true);
    none(&sandbox.eval("bye").unwrap());
    let mut session = sandbox.session();
    for _ in 0..2 {
        let outcome = session.eval("1 + 1").unwrap();
        assert_eq!(outcome.value(), Some("2"));
        none(&outcome);
    }
    drop(session);
    assert!(sandbox.eval("1").unwrap().usage.steps.is_some());
}

/// Ruby that ends by a forged last frame: no value, and these bytes for stamps.
fn forged(stamps: &[u8]) -> String {
    let payload = [[0; 17].as_slice(), stamps].concat();
    let length = (payload.len() as u32).to_le_bytes();
    let bytes = [b"E".as_slice(), &length, &payload].concat();
    format!("{bytes:?}.each {{ |byte| put(byte) }}\nbye")
}

#[test]
fn forged_stamps_are_no_steps() {
    let mut timed = sandbox(Policy::Strict, true);
    for (read, done) in [(0, 0), (0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 0), (1, 2)] {
        let stamps = [read, done].map(u64::to_le_bytes).concat();
        let outcome = timed.eval(&forged(&stamps)).unwrap();
        assert_eq!((outcome.value(), outcome.usage.steps), (Some(""), None), "{read} {done}");
    }
    let broken = |sandbox: &mut Sandbox, stamps: &[u8]| {
        let outcome = sandbox.eval(&forged(stamps)).unwrap();
        assert!(
            matches!(&outcome.ending, Ending::Broken { why } if why.contains("misshapen")),
            "{outcome:?}"
        );
    };
    for length in [0, 8, 15, 17, 24] {
        broken(&mut timed, &vec![0; length]);
    }
    broken(&mut sandbox(Policy::Strict, false), &[0; 16]);
    assert!(timed.eval("1").unwrap().usage.steps.is_some());
}
