//! A task that executes the guest binary again: what it hands over, and how it goes on.

use crate::board::{board, tid_word};
use crate::{memory, sys, task};
use atlas_model::experiment::{Experiment, MAX_TASKS, layout};
use core::sync::atomic::Ordering::SeqCst;

/// The word after `/init` that makes the guest binary go on with the task that follows.
pub const ARGUMENT: &str = "--resume";
/// Exit status of an image that could not go on.
const LOST: i32 = 97;
/// Where the experiment stands meanwhile.
const STORED: &str = "/.experiment";

/// Stores an experiment for the images that its tasks will execute.
pub(crate) fn store(experiment: &Experiment) -> Result<(), String> {
    let bytes = postcard::to_stdvec(experiment).map_err(|error| format!("no encoding: {error}"))?;
    std::fs::write(STORED, bytes).map_err(|error| format!("{STORED}: {error}"))
}

/// Writes what `execve` points to: path, arguments, an empty environment.
pub(crate) fn prepare(task: u8) {
    const WORD: u64 = layout::EXEC_ENVP + 8;
    const TASK: u64 = WORD + 16;
    let digits = [b'0' + task / 10, b'0' + task % 10, 0];
    let pointers = [layout::EXEC_PATH, WORD, TASK, 0];
    put(layout::EXEC_PATH, b"/init\0");
    put(WORD, ARGUMENT.as_bytes());
    put(WORD + ARGUMENT.len() as u64, &[0]);
    put(TASK, &digits);
    for (place, pointer) in (layout::EXEC_ARGV..).step_by(8).zip(pointers) {
        put(place, &pointer.to_le_bytes());
    }
    put(layout::EXEC_ENVP, &[0; 8]);
}

fn put(at: u64, bytes: &[u8]) {
    // SAFETY: the places lie in the board, which is mapped for ever, and it is this task's turn.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) }
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
