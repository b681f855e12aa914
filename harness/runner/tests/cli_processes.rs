//! The command among other processes: broken pipes, signals, terminals, kernels without seccomp.

use assert_cmd::cargo::cargo_bin;
use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A loop that no limit ends before the test does.
const ENDLESS: [&str; 8] = ["--wall", "2m", "--cpu", "2m", "--instructions", "1e18", "-e", "loop {}"];
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin!("mruby-runner"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Some(seen) => return seen,
            None if began.elapsed() > PATIENCE => panic!("{what}: not within {PATIENCE:?}"),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// State and parent of a process (proc_pid_stat(5)).
fn stat(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children(parent: i32) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, its)| its == parent)).collect()
}

/// The zygote and the worker of a command that runs code.
fn processes(child: &Child) -> [i32; 2] {
    until("a zygote and a worker", || {
        let zygote = *children(child.id() as i32).first()?;
        let worker = *children(zygote).first()?;
        // Behind its filter, so that what is killed is a worker and not one to be.
        let status = std::fs::read_to_string(format!("/proc/{worker}/status")).ok()?;
        status.contains("\nSeccomp:\t2").then_some([zygote, worker])
    })
}

fn is_gone(pid: i32) -> bool {
    stat(pid).is_none_or(|(state, _)| matches!(state, 'Z' | 'X'))
}

#[test]
fn signals_leave_no_process_behind() {
    for sent in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let mut command = command(&ENDLESS);
        // SAFETY: signal(2) alone, which is safe after a fork. A test started in the background of a
        // shell has SIGINT ignored, and hands that on.
        unsafe {
            command.pre_exec(|| Ok(signal(Signal::SIGINT, SigHandler::SigDfl).map(drop)?));
        }
        let mut child = command.spawn().unwrap();
        let all = processes(&child);
        assert!(all.iter().all(|pid| !is_gone(*pid)), "{all:?}");
        kill(Pid::from_raw(child.id() as i32), sent).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(sent as i32));
        until("the end of zygote and worker", || all.iter().all(|pid| is_gone(*pid)).then_some(()));
    }
}

#[test]
fn nothing_is_left_after_an_ordinary_end_either() {
    let mut child =
        command(&["--wall", "3s", "--cpu", "1m", "--instructions", "1e18", "-e", "loop {}"]).spawn().unwrap();
    let all = processes(&child);
    assert_eq!(child.wait().unwrap().code(), Some(5));
    until("the end of zygote and worker", || all.iter().all(|pid| is_gone(*pid)).then_some(()));
}

#[test]
fn a_worker_that_a_signal_ends_has_crashed() {
    for (sent, name) in [(Signal::SIGKILL, "9 (SIGKILL)"), (Signal::SIGSEGV, "11 (SIGSEGV)")] {
        let child = command(&ENDLESS).spawn().unwrap();
        let [_, worker] = processes(&child);
        kill(Pid::from_raw(worker), sent).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{stderr}");
        assert_eq!(stderr, format!("crashed: the worker was ended by signal {name}\n"));
    }
}

#[test]
fn a_zygote_that_is_killed_is_no_outcome_of_the_code() {
    let child = command(&ENDLESS).spawn().unwrap();
    let [zygote, worker] = processes(&child);
    kill(Pid::from_raw(zygote), Signal::SIGKILL).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{stderr}");
    assert!(stderr.starts_with("mruby-runner: the zygote is not there"), "{stderr}");
    until("the worker's end", || is_gone(worker).then_some(()));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    for (arguments, status) in [
        (["-e", "puts 'x' * 500000"].as_slice(), 0),
        (&["-e", "puts 'x' * 500000; raise 'x'"], 1),
        (&["--json", "-e", "puts 'x' * 500000"], 0),
        (&["--help"], 0),
        (&["--explain"], 0),
        (&["--no-such-flag"], 2),
    ] {
        let mut child = command(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked") && !stderr.contains("Broken pipe"), "{stderr}");
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
        let mut child = command(arguments).stdout(Stdio::null()).spawn().unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(status), "{arguments:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command(&["-e", "1"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(9));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("standard output: No space left on device"), "{stderr}");
}

#[test]
fn a_hundred_megabytes_are_refused_before_they_are_read() {
    for arguments in [[].as_slice(), &["--json"]] {
        let mut child = command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let megabyte = vec![b' '; 1 << 20];
        let written = (0..100).try_for_each(|_| stdin.write_all(&megabyte));
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        assert_eq!(status.code(), Some(5));
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert!(said.contains("1 MiB of code") || said.contains(r#""limit":"code""#), "{said}");
    }
}

/// As on a kernel without it: seccomp(2) and prctl(2) `PR_SET_SECCOMP` fail.
fn take_seccomp_away() -> Result<(), libseccomp::error::SeccompError> {
    let mut filter = ScmpFilterContext::new(ScmpAction::Allow)?;
    filter.add_rule(ScmpAction::Errno(libc::ENOSYS), ScmpSyscall::from_name("seccomp")?)?;
    let set = ScmpArgCompare::new(0, ScmpCompareOp::Equal, libc::PR_SET_SECCOMP as u64);
    filter.add_rule_conditional(ScmpAction::Errno(libc::EINVAL), ScmpSyscall::from_name("prctl")?, &[set])?;
    filter.load()
}

fn without_seccomp(arguments: &[&str]) -> Output {
    let mut command = command(arguments);
    // SAFETY: it takes no lock but the C library's allocator's, which fork(3) hands over unlocked.
    unsafe {
        command.pre_exec(|| take_seccomp_away().map_err(std::io::Error::other));
    }
    command.output().unwrap()
}

#[test]
fn where_there_is_no_seccomp_nothing_is_run() {
    for policy in ["strict", "diagnose", "mode1", "base", "sample"] {
        let output = without_seccomp(&["--policy", policy, "-e", "puts 1"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(8), "{policy}: {stderr}");
        assert!(output.stdout.is_empty() && stderr.contains("seccomp"), "{policy}: {stderr}");
    }
    let output = without_seccomp(&["--json", "-e", "puts 1"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(error["error"].as_str().unwrap().contains("seccomp"), "{error}");
}

#[test]
fn a_terminal_is_not_sent_what_it_would_obey() {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let code = r#"puts "\e[31mred\u202e\tä"; print 2; raise 'x'"#;
    let status = command(&["-e", code]).stdout(terminal.slave).status().unwrap();
    assert_eq!(status.code(), Some(1));
    let (mut shown, mut bytes) = (String::new(), [0; 1024]);
    let mut master = File::from(terminal.master);
    // Where all of the other side is closed, Linux says EIO (drivers/tty/n_tty.c).
    while let Ok(length @ 1..) = master.read(&mut bytes) {
        shown.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    assert_eq!(shown, "\\u{1b}[31mred\\u{202e}\tä\r\n2\r\n");
}
