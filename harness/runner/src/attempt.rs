//! One evaluation, watched: the request goes, the answer comes, clocks run, and the worker's end is
//! heard from the zygote.

use crate::answer::{Coming, Stop};
use crate::config::Config;
use crate::frame::Fields;
use crate::steps::{Clock, stamp};
use crate::worker::head;
use crate::zygote::{HEARD, hear, said, say};
use crate::{Ending, Error, Limit, Outcome, Request, Steps, Usage};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::socket::{ControlMessage, MsgFlags, send, sendmsg};
use nix::time::ClockId;
use nix::unistd::{Pid, pipe2, read, write};
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
    /// The same by the counter, where steps are timed.
    stamp: u64,
    clock: Option<ClockId>,
}

/// What the zygote says of a worker's end.
#[derive(Clone, Copy, Debug)]
struct End {
    status: i32,
    cpu: Duration,
    resident: u64,
    /// When it was forked and reaped, where steps are timed.
    stamps: Option<[u64; 2]>,
}

fn zygote(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::Zygote { what, errno }
}

impl Worker {
    /// Has the zygote fork a worker.
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
        let mut answer = [0; HEARD];
        match hear(control, &mut answer).map_err(zygote("hearing from it"))? {
            [said::FORKED, a, b, c, d] => match i32::from_le_bytes([*a, *b, *c, *d]) {
                pid if pid > 0 => {
                    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid)).ok();
                    Ok(Self { pid, code, answers, asked, stamp, clock })
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
    fn cpu(&self) -> Option<Duration> {
        Some(self.clock?.now().ok()?.into())
    }
}

/// Has the zygote kill its worker.
fn kill(control: &OwnedFd) -> Result<(), Error> {
    let sent = send(control.as_raw_fd(), &[say::KILL], MsgFlags::MSG_NOSIGNAL);
    sent.map(drop).map_err(zygote("ending a worker"))
}

/// The zygote's word on its worker's end.
fn hear_end(control: &OwnedFd) -> Result<End, Error> {
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

/// One evaluation.
pub(crate) struct Attempt<'a> {
    control: &'a OwnedFd,
    worker: &'a mut Worker,
    config: &'a Config,
    clock: Option<&'a Clock>,
    session: bool,
    began: Instant,
    cpu_before: Duration,
    /// What the worker has used since, when it was last looked at.
    cpu: Duration,
    stop: Option<Stop>,
    killed: Option<Instant>,
    end: Option<End>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(
        control: &'a OwnedFd,
        worker: &'a mut Worker,
        config: &'a Config,
        clock: Option<&'a Clock>,
        session: bool,
    ) -> Self {
        Self {
            control,
            worker,
            config,
            clock,
            session,
            began: Instant::now(),
            cpu_before: Duration::ZERO,
            cpu: Duration::ZERO,
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
            // One that has ended gets no code: how it ended says why.
            if !cleared && coming.ready && self.end.is_none() {
                self.look_for_filter()?;
                cleared = true;
            }
            let sending = cleared && !unsent.is_empty() && self.end.is_none();
            let (told, readable, writable) = self.wait(open, sending)?;
            if told {
                self.end = Some(hear_end(self.control)?);
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
        self.finish(coming)
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
            None => wall.min(limits.cpu.saturating_sub(self.cpu)) + Duration::from_micros(200),
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
        self.cpu = self.cpu();
        match self.killed {
            Some(killed) if killed.elapsed() > GONE => Err(zygote("ending a worker")(Errno::ETIMEDOUT)),
            Some(_) => Ok(()),
            None if self.cpu >= self.config.limits.cpu => self.kill(Stop::Limit(Limit::Cpu)),
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
            kill(self.control)?;
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
        self.end_now()?;
        Err(Error::NotFiltered { why })
    }

    /// Ends the worker, if it has not ended yet: the zygote must be free for the next one.
    fn end_now(&mut self) -> Result<(), Error> {
        if self.end.is_none() {
            kill(self.control)?;
            self.end = Some(hear_end(self.control)?);
        }
        Ok(())
    }

    /// What each step took, if it is to be known.
    fn steps(&self, coming: &Coming) -> Option<Steps> {
        let ([born, descriptors, limits, filter], [read, done]) = coming.stamps;
        let [forking, reaped] = self.end?.stamps?;
        let asked = self.worker.stamp;
        self.clock?.steps(&[asked, forking, born, descriptors, limits, filter, read, done, reaped, stamp()])
    }

    fn finish(mut self, coming: Coming) -> Result<(Outcome, bool), Error> {
        let wall = self.worker.asked.elapsed();
        let steps = self.steps(&coming);
        let status = self.end.map(|end| end.status);
        let ending = coming.ending(self.config.policy, &self.config.limits, status, self.stop.take());
        let goes_on = self.end.is_none()
            && matches!(ending, Ok(Ending::Value { .. } | Ending::Exception { .. } | Ending::Syntax { .. }));
        if !goes_on {
            // A session's worker that is of no more use.
            self.end_now()?;
        }
        let ending = ending?;
        let cpu = self.end.map_or_else(|| self.cpu(), |end| end.cpu.saturating_sub(self.cpu_before));
        let resident = self.end.map_or(0, |end| end.resident);
        let usage = Usage { wall, cpu, resident, steps, ..coming.usage() };
        Ok((Outcome { ending, stdout: coming.stdout, usage }, goes_on))
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
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
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

    /// A zygote that has said its word already, of a worker that was ready and was killed.
    #[test]
    fn a_worker_that_dies_between_its_word_and_the_look_is_not_waited_for() {
        let (ours, its) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let (answers, its_answers) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let (_its_code, code) = pipe2(OFlag::O_CLOEXEC).unwrap();
        write(&its_answers, b"R\0\0\0\0").unwrap();
        let ended = [[said::ENDED, 9, 0, 0, 0].as_slice(), &[0; 16]].concat();
        send(its.as_raw_fd(), &ended, MsgFlags::empty()).unwrap();
        drop(its_answers);
        let (done, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let config = Config { policy: crate::Policy::Mode1, ..Config::default() };
            let asked = Instant::now();
            let mut worker = Worker { pid: i32::MAX, code, answers, asked, stamp: 0, clock: None };
            let attempt = Attempt::new(&ours, &mut worker, &config, None, false);
            let came = attempt.carry_out(Coming::default(), &Request::new("1"));
            done.send(came.map(|(outcome, goes_on)| (outcome.ending, goes_on)).ok())
        });
        let came = heard.recv_timeout(Duration::from_secs(20)).expect("it waits for what does not come");
        // In strict mode that is what the kernel does to a forbidden call.
        assert_eq!(came, Some((Ending::Forbidden { call: None }, false)));
        drop(its);
    }
}
