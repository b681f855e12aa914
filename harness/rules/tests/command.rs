//! The command `rules`.

use assert_cmd::cargo::cargo_bin;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// How long something may take that must come.
const PATIENCE: Duration = Duration::from_secs(30);

const GOOD: &str = "def decide(event) = event['n'] > 2 ? [:tag, 'large'] : :accept";

fn rules(directory: &Path) -> Command {
    let mut command = Command::new(cargo_bin("rules"));
    command.current_dir(directory).stdin(Stdio::null());
    command
}

/// A directory with two rules and three events.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("good.rb", GOOD);
    write("bad.rb", "def decide(event) = raise('no')");
    write("events.jsonl", "{\"n\": 1}\nnonsense\n{\"n\": 3}\n");
    directory
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn records(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn verdicts_are_json_lines_and_the_status_is_0() {
    let directory = directory();
    let given = ["--tenant", "acme=good.rb", "--events", "events.jsonl", "--wall", "30s"];
    let output = rules(directory.path()).args(given).output().unwrap();
    let wanted = [
        json!({"seq": 1, "tenant": "acme", "result": "accept"}),
        json!({"seq": 2, "result": "bad-line", "why": "not-json"}),
        json!({"seq": 3, "tenant": "acme", "result": "tag", "tag": "large"}),
    ];
    assert_eq!(records(&output), wanted, "{output:?}");
    let summary = text(&output.stderr);
    assert!(summary.contains("3 events (1 bad)") && summary.contains("events/s"), "{summary}");
    assert!(summary.contains("2 decisions, 0 strikes, 0 quarantined"), "{summary}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_quarantine_makes_the_status_1() {
    let directory = directory();
    let given = ["--tenant", "a=good.rb", "--tenant", "b=bad.rb", "--events", "events.jsonl", "--json"];
    let strikes = |strikes: &str| {
        rules(directory.path()).args(given).args(["--wall", "30s", "--strikes", strikes]).output().unwrap()
    };
    assert_eq!(strikes("3").status.code(), Some(0));
    let output = strikes("2");
    assert_eq!(output.status.code(), Some(1));
    let summary: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(summary["tenants"][1]["quarantined_at"], 3, "{summary}");
    assert_eq!(summary["tenants"][0]["quarantined_at"], Value::Null, "{summary}");
}

#[test]
fn wrong_usage_makes_the_status_2_and_says_what_is_wrong() {
    let directory = directory();
    for (given, word) in [
        (vec!["--events", "events.jsonl"], "--tenant"),
        (vec!["--tenant", "good.rb"], "NAME=FILE.rb"),
        (vec!["--tenant", "a=none.rb"], "none.rb"),
        (vec!["--tenant", "a b=good.rb"], "a name is"),
        (vec!["--tenant", "a=good.rb", "--tenant", "a=bad.rb"], "taken"),
        (vec!["--tenant", "a=good.rb", "--events", "none.jsonl"], "none.jsonl"),
        (vec!["--tenant", "a=good.rb", "--events", "."], "cannot be read"),
        (vec!["--tenant", "a=good.rb", "--strikes", "0"], "at least 1"),
        (vec!["--tenant", "a=good.rb", "--wall", "50"], "50ms"),
        (vec!["--tenant", "a=good.rb", "--wall", "0ms"], "1 ms to 1 h"),
        (vec!["--tenant", "a=good.rb", "--memory", "99999999999G"], "too large"),
        (vec!["--tenant", "a=good.rb", "--line", "999G"], "out of range"),
        (vec!["--tenant", "a=good.rb", "--policy", "base"], "strict or diagnose"),
    ] {
        let output = rules(directory.path()).args(&given).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{given:?}: {output:?}");
        let said = text(&output.stderr);
        assert!(said.contains(word), "{given:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_has_examples() {
    let output = rules(Path::new("/")).arg("--help").output().unwrap();
    let help = text(&output.stdout);
    assert!(
        help.contains("Examples:") && help.contains("--strikes 5") && help.contains("Exit status"),
        "{help}"
    );
}

/// Starts with events by hand, sends one, and waits for its verdict: it comes without a second event.
fn live(directory: &Path) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = rules(directory);
    command.args(["--tenant", "a=good.rb", "--wall", "30s"]);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"{\"n\": 1}\n").unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let _ = send.send((line, output));
    });
    let Ok((line, output)) = receive.recv_timeout(PATIENCE) else {
        child.kill().unwrap();
        panic!("no verdict without a second event");
    };
    assert_eq!(line, "{\"seq\":1,\"tenant\":\"a\",\"result\":\"accept\"}\n");
    (child, output)
}

/// Waits for its end.
fn ended(mut child: Child) -> Output {
    let until = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn an_interrupt_ends_it_cleanly() {
    let directory = directory();
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let (mut child, _output) = live(directory.path());
        // Held, so that the events have no end.
        let held = child.stdin.take();
        // SAFETY: integers only; it is a child not yet waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        let output = ended(child);
        drop(held);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let summary = text(&output.stderr);
        assert!(summary.contains("1 events (0 bad)") && summary.contains("interrupted"), "{summary}");
    }
}

#[test]
fn a_reader_that_goes_away_is_an_error_that_says_so() {
    let directory = directory();
    let (mut child, output) = live(directory.path());
    drop(output);
    child.stdin.take().unwrap().write_all(b"{\"n\": 1}\n").unwrap();
    let output = ended(child);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("cannot be written"), "{output:?}");
}
