//! The QEMU process: its start, what it complains of, and its certain end.

mod arguments;
mod leash;

pub(crate) use arguments::{Kernel, MEMORY, PROGRAM, Plan, Start, described, window_words};
pub(crate) use leash::Killer;
pub(crate) use leash::all_were_killed;
pub use leash::kill_all;

use crate::console::readable;
use crate::error::{Error, Reason};
use arguments::{Handed, named};
use leash::Leash;
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// How much of QEMU's own complaints is kept, in bytes.
const COMPLAINTS: usize = 4 << 10;
/// How long the last complaints of a QEMU that has ended are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The first line of `qemu-system-x86_64 --version`.
///
/// # Errors
/// [`Error::QemuMissing`] and [`Error::QemuStart`].
pub fn version() -> Result<String, Error> {
    // Asked once: it takes a good part of what a clone does.
    static KNOWN: OnceLock<String> = OnceLock::new();
    if let Some(version) = KNOWN.get() {
        return Ok(version.clone());
    }
    let output = Command::new(PROGRAM).arg("--version").output();
    let output = output.map_err(|source| start_error(Path::new(PROGRAM), source))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(KNOWN.get_or_init(|| text.lines().next().unwrap_or_default().trim().to_owned()).clone())
}

fn start_error(program: &Path, source: io::Error) -> Error {
    let program = program.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => Error::QemuMissing { program },
        _ => Error::QemuStart { program, source },
    }
}

/// An anonymous file of this length, with this content at its beginning. It has no name, so nothing
/// of it is left when the last process that holds it ends.
pub(crate) fn anonymous(content: &[u8], length: u64) -> io::Result<File> {
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let mut file = File::from(nix::sys::memfd::memfd_create(c"seccomp-atlas", flags)?);
    file.set_len(length)?;
    file.write_all(content)?;
    Ok(file)
}

/// Makes a file that is to be a guest's memory empty: all zeros, and no room taken.
pub(crate) fn empty(file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.set_len(MEMORY << 20)
}

/// A running QEMU, killed and reaped when dropped.
pub(crate) struct Qemu {
    process: Leash,
    complaints: Arc<Mutex<Vec<u8>>>,
    all_said: Receiver<()>,
}

/// The host's ends of a guest's serial lines.
pub(crate) struct Lines {
    /// The console.
    pub(crate) console: UnixStream,
    /// The frame line.
    pub(crate) frames: UnixStream,
    /// The monitor, where the memory is in a file.
    pub(crate) monitor: Option<UnixStream>,
}

impl Qemu {
    /// Starts QEMU.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::QemuMissing`] and [`Error::QemuStart`].
    pub(crate) fn start(
        plan: &Plan<'_>,
        initramfs: &File,
        window: Option<&File>,
    ) -> Result<(Self, Lines), Error> {
        let system = |what| move |source| Error::System { what, source };
        let (console, far_console) =
            UnixStream::pair().map_err(system("making a socket pair for the console"))?;
        let (frames, far_frames) = UnixStream::pair().map_err(system("making a socket pair for frames"))?;
        let vmlinux = plan.vmlinux().map(File::try_clone).transpose();
        let vmlinux = vmlinux.map_err(system("handing over the kernel"))?;
        let initramfs = initramfs.try_clone().map_err(system("handing over the initramfs"))?;
        let window = window.map(File::try_clone).transpose().map_err(system("handing over the window"))?;
        let memory = plan.memory().map(File::try_clone).transpose();
        let memory = memory.map_err(system("handing over the memory"))?;
        let monitor = memory.as_ref().map(|_| UnixStream::pair()).transpose();
        let (monitor, far_monitor) = monitor.map_err(system("making a socket pair for the monitor"))?.unzip();
        let unpacked = vmlinux.as_ref().map(|file| named(file.as_raw_fd()).into());
        let handed = Handed {
            kernel: unpacked.or_else(|| plan.image().map(Path::to_owned)),
            console: far_console.as_raw_fd(),
            frames: far_frames.as_raw_fd(),
            initramfs: initramfs.as_raw_fd(),
            window: window.as_ref().map(AsRawFd::as_raw_fd),
            memory: memory.as_ref().map(AsRawFd::as_raw_fd),
            monitor: far_monitor.as_ref().map(AsRawFd::as_raw_fd),
        };
        let mut command = arguments::command(plan, &handed);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let (pipe, far_pipe) = io::pipe().map_err(system("making a pipe for QEMU's complaints"))?;
        command.stderr(far_pipe);
        let mut descriptors: Vec<OwnedFd> = vec![far_console.into(), far_frames.into(), initramfs.into()];
        descriptors.extend(vmlinux.into_iter().chain(window).chain(memory).map(OwnedFd::from));
        descriptors.extend(far_monitor.map(OwnedFd::from));
        let process =
            Leash::start(command, descriptors).map_err(|source| start_error(plan.program, source))?;
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let all_said = keep(pipe, Arc::clone(&complaints));
        Ok((Self { process, complaints, all_said }, Lines { console, frames, monitor }))
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What ends it from another thread.
    pub(crate) fn killer(&self) -> Killer {
        self.process.killer()
    }

    /// Kills it if it still runs, and reaps it.
    pub(crate) fn end(&self) {
        // It is our child and not yet waited for by anybody else, so this does not fail.
        let _ = self.process.end();
    }

    /// What a QEMU that still runs complains of: its first line that is no warning.
    pub(crate) fn complaint(&self) -> Option<String> {
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let said = readable(&complaints);
        let is_complaint = |line: &&str| !line.trim().is_empty() && !line.contains("warning: ");
        said.lines().find(is_complaint).map(|line| line.trim().to_owned())
    }

    /// Why a QEMU that has closed its lines ended, once it is reaped.
    pub(crate) fn why_it_ended(&self) -> Reason {
        let status = match self.process.wait_briefly(LAST_WORDS).and_then(|()| self.process.end()) {
            Ok(status) => status,
            Err(error) => return Reason::QemuExited(format!("it cannot be waited for: {error}")),
        };
        // Its pipe may be held open by a process that it started; what it said is there by then.
        let _ = self.all_said.recv_timeout(LAST_WORDS);
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let said = readable(&complaints);
        match said.trim() {
            // With -no-reboot this is how a guest's reset or triple fault looks from outside.
            "" if status.success() => Reason::Reset,
            "" => Reason::QemuExited(status.to_string()),
            said => Reason::QemuExited(format!("{status}, saying: {said}")),
        }
    }
}

/// Keeps what comes through the pipe, bounded; tells when that was all.
fn keep(mut pipe: PipeReader, into: Arc<Mutex<Vec<u8>>>) -> Receiver<()> {
    let (all, all_said) = channel::<()>();
    thread::spawn(move || {
        let mut chunk = [0; 1024];
        while let Ok(count @ 1..) = pipe.read(&mut chunk) {
            let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
            let room = COMPLAINTS - kept.len();
            kept.extend_from_slice(&chunk[..count.min(room)]);
        }
        drop(all);
    });
    all_said
}
