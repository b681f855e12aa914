//! apt's and dpkg's programs: run within a limit, ended with us, asked why they failed.

use crate::kernels::Error;
use crate::qemu::all_were_killed;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a running program is looked at.
const TICK: Duration = Duration::from_millis(20);

/// Runs a program and returns what it wrote to its standard output. `tick` is called every now and
/// then while it runs.
pub(super) fn run(
    mut command: Command,
    what: &str,
    limit: Duration,
    tick: &mut dyn FnMut(),
) -> Result<String, Error> {
    let failed = |said: String| Error::Apt { command: what.into(), said };
    let system = |error: io::Error| failed(error.to_string());
    // Nameless files rather than pipes: nobody has to read them while the program runs.
    let (mut out, mut err) = (tempfile::tempfile().map_err(system)?, tempfile::tempfile().map_err(system)?);
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command.stdout(out.try_clone().map_err(system)?).stderr(err.try_clone().map_err(system)?);
    // SAFETY: the closure makes one async-signal-safe system call, and allocates nothing.
    unsafe {
        // An apt that outlives us would hold the lock of its lists against the next fetch.
        command.pre_exec(|| set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
    }
    let mut child = command.spawn().map_err(|error| cannot_start(what, &error))?;
    let start = Instant::now();
    let mut cut_short = None;
    let status: ExitStatus = loop {
        if let Some(status) = child.try_wait().map_err(system)? {
            break status;
        }
        if cut_short.is_none() && (start.elapsed() > limit || all_were_killed()) {
            let late = format!("it took longer than {} s", limit.as_secs());
            cut_short = Some(if all_were_killed() { "it was interrupted".into() } else { late });
            child.kill().map_err(system)?;
        }
        tick();
        std::thread::sleep(TICK);
    };
    if let Some(why) = cut_short {
        return Err(failed(why));
    }
    if !status.success() {
        let said = text(&mut err).map_err(system)?;
        let last: Vec<&str> = said.lines().rev().filter(|line| !line.trim().is_empty()).take(4).collect();
        let said = last.into_iter().rev().collect::<Vec<_>>().join("; ");
        return Err(failed(if said.is_empty() { status.to_string() } else { said }));
    }
    text(&mut out).map_err(system)
}

fn text(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cannot_start(what: &str, error: &io::Error) -> Error {
    let program = what.split(' ').next().unwrap_or(what);
    match error.kind() {
        io::ErrorKind::NotFound => Error::NoApt(program.into()),
        _ => Error::Apt { command: program.into(), said: error.to_string() },
    }
}

/// Whether a version is newer than another.
pub(super) fn is_newer(version: &str, other: &str) -> Result<bool, Error> {
    let status = Command::new("dpkg")
        .args(["--compare-versions", version, "gt", other])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| cannot_start("dpkg", &error))?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(Error::Apt {
            command: format!("dpkg --compare-versions {version} gt {other}"),
            said: status.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_returned_and_the_last_words_of_a_failure() {
        let limit = Duration::from_secs(60);
        assert_eq!(run(shell("echo yes; echo no >&2"), "sh", limit, &mut || ()).unwrap(), "yes\n");
        let error = run(shell("echo out; echo why >&2; exit 3"), "sh x", limit, &mut || ()).unwrap_err();
        assert!(error.to_string().starts_with("sh x failed: why;"), "{error}");
        let error = run(Command::new("no-such-program"), "no-such-program y", limit, &mut || ()).unwrap_err();
        assert!(matches!(&error, Error::NoApt(program) if program == "no-such-program"), "{error}");
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        let mut ticks = 0;
        let error = run(shell("exec sleep 1000"), "sh", Duration::ZERO, &mut || ticks += 1).unwrap_err();
        assert!(error.to_string().contains("longer than 0 s"), "{error}");
        assert!(ticks > 0);
    }
}
