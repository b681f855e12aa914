//! What the guests of one kernel have to do together, and what they have done.

use super::{Budget, Tally};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Trials of one round over all properties: every property has its turn in a short run, and no guest waits
/// long for the last of several to end its round.
const ROUND: u64 = 100;

/// One kernel's rounds. Guests take them until none is left.
#[derive(Default)]
pub(super) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    tally: Tally,
    /// Trials of the rounds that were taken.
    taken: u64,
    /// When the first guest was up.
    up: Option<Instant>,
    /// Workers at it.
    workers: usize,
    /// Somebody has come as far as to take rounds.
    began: bool,
    /// All are gone: nobody begins anew.
    over: bool,
    /// The reason why the kernel is not run, or not to the end, was told.
    told: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker comes; `false` where there is nothing for it to do: a guest is made in vain that finds no round.
    pub(super) fn join(&self, budget: Budget) -> bool {
        let mut state = self.state();
        let comes = match budget {
            _ if state.over => false,
            _ if state.workers == 0 => true,
            Budget::Trials(all) => all.saturating_sub(state.taken).div_ceil(ROUND) > state.workers as u64,
            Budget::Time(limit) => !state.ended(limit),
        };
        state.workers += usize::from(comes);
        comes
    }

    /// A worker goes, for there is nothing to do for it. Gives what was done where it was the last.
    pub(super) fn leave(&self) -> Option<Tally> {
        let mut state = self.state();
        state.workers -= 1;
        state.over = state.workers == 0;
        (state.over && state.began).then(|| state.tally())
    }

    /// A guest is up. Says whether it is the first.
    pub(super) fn up(&self) -> bool {
        let mut state = self.state();
        let first = state.up.is_none();
        state.up.get_or_insert_with(Instant::now);
        first
    }

    /// A worker sets out to take rounds. Says whether it is the first.
    pub(super) fn begin(&self) -> bool {
        !std::mem::replace(&mut self.state().began, true)
    }

    /// Says of the first that has something to tell that it shall.
    pub(super) fn may_tell(&self) -> bool {
        !std::mem::replace(&mut self.state().told, true)
    }

    /// The trials of the next round, as numbers over all properties; `None` when the budget is spent.
    pub(super) fn next_round(&self, budget: Budget) -> Option<std::ops::Range<u64>> {
        let mut state = self.state();
        let trials = match budget {
            Budget::Trials(all) => all.saturating_sub(state.taken).min(ROUND),
            Budget::Time(limit) if state.ended(limit) => 0,
            Budget::Time(_) => ROUND,
        };
        let first = state.taken;
        state.taken += trials;
        (trials > 0).then_some(first..first + trials)
    }

    /// Whether the time is over.
    pub(super) fn ended(&self, budget: Budget) -> bool {
        matches!(budget, Budget::Time(limit) if self.state().ended(limit))
    }

    /// Notes what was done.
    pub(super) fn note(&self, of: impl FnOnce(&mut Tally)) {
        of(&mut self.state().tally);
    }

    /// Notes a broken trial, and gives how many of the property there are.
    pub(super) fn note_broken(&self, property: &'static str) -> u64 {
        let mut state = self.state();
        let count = state.tally.broken.entry(property).or_default();
        *count += 1;
        *count
    }

    /// Guests lost.
    pub(super) fn lost(&self) -> u64 {
        self.state().tally.lost
    }

    /// What was done so far.
    pub(super) fn tally(&self) -> Tally {
        self.state().tally()
    }
}

impl State {
    /// Whether a time is over that began with the first guest.
    fn ended(&self, limit: Duration) -> bool {
        self.up.is_some_and(|up| up.elapsed() >= limit)
    }

    fn tally(&self) -> Tally {
        Tally { busy: self.up.map(|up| up.elapsed()).unwrap_or_default(), ..self.tally.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: Budget = Budget::Trials(1000);

    #[test]
    fn rounds_are_all_trials_once() {
        let (queue, budget) = (Queue::default(), Budget::Trials(250));
        let rounds: Vec<_> = std::iter::from_fn(|| queue.next_round(budget)).collect();
        assert_eq!(rounds, [0..100, 100..200, 200..250]);
    }

    #[test]
    fn the_last_to_go_has_the_tally_and_nobody_comes_after() {
        let queue = Queue::default();
        assert!(queue.join(MANY) && queue.join(MANY));
        assert!(queue.up() && !queue.up());
        assert!(queue.begin() && !queue.begin());
        queue.note(|tally| tally.experiments += 3);
        assert!(queue.leave().is_none());
        assert_eq!(queue.leave().unwrap().experiments, 3);
        assert!(!queue.join(MANY));
    }

    #[test]
    fn what_never_began_has_no_tally_and_its_time_never_ends() {
        let queue = Queue::default();
        assert!(queue.join(MANY) && !queue.ended(Budget::Time(Duration::ZERO)));
        assert!(queue.leave().is_none());
        assert!(queue.may_tell() && !queue.may_tell());
    }

    #[test]
    fn no_more_come_than_there_are_rounds_and_none_when_the_time_is_over() {
        let queue = Queue::default();
        let three = Budget::Trials(250);
        assert_eq!([three; 4].map(|budget| queue.join(budget)), [true, true, true, false]);
        let queue = Queue::default();
        // The first one replays what was found before, though there be no trials.
        assert!(queue.join(Budget::Trials(0)) && !queue.join(Budget::Trials(0)));
        assert!(queue.join(Budget::Time(Duration::ZERO)));
        queue.up();
        assert!(!queue.join(Budget::Time(Duration::ZERO)));
    }
}
