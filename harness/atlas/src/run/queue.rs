//! What is to be done, in pieces, and who does which.
//!
//! A worker holds a guest of one kernel and takes that kernel's pieces first; then a kernel that nobody
//! has begun; then, where guests are cheap, pieces of others' kernels. So all processors are busy until
//! the end, and a worker changes its guest seldom. What is found does not depend on who does what.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many questions one piece has.
const PIECE: usize = 60;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Probe a kernel, and say by [`Queue::begin`] how much there is to ask.
    Probe(usize),
    /// Ask these questions of a kernel.
    Ask(usize, Range<usize>),
}

struct State {
    /// Kernels that nobody has begun.
    unbegun: VecDeque<usize>,
    /// Pieces by kernel.
    pieces: Vec<VecDeque<Range<usize>>>,
    /// Pieces by kernel that are not done.
    left: Vec<usize>,
    /// Kernels that are being probed: more pieces will come.
    probed: usize,
}

/// The pieces of a run.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether pieces of one kernel may go to several workers.
    share: bool,
}

impl Queue {
    /// Nothing done of so many kernels.
    pub(super) fn new(kernels: usize, share: bool) -> Self {
        let state = State {
            unbegun: (0..kernels).collect(),
            pieces: vec![VecDeque::new(); kernels],
            left: vec![0; kernels],
            probed: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), share }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A worker that panicked has left counts that are right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next thing to do for who holds a guest of this kernel; `None` when there will be nothing more.
    pub(super) fn next(&self, mine: Option<usize>) -> Option<Task> {
        let mut state = self.state();
        loop {
            if let Some(kernel) = mine
                && let Some(piece) = state.pieces[kernel].pop_front()
            {
                return Some(Task::Ask(kernel, piece));
            }
            if let Some(kernel) = state.unbegun.pop_front() {
                state.probed += 1;
                return Some(Task::Probe(kernel));
            }
            if self.share {
                // The one with most left: its worker would be the last.
                let most = (0..state.pieces.len()).max_by_key(|&kernel| state.pieces[kernel].len());
                if let Some(kernel) = most
                    && let Some(piece) = state.pieces[kernel].pop_back()
                {
                    return Some(Task::Ask(kernel, piece));
                }
            }
            if state.probed == 0 || !self.share {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A kernel was probed, and so many questions follow. Gives whether there are any.
    pub(super) fn begin(&self, kernel: usize, questions: usize) -> bool {
        let piece = if self.share { PIECE } else { questions.max(1) };
        let mut state = self.state();
        state.probed -= 1;
        let pieces = (0..questions).step_by(piece).map(|from| from..questions.min(from + piece));
        state.pieces[kernel] = pieces.collect();
        state.left[kernel] = state.pieces[kernel].len();
        self.changed.notify_all();
        state.left[kernel] > 0
    }

    /// A piece of a kernel is done. Gives whether it was the last.
    pub(super) fn done(&self, kernel: usize) -> bool {
        let mut state = self.state();
        state.left[kernel] -= 1;
        state.left[kernel] == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_its_own_kernel_first_then_a_new_one_then_anothers() {
        let queue = Queue::new(2, true);
        assert_eq!(queue.next(None), Some(Task::Probe(0)));
        assert!(queue.begin(0, 2 * PIECE + 1));
        assert_eq!(queue.next(Some(0)), Some(Task::Ask(0, 0..PIECE)));
        assert_eq!(queue.next(None), Some(Task::Probe(1)));
        assert!(!queue.begin(1, 0));
        assert_eq!(queue.next(Some(1)), Some(Task::Ask(0, 2 * PIECE..2 * PIECE + 1)));
        assert_eq!(queue.next(Some(0)), Some(Task::Ask(0, PIECE..2 * PIECE)));
        assert_eq!(queue.next(Some(0)), None);
        assert!(!queue.done(0) && !queue.done(0) && queue.done(0));
    }

    #[test]
    fn who_has_nothing_waits_for_a_kernel_that_is_being_probed() {
        let queue = Queue::new(1, true);
        assert_eq!(queue.next(None), Some(Task::Probe(0)));
        std::thread::scope(|scope| {
            let idle = scope.spawn(|| queue.next(None));
            queue.begin(0, 5);
            assert_eq!(idle.join().unwrap(), Some(Task::Ask(0, 0..5)));
        });
    }

    #[test]
    fn where_guests_are_dear_a_kernel_stays_with_its_worker() {
        let queue = Queue::new(1, false);
        assert_eq!(queue.next(None), Some(Task::Probe(0)));
        assert_eq!(queue.next(None), None);
        assert!(queue.begin(0, 1000));
        assert_eq!(queue.next(Some(0)), Some(Task::Ask(0, 0..1000)));
        assert!(queue.done(0));
    }
}
