//! A worker as its master has it: the ends of its pipes, and what the zygote says of it.

use crate::Error;
use crate::frame::Fields;
use crate::steps::stamp;
use crate::zygote::{HEARD, hear, said, say};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{ControlMessage, MsgFlags, send, sendmsg};
use nix::time::ClockId;
use nix::unistd::{Pid, pipe2};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// A worker: its pid and the master's ends of its pipes.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Not known before the zygote was heard.
    pub(crate) pid: Option<Pid>,
    pub(crate) code: OwnedFd,
    pub(crate) answers: OwnedFd,
    pub(crate) asked: Instant,
    /// The same by the counter, where steps are timed.
    pub(crate) stamp: u64,
}

/// What the zygote says of a worker's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) status: i32,
    pub(crate) cpu: Duration,
    pub(crate) resident: u64,
    /// When it was forked and reaped, where steps are timed.
    pub(crate) stamps: Option<[u64; 2]>,
}

pub(crate) fn zygote(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::Zygote { what, errno }
}

impl Worker {
    /// Has the zygote fork a worker, and does not wait for it.
    pub(crate) fn start(control: &OwnedFd, session: bool, timed: bool) -> Result<Self, Error> {
        let (asked, stamp) = (Instant::now(), if timed { stamp() } else { 0 });
        let (its_code, code) = pipe2(OFlag::O_CLOEXEC).map_err(zygote("making a pipe"))?;
        let (answers, its_answers) = pipe2(OFlag::O_CLOEXEC).map_err(zygote("making a pipe"))?;
        for end in [&code, &answers] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(zygote("making a pipe"))?;
        }
        let fds = [its_code.as_raw_fd(), its_answers.as_raw_fd()];
        let message = [say::RUN, u8::from(session)];
        sendmsg::<()>(
            control.as_raw_fd(),
            &[IoSlice::new(&message)],
            &[ControlMessage::ScmRights(&fds)],
            MsgFlags::MSG_NOSIGNAL,
            None,
        )
        .map_err(zygote("asking for a worker"))?;
        Ok(Self { pid: None, code, answers, asked, stamp })
    }

    /// Hears from the zygote that it is forked, and waits for that: the zygote says so before anything else of it.
    /// `false` where that was known.
    pub(crate) fn meet(&mut self, control: &OwnedFd) -> Result<bool, Error> {
        if self.pid.is_some() {
            return Ok(false);
        }
        let mut answer = [0; HEARD];
        match hear(control, &mut answer).map_err(zygote("hearing from it"))? {
            [said::FORKED, a, b, c, d] => match i32::from_le_bytes([*a, *b, *c, *d]) {
                pid if pid > 0 => {
                    self.pid = Some(Pid::from_raw(pid));
                    Ok(true)
                }
                errno => Err(Error::Setup { step: "forking a worker", errno: Errno::from_raw(-errno) }),
            },
            _ => Err(zygote("asking for a worker")(Errno::EPROTO)),
        }
    }

    /// Closes its pipes, which ends it, and waits for the zygote to have seen that.
    pub(crate) fn dismiss(self, control: &OwnedFd) -> Result<(), Error> {
        drop((self.code, self.answers));
        kill(control)?;
        hear_end(control).map(drop)
    }

    /// The processor time it has used, by the kernel's clock (clock_getcpuclockid(3)).
    pub(crate) fn cpu(&self) -> Option<Duration> {
        Some(ClockId::pid_cpu_clock_id(self.pid?).ok()?.now().ok()?.into())
    }
}

/// Has the zygote kill its worker.
pub(crate) fn kill(control: &OwnedFd) -> Result<(), Error> {
    let sent = send(control.as_raw_fd(), &[say::KILL], MsgFlags::MSG_NOSIGNAL);
    sent.map(drop).map_err(zygote("ending a worker"))
}

/// The zygote's word on its worker's end.
pub(crate) fn hear_end(control: &OwnedFd) -> Result<End, Error> {
    let mut message = [0; HEARD];
    let message = hear(control, &mut message).map_err(zygote("hearing from it"))?;
    let mut fields = Fields(message);
    let mut end = || {
        (fields.u8()? == said::ENDED).then_some(())?;
        let (status, cpu) = (fields.u32()? as i32, Duration::from_nanos(fields.u64()?));
        Some(End { status, cpu, resident: fields.u64()?, stamps: fields.u64s() })
    };
    end().ok_or_else(|| zygote("hearing of the worker's end")(Errno::EPROTO))
}
