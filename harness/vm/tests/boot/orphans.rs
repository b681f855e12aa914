//! What is left when the process that booted guests is gone, or wants them gone.

use crate::support::{Test, assert_ends, booted, runs, signal};
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};

pub(crate) const TESTS: &[Test] = &[
    ("a_killed_parent_leaves_nothing", a_killed_parent_leaves_nothing),
    ("every_guest_can_be_killed_at_once", every_guest_can_be_killed_at_once),
];

/// Names the part that this program plays.
const ROLE: &str = "ATLAS_BOOT_TEST_ROLE";

/// The part to play; `None` when the tests are to run.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Plays the part: boots, says which process QEMU is, and either waits to be killed or kills.
pub(crate) fn play(role: &str) -> ExitCode {
    let mut machine = booted();
    println!("{}", machine.qemu_pid());
    match role {
        "waits" => loop {
            std::thread::park();
        },
        _ => {
            atlas_vm::kill_all();
            let lost = machine.request(&atlas_wire::Request::Hello, crate::support::AMPLE);
            println!("{}", lost.expect_err("nobody can answer").reason);
            ExitCode::SUCCESS
        }
    }
}

/// Starts this program in a part; gives it and the lines that it prints.
fn start(role: &str, directory: &std::path::Path) -> (Child, impl Iterator<Item = String>) {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.env(ROLE, role).env("TMPDIR", directory).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("this program can be started");
    let lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
    (child, lines.map(|line| line.expect("its output is text")))
}

fn a_killed_parent_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut parent, mut lines) = start("waits", directory.path());
    let pid: u32 = lines.next().expect("it boots").parse().expect("a process id");
    assert!(runs(pid));
    signal(parent.id(), Signal::SIGKILL);
    parent.wait().expect("it can be waited for");
    assert_ends(pid);
    let left: Vec<_> = directory.path().read_dir().expect("a directory").collect();
    assert!(left.is_empty(), "{left:?}");
}

fn every_guest_can_be_killed_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut parent, mut lines) = start("kills", directory.path());
    let pid: u32 = lines.next().expect("it boots").parse().expect("a process id");
    let reason = lines.next().expect("it says how the guest was lost");
    assert!(reason.contains("signal: 9"), "{reason}");
    assert!(parent.wait().expect("it can be waited for").success());
    assert_ends(pid);
}
