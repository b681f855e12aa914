//! A task in an image that it executed: what was stored for it, and how it goes on.

use crate::board::{board, tid_word};
use crate::{memory, sys, task};
use atlas_model::experiment::{Experiment, MAX_TASKS};
use core::sync::atomic::Ordering::SeqCst;

/// Exit status of an image that could not go on.
const LOST: i32 = 97;
/// Where the experiment stands meanwhile.
const STORED: &str = "/.experiment";

/// Stores an experiment for the images that its tasks will execute.
pub(crate) fn store(experiment: &Experiment) -> Result<(), String> {
    let bytes = postcard::to_stdvec(experiment).map_err(|error| format!("no encoding: {error}"))?;
    std::fs::write(STORED, bytes).map_err(|error| format!("{STORED}: {error}"))
}

/// Goes on with a task, given by its number in digits, in an image that it executed.
pub fn resume(task: &str) -> ! {
    restore_signals();
    let Some(me) = task.parse().ok().filter(|&task: &u8| usize::from(task) < MAX_TASKS) else {
        sys::exit(LOST)
    };
    let stored = std::fs::read(STORED).ok().and_then(|bytes| postcard::from_bytes::<Experiment>(&bytes).ok());
    let (Some(experiment), Ok(())) = (stored, memory::map_again()) else { sys::exit(LOST) };
    let experiment: &Experiment = Box::leak(Box::new(experiment));
    task::set_current(experiment);
    let word = tid_word(me);
    word.store(sys::clear_at_end(word), SeqCst);
    let step = board().turn();
    // It may end before the supervisor looks again, and nobody would know that the threads went first.
    let made = experiment.steps[..step].iter().filter_map(|step| step.op.makes());
    board().say_cleared(me, made.chain([0]).filter(|&task| task != me));
    board().give(step, 0);
    board().pass_on(step + 1);
    task::run(experiment, me)
}

/// Rust's runtime handles faults and ignores SIGPIPE; tasks inherit that, and shall not.
pub fn restore_signals() {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGPIPE] {
        // SAFETY: the default disposition runs no code of ours.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}
