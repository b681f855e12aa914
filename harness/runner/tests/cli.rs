//! What the command prints, and with which status it ends.

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::{Value, json};
use std::process::Output;
use std::time::Duration;

fn command(arguments: &[&str]) -> Command {
    let mut command = cargo_bin_cmd!("mruby-runner");
    command.args(arguments).env("COLUMNS", "100").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    // What hangs is a failure.
    command.timeout(Duration::from_secs(120));
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Status, standard output, standard error.
fn streams(arguments: &[&str]) -> (i32, String, String) {
    let output = run(arguments);
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// The same as a transcript.
fn said(shown: &str, mut command: Command) -> String {
    let output = command.output().unwrap();
    let status = output.status.code().unwrap();
    format!("$ mruby-runner {shown}\nstatus {status}\n{}{}", text(&output.stdout), text(&output.stderr))
}

fn transcript(all: &[&[&str]]) -> String {
    let each: Vec<_> = all.iter().map(|arguments| said(&arguments.join(" "), command(arguments))).collect();
    each.join("\n")
}

#[test]
fn help() {
    insta::assert_snapshot!("help", transcript(&[&["--help"]]));
    insta::assert_snapshot!("help_short", transcript(&[&["-h"]]));
}

#[test]
fn explain() {
    insta::assert_snapshot!("explain_strict", transcript(&[&["--explain"]]));
    for policy in ["strict", "diagnose", "mode1", "base", "sample"] {
        let (status, stdout, _) = streams(&["--explain", "--policy", policy]);
        assert!(status == 0 && stdout.starts_with(&format!("policy {policy}\n")), "{stdout}");
    }
}

#[test]
fn refused_arguments() {
    let all: &[&[&str]] = &[
        &["--policy", "lax", "-e", "1"],
        &["--wall", "0s", "-e", "1"],
        &["--wall", "5", "-e", "1"],
        &["--cpu", "2h", "-e", "1"],
        &["--cpu", "99999999999999999999y", "-e", "1"],
        &["--memory", "0", "-e", "1"],
        &["--memory", "1T", "-e", "1"],
        &["--output", "2G", "-e", "1"],
        &["--code", "0", "-e", "1"],
        &["--code", "much", "-e", "1"],
        &["--instructions", "0", "-e", "1"],
        &["--instructions", "1e20", "-e", "1"],
        &["--depth", "0", "-e", "1"],
        &["--depth", "1e7", "-e", "1"],
        &["--seed", "4611686018427387904", "-e", "1"],
        &["--seed", "x", "-e", "1"],
        &["--input", "{\"a\": ", "-e", "1"],
        &["--input", "1", "--input-file", "x", "-e", "1"],
        &["--input-file", "no-such.json", "-e", "1"],
        &["--input-file", "-"],
        &["--explain", "-e", "1"],
        &["-e", "1", "main.rb"],
        &["--no-such-flag"],
        &["no-such.rb"],
        &["."],
        &["-e", ""],
        &["-e", " \n\t"],
    ];
    insta::assert_snapshot!("refused_arguments", transcript(all));
}

#[test]
fn refused_files() {
    let directory = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 5] = [
        ("empty.rb", b""),
        ("nul.rb", b"puts 1\n\0"),
        ("latin.rb", b"puts 'caf\xe9'"),
        ("input.json", b"[1, 2"),
        ("latin.json", b"\"caf\xe9\""),
    ];
    let mut all = Vec::new();
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes).unwrap();
        let arguments: &[&str] =
            if name.ends_with(".rb") { &[name] } else { &["-e", "1", "--input-file", name] };
        let mut command = command(arguments);
        command.current_dir(directory.path());
        all.push(said(&arguments.join(" "), command));
    }
    insta::assert_snapshot!("refused_files", all.join("\n"));
}

#[test]
fn endings() {
    let syntax = "x = 1\n\t'ä' + 2 +* 3\n";
    let odd = "def half(x)\n  raise ArgumentError, 'odd' if x % 2 == 1\n  x / 2\nend\nhalf(3)";
    let all: &[&[&str]] = &[
        &["-e", "print 1; {a: [nil, 'x']}"],
        &["--no-value", "-e", "puts 1; 2"],
        &["-e", odd],
        &["-e", "puts 'before'; raise \"red \\e[31m\\nand more\""],
        &["-e", "def deep(n) = n == 0 ? raise('down') : deep(n - 1)\ndeep(30)"],
        &["-e", "1\n2\nprint BasicObject.new"],
        &["-e", syntax],
        &["-e", "x = (1"],
        &["--syscall", "-e", "syscall(39)"],
        &["--syscall", "--policy", "mode1", "-e", "syscall(39)"],
        &["--policy", "base", "-e", "1"],
        &["--wall", "500ms", "--cpu", "1h", "-e", "puts 1; loop {}"],
        &["--wall", "1h", "--cpu", "50ms", "-e", "loop {}"],
        &["--memory", "3M", "-e", "a = []; loop { a << 'x' * 1000 }"],
        &["--output", "5", "-e", "print 'too much'"],
        &["--code", "3", "-e", "1234"],
        &["--instructions", "1e5", "-e", "loop {}"],
        &["--depth", "100", "-e", "def f = f\nf"],
        &["--syscall", "-e", "syscall(60)"],
    ];
    insta::assert_snapshot!("endings", transcript(all));
}

/// The address of a call differs from run to run.
#[test]
fn a_forbidden_call_is_named_with_its_instruction() {
    let code = "def peek\n  syscall(1, 2, 0xdeadbeef)\nend\n\npeek";
    let arguments = ["--syscall", "--policy", "diagnose", "-e", code];
    insta::with_settings!({filters => [(r"address 0x[0-9a-f]+", "address 0xADDRESS")]}, {
        insta::assert_snapshot!("forbidden", transcript(&[&arguments]));
    });
    let (status, _, stderr) = streams(&["--syscall", "--policy", "diagnose", "-e", "1\nsyscall(39)"]);
    assert_eq!(status, 4);
    assert!(stderr.starts_with("forbidden call: getpid (number 39, x86-64), at main.rb:2\n"), "{stderr}");
    assert!(!stderr.contains("only"), "{stderr}");
}

#[test]
fn code_comes_from_a_file_from_arguments_and_from_standard_input() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"puts INPUT.inspect\n6 * 7").unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(streams(&[path]), (0, "nil\n42\n".into(), String::new()));
    assert_eq!(streams(&["-e", "x = 6", "-e", "# no end", "-e", "x * 7"]).1, "42\n");
    assert_eq!(streams(&["-e", "-1"]).1, "-1\n");
    for arguments in [[].as_slice(), &["-"]] {
        let output = command(arguments).write_stdin("1 + 2").output().unwrap();
        assert_eq!(text(&output.stdout), "3\n");
    }
    let input = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(input.path(), r#"{"a": [1, -2]}"#).unwrap();
    let input = input.path().to_str().unwrap();
    assert_eq!(streams(&["--input-file", input, "-e", "INPUT['a'][1]"]).1, "-2\n");
    assert_eq!(streams(&["--input", "-5", path]).1, "-5\n42\n");
    let piped = command(&["--input-file", "-", path]).write_stdin("[7]").output().unwrap();
    assert_eq!(text(&piped.stdout), "[7]\n42\n");
    // Code and input count together.
    assert_eq!(streams(&["--code", "8", "--input", "[1,2]", "-e", "1 + 1"]).0, 5);
}

#[test]
fn seeds_repeat_and_differ() {
    let draw = |seed| streams(&["--seed", seed, "-e", "rand(1 << 30)"]).1;
    assert_eq!(draw("1"), draw("1"));
    assert_ne!(draw("1"), draw("2"));
    assert_ne!(draw("0"), draw("4611686018427387903"));
}

#[test]
fn every_policy_but_base_runs_code() {
    for policy in ["strict", "diagnose", "mode1", "sample"] {
        assert_eq!(streams(&["--policy", policy, "-e", "6 * 7"]).1, "42\n", "{policy}");
    }
    assert_eq!(streams(&["--policy", "base", "-e", "6 * 7"]).0, 4);
    // Only diagnose knows which call it was.
    for (policy, named) in [("strict", false), ("diagnose", true), ("mode1", false), ("sample", false)] {
        let (status, _, stderr) = streams(&["--syscall", "--policy", policy, "-e", "syscall(39)"]);
        assert_eq!((status, stderr.contains("getpid")), (4, named), "{policy}: {stderr}");
    }
}

fn json_of(arguments: &[&str]) -> (i32, Value) {
    let output = command(&[&["--json"], arguments].concat()).output().unwrap();
    assert_eq!(text(&output.stderr), "", "{arguments:?}");
    let stdout = text(&output.stdout);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    (output.status.code().unwrap(), serde_json::from_str(&stdout).unwrap())
}

#[test]
fn json_has_the_whole_outcome() {
    let (status, outcome) = json_of(&["-e", "puts 'ä'; [1, nil]"]);
    assert_eq!(status, 0);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&outcome), ["ending", "stdout", "usage"]);
    assert_eq!(keys(&outcome["usage"]), ["cpu", "instructions", "memory", "output", "resident", "wall"]);
    assert_eq!(outcome["ending"], json!({"kind": "value", "inspect": "[1, nil]", "json": [1, null]}));
    assert_eq!(outcome["stdout"], "ä\n");
    assert_eq!(outcome["usage"]["output"], 3);
    for (status, kind, arguments) in [
        (1, "exception", ["-e", "raise 'x'"].as_slice()),
        (3, "syntax", &["-e", "("]),
        (4, "forbidden", &["--syscall", "-e", "syscall(39)"]),
        (5, "limit", &["--instructions", "1000", "-e", "loop {}"]),
        (7, "broken", &["--syscall", "-e", "syscall(60)"]),
    ] {
        let (ended, outcome) = json_of(arguments);
        assert_eq!((ended, outcome["ending"]["kind"].as_str()), (status, Some(kind)), "{outcome}");
    }
    let (_, outcome) = json_of(&["--syscall", "--policy", "diagnose", "-e", "syscall(39, 7)"]);
    let call = &outcome["ending"]["call"];
    assert_eq!((&call["name"], &call["number"], &call["args"][0]), (&json!("getpid"), &json!(39), &json!(7)));
}

#[test]
fn json_has_what_kept_it_from_being_tried() {
    for (arguments, part) in [
        (["-e", ""].as_slice(), "the code is empty"),
        (&["no-such.rb"], "no-such.rb: No such file"),
        (&["--wall", "0s", "-e", "1"], "'0s' for '--wall <TIME>': it may be 1 ms to 1 h"),
        (&["--input", "{", "-e", "1"], "the input is not JSON"),
    ] {
        let (status, error) = json_of(arguments);
        assert_eq!(status, 2);
        assert_eq!(error.as_object().unwrap().len(), 1, "{error}");
        let said = error["error"].as_str().unwrap();
        assert!(said.contains(part) && !said.contains("--help"), "{error}");
    }
}

#[test]
fn colours_obey_the_environment() {
    for arguments in [["-e", "raise 'x'"], ["-e", "("], ["-e", ""], ["--syscall", "-esyscall(39)"]] {
        let coloured = |variables: &[(&str, &str)]| {
            let output = command(&arguments).envs(variables.iter().copied()).output().unwrap();
            assert!(!output.stderr.is_empty());
            output.stderr.contains(&0x1b)
        };
        assert!(!coloured(&[]), "{arguments:?}");
        assert!(coloured(&[("CLICOLOR_FORCE", "1")]), "{arguments:?}");
        assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), "{arguments:?}");
    }
}

#[test]
fn help_that_cannot_be_written_is_said_by_the_status() {
    for asked in ["--help", "-V", "--explain"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(run_by());
        let status = command.arg(asked).stdout(full).stderr(std::process::Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(9), "{asked}");
    }
}

#[test]
fn a_stricter_limit_on_processor_time_stays() {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -t 1; exec \"$0\" -e '6 * 7'"]).arg(run_by());
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "42\n"), "{output:?}");
}

fn run_by() -> std::ffi::OsString {
    command(&[]).get_program().to_owned()
}

#[test]
fn a_pipe_gets_the_bytes_as_they_are() {
    let output = run(&["--no-value", "-e", "print \"\\e[31m\\xff\\0\""]);
    assert_eq!(output.stdout, b"\x1b[31m\xff\0");
}

#[test]
fn a_file_without_end_is_refused_for_its_size() {
    let (status, stdout, stderr) = streams(&["/dev/zero"]);
    assert_eq!((status, stdout.as_str()), (5, ""));
    assert!(stderr.contains("1 MiB of code and input together\n  --code raises it"), "{stderr}");
    let (status, _, stderr) = streams(&["--input-file", "/dev/zero", "-e", "1"]);
    assert_eq!(status, 5, "{stderr}");
}
