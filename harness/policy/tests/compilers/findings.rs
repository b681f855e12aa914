//! Faults of libraries that the properties found, kept as they were seen. Each states the version it
//! was seen in; with another one linked, only what this crate refuses is looked at.

use crate::limits::{calls, on, policy, rule};
use atlas_model::abi::SeccompData;
use atlas_model::bpf::{Dialect, run};
use atlas_model::policy::{Comparison, Policy};
use atlas_model::{Abi, Action};
use atlas_policy::{Compiler, Error, Limit, agrees};
use libseccomp::ScmpVersion;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BOTH: [Compiler; 2] = [Compiler::LibseccompLinear, Compiler::LibseccompTree];

/// Whether the linked libseccomp is the one in which the faults were seen.
fn seen_in_this_version() -> bool {
    let version = ScmpVersion::current().expect("a version");
    (version.major, version.minor, version.micro) == (2, 5, 4)
}

#[track_caller]
fn refused(policy: &Policy, what: Limit) {
    agrees(policy, &Compiler::Linear.compile(policy).expect("a filter"), calls(policy))
        .expect("ours is right");
    for compiler in BOTH {
        match compiler.compile(policy) {
            Err(Error::Unsupported { what: found, .. }) => assert_eq!(found, what),
            other => panic!("{other:?}"),
        }
    }
}

/// What the library's own filter says of a call by x86-64 or x32.
fn says(compiler: Compiler, policy: &Policy, nr: u32, args: [u64; 6]) -> Action {
    let filter = compiler.compile_as_is(policy).expect("the library takes it");
    let abi = policy.abis[0];
    let call = SeccompData { nr, arch: abi.audit_arch(), instruction_pointer: 0, args };
    Action::from_word(run(&filter, &call, &Dialect::default()).word)
}

/// docs/findings/libseccomp-rules-of-one-number.md, the first half.
#[test]
fn a_deny_list_with_a_hole() {
    let deny = |value| rule(Abi::X86_64, 9, &[on(0, Comparison::Less, value)], Action::Errno(1));
    let low = Policy { default: Action::Allow, ..policy(Abi::X86_64, &[deny(0x1000), deny(0x1_0000_0000)]) };
    refused(&low, Limit::Merged(0));
    let first = [0x2000, 0, 0, 0, 0, 0];
    let call = SeccompData { nr: 9, arch: Abi::X86_64.audit_arch(), instruction_pointer: 0, args: first };
    assert_eq!(low.decide(&call), Action::Errno(1));
    for compiler in BOTH.into_iter().filter(|_| seen_in_this_version()) {
        assert_eq!(says(compiler, &low, 9, first), Action::Allow);
    }
}

/// The same fault lets through what an allow list does not have.
#[test]
fn an_allow_list_with_a_hole() {
    let allow = |conditions: &[_]| rule(Abi::I386, 3, conditions, Action::Allow);
    let list = policy(
        Abi::I386,
        &[
            allow(&[on(2, Comparison::GreaterOrEqual, 1)]),
            allow(&[on(3, Comparison::Equal, 0), on(2, Comparison::NotEqual, 9)]),
        ],
    );
    refused(&list, Limit::Merged(0));
    let args = [0, 0, 0, 1, 0, 0];
    let call = SeccompData { nr: 3, arch: Abi::I386.audit_arch(), instruction_pointer: 0, args };
    assert_eq!(list.decide(&call), Action::KillProcess);
    for compiler in BOTH.into_iter().filter(|_| seen_in_this_version()) {
        assert_eq!(says(compiler, &list, 3, args), Action::Allow);
    }
}

/// docs/findings/libseccomp-x32-upper-halves.md.
#[test]
fn x32_arguments_are_compared_by_their_lower_halves() {
    let seek = Abi::X32_BIT | 8;
    let to = |comparison| policy(Abi::X32, &[rule(Abi::X32, seek, &[on(1, comparison, 0)], Action::Allow)]);
    let far = [0, 1 << 32, 0, 0, 0, 0];
    refused(&to(Comparison::Equal), Limit::UpperHalf(1));
    for compiler in BOTH {
        if seen_in_this_version() {
            assert_eq!(says(compiler, &to(Comparison::Equal), seek, far), Action::Allow);
        }
        // A mask of the lower half says what the library does.
        let masked = to(Comparison::Masked(0xffff_ffff));
        let filter = compiler.compile(&masked).expect("a filter");
        agrees(&masked, &filter, calls(&masked)).expect("that is right");
    }
}

/// What the library is given when it does not come back.
fn endless() -> Policy {
    let allow = |value| {
        let conditions = [on(0, Comparison::Less, 1), on(1, Comparison::Equal, value)];
        rule(Abi::X86_64, 1, &conditions, Action::Allow)
    };
    policy(Abi::X86_64, &[allow(0), allow(1 << 32)])
}

/// Run by the test below in a process that can be ended.
#[test]
#[ignore = "it does not end"]
fn the_call_that_does_not_return() {
    println!("now");
    std::io::stdout().flush().expect("a pipe");
    let _ = Compiler::LibseccompLinear.compile_as_is(&endless());
}

/// docs/findings/libseccomp-rules-of-one-number.md, the second half.
#[test]
fn a_rule_that_is_never_added() {
    refused(&endless(), Limit::Merged(0));
    if !seen_in_this_version() {
        return;
    }
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "findings::the_call_that_does_not_return", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    assert!(output.lines().map_while(Result::ok).any(|line| line.ends_with("now")), "it got that far");
    let since = Instant::now();
    // Right code is done in microseconds.
    while since.elapsed() < Duration::from_secs(1) {
        assert_eq!(child.try_wait().expect("a child"), None, "it came back after all");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("it is still there");
    child.wait().expect("a child");
}
