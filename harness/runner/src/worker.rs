//! The worker: from the fork to the filter, and what it does behind it.

use crate::config::Config;
use crate::frame::Kind;
use crate::policy::{CANARY, FD_IN, FD_OUT, Policy};
use crate::steps::Stamps;
use crate::vm::{Task, Vm, instructions};
use crate::{out, signals, sys};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Pid, getppid};
use std::os::fd::{AsRawFd, OwnedFd};

/// A step of the set-up, as the frame names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Parent,
    Descriptors,
    Signals,
    Privileges,
    Limits,
    NoNewPrivs,
    Load,
    Canary,
}

impl Step {
    const ALL: [Self; 8] = [
        Self::Parent,
        Self::Descriptors,
        Self::Signals,
        Self::Privileges,
        Self::Limits,
        Self::NoNewPrivs,
        Self::Load,
        Self::Canary,
    ];

    pub(crate) fn of(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Parent => "asking to end with the zygote",
            Self::Descriptors => "giving up descriptors",
            Self::Signals => "setting signal handlers",
            Self::Privileges => {
                "giving up privileges (root needs CAP_SETUID and CAP_SETGID for it: run it as another user, or with these)"
            }
            Self::Limits => "setting resource limits",
            Self::NoNewPrivs => "prctl(PR_SET_NO_NEW_PRIVS)",
            Self::Load => "loading the filter",
            Self::Canary => "the canary call",
        }
    }
}

/// A request's head: lengths of code and input, seed; see [`head`].
pub(crate) const HEAD: usize = 16;

/// The head of a request.
pub(crate) fn head(code: usize, input: usize, seed: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&(code as u32).to_le_bytes());
    head[4..8].copy_from_slice(&(input as u32).to_le_bytes());
    head[8..].copy_from_slice(&seed.to_le_bytes());
    head
}

/// What a worker is made from; the zygote holds it ready.
pub(crate) struct Parts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) zygote: Pid,
    pub(crate) vm: &'a mut Vm,
    pub(crate) filter: Option<&'a [libc::sock_filter]>,
    /// Room for the code and the input.
    pub(crate) room: &'a mut [u8],
}

/// Becomes a worker, and ends as one.
pub(crate) fn live(parts: Parts<'_>, code: &OwnedFd, answers: &OwnedFd, session: bool) -> ! {
    let Parts { config, zygote, vm, filter, room } = parts;
    let mut stamps = Stamps::new(config.time_steps);
    stamps.take();
    if let Err((step, errno)) = confine(config, zygote, filter, code, answers, session, &mut stamps) {
        let mut payload = [step as u8, 0, 0, 0, 0];
        payload[1..].copy_from_slice(&(errno as i32).to_le_bytes());
        out::frame(Kind::Unready, &payload);
        sys::exit()
    }
    out::frame(Kind::Ready, stamps.give());
    loop {
        let mut head = [0; HEAD];
        if !sys::read_exact(FD_IN, &mut head) {
            sys::exit()
        }
        let length =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (code, input) = (length(0), length(4));
        let mut seed = [0; 8];
        seed.copy_from_slice(&head[8..]);
        // The master keeps within the limit; nothing beyond the room is read.
        let Some(place) = room.get_mut(..code.saturating_add(input)) else { sys::exit() };
        if !sys::read_exact(FD_IN, place) {
            sys::exit()
        }
        stamps.take();
        let (code, input) = place.split_at(code);
        let answer = vm.answer(&Task {
            code,
            input,
            seed: u64::from_le_bytes(seed),
            instructions: config.limits.instructions,
            depth: config.limits.depth,
        });
        stamps.take();
        let mut payload = [0; 33];
        payload[0] = answer as u8;
        payload[1..9].copy_from_slice(&instructions().to_le_bytes());
        payload[9..17].copy_from_slice(&vm.peak().to_le_bytes());
        let stamps = stamps.give();
        payload[17..17 + stamps.len()].copy_from_slice(stamps);
        out::frame(Kind::End, &payload[..17 + stamps.len()]);
        if !session {
            sys::exit()
        }
    }
}

/// From a process like its parent to one that can do nothing but read, write and end.
fn confine(
    config: &Config,
    zygote: Pid,
    filter: Option<&[libc::sock_filter]>,
    code: &OwnedFd,
    answers: &OwnedFd,
    session: bool,
    stamps: &mut Stamps,
) -> Result<(), (Step, Errno)> {
    let at = |step: Step| move |errno: Errno| (step, errno);
    // In the zygote 0 and 1 are taken, so neither pipe is closed before it is copied.
    for (fd, to) in [(code, FD_IN), (answers, FD_OUT)] {
        // SAFETY: `to` belongs to nobody; the copy lives as long as the process.
        Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), to) }).map_err(at(Step::Descriptors))?;
    }
    sys::close_from(2);
    stamps.take();
    signals::handle(config.policy == Policy::Diagnose).map_err(at(Step::Signals))?;
    sys::drop_privileges().map_err(at(Step::Privileges))?;
    sys::prctl(libc::PR_SET_DUMPABLE, 0).map_err(at(Step::Privileges))?;
    // After the user has changed, which takes it back (kernel/cred.c commit_creds).
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64).map_err(at(Step::Parent))?;
    // It may have ended before: nobody would watch, and the request is in the pipe.
    if getppid() != zygote {
        return Err((Step::Parent, Errno::ESRCH));
    }
    limit(config, session).map_err(at(Step::Limits))?;
    stamps.take();
    match filter {
        Some(filter) => {
            sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(at(Step::NoNewPrivs))?;
            sys::load(filter).map_err(at(Step::Load))?;
        }
        None => {
            let strict = u64::from(libc::SECCOMP_MODE_STRICT);
            sys::prctl(libc::PR_SET_SECCOMP, strict).map_err(at(Step::Load))?;
        }
    }
    if config.policy.has_canary() {
        // SAFETY: no arguments.
        let answer = unsafe { libc::syscall(libc::SYS_getppid) };
        if answer != -1 || Errno::last_raw() != CANARY {
            return Err((Step::Canary, Errno::last()));
        }
    }
    stamps.take();
    Ok(())
}

/// The limits that the kernel holds. The filter stands before most of them; they stand behind it.
fn limit(config: &Config, session: bool) -> Result<(), Errno> {
    let none = [
        Resource::RLIMIT_NOFILE,
        Resource::RLIMIT_FSIZE,
        Resource::RLIMIT_CORE,
        Resource::RLIMIT_MEMLOCK,
        Resource::RLIMIT_MSGQUEUE,
        // The interpreter's memory and the machine stack are mapped: from here on nothing grows.
        Resource::RLIMIT_AS,
        Resource::RLIMIT_NPROC,
    ];
    if !session {
        // The master's watch is finer; this one holds also without the master. It counts in ticks
        // (kernel/time/posix-cpu-timers.c check_process_timers), which on a busy machine may run ahead of
        // the clock: by SIGXCPU first, so that it comes to be called what it is.
        let seconds = config.limits.cpu.as_secs() + 1;
        // Who started the program may have been stricter, and only root can take that back.
        let (_, most) = getrlimit(Resource::RLIMIT_CPU)?;
        setrlimit(Resource::RLIMIT_CPU, seconds.min(most), (seconds + 1).min(most))?;
    }
    none.into_iter().try_for_each(|resource| setrlimit(resource, 0, 0))
}
