//! Processes that cannot outlive this one.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// A command to start, and where to tell how that went.
type Job = (Command, Sender<io::Result<Child>>);

/// The thread that starts every process. The kernel sends the parent-death signal when the *thread*
/// that forked ends, so that thread has to live as long as the process: prctl(2), PR_SET_PDEATHSIG.
static STARTER: LazyLock<Sender<Job>> = LazyLock::new(|| {
    let (sender, jobs) = channel::<Job>();
    let serve = move || {
        for (mut command, answer) in jobs {
            // Whoever asked waits for the answer, so this cannot fail.
            let _ = answer.send(command.spawn());
        }
    };
    // Where no thread can be had the receiver is gone with the closure, and `start` says so.
    let _ = thread::Builder::new().name("qemu-starter".into()).spawn(serve);
    sender
});

/// Every process on a leash, so that an interrupted command can end them all.
static RUNNING: Mutex<Vec<Weak<Mutex<Child>>>> = Mutex::new(Vec::new());

/// Whether everything was ended: nothing is started any more.
static NO_MORE: AtomicBool = AtomicBool::new(false);

/// Kills every QEMU that this process has started, and lets it start no others. For the thread that answers Ctrl-C, not for a
/// signal handler itself: it takes locks. The machines notice, and reap them.
pub fn kill_all() {
    NO_MORE.store(true, SeqCst);
    for child in hold(&RUNNING).iter().filter_map(Weak::upgrade) {
        // It may have ended by itself, which is as good.
        let _ = hold(&child).kill();
    }
}

/// Whether [`kill_all`] was called: whatever ends from then on has ended by it.
pub(crate) fn all_were_killed() -> bool {
    NO_MORE.load(SeqCst)
}

/// A child process that is killed when this is dropped and when the parent dies, even by SIGKILL.
pub(crate) struct Leash(Arc<Mutex<Child>>);

/// Kills a process on a leash, from another thread, whether or not it still runs.
#[derive(Clone)]
pub(crate) struct Killer(Weak<Mutex<Child>>);

impl Leash {
    /// Starts a command in a process group of its own. It inherits these descriptors, under the
    /// numbers that they have here.
    pub(crate) fn start(mut command: Command, handed: Vec<OwnedFd>) -> io::Result<Self> {
        tie(&mut command, handed);
        let (answer, started) = channel();
        let gone = || io::Error::other("the thread that starts processes is not there");
        STARTER.send((command, answer)).map_err(|_| gone())?;
        let child = Arc::new(Mutex::new(started.recv().map_err(|_| gone())??));
        let mut running = hold(&RUNNING);
        running.retain(|child| child.strong_count() > 0);
        running.push(Arc::downgrade(&child));
        drop(running);
        let leash = Self(child);
        // One that was started while the others were ended is not among them; `leash` ends it.
        if NO_MORE.load(SeqCst) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(leash) }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        hold(&self.0).id()
    }

    /// What ends the process from another thread.
    pub(crate) fn killer(&self) -> Killer {
        Killer(Arc::downgrade(&self.0))
    }

    /// Gives the process this long to end by itself.
    pub(crate) fn wait_briefly(&self, limit: Duration) -> io::Result<()> {
        let deadline = Instant::now() + limit;
        while hold(&self.0).try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Kills the process if it still runs, and reaps it.
    pub(crate) fn end(&self) -> io::Result<ExitStatus> {
        let mut child = hold(&self.0);
        // Does nothing to a child that has been reaped.
        child.kill()?;
        child.wait()
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // There is nobody to tell, and nothing else to try.
        let _ = self.end();
    }
}

impl Killer {
    /// Kills the process. It is not reaped: its machine does that.
    pub(crate) fn kill(&self) {
        if let Some(child) = self.0.upgrade() {
            let _ = hold(&child).kill();
        }
    }
}

/// A lock whose holder panicked guards a process that has to be killed all the same.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tie(command: &mut Command, handed: Vec<OwnedFd>) {
    let parent = std::process::id();
    let prepare = move || {
        for descriptor in &handed {
            // SAFETY: changes a flag of a descriptor that the closure owns, in the child's table only.
            if unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: takes plain numbers.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // A parent that died before the call above is not noticed by it.
        if parent_id() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // A group of its own: Ctrl-C goes to the command, which then decides.
    command.process_group(0);
    // SAFETY: the closure makes async-signal-safe calls only and allocates nothing.
    unsafe {
        command.pre_exec(prepare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::RawFd;
    use std::os::unix::process::ExitStatusExt;

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("1000");
        command
    }

    #[test]
    fn outlives_the_thread_that_asked_for_it() {
        let leash = thread::spawn(|| Leash::start(sleeper(), Vec::new()).unwrap()).join().unwrap();
        // The signal would come at once; give it time to.
        thread::sleep(Duration::from_millis(100));
        assert_eq!(hold(&leash.0).try_wait().unwrap(), None);
        assert_eq!(leash.end().unwrap().signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn is_killed_and_reaped_when_dropped() {
        let leash = Leash::start(sleeper(), Vec::new()).unwrap();
        let id = leash.id();
        drop(leash);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn a_killer_that_comes_late_hits_nobody() {
        let leash = Leash::start(sleeper(), Vec::new()).unwrap();
        let killer = leash.killer();
        leash.end().unwrap();
        killer.kill();
        drop(leash);
        killer.kill();
    }

    #[test]
    fn has_the_descriptors_that_were_handed_over_and_no_others() {
        use std::io::Read;
        let (ours, handed) = std::os::unix::net::UnixStream::pair().unwrap();
        // By what they are: `ls` has descriptors of its own, and numbers are used again.
        let is = |fd: RawFd| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        let sockets = [is(ours.as_raw_fd()), is(handed.as_raw_fd())];
        let (mut listing, far) = io::pipe().unwrap();
        let mut command = Command::new("ls");
        command.args(["-l", "/proc/self/fd"]).stdout(far);
        let leash = Leash::start(command, vec![handed.into()]).unwrap();
        let mut text = String::new();
        listing.read_to_string(&mut text).unwrap();
        let there = sockets.map(|socket| text.contains(&*socket.to_string_lossy()));
        assert_eq!(there, [false, true], "{text}");
        leash.end().unwrap();
    }
}
