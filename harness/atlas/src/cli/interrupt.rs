//! Ctrl-C: the first asks the run to stop and report, the second ends everything at once.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Exit status of a run that was ended by a second signal.
const KILLED: i32 = 130;

/// Takes SIGINT and SIGTERM from now on. The flag is raised by the first one; the guests are killed
/// with it, so that nobody waits for an answer.
///
/// # Errors
/// When the handlers cannot be set.
pub(super) fn watch() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            let again = raised.swap(true, SeqCst);
            atlas_vm::kill_all();
            if again {
                std::process::exit(KILLED);
            }
        }
    });
    Ok(stop)
}
