//! One evaluation, watched: the request goes, the answer comes, clocks run, and the worker's end is
//! heard from the zygote.

use crate::answer::{Coming, Stop};
use crate::config::Config;
use crate::forked::{self, End, Worker, hear_end, zygote};
use crate::steps::{Clock, stamp};
use crate::worker::head;
use crate::{Ending, Error, Limit, Outcome, Request, Steps, Usage};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{read, write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long after its kill a worker may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// One evaluation.
pub(crate) struct Attempt<'a> {
    control: &'a OwnedFd,
    worker: &'a mut Worker,
    config: &'a Config,
    clock: Option<&'a Clock>,
    session: bool,
    cpu_before: Duration,
    /// How long after it was asked the worker may have used up its processor time: it has one thread, and was not there
    /// or waited before.
    cpu_due: Duration,
    stop: Option<Stop>,
    killed: Option<Instant>,
    end: Option<End>,
}

/// What was in the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Some,
    Nothing,
    End,
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
            cpu_before: Duration::ZERO,
            cpu_due: config.limits.cpu,
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
            self.worker.asked = Instant::now();
            self.cpu_before = self.worker.cpu().unwrap_or_default();
        }
        let head = head(request.code.len(), request.input.len(), request.seed);
        let request = [head.as_slice(), request.code, &request.input].concat();
        let mut unsent = request.as_slice();
        let mut open = true;
        // Where no canary shows that the filter is there, no code goes before the master has looked.
        let mut cleared = coming.ready || self.config.policy.has_canary();
        while self.end.is_none() {
            let done = coming.is_whole() && self.stop.is_none();
            if self.session && done && matches!(unsent, []) && self.end.is_none() {
                break;
            }
            // One that has ended gets no code: how it ended says why.
            if !cleared && coming.ready && self.end.is_none() {
                self.look_for_filter()?;
                cleared = true;
            }
            let mut sending = cleared && !unsent.is_empty() && self.end.is_none();
            if sending {
                match write_quietly(&self.worker.code, unsent) {
                    Ok(wrote) => unsent = &unsent[wrote..],
                    Err(Errno::EAGAIN | Errno::EINTR) => {}
                    // The worker is gone, or has closed its end: its own end will say why.
                    Err(_) => unsent = &[],
                }
                sending = !unsent.is_empty();
            }
            let (told, readable) = self.wait(open, sending)?;
            if self.worker.meet(self.control)? {
                // It may have ended already: that is to be known before it is looked at.
                continue;
            }
            if told {
                self.end = Some(hear_end(self.control)?);
            }
            if readable {
                open = self.read(&mut coming)? != Read::End;
            }
            self.watch()?;
        }
        // What it wrote is in the pipe by now. The end of the pipe is not waited for: a child that another thread of the
        // program has forked may hold a copy of it.
        while self.end.is_some() && open && self.read(&mut coming)? == Read::Some {}
        self.finish(coming)
    }

    /// Reads what is there.
    fn read(&mut self, coming: &mut Coming) -> Result<Read, Error> {
        let mut bytes = [0; 16 << 10];
        loop {
            match read(&self.worker.answers, &mut bytes) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(Read::Nothing),
                Ok(0) | Err(_) => return Ok(Read::End),
                // Nothing is read from a worker that is being killed: what it wants to say is known.
                Ok(_) if self.stop.is_some() => return Ok(Read::Some),
                Ok(length) => {
                    if let Err(stop) = coming.take(&bytes[..length], &self.config.limits) {
                        self.kill(stop)?;
                    }
                    return Ok(Read::Some);
                }
            }
        }
    }

    /// Waits for something to do, no longer than the next clock allows. Says whether the zygote has news of the worker's
    /// end, and the worker an answer. That the worker is forked is no reason to wake.
    fn wait(&self, open: bool, sending: bool) -> Result<(bool, bool), Error> {
        let limits = &self.config.limits;
        let elapsed = self.worker.asked.elapsed();
        let wall = limits.wall.saturating_sub(elapsed);
        let left = match self.killed {
            Some(_) => Duration::from_millis(100),
            None => wall.min(self.cpu_due.saturating_sub(elapsed)) + Duration::from_micros(200),
        };
        let millis = left.as_nanos().div_ceil(1_000_000).clamp(1, 60_000);
        let waited_for = self.end.is_none() && self.worker.pid.is_some();
        let news = if waited_for { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut fds = vec![PollFd::new(self.control.as_fd(), news)];
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
        Ok((told, open && ready.next().unwrap_or(false)))
    }

    fn cpu(&self) -> Duration {
        self.worker.cpu().unwrap_or_default().saturating_sub(self.cpu_before)
    }

    /// Whether the processor time is used up, asked when it may be.
    fn is_out_of_cpu(&mut self, elapsed: Duration) -> bool {
        if elapsed < self.cpu_due {
            return false;
        }
        let left = self.config.limits.cpu.saturating_sub(self.cpu());
        self.cpu_due = elapsed + left;
        left.is_zero()
    }

    /// Holds the clocks against their limits.
    fn watch(&mut self) -> Result<(), Error> {
        if self.end.is_some() {
            return Ok(());
        }
        let elapsed = self.worker.asked.elapsed();
        match self.killed.map(|killed| killed.elapsed()) {
            Some(waited) if waited > GONE => Err(zygote("ending a worker")(Errno::ETIMEDOUT)),
            Some(_) => Ok(()),
            None if self.is_out_of_cpu(elapsed) => self.kill(Stop::Limit(Limit::Cpu)),
            None if elapsed >= self.config.limits.wall => self.kill(Stop::Limit(Limit::Wall)),
            None => Ok(()),
        }
    }

    fn kill(&mut self, stop: Stop) -> Result<(), Error> {
        if self.stop.is_none() {
            self.stop = Some(stop);
        }
        if self.killed.is_none() && self.end.is_none() {
            self.killed = Some(Instant::now());
            forked::kill(self.control)?;
        }
        Ok(())
    }

    /// Whether `/proc` says that the worker is filtered (proc_pid_status(5), `Seccomp`).
    fn look_for_filter(&mut self) -> Result<(), Error> {
        let wanted = if self.config.policy == crate::Policy::Mode1 { "1" } else { "2" };
        let pid = self.worker.pid.ok_or_else(|| zygote("looking at a worker")(Errno::EPROTO))?;
        let path = format!("/proc/{pid}/status");
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
            forked::kill(self.control)?;
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
    use crate::zygote::said;
    use nix::fcntl::OFlag;
    use nix::sys::signal::{SigHandler, signal};
    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::pipe2;
    use std::os::fd::AsRawFd;

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

    /// What a worker writes that is ready.
    const READY: &[u8] = b"R\0\0\0\0";

    fn forked(pid: i32) -> Vec<u8> {
        [&[said::FORKED][..], &pid.to_le_bytes()].concat()
    }

    fn killed() -> Vec<u8> {
        [&[said::ENDED, 9, 0, 0, 0][..], &[0; 16]].concat()
    }

    /// What comes of an evaluation where the zygote has said these words already, and perhaps is gone, and the worker has
    /// written that it is ready, and perhaps is there yet. The request is longer than a pipe.
    fn comes_of(words: &[Vec<u8>], stays: bool, worker: bool) -> Result<Ending, Error> {
        let (ours, its) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let pipes = [(); 2].map(|()| pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap());
        let [(its_code, code), (answers, its_answers)] = pipes;
        write(&its_answers, READY).unwrap();
        for word in words {
            send(its.as_raw_fd(), word, MsgFlags::empty()).unwrap();
        }
        let zygote = stays.then_some(its);
        let there = worker.then_some((its_code, its_answers));
        let (done, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let config = Config { policy: crate::Policy::Mode1, ..Config::default() };
            let mut worker = Worker { pid: None, code, answers, asked: Instant::now(), stamp: 0 };
            let code = vec![b' '; 200 << 10];
            let request = Request::new(&code);
            let came = Attempt::new(&ours, &mut worker, &config, None, false)
                .carry_out(Coming::default(), &request)
                .map(|(outcome, _)| outcome.ending);
            done.send(came)
        });
        let came = heard.recv_timeout(Duration::from_secs(20)).expect("it waits for what does not come");
        drop((zygote, there));
        came
    }

    #[test]
    fn a_worker_that_dies_between_its_word_and_the_look_is_not_waited_for() {
        let came = comes_of(&[forked(i32::MAX), killed()], true, false);
        // In strict mode that is what the kernel does to a forbidden call.
        assert!(matches!(came, Ok(Ending::Forbidden { call: None })), "{came:?}");
    }

    #[test]
    fn a_fork_that_fails_has_its_errno() {
        let came = comes_of(&[forked(-libc::EAGAIN)], true, false);
        let wanted = matches!(came, Err(Error::Setup { step: "forking a worker", errno: Errno::EAGAIN }));
        assert!(wanted, "{came:?}");
    }

    #[test]
    fn a_zygote_that_is_gone_is_an_error_at_any_time() {
        for words in [&[][..], &[forked(i32::MAX)]] {
            let came = comes_of(words, false, words.is_empty());
            assert!(
                matches!(came, Err(Error::Zygote { errno: Errno::ECONNRESET, .. })),
                "{words:?}: {came:?}"
            );
        }
    }

    #[test]
    fn a_zygote_that_says_something_else_is_not_believed() {
        for words in [&[killed()][..], &[b"?".to_vec()], &[forked(i32::MAX), forked(1)]] {
            let came = comes_of(words, true, false);
            assert!(matches!(came, Err(Error::Zygote { errno: Errno::EPROTO, .. })), "{words:?}: {came:?}");
        }
    }
}
