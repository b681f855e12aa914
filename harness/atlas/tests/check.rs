//! `atlas check` on a real kernel: an example's policy, filters of the test's own, and programs
//! behind them, static and dynamic. `ATLAS_KERNEL` names another kernel than 6.12.

use assert_cmd::cargo::cargo_bin_cmd;
use atlas_model::bpf::{self, Insn};
use atlas_model::{Action, Filter};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/policy.json");
const GETPPID: u32 = 110;
const EXECVE: u32 = 59;

/// The program, linked with this option.
fn linked(option: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/program.c");
    let program = directory.path().join("program");
    let built = Command::new("cc").arg(option).arg("-o").arg(&program).arg(&source).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    (directory, program)
}

/// Where the program is, linked once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &PROGRAM.get_or_init(|| linked("-static")).1
}

fn check(file: &Path, more: &[&str]) -> Output {
    let names = std::env::var("ATLAS_KERNEL").unwrap_or_else(|_| "6.12".into());
    let mut command = Command::new(cargo_bin_cmd!("atlas").get_program());
    command.args(["check", "--kernel", names.split(',').next().unwrap()]).arg(file).args(more);
    command.output().unwrap()
}

/// The status, and what was printed.
fn said(file: &Path, more: &[&str]) -> (i32, String) {
    let output = check(file, more);
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), text)
}

/// A filter that gives one number this answer, and lets the others through.
fn one(nr: u32, action: Action) -> (TempDir, PathBuf) {
    let insns: Vec<Insn> = vec![bpf::ld(0), bpf::jeq(nr, 0, 1), bpf::ret(action), bpf::ret(Action::Allow)];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.bpf");
    std::fs::write(&path, Filter(insns).to_bytes()).unwrap();
    (directory, path)
}

#[test]
fn a_program_behind_a_policy_and_what_it_was_denied() {
    let program = program().to_str().unwrap();
    let more = ["--json", "--quiet", "--status", "3", "--env", "GREETING=hello", "--", program, "3"];
    let output = check(Path::new(POLICY), &more);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["well"], true, "{json:#}");
    assert_eq!(json["chosen"]["ways"], 6);
    let runs = json["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "JIT on and off");
    for run in runs {
        let program = &run["program"];
        assert_eq!(run["agrees"], true);
        assert_eq!(program["exit_status"], 3);
        assert_eq!(program["stdout"], "socket -1, hello\n");
        let denied = program["denied"].as_array().unwrap();
        assert_eq!(denied.len(), 1, "{denied:?}");
        assert_eq!(denied[0]["call"]["name"], "socket");
        assert_eq!(denied[0]["call"]["args"][0], 16);
        assert_eq!((&denied[0]["action"], &denied[0]["decided_at"]), (&"ERRNO(1 EPERM)".into(), &11.into()));
        assert_eq!(denied[0]["looked_at"], serde_json::json!([0]));
        assert_eq!(denied[0]["came"]["returned"], -1);
        let made: Vec<&str> =
            program["made"].as_array().unwrap().iter().map(|call| call["name"].as_str().unwrap()).collect();
        assert_eq!((made[0], *made.last().unwrap()), ("execve", "exit_group"));
    }
}

#[test]
fn a_program_that_ends_otherwise_is_told_with_the_call_and_what_it_said() {
    let program = program().to_str().unwrap();
    let (_directory, kills) = one(GETPPID, Action::KillProcess);
    let (status, text) = said(&kills, &["--env", "GREETING=bye", "--", program]);
    assert_eq!(status, 1);
    assert!(text.contains("killed by signal 31, in getppid[110]("), "{text}");
    assert!(text.contains("KILL_PROCESS by instruction 0002"), "{text}");
    assert!(text.contains("| socket 3, bye"), "{text}");
    assert!(text.ends_with("in 2 of 2 runs the program did not end as it is to\n"), "{text}");

    let (_directory, begins) = one(EXECVE, Action::Errno(13));
    let (status, text) = said(&begins, &["--jit", "on", "--", program]);
    assert_eq!(status, 1);
    assert!(text.contains("never began, in execve[59]("), "{text}");
    assert!(text.contains("so it has to let\n  execve through"), "{text}");

    let (status, text) = said(Path::new(POLICY), &["--jit", "off", "--", program, "7"]);
    assert_eq!((status, text.contains("exit status 7")), (1, true), "{text}");
}

#[test]
fn a_filter_alone_is_held_against_the_model() {
    let (_directory, path) = one(GETPPID, Action::Trap(9));
    let (status, text) = said(&path, &["--jit", "on"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("one at least for each of 2 ways through it"), "{text}");
    assert!(text.contains("as the model says"), "{text}");
    assert!(!text.contains("program"), "{text}");
}

#[test]
fn a_dynamic_program_finds_its_libraries_and_the_files_that_it_is_given() {
    let (directory, dynamic) = linked("-no-pie");
    let (_filter, lets_all) = one(GETPPID, Action::Errno(1));
    std::fs::write(directory.path().join("greeting"), "read from a file").unwrap();
    let here = ["--json", "--quiet", "--jit", "on"];
    let (dynamic, static_program) = (dynamic.to_str().unwrap(), program().to_str().unwrap());
    let run = |more: &[&str]| {
        let output = check(&lets_all, &[&here[..], more].concat());
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), json)
    };
    let given = format!("{}=/etc/given", directory.path().display());
    let (status, json) = run(&["--file", &given, "--", dynamic, "0", "/etc/given/greeting"]);
    let program = &json["runs"][0]["program"];
    assert_eq!(status, Some(0), "{json:#}");
    assert_eq!(program["stdout"], "socket 3, read from a file\n");
    assert_eq!(program["denied"][0]["call"]["name"], "getppid");
    let files: Vec<&str> = json["files"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(files[0], dynamic);
    assert!(files.iter().any(|path| path.ends_with("/libc.so.6")), "{files:?}");
    assert!(files.contains(&"/etc/given/greeting"), "{files:?}");

    let (_filter, no_files) = one(257, Action::Errno(13));
    let (status, text) = said(&no_files, &["--jit", "on", "--", static_program, "0", "/etc/given/greeting"]);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains(") of /etc/given/greeting: ERRNO(13 EACCES) by instruction 0002"), "{text}");

    // What is not given is not there, and that is said.
    let (status, json) = run(&["--", dynamic, "0", "/etc/given/greeting"]);
    let program = &json["runs"][0]["program"];
    assert_eq!((status, &program["exit_status"]), (Some(1), &4.into()), "{json:#}");
    assert!(program["not_found"].as_array().unwrap().contains(&"/etc/given/greeting".into()), "{program:#}");
    let (_, text) = said(&lets_all, &["--jit", "on", "--", dynamic, "0", "/etc/given/greeting"]);
    assert!(
        text.contains("it looked for /etc/given/greeting, and did not find it: --file gives it files"),
        "{text}"
    );
    assert!(text.contains("MiB of files: "), "{text}");
}

#[test]
fn what_a_program_leaves_behind_does_not_hide_its_end() {
    let (_filter, lets_all) = one(GETPPID, Action::Errno(1));
    let stays = ["--jit", "on", "--limit", "3", "--", program().to_str().unwrap(), "stay"];
    let (status, text) = said(&lets_all, &stays);
    assert_eq!(status, 1, "{text}");
    let says = "exit status 0, but a task that it made is not over in time, in pause[34]()";
    assert!(text.contains(says), "{text}");
    let output = check(&lets_all, &[&["--json"], &stays[..]].concat());
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let program = &json["runs"][0]["program"];
    let found = (&program["exit_status"], &program["in_time"], &program["late"][0]["call"]["name"]);
    assert_eq!(found, (&0.into(), &false.into(), &"pause".into()), "{program:#}");
}

#[test]
fn a_program_is_found_as_a_shell_finds_it() {
    let (_filter, lets_all) = one(GETPPID, Action::Errno(1));
    let (status, text) = said(&lets_all, &["--jit", "on", "--", "env"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("/env,"), "{text}");
}

#[test]
fn what_is_no_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("it");
    for (content, says) in [
        ("#!/bin/sh\n", "is no program: it is a script. Name what runs it (/bin/sh)"),
        ("", "is no program: "),
        ("\x7fELF\x01\x01\x01", "is no program: "),
    ] {
        std::fs::write(&path, content).unwrap();
        refused(&["--", path.to_str().unwrap()], says);
    }
    refused(&["--", "no-such-program"], "there is no no-such-program in any directory of PATH");
    let program = program().to_str().unwrap();
    refused(&["--file", "/no/such/file", "--", program], "cannot read /no/such/file: No such file");
    refused(&["--file", "/dev/zero=/zero", "--", program], "more than 40 MiB");
    refused(&["--file", "/dev/zero", "--", program], "say where its content is to be, as /dev/zero=/PLACE");
    refused(&["--file", "here=there", "--", program], "the place has to be absolute, as here=/there");

    // A library that is gone.
    let library = directory.path().join("libgone.so");
    std::fs::write(directory.path().join("gone.c"), "int gone(void) { return 0; }\n").unwrap();
    let cc = |arguments: &[&str]| {
        let built = Command::new("cc").current_dir(directory.path()).args(arguments).status().unwrap();
        assert!(built.success(), "{arguments:?}");
    };
    cc(&["-shared", "-o", "libgone.so", "gone.c"]);
    std::fs::write(directory.path().join("main.c"), "int gone(void);\nint main(void) { return gone(); }\n")
        .unwrap();
    cc(&["-o", "it", "main.c", "-L.", "-lgone", "-Wl,-rpath,$ORIGIN"]);
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("it", &link).unwrap();
    assert_eq!(
        check(Path::new(POLICY), &["--jit", "on", "--", link.to_str().unwrap()]).status.code(),
        Some(0)
    );
    std::fs::remove_file(library).unwrap();
    refused(&["--", path.to_str().unwrap()], "and its loader says: ");
    cc(&["-o", "it", "gone.c", "-Wl,--entry=gone", "-nostartfiles", "-Wl,--audit=/tmp/none.so"]);
    refused(&["--", path.to_str().unwrap()], "it names auditors");
}

#[track_caller]
fn refused(more: &[&str], says: &str) {
    let output = check(Path::new(POLICY), more);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(says), "{stderr}");
}

/// Whether a process has a child.
fn has_child(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .map(|task| task.path().join("children"))
        .any(|children| std::fs::read_to_string(children).is_ok_and(|children| !children.trim().is_empty()))
}

#[test]
fn ctrl_c_throws_no_template_away() {
    let names = std::env::var("ATLAS_KERNEL").unwrap_or_else(|_| "6.12".into());
    let kernel = names.split(',').next().unwrap();
    // It makes the template where there is none.
    assert_eq!(said(Path::new(POLICY), &["--jit", "on"]).0, 0);
    let mut interrupted = 0;
    for delay in (0..8).map(|round| 15 << round) {
        if interrupted == 3 {
            break;
        }
        // Whoever starts tests in the background may have had SIGINT ignored.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(cargo_bin_cmd!("atlas").get_program());
        command.args(["check", "--kernel", kernel, POLICY]).stderr(std::process::Stdio::piped());
        let child = command.spawn().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        // The first is QEMU asked for its version, or whether there is KVM, or the clone: each round a bit later.
        while !has_child(child.id()) && std::time::Instant::now() < deadline {}
        std::thread::sleep(std::time::Duration::from_millis(delay));
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_ne!(output.status.code(), Some(1), "{stderr}");
        interrupted += usize::from(stderr.ends_with("interrupted: 0 of 1 kernels were asked\n"));
        assert!(!stderr.contains("thrown away") && !stderr.contains("not cloned"), "{stderr}");
    }
    // The first may come before the signal is taken, the last when it is over.
    assert!(interrupted > 0, "no guest was interrupted");
}
