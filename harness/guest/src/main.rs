//! PID 1 in the guest.
//!
//! It makes the machine usable (file systems, a raw serial line, the shared window), says that it
//! is ready, and then serves one request at a time. It judges nothing and keeps nothing between
//! requests but the files of the program that it was given. Started by hand outside a guest it says so and ends.

mod jit;
mod link;
mod measure;
mod program;
mod serve;
mod setup;
mod text;
mod wake;

use atlas_cases::themes::inherit;
use atlas_edge::{image, resume};
use link::Link;

fn main() -> std::process::ExitCode {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some(inherit::AFTER_EXEC) => return std::process::ExitCode::from(inherit::after_exec()),
        Some(image::ARGUMENT) => resume::resume(&words.next().unwrap_or_default()),
        _ => {}
    }
    if std::process::id() != 1 {
        eprintln!("atlas-guest is PID 1 of a guest and does nothing anywhere else; run `atlas run`");
        return std::process::ExitCode::from(2);
    }
    // PID 1 has nobody to report to but the console; the kernel panics when it ends, and the host
    // shows the console's last lines.
    let problem = match setup::machine().and_then(|()| Link::open()) {
        Ok(mut link) => serve::forever(&mut link),
        Err(problem) => problem,
    };
    eprintln!("atlas-guest: {problem}");
    std::process::ExitCode::FAILURE
}
