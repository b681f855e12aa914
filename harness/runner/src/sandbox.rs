//! The master's side: sandboxes, sessions, evaluations.

use crate::answer::Coming;
use crate::attempt::Attempt;
use crate::config::Config;
use crate::forked::Worker;
use crate::steps::Clock;
use crate::zygote::{self, HEARD, hear, said};
use crate::{Ending, Error, Limit, Limits, Native, Outcome, Policy, Request, Usage};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, recv, shutdown, socketpair};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a zygote may take to leave when it is let go: a moment, but for one that was stopped.
const LEAVING: Duration = Duration::from_secs(2);

/// Makes a [`Sandbox`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// The filter; [`Policy::Strict`] by default.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.config.policy = policy;
        self
    }

    /// What an evaluation may use; [`Limits::default`] by default.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// A function of the embedding program that Ruby can call: at most seven integers in, of which more are left out,
    /// and an integer out. It runs in
    /// the worker, behind the filter, and must neither allocate nor make calls that the policy forbids.
    pub fn native(mut self, name: &str, function: Native) -> Self {
        self.config.natives.push((name.to_owned(), function));
        self
    }

    /// Has [`Usage::steps`] say what each step of an evaluation took; off by default. Steps are read from
    /// the processor's time stamp counter: they are for measuring, and where the counter is of no use
    /// there are none. Nor are there under [`Policy::Mode1`], whose kernel forbids the counter
    /// (kernel/seccomp.c `seccomp_set_mode_strict`, `disable_TSC`).
    pub fn time_steps(mut self, wanted: bool) -> Self {
        self.config.time_steps = wanted;
        self
    }

    /// Forks the zygote. Build early: what the program has in memory then, every worker shares.
    ///
    /// # Errors
    /// A limit out of range, a filter that cannot be made, or no zygote. That the kernel has no
    /// seccomp shows at the first evaluation.
    pub fn build(mut self) -> Result<Sandbox, Error> {
        self.config.limits.check()?;
        for (name, _) in &self.config.natives {
            let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
            if !plain || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
                return Err(Error::Native(name.clone()));
            }
        }
        let can = self.config.time_steps && self.config.policy != Policy::Mode1;
        let clock = if can { Clock::start() } else { None };
        self.config.time_steps = clock.is_some();
        let mut sandbox = Sandbox { config: self.config, clock, zygote: None };
        sandbox.zygote()?;
        Ok(sandbox)
    }
}

/// A place where untrusted Ruby runs: a zygote, and a fresh worker for every evaluation. One
/// evaluation at a time; several sandboxes go side by side, one for each tenant.
///
/// ```no_run
/// let mut sandbox = mruby_runner::Sandbox::builder().build()?;
/// let outcome = sandbox.eval("puts 'hello'; 6 * 7")?;
/// assert_eq!(outcome.value(), Some("42"));
/// assert_eq!(outcome.text(), "hello\n");
/// # Ok::<(), mruby_runner::Error>(())
/// ```
#[derive(Debug)]
pub struct Sandbox {
    config: Config,
    clock: Option<Clock>,
    zygote: Option<Zygote>,
}

/// A zygote as its master holds it.
#[derive(Debug)]
struct Zygote {
    /// The zygote ends when this is closed.
    control: OwnedFd,
    pid: Pid,
    /// A copy of the master, made by a fork, must not end it.
    master: u32,
}

impl Drop for Zygote {
    /// Ends it and takes its status, or it would be a zombie as long as the master lives.
    fn drop(&mut self) {
        if self.master != std::process::id() {
            return;
        }
        // Some other child of the program's may hold a copy of the line, so closing is not enough.
        let _ = shutdown(self.control.as_raw_fd(), Shutdown::Write);
        if !self.leaves() {
            // Somebody has stopped it, say. Its worker has asked to be killed with it.
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        while waitpid(self.pid, None) == Err(Errno::EINTR) {}
    }
}

impl Zygote {
    /// Whether it closes its end of the line in time.
    fn leaves(&self) -> bool {
        let deadline = Instant::now() + LEAVING;
        let mut news = [0; HEARD];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let millis = left.as_millis().clamp(1, 60_000) as u16;
            match poll(&mut [PollFd::new(self.control.as_fd(), PollFlags::POLLIN)], PollTimeout::from(millis))
            {
                Ok(0) | Err(Errno::EINTR) => continue,
                Ok(_) => {}
                Err(_) => return false,
            }
            match recv(self.control.as_raw_fd(), &mut news, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return true,
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => return true,
            }
        }
    }
}

impl Sandbox {
    /// A builder with safe defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Its policy.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.config.policy
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Evaluates code in a fresh worker. However that ends, the next evaluation is none the worse.
    ///
    /// # Errors
    /// Where it could not be tried; what the code comes to is an [`Outcome`].
    pub fn eval<'a>(&mut self, request: impl Into<Request<'a>>) -> Result<Outcome, Error> {
        let request = request.into();
        if let Some(outcome) = refused(&self.config.limits, &request)? {
            return Ok(outcome);
        }
        let mut worker = self.worker(false)?;
        let (ended, _) = self.attempt(&mut worker, self.coming(false), &request, false)?;
        Ok(ended)
    }

    /// A worker that keeps its state from one evaluation to the next.
    pub fn session(&mut self) -> Session<'_> {
        Session { sandbox: self, worker: None }
    }

    fn worker(&mut self, session: bool) -> Result<Worker, Error> {
        let timed = self.config.time_steps;
        let made = Worker::start(self.zygote()?, session, timed);
        if made.is_err() {
            self.zygote = None;
        }
        made
    }

    /// What comes from a worker, which is ready already or new.
    fn coming(&self, ready: bool) -> Coming {
        Coming::from_worker(ready, self.config.time_steps)
    }

    /// The zygote, made anew where it is gone.
    fn zygote(&mut self) -> Result<&OwnedFd, Error> {
        let zygote = match self.zygote.take() {
            Some(zygote) => zygote,
            None => spawn(&self.config)?,
        };
        Ok(&self.zygote.insert(zygote).control)
    }

    /// One evaluation by a worker; with it, whether the worker goes on.
    fn attempt(
        &mut self,
        worker: &mut Worker,
        coming: Coming,
        request: &Request<'_>,
        session: bool,
    ) -> Result<(Outcome, bool), Error> {
        let Some(Zygote { control, .. }) = &self.zygote else {
            return Err(Error::Zygote { what: "it is gone", errno: Errno::ESRCH });
        };
        let done = Attempt::new(control, worker, &self.config, self.clock.as_ref(), session)
            .carry_out(coming, request);
        // One that could not fork may never be able to.
        if matches!(done, Err(Error::Zygote { .. })) || worker.pid.is_none() {
            self.zygote = None;
        }
        done
    }
}

/// What is refused without a worker: an error, or the limit on code.
fn refused(limits: &Limits, request: &Request<'_>) -> Result<Option<Outcome>, Error> {
    if request.code.len() + request.input.len() > limits.code {
        let ending = Ending::Limit { limit: Limit::Code, value: limits.value(Limit::Code) };
        return Ok(Some(Outcome { ending, stdout: Vec::new(), usage: Usage::default() }));
    }
    request.check().map(|()| None)
}

/// One worker for many evaluations: what one defines, the next one finds. Time, instructions, output
/// and depth are counted anew for each; memory stays in use. An evaluation that ends by a limit, a
/// forbidden call or a crash ends the worker, and the next one begins with a new one, without state.
#[derive(Debug)]
pub struct Session<'a> {
    sandbox: &'a mut Sandbox,
    worker: Option<Worker>,
}

impl Session<'_> {
    /// Evaluates code.
    ///
    /// # Errors
    /// As [`Sandbox::eval`].
    pub fn eval<'a>(&mut self, request: impl Into<Request<'a>>) -> Result<Outcome, Error> {
        let request = request.into();
        if let Some(outcome) = refused(&self.sandbox.config.limits, &request)? {
            return Ok(outcome);
        }
        let (mut worker, coming) = match self.worker.take() {
            Some(worker) => (worker, self.sandbox.coming(true)),
            None => (self.sandbox.worker(true)?, self.sandbox.coming(false)),
        };
        let (outcome, goes_on) = self.sandbox.attempt(&mut worker, coming, &request, true)?;
        if goes_on {
            self.worker = Some(worker);
        }
        Ok(outcome)
    }

    /// Whether there is a worker with state.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.worker.is_some()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // Its pipes closed, the worker ends; the zygote must have seen that before it forks again.
        if let (Some(worker), Some(zygote)) = (self.worker.take(), self.sandbox.zygote.as_ref())
            && worker.dismiss(&zygote.control).is_err()
        {
            self.sandbox.zygote = None;
        }
    }
}

fn spawn(config: &Config) -> Result<Zygote, Error> {
    let failed = |what: &'static str| move |errno: Errno| Error::Zygote { what, errno };
    let (ours, its) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(failed("socketpair"))?;
    // SAFETY: where the program has threads, the child may do only what a fork leaves safe: it takes
    // no lock but the C library's allocator's, which fork(3) hands over unlocked, and never comes back.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            drop(ours);
            zygote::live(its, config)
        }
        ForkResult::Parent { child } => {
            drop(its);
            let ours = Zygote { control: ours, pid: child, master: std::process::id() };
            let mut message = [0; 512];
            match hear(&ours.control, &mut message).map_err(failed("it ended at its start"))? {
                [said::WARM, ..] => Ok(ours),
                [said::COLD, why @ ..] => {
                    let why = String::from_utf8_lossy(why).into_owned();
                    Err(Error::Filter { policy: config.policy.name(), why })
                }
                _ => Err(failed("asking it how it is")(Errno::EPROTO)),
            }
        }
    }
}
