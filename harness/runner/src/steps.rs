//! What each step of an evaluation takes, by the processor's time stamp counter.
//!
//! Master, zygote and worker read one counter, which the kernel holds to be the same on every processor
//! or does not use (arch/x86/kernel/tsc.c `unsynchronized_tsc`). The worker cannot ask for the time:
//! clock_gettime(2) is no call only as long as the kernel's clock source is one of vdso(7)'s, and behind the
//! filter a call is the worker's end. RDTSC is never a call.

use serde::Serialize;
use std::time::{Duration, Instant};

/// What each step of a fresh worker's evaluation took; together they are [`Usage::wall`](crate::Usage::wall),
/// but for what the master does besides. `read` and `eval` are parted by the worker's word, the others by
/// the master's, the zygote's, and the worker's before it has seen any code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Steps {
    /// The master makes two pipes and asks, and the zygote wakes.
    pub ask: Duration,
    /// fork(2), until the worker runs.
    pub fork: Duration,
    /// The pipes are moved to 0 and 1, and every other descriptor is closed.
    pub descriptors: Duration,
    /// Signal handlers, privileges, the end with the zygote, resource limits.
    pub limits: Duration,
    /// no_new_privs, the filter is loaded, and answers the canary.
    pub filter: Duration,
    /// The worker says that it is ready, and reads the code.
    pub read: Duration,
    /// The code is compiled and run, and its value written.
    pub eval: Duration,
    /// The last frame, exit(2), until the zygote has reaped the worker.
    pub teardown: Duration,
    /// The zygote says so, and the master hears it.
    pub hear: Duration,
}

impl Steps {
    /// Each with its name, in order.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, Duration); 9] {
        [
            ("ask", self.ask),
            ("fork", self.fork),
            ("descriptors", self.descriptors),
            ("limits", self.limits),
            ("filter", self.filter),
            ("read", self.read),
            ("eval", self.eval),
            ("teardown", self.teardown),
            ("hear", self.hear),
        ]
    }
}

/// The counter, now.
pub(crate) fn stamp() -> u64 {
    // SAFETY: the instruction is there on every x86-64 processor; `Clock::start` has seen that it is not
    // forbidden.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// A point in time by both clocks, from which the counter's rate is found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    at: u64,
}

impl Clock {
    /// `None` where this process may not read the counter (prctl(2), PR_GET_TSC).
    pub(crate) fn start() -> Option<Self> {
        let mut may = 0;
        // SAFETY: the place is there.
        let asked = unsafe { libc::prctl(libc::PR_GET_TSC, &raw mut may) };
        (asked == 0 && may == libc::PR_TSC_ENABLE).then(|| Self { began: Instant::now(), at: stamp() })
    }

    /// The steps that lie between these stamps, from the asking to the hearing. `None` where they are in
    /// no order: a worker has lied, or the counters are not one.
    pub(crate) fn steps(&self, stamps: &[u64; 10]) -> Option<Steps> {
        let (elapsed, now) = (self.began.elapsed(), stamp());
        if stamps[0] < self.at || stamps[9] > now || !stamps.is_sorted() {
            return None;
        }
        let rate = elapsed.as_nanos() as f64 / (now - self.at).max(1) as f64;
        let step = |at: usize| Duration::from_nanos(((stamps[at + 1] - stamps[at]) as f64 * rate) as u64);
        Some(Steps {
            ask: step(0),
            fork: step(1),
            descriptors: step(2),
            limits: step(3),
            filter: step(4),
            read: step(5),
            eval: step(6),
            teardown: step(7),
            hear: step(8),
        })
    }
}

/// Stamps as the worker takes them, four on its way to the filter; none where nobody wants them.
pub(crate) struct Stamps {
    wanted: bool,
    bytes: [u8; 32],
    taken: usize,
}

impl Stamps {
    pub(crate) const fn new(wanted: bool) -> Self {
        Self { wanted, bytes: [0; 32], taken: 0 }
    }

    pub(crate) fn take(&mut self) {
        if self.wanted
            && let Some(place) = self.bytes.get_mut(self.taken..self.taken + 8)
        {
            place.copy_from_slice(&stamp().to_le_bytes());
            self.taken += 8;
        }
    }

    /// Those taken since the last time.
    pub(crate) fn give(&mut self) -> &[u8] {
        let taken = std::mem::take(&mut self.taken);
        &self.bytes[..taken]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_in_order_are_steps_and_others_are_not() {
        let clock = Clock::start().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let from = stamp() - 9_000;
        let stamps = std::array::from_fn(|index| from + index as u64 * 1000);
        let steps = clock.steps(&stamps).unwrap();
        let [(_, first), .., (_, last)] = steps.named();
        assert_eq!(first, last);
        // Processors count between 0.5 and 10 times a nanosecond.
        assert!(first > Duration::from_nanos(100) && first < Duration::from_nanos(2000), "{steps:?}");
        for (place, forged) in [(0, 0), (9, u64::MAX), (6, 0), (6, u64::MAX), (7, stamps[6] - 1)] {
            let mut stamps = stamps;
            stamps[place] = forged;
            assert_eq!(clock.steps(&stamps), None, "{place} {forged}");
        }
    }

    #[test]
    fn the_rate_is_the_clocks() {
        let clock = Clock::start().unwrap();
        let from = stamp();
        std::thread::sleep(Duration::from_millis(20));
        let steps = clock.steps(&[from, from, from, from, from, from, from, from, from, stamp()]).unwrap();
        assert!(steps.hear >= Duration::from_millis(20) && steps.hear < Duration::from_secs(2), "{steps:?}");
    }

    #[test]
    fn stamps_are_given_once_and_only_where_wanted() {
        let mut stamps = Stamps::new(true);
        (0..9).for_each(|_| stamps.take());
        assert_eq!(stamps.give().len(), 32);
        stamps.take();
        assert_eq!(stamps.give().len(), 8);
        let mut unwanted = Stamps::new(false);
        unwanted.take();
        assert_eq!(unwanted.give(), [0; 0]);
    }
}
