//! A clone that fails late, when the new task has its filters already.
//!
//! clone(2) writes the pid's descriptor to memory before it looks whether the pid namespace is still alive
//! (kernel/fork.c copy_process). Userfaultfd stops it at that write, and the namespace ends meanwhile.

use crate::case::{is, staged};
use crate::handed::finish;
use crate::passing::hand_over;
use crate::{Case, listener, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Quirk, Traits};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

/// CLONE_PIDFD is older than the hang-up.
const NEEDS: &[Feature] = &[Feature::NotifHangUp, Feature::PidNamespaces, Feature::Userfaultfd];
const ENOMEM: i64 = -12;
const HUP: i64 = libc::POLLHUP as i64;
const PAGE: u64 = 4096;

/// `UFFDIO_API` (include/uapi/linux/userfaultfd.h, as the next two).
const API: u64 = 0xc018_aa3f;
/// `UFFDIO_REGISTER`.
const REGISTER: u64 = 0xc020_aa00;
/// `UFFDIO_ZEROPAGE`.
const ZERO_PAGE: u64 = 0xc020_aa04;

pub(crate) const CASES: &[Case] = &[staged(
    "notify::hang_up_after_a_failed_clone",
    "A clone that fails late leaves no filter behind: a listener sees the hang-up; before 6.1 it never did.",
    NEEDS,
    observe,
    |traits: &Traits| {
        let kept = traits.shows(Quirk::FailedCloneKeepsFilter);
        vec![
            is("without a clone", HUP),
            is("clone", ENOMEM),
            is("once all are gone", if kept { 0 } else { HUP }),
        ]
    },
)];

/// A page whose first write waits until somebody lets it go on.
struct Stopping {
    fault: i32,
    page: u64,
}

fn request<const N: usize>(fd: i32, request: u64, words: [u64; N]) -> i64 {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    sys::ioctl(fd, request, &mut bytes)
}

impl Stopping {
    /// Gives the errno negated where there is no userfaultfd(2).
    fn new() -> Result<Self, i64> {
        // poll(2) waits for faults on such descriptors alone.
        let flags = libc::O_NONBLOCK as u64;
        let fault = sys::ok(sys::number(libc::SYS_userfaultfd, [flags, 0, 0, 0, 0, 0]))? as i32;
        sys::ok(request(fault, API, [0xaa, 0, 0]))?;
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let page = sys::ok(sys::mmap(0, PAGE, protection, flags, -1, 0))? as u64;
        // Pages that are not there yet.
        sys::ok(request(fault, REGISTER, [page, PAGE, 1, 0]))?;
        Ok(Self { fault, page })
    }

    /// Waits until somebody writes, and says whether it came to that.
    fn wait(&self) -> bool {
        listener::wait_for_one(self.fault) && {
            let mut message = [0_u64; 4];
            let into = [self.fault as u64, message.as_mut_ptr() as u64, 32, 0, 0, 0];
            // SAFETY: room for a struct uffd_msg, which lives until the call returns.
            unsafe { sys::raw(libc::SYS_read, into) == 32 }
        }
    }

    fn let_go(&self) {
        let _ = request(self.fault, ZERO_PAGE, [self.page, PAGE, 0, 0]);
    }
}

/// The probe of userfaultfd(2).
pub(crate) fn observe_stopping(stage: &Stage) {
    stage.fact("page", Stopping::new().map_or_else(|errno| errno, |_| 0));
}

/// Shared with the probe of what a failed clone keeps.
pub(crate) fn observe(stage: &Stage) {
    let (pid, fd) = hand_over(stage, || {});
    if fd < 0 {
        return;
    }
    finish(pid);
    stage.fact("without a clone", listener::poll(fd));
    let [got, first] = [waiting::shared_number(), waiting::shared_number()];
    let (pid, fd) = hand_over(stage, || {
        let Ok(stopping) = Stopping::new() else { return };
        let page = stopping.page;
        let clone = std::thread::scope(|scope| {
            // A thread's children may go into another namespace than its process's.
            let clone = scope.spawn(|| clone_in_namespace(stage, page, first));
            let stopped = stopping.wait();
            let first = first.load(SeqCst) as i32;
            if !stopped || first <= 0 {
                stage.fact("the clone was not stopped", first.into());
                sys::exit(1)
            }
            sys::kill(first, libc::SIGKILL);
            // From then on nobody is made any more; it waits for the one that is being made.
            waiting::until_asleep_while_ending(first);
            stopping.let_go();
            finish(first);
            clone.join().unwrap_or(0)
        });
        got.store(clone, SeqCst);
    });
    if fd < 0 {
        return;
    }
    finish(pid);
    stage.fact("clone", got.load(SeqCst));
    stage.fact("once all are gone", listener::poll(fd));
}

/// Makes a pid namespace with a first process, which it ends with, and in it a task whose pid's descriptor goes to
/// this page. Gives what that clone(2) returned.
fn clone_in_namespace(stage: &Stage, page: u64, first: &AtomicI64) -> i64 {
    let _ = sys::number(libc::SYS_unshare, [libc::CLONE_NEWPID as u64, 0, 0, 0, 0, 0]);
    let pid = stage.start(|_| {
        loop {
            let _ = sys::number(libc::SYS_pause, [0; 6]);
        }
    });
    first.store(pid.into(), SeqCst);
    let flags = libc::CLONE_PIDFD as u64 | libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM the child has its own copy of everything; the kernel writes a number to the page.
    match unsafe { sys::raw(libc::SYS_clone, [flags, 0, page, 0, 0, 0]) } {
        0 => sys::exit(0),
        result => result,
    }
}
