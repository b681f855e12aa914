//! The process that becomes the program.

use super::root;
use crate::{memory, sys};
use atlas_wire::Trace;
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};
use std::ffi::{CStr, CString};
use std::sync::OnceLock;

/// The last descriptor that is closed if it is open. PID 1 has a handful.
const LAST_DESCRIPTOR: i32 = 63;
/// The last signal there is (signal(7)).
const LAST_SIGNAL: i32 = 64;
/// What [`Gate`] holds until the filter was attached: no errno is positive.
const UNSAID: i64 = 1;

/// What supervisor and program say to each other before the program is executed, in memory that they share.
#[repr(C)]
pub(super) struct Gate {
    open: AtomicU32,
    rooted: AtomicI64,
    attached: AtomicI64,
}

impl Gate {
    /// The gate, mapped at the first use.
    pub(super) fn get() -> Result<&'static Self, i64> {
        static GATE: OnceLock<u64> = OnceLock::new();
        // SAFETY: every field is an atomic, for which any bit pattern is valid.
        unsafe { memory::shared(&GATE) }
    }

    pub(super) fn reset(&self) {
        self.open.store(0, SeqCst);
        self.rooted.store(0, SeqCst);
        self.attached.store(UNSAID, SeqCst);
    }

    /// Lets the process go on: it is traced.
    pub(super) fn open(&'static self) {
        self.open.store(1, SeqCst);
        sys::wake(&self.open);
    }

    fn wait(&'static self) {
        while self.open.load(SeqCst) == 0 {
            sys::sleep_while(&self.open, 0, None);
        }
    }

    fn say(&self, attached: i64) {
        self.attached.store(attached, SeqCst);
    }

    /// 0, or the errno, negated, with which the process was refused its root directory.
    pub(super) fn rooted(&self) -> i64 {
        self.rooted.load(SeqCst)
    }

    /// What attaching the filter returned, or that there is none (0); `None` until it is known. Once it is
    /// 0, the next call is the execve(2) of the program.
    pub(super) fn attached(&self) -> Option<i64> {
        Some(self.attached.load(SeqCst)).filter(|&attached| attached != UNSAID)
    }
}

/// What the process goes by, made before the fork: once the filter is attached it makes no call but
/// one, so it may not ask for memory.
pub(super) struct Plan {
    root: CString,
    directory: CString,
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    filter: Option<(Vec<u8>, u16)>,
}

impl Plan {
    /// # Errors
    /// A sentence, for what the kernel has no form for.
    pub(super) fn of(trace: &Trace, root: &CStr) -> Result<Self, String> {
        let filter = match &trace.filter {
            None => None,
            Some(filter) => match u16::try_from(filter.0.len()) {
                Ok(length) => Some((filter.to_bytes(), length)),
                Err(_) => {
                    return Err(format!("a filter of {} instructions cannot be handed over", filter.0.len()));
                }
            },
        };
        let path = |path: &str| CString::new(path).map_err(|_| format!("the path {path:?} has a NUL in it"));
        Ok(Self {
            root: root.to_owned(),
            directory: path(&trace.directory)?,
            path: path(&trace.program)?,
            arguments: words("argument", &trace.arguments)?,
            environment: words("variable", &trace.environment)?,
            filter,
        })
    }
}

fn words(what: &str, words: &[String]) -> Result<Vec<CString>, String> {
    let word = |(index, word): (usize, &String)| {
        CString::new(word.as_str()).map_err(|_| format!("{what} {index} of the program has a NUL in it"))
    };
    words.iter().enumerate().map(word).collect()
}

/// Becomes the program: gets what a program expects, waits until it is traced, attaches the filter, and
/// executes it. `outputs` are standard output and standard error.
pub(super) fn run(plan: &Plan, gate: &'static Gate, outputs: [i32; 2], close: &[i32]) -> ! {
    let pointers = |words: &[CString]| -> Vec<u64> {
        words.iter().map(|word| word.as_ptr() as u64).chain([0]).collect()
    };
    let (arguments, environment) = (pointers(&plan.arguments), pointers(&plan.environment));
    let execve = [plan.path.as_ptr() as u64, arguments.as_ptr() as u64, environment.as_ptr() as u64, 0, 0, 0];
    furnish(outputs, close);
    gate.wait();
    if let Err(errno) = root::enter(&plan.root, &plan.directory) {
        gate.rooted.store(errno, SeqCst);
        sys::exit(0)
    }
    let _ = sys::no_new_privs();
    let attached = plan.filter.as_ref().map_or(0, |(records, length)| attach(records, *length));
    gate.say(attached);
    if attached == 0 {
        // SAFETY: path, arguments and environment live as long as the image that is left.
        let _ = unsafe { sys::raw(libc::SYS_execve, execve) };
    }
    // Where execve(2) has returned, the supervisor has ended this process.
    sys::exit(0)
}

/// Makes of a copy of PID 1 what a shell would start. The fork has given it the usual niceness already, see
/// [`sys::take_precedence`].
fn furnish(outputs: [i32; 2], close: &[i32]) {
    let _ = sys::number(libc::SYS_setsid, [0; 6]);
    let mut stdin = sys::open(c"/dev/null", libc::O_RDONLY) as i32;
    if stdin < 0 {
        let [reader, writer] = sys::pipe();
        sys::close(writer);
        stdin = reader;
    }
    for (number, fd) in (0..).zip([stdin, outputs[0], outputs[1]]) {
        let _ = sys::number(libc::SYS_dup2, [fd as u64, number, 0, 0, 0, 0]);
    }
    close.iter().copied().chain(3..=LAST_DESCRIPTOR).for_each(sys::close);
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: the default disposition runs no code of ours. For a signal that has no other, and for
        // those that libc keeps for itself, the call fails and changes nothing.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
    sys::block_signals(u64::MAX, false);
}

/// Attaches a filter by seccomp(2), by prctl(2) where there is no such call (before 3.17).
fn attach(records: &[u8], length: u16) -> i64 {
    let fprog = libc::sock_fprog { len: length, filter: records.as_ptr().cast_mut().cast() };
    let pointer = (&raw const fprog) as u64;
    let (operation, mode) = (u64::from(libc::SECCOMP_SET_MODE_FILTER), u64::from(libc::SECCOMP_MODE_FILTER));
    // SAFETY: the program lives until the call returns, and its length is the true one.
    match unsafe { sys::raw(libc::SYS_seccomp, [operation, 0, pointer, 0, 0, 0]) } {
        // SAFETY: as above.
        none if none == -i64::from(libc::ENOSYS) => unsafe {
            sys::raw(libc::SYS_prctl, [libc::PR_SET_SECCOMP as u64, mode, pointer, 0, 0, 0])
        },
        result => result,
    }
}
