//! The zygote: forked early, one thread, an interpreter initialised and warm. It forks the workers,
//! waits for them, and never sees a byte of code.

use crate::config::Config;
use crate::policy::Policy;
use crate::vm::Vm;
use crate::worker::{self, Parts};
use crate::{signals, steps::stamp, sys};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recv, recvmsg, send};
use nix::unistd::{ForkResult, Pid, fork};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The zygote's line to the master. 0 to 2 are copies of it, so that no pipe lands there.
const CONTROL: RawFd = 3;
/// The machine stack that a worker has before its address space is frozen, in bytes.
const STACK: usize = 1 << 20;

/// The longest of the zygote's messages, but for the reason why it is cold.
pub(crate) const HEARD: usize = 64;

/// What the master says.
pub(crate) mod say {
    /// Fork a worker for the two descriptors that come along; the second byte is 1 for a session.
    pub(crate) const RUN: u8 = b'R';
    /// Kill the worker.
    pub(crate) const KILL: u8 = b'K';
}

/// What the zygote says.
pub(crate) mod said {
    /// It is warm.
    pub(crate) const WARM: u8 = b'W';
    /// It cannot be, for the reason that follows.
    pub(crate) const COLD: u8 = b'C';
    /// A worker is forked: its pid, or an errno negated.
    pub(crate) const FORKED: u8 = b'F';
    /// The worker has ended: status, processor nanoseconds, resident bytes; and, where steps are timed, when
    /// it was forked and when it was reaped.
    pub(crate) const ENDED: u8 = b'E';
}

/// Becomes the zygote; called in the child of a fork.
pub(crate) fn live(control: OwnedFd, config: &Config) -> ! {
    // SAFETY: the child owns its copies of all descriptors, and goes on with this one alone.
    let control = unsafe {
        libc::dup2(control.as_raw_fd(), CONTROL);
        for fd in 0..CONTROL {
            libc::dup2(CONTROL, fd);
        }
        std::mem::forget(control);
        sys::close_from(CONTROL + 1);
        OwnedFd::from_raw_fd(CONTROL)
    };
    // A terminal's Ctrl-C is the master's business; the zygote ends with its control line.
    // SAFETY: integers only.
    unsafe { libc::setpgid(0, 0) };
    for signal in Signal::iterator() {
        // SAFETY: the default is no handler of ours. SIGKILL and SIGSTOP refuse, as they should.
        let _ = unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) };
    }
    let name = if config.policy == Policy::Mode1 { c"mruby-zygote-1" } else { c"mruby-zygote" };
    let _ = sys::prctl(libc::PR_SET_NAME, name.as_ptr() as u64);
    match warm(config) {
        Ok(mut warm) => {
            let _ = send(CONTROL, &[said::WARM], MsgFlags::empty());
            serve(&control, config, &mut warm);
        }
        Err(why) => {
            let _ = send(CONTROL, &[&[said::COLD], why.as_bytes()].concat(), MsgFlags::empty());
        }
    }
    sys::exit()
}

struct Warm {
    pid: Pid,
    vm: Vm,
    filter: Option<Vec<libc::sock_filter>>,
    room: &'static mut [u8],
    signals: SignalFd,
}

fn warm(config: &Config) -> Result<Warm, String> {
    let vm = Vm::open(config.limits.memory, &config.natives)
        .ok_or_else(|| format!("the interpreter does not start within {} bytes", config.limits.memory))?;
    let filter = config.policy.program().map_err(|error| error.to_string())?;
    let filter = filter.map(|program| program.iter().map(sys::instruction).collect());
    sys::swallow_stderr();
    grow_stack();
    signals::make_stack().map_err(|errno| format!("no stack for signal handlers: {errno}"))?;
    let size = config.limits.code;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at a place of the kernel's choice, for the life of the process.
    let room = unsafe {
        let start = libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if start == libc::MAP_FAILED {
            return Err(format!("no room for {size} bytes of code: {}", Errno::last()));
        }
        std::slice::from_raw_parts_mut(start.cast::<u8>(), size)
    };
    let mut ended = SigSet::empty();
    ended.add(Signal::SIGCHLD);
    let signals = ended
        .thread_set_mask()
        .and_then(|()| SignalFd::with_flags(&ended, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC))
        .map_err(|errno| format!("signalfd: {errno}"))?;
    Ok(Warm { pid: Pid::this(), vm, filter, room, signals })
}

/// Has the kernel extend the stack's mapping by touching the one page at its far end: pages in between
/// would have their entries copied by every fork.
fn grow_stack() {
    // SAFETY: the word lies within what RLIMIT_STACK leaves free, below all that is in use, and the stack's
    // pointer is there while it is written, as kernels before 5.0 demand (arch/x86/mm/fault.c,
    // __do_page_fault). Afterwards it is where it was.
    unsafe {
        core::arch::asm!(
            "mov {old}, rsp",
            "sub rsp, {size}",
            "mov qword ptr [rsp], 0",
            "mov rsp, {old}",
            old = out(reg) _,
            size = const STACK,
        );
    }
}

fn serve(control: &OwnedFd, config: &Config, warm: &mut Warm) {
    loop {
        let mut message = [0; 2];
        let Some((length, fds)) = receive(control, &mut message) else { return };
        match (&message[..length], <[OwnedFd; 2]>::try_from(fds)) {
            ([say::RUN, session], Ok([code, answers])) => {
                if !run(control, config, warm, code, answers, *session == 1) {
                    return;
                }
            }
            // A kill that came too late.
            ([say::KILL], _) => {}
            _ => return,
        }
    }
}

fn receive(control: &OwnedFd, bytes: &mut [u8]) -> Option<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; 2]);
    let mut slices = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    loop {
        let got = match recvmsg::<()>(control.as_raw_fd(), &mut slices, Some(&mut space), flags) {
            Err(Errno::EINTR) => continue,
            Err(_) => return None,
            Ok(got) => got,
        };
        if got.bytes == 0 {
            return None;
        }
        let fds = got.cmsgs().ok()?.flat_map(|message| match message {
            ControlMessageOwned::ScmRights(fds) => fds,
            _ => Vec::new(),
        });
        // SAFETY: the kernel has just made these for this process.
        let fds = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
        return Some((got.bytes, fds));
    }
}

/// Forks a worker and waits for its end. `false` when the master is gone.
fn run(
    control: &OwnedFd,
    config: &Config,
    warm: &mut Warm,
    code: OwnedFd,
    answers: OwnedFd,
    session: bool,
) -> bool {
    let forking = config.time_steps.then(stamp);
    // SAFETY: this process has one thread.
    let child = match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let parts = Parts {
                config,
                zygote: warm.pid,
                vm: &mut warm.vm,
                filter: warm.filter.as_deref(),
                room: &mut *warm.room,
            };
            worker::live(parts, &code, &answers, session)
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(errno) => return tell(control, said::FORKED, &(-(errno as i32)).to_le_bytes()),
    };
    drop((code, answers));
    tell(control, said::FORKED, &child.as_raw().to_le_bytes())
        && attend(control, &warm.signals, child, forking)
}

/// Waits for a worker's end, and kills it when the master says so, or is gone.
fn attend(control: &OwnedFd, signals: &SignalFd, child: Pid, forking: Option<u64>) -> bool {
    let mut master = true;
    loop {
        let mut fds = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(control.as_fd(), if master { PollFlags::POLLIN } else { PollFlags::empty() }),
        ];
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue;
        }
        let asked = master && fds[1].revents().is_some_and(|events| !events.is_empty());
        if asked {
            let mut byte = [0; 2];
            master = recv(control.as_raw_fd(), &mut byte, MsgFlags::empty()).is_ok_and(|length| length > 0);
            let _ = kill(child, Signal::SIGKILL);
        }
        let _ = signals.read_signal();
        let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
        // SAFETY: both places are there; zeroes are a valid rusage.
        let (ended, usage) = unsafe {
            let ended = libc::wait4(child.as_raw(), &raw mut status, libc::WNOHANG, usage.as_mut_ptr());
            (ended, usage.assume_init())
        };
        if ended == child.as_raw() {
            let nanos = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1000;
            let mut payload = [0; 36];
            payload[..4].copy_from_slice(&status.to_le_bytes());
            payload[4..12].copy_from_slice(&(nanos(usage.ru_utime) + nanos(usage.ru_stime)).to_le_bytes());
            payload[12..20].copy_from_slice(&(usage.ru_maxrss as u64 * 1024).to_le_bytes());
            let Some(forking) = forking else { return master && tell(control, said::ENDED, &payload[..20]) };
            payload[20..28].copy_from_slice(&forking.to_le_bytes());
            payload[28..].copy_from_slice(&stamp().to_le_bytes());
            return master && tell(control, said::ENDED, &payload);
        }
    }
}

/// One message from the other end of a control line, which must not be closed.
pub(crate) fn hear<'a>(control: &OwnedFd, message: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    loop {
        match recv(control.as_raw_fd(), message, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Ok(0) => return Err(Errno::ECONNRESET),
            got => return got.map(|length| &message[..length]),
        }
    }
}

fn tell(control: &OwnedFd, what: u8, payload: &[u8]) -> bool {
    let mut bytes = [0; HEARD];
    bytes[0] = what;
    bytes[1..=payload.len()].copy_from_slice(payload);
    send(control.as_raw_fd(), &bytes[..=payload.len()], MsgFlags::MSG_NOSIGNAL).is_ok()
}
