//! One evaluation, watched: the request goes, the answer comes, clocks run, and the worker's end is
//! heard from the zygote.

use crate::answer::{Coming, Stop};
use crate::worker::head;
use crate::zygote::{Config, said, say};
use crate::{Ending, Error, Limit, Outcome, Request, Usage};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::socket::{ControlMessage, MsgFlags, recv, send, sendmsg};
use nix::unistd::{pipe2, read, write};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long after its kill a worker may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// A worker: its pid and the master's ends of its pipes.
#[derive(Debug)]
pub(crate) struct Worker {
    pid: i32,
    code: OwnedFd,
    answers: OwnedFd,
    asked: Instant,
}

/// What the zygote says of a worker's end.
#[derive(Clone, Copy, Debug)]
struct End {
    status: i32,
    cpu: Duration,
    resident: u64,
}

fn zygote(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::Zygote { what, errno }
}

impl Worker {
    /// Has the zygote fork a worker.
    pub(crate) fn start(control: &OwnedFd, session: bool) -> Result<Self, Error> {
        let asked = Instant::now();
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
        let mut answer = [0; 32];
        match hear(control, &mut answer)? {
            [said::FORKED, a, b, c, d] => match i32::from_le_bytes([*a, *b, *c, *d]) {
                pid if pid > 0 => Ok(Self { pid, code, answers, asked }),
                errno => Err(Error::Setup { step: "forking a worker", errno: Errno::from_raw(-errno) }),
            },
            _ => Err(zygote("asking for a worker")(Errno::EPROTO)),
        }
    }

    /// Closes its pipes, which ends it, and waits for the zygote to have seen that.
    pub(crate) fn dismiss(self, control: &OwnedFd) -> Result<(), Error> {
        drop((self.code, self.answers));
        let _ = send(control.as_raw_fd(), &[say::KILL], MsgFlags::MSG_NOSIGNAL);
        let mut message = [0; 32];
        hear(control, &mut message).map(drop)
    }

    /// The processor time it has used, by the kernel's clock (clock_getcpuclockid(3)).
    fn cpu(&self) -> Option<Duration> {
        let pid = nix::unistd::Pid::from_raw(self.pid);
        let now = nix::time::ClockId::pid_cpu_clock_id(pid).ok()?.now().ok()?;
        Some(now.into())
    }
}

/// One message of the zygote's.
fn hear<'a>(control: &OwnedFd, message: &'a mut [u8]) -> Result<&'a [u8], Error> {
    let length = loop {
        match recv(control.as_raw_fd(), message, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Ok(0) => return Err(zygote("hearing from it")(Errno::ECONNRESET)),
            got => break got.map_err(zygote("hearing from it"))?,
        }
    };
    Ok(&message[..length])
}

fn end(message: &[u8]) -> Result<End, Error> {
    let number = |at: usize| message.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    match (message.first(), message.get(1..5).and_then(|four| four.try_into().ok()), number(5), number(13)) {
        (Some(&said::ENDED), Some(status), Some(cpu), Some(resident)) => {
            Ok(End { status: i32::from_le_bytes(status), cpu: Duration::from_nanos(cpu), resident })
        }
        _ => Err(zygote("hearing of the worker's end")(Errno::EPROTO)),
    }
}

/// One evaluation.
pub(crate) struct Attempt<'a> {
    control: &'a OwnedFd,
    worker: &'a mut Worker,
    config: &'a Config,
    session: bool,
    began: Instant,
    cpu_before: Duration,
    stop: Option<Stop>,
    killed: Option<Instant>,
    end: Option<End>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(
        control: &'a OwnedFd,
        worker: &'a mut Worker,
        config: &'a Config,
        session: bool,
    ) -> Self {
        Self {
            control,
            worker,
            config,
            session,
            began: Instant::now(),
            cpu_before: Duration::ZERO,
            stop: None,
            killed: None,
            end: None,
        }
    }

    /// Asks, watches, and says what it came to, and whether the worker goes on.
    pub(crate) fn carry_out(
        mut self,
        mut coming: Coming,
        request: &Request<'_>,
    ) -> Result<(Outcome, bool), Error> {
        if coming.ready {
            self.worker.asked = self.began;
            self.cpu_before = self.worker.cpu().unwrap_or_default();
        }
        let head = head(request.code.len(), request.input.len(), request.seed);
        let request = [head.as_slice(), request.code, &request.input].concat();
        let mut unsent = request.as_slice();
        let mut open = true;
        // Where no canary shows that the filter is there, no code goes before the master has looked.
        let mut cleared = coming.ready || self.config.policy.has_canary();
        while self.end.is_none() || open {
            let done = coming.is_whole() && self.stop.is_none();
            if self.session && done && matches!(unsent, []) && self.end.is_none() {
                break;
            }
            if !cleared && coming.ready {
                self.look_for_filter()?;
                cleared = true;
            }
            let sending = cleared && !unsent.is_empty() && self.end.is_none();
            let (told, readable, writable) = self.wait(open, sending)?;
            if told {
                let mut message = [0; 32];
                self.end = Some(end(hear(self.control, &mut message)?)?);
            }
            if writable {
                match write_quietly(&self.worker.code, unsent) {
                    Ok(wrote) => unsent = &unsent[wrote..],
                    Err(Errno::EAGAIN | Errno::EINTR) => {}
                    // The worker is gone, or has closed its end: its own end will say why.
                    Err(_) => unsent = &[],
                }
            }
            if readable {
                open = self.read(&mut coming)?;
            }
            self.watch()?;
        }
        self.finish(&coming)
    }

    /// Reads what is there. `false` at the end of the pipe.
    fn read(&mut self, coming: &mut Coming) -> Result<bool, Error> {
        let mut bytes = [0; 16 << 10];
        match read(&self.worker.answers, &mut bytes) {
            Ok(0) => Ok(false),
            // Nothing is read from a worker that is being killed: what it wants to say is known.
            Ok(_) if self.stop.is_some() => Ok(true),
            Ok(length) => {
                if let Err(stop) = coming.take(&bytes[..length], &self.config.limits) {
                    self.kill(stop)?;
                }
                Ok(true)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(true),
            Err(_) => Ok(false),
        }
    }

    /// Waits for something to do, no longer than the next clock allows.
    fn wait(&self, open: bool, sending: bool) -> Result<(bool, bool, bool), Error> {
        let limits = &self.config.limits;
        let wall = limits.wall.saturating_sub(self.began.elapsed());
        let left = match self.killed {
            Some(_) => Duration::from_millis(100),
            None => wall.min(limits.cpu.saturating_sub(self.cpu())) + Duration::from_micros(200),
        };
        let millis = left.as_nanos().div_ceil(1_000_000).clamp(1, 60_000);
        let mut fds = vec![PollFd::new(self.control.as_fd(), PollFlags::POLLIN)];
        if self.end.is_some() {
            fds[0] = PollFd::new(self.control.as_fd(), PollFlags::empty());
        }
        if open {
            fds.push(PollFd::new(self.worker.answers.as_fd(), PollFlags::POLLIN));
        }
        if sending {
            fds.push(PollFd::new(self.worker.code.as_fd(), PollFlags::POLLOUT));
        }
        match poll(&mut fds, PollTimeout::from(millis as u16)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(zygote("poll")(errno)),
        }
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
        let told = ready.next().unwrap_or(false) && self.end.is_none();
        let readable = open && ready.next().unwrap_or(false);
        Ok((told, readable, sending && ready.next().unwrap_or(false)))
    }

    fn cpu(&self) -> Duration {
        self.worker.cpu().unwrap_or_default().saturating_sub(self.cpu_before)
    }

    /// Holds the clocks against their limits.
    fn watch(&mut self) -> Result<(), Error> {
        if self.end.is_some() {
            return Ok(());
        }
        match self.killed {
            Some(killed) if killed.elapsed() > GONE => Err(zygote("ending a worker")(Errno::ETIMEDOUT)),
            Some(_) => Ok(()),
            None if self.cpu() >= self.config.limits.cpu => self.kill(Stop::Limit(Limit::Cpu)),
            None if self.began.elapsed() >= self.config.limits.wall => self.kill(Stop::Limit(Limit::Wall)),
            None => Ok(()),
        }
    }

    fn kill(&mut self, stop: Stop) -> Result<(), Error> {
        if self.stop.is_none() {
            self.stop = Some(stop);
        }
        if self.killed.is_none() && self.end.is_none() {
            self.killed = Some(Instant::now());
            send(self.control.as_raw_fd(), &[say::KILL], MsgFlags::MSG_NOSIGNAL)
                .map_err(zygote("ending a worker"))?;
        }
        Ok(())
    }

    /// Whether `/proc` says that the worker is filtered (proc_pid_status(5), `Seccomp`).
    fn look_for_filter(&mut self) -> Result<(), Error> {
        let wanted = if self.config.policy == crate::Policy::Mode1 { "1" } else { "2" };
        let path = format!("/proc/{}/status", self.worker.pid);
        let why = match std::fs::read_to_string(&path) {
            Ok(status) => match status.lines().find_map(|line| line.strip_prefix("Seccomp:")) {
                Some(mode) if mode.trim() == wanted => return Ok(()),
                Some(mode) => format!("{path} says mode {}", mode.trim()),
                None => format!(
                    "{path} has no line `Seccomp`, and policy {} no canary",
                    self.config.policy.name()
                ),
            },
            Err(error) => format!("{path}: {error}"),
        };
        self.kill(Stop::Broken(why.clone()))?;
        let mut message = [0; 32];
        hear(self.control, &mut message)?;
        Err(Error::NotFiltered { why })
    }

    fn finish(mut self, coming: &Coming) -> Result<(Outcome, bool), Error> {
        let wall = self.worker.asked.elapsed();
        let status = self.end.map(|end| end.status);
        let ending = coming.ending(self.config.policy, &self.config.limits, status, self.stop.take());
        let goes_on = self.end.is_none()
            && matches!(ending, Ok(Ending::Value { .. } | Ending::Exception { .. } | Ending::Syntax { .. }));
        if self.end.is_none() && !goes_on {
            // A session's worker that is of no more use: the zygote must be free for the next one.
            send(self.control.as_raw_fd(), &[say::KILL], MsgFlags::MSG_NOSIGNAL)
                .map_err(zygote("ending a worker"))?;
            let mut message = [0; 32];
            self.end = Some(end(hear(self.control, &mut message)?)?);
        }
        let ending = ending?;
        let cpu = self.end.map_or_else(|| self.cpu(), |end| end.cpu.saturating_sub(self.cpu_before));
        let resident = self.end.map_or(0, |end| end.resident);
        let usage = Usage { wall, cpu, resident, ..coming.usage() };
        Ok((Outcome { ending, stdout: coming.stdout.clone(), usage }, goes_on))
    }
}

/// write(2) without SIGPIPE, whatever the program makes of that signal: a worker may be gone.
fn write_quietly(pipe: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let mut signal = SigSet::empty();
    signal.add(Signal::SIGPIPE);
    let before = signal.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let wrote = write(pipe, bytes);
    if wrote == Err(Errno::EPIPE) && !before.contains(Signal::SIGPIPE) {
        let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the set and the time live until the call returns; nothing is written.
        unsafe { libc::sigtimedwait(signal.as_ref(), std::ptr::null_mut(), &raw const none) };
    }
    before.thread_set_mask()?;
    wrote
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{SigHandler, signal};
    use nix::sys::wait::{WaitStatus, waitpid};

    #[test]
    fn a_worker_that_is_gone_costs_an_error_and_no_signal() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        drop(reader);
        // SAFETY: the child makes system calls alone, and ends by _exit.
        match unsafe { nix::unistd::fork() }.unwrap() {
            // SAFETY: as above.
            nix::unistd::ForkResult::Child => unsafe {
                let set = signal(Signal::SIGPIPE, SigHandler::SigDfl);
                let told = write_quietly(&writer, b"1") == Err(Errno::EPIPE);
                libc::_exit(if set.is_ok() && told { 7 } else { 1 })
            },
            nix::unistd::ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 7)));
            }
        }
    }
}
