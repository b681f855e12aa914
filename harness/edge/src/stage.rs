//! Where a choreography plays: a process of its own, and facts that outlive it.

use crate::sys;
use atlas_model::observation::End;
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// The most facts a choreography may report.
pub const MAX_FACTS: usize = 64;
/// The longest name of a fact, in bytes; more is cut off.
pub const MAX_NAME: usize = 160;

/// A choreography's body. It runs in a process of its own that is killed when it returns.
pub type Observe = fn(&Stage);

#[repr(C)]
struct Fact {
    length: AtomicU32,
    name: [AtomicU32; MAX_NAME / 4],
    value: AtomicI64,
}

#[repr(C)]
struct Board {
    count: AtomicU32,
    facts: [Fact; MAX_FACTS],
}

/// Takes a choreography's facts. Its memory is shared, so that every process the choreography
/// makes can report, and a fact once reported stays even when the process is killed the next moment.
pub struct Stage {
    board: &'static Board,
}

impl Stage {
    /// Maps a stage.
    ///
    /// # Errors
    /// The errno of `mmap`, negated.
    pub fn new() -> Result<Self, i64> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let address = sys::ok(sys::mmap(0, size_of::<Board>() as u64, protection, flags, -1, 0))?;
        // SAFETY: freshly mapped for the life of the process, zeroed, large enough, page-aligned;
        // every field is an atomic, for which any bit pattern is valid.
        Ok(Self { board: unsafe { &*(address as *const Board) } })
    }

    /// Forgets the facts reported so far.
    pub fn clear(&self) {
        self.board.count.store(0, SeqCst);
    }

    /// Reports a fact. Makes no calls, so it works behind any filter.
    pub fn fact(&self, name: &str, value: i64) {
        let index = self.board.count.load(SeqCst) as usize;
        let Some(fact) = self.board.facts.get(index) else { return };
        let bytes = &name.as_bytes()[..name.len().min(MAX_NAME)];
        for (word, chunk) in fact.name.iter().zip(bytes.chunks(4)) {
            let mut four = [0; 4];
            four[..chunk.len()].copy_from_slice(chunk);
            word.store(u32::from_le_bytes(four), SeqCst);
        }
        fact.length.store(bytes.len() as u32, SeqCst);
        fact.value.store(value, SeqCst);
        self.board.count.store(index as u32 + 1, SeqCst);
    }

    /// Reports a fact whose name says it all.
    pub fn says(&self, what: &str) {
        self.fact(what, 1);
    }

    /// The facts reported so far.
    #[must_use]
    pub fn facts(&self) -> Vec<(String, i64)> {
        let count = (self.board.count.load(SeqCst) as usize).min(MAX_FACTS);
        self.board.facts[..count]
            .iter()
            .map(|fact| {
                let mut name: Vec<u8> =
                    fact.name.iter().flat_map(|word| word.load(SeqCst).to_le_bytes()).collect();
                name.truncate(fact.length.load(SeqCst) as usize);
                (String::from_utf8_lossy(&name).into_owned(), fact.value.load(SeqCst))
            })
            .collect()
    }

    /// Plays a choreography in a process of its own and takes its facts. `close` lists descriptors
    /// it shall not have. Every other process of the guest is gone afterwards.
    ///
    /// # Errors
    /// The errno of `clone`, negated.
    pub fn play(&self, observe: Observe, limit: Duration, close: &[i32]) -> Result<Option<End>, i64> {
        self.clear();
        let deadline = Instant::now() + limit;
        let pid = fork();
        if pid == 0 {
            sys::prepare_descriptors(close);
            observe(self);
            sys::exit(0)
        }
        sys::ok(pid)?;
        let mut end = None;
        while end.is_none() && Instant::now() < deadline {
            sys::wait_for_child_signal(deadline.saturating_duration_since(Instant::now()));
            while let Some((ended, how)) = sys::reap() {
                if i64::from(ended) == pid {
                    end = Some(how);
                }
            }
        }
        sys::kill_everything(std::iter::once(pid as i32));
        Ok(end)
    }

    /// Runs a body in a child process, waits for it and gives its end.
    #[must_use]
    pub fn child(&self, body: impl FnOnce(&Self)) -> End {
        let pid = self.start(body);
        match sys::wait_for(pid, libc::__WALL) {
            status if status < 0 => End::NeverMade,
            status => sys::end_of(status as i32),
        }
    }

    /// Starts a body in a child process, which exits with 0 when the body returns. Gives its pid,
    /// or the errno negated.
    #[must_use]
    pub fn start(&self, body: impl FnOnce(&Self)) -> i32 {
        let pid = fork();
        if pid == 0 {
            body(self);
            sys::exit(0)
        }
        pid as i32
    }
}

/// fork by clone(2).
#[must_use]
pub fn fork() -> i64 {
    sys::number(libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0])
}

/// An end as a number that a fact can carry: the exit status, or the signal's number plus 1000.
#[must_use]
pub fn end_code(end: End) -> i64 {
    match end {
        End::Exited(status) => i64::from(status),
        End::Signaled { signal, .. } => 1000 + i64::from(signal),
        End::Alive | End::NeverMade | End::ThreadGone | End::TimedOut => -1,
    }
}
