//! The same on every kernel.

use super::ENVIRONMENT;
use super::place::default_jobs;
use atlas_vm::kernels::Kernel;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Does it on every kernel, on as many at once as there are processors and there is memory for, until told to stop. What comes of it
/// is in the kernels' order, and what was under way when it was told to stop is none of it: its guests were
/// killed.
pub(super) fn on_each<T: Send>(
    kernels: &[Kernel],
    stop: &AtomicBool,
    work: impl Fn(&Kernel) -> Vec<T> + Sync,
) -> Vec<T> {
    let jobs = default_jobs().min(kernels.len());
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, SeqCst);
                    let Some(kernel) = kernels.get(index).filter(|_| !stop.load(SeqCst)) else { return };
                    let came = work(kernel);
                    if stop.load(SeqCst) {
                        return;
                    }
                    if let Ok(mut done) = done.lock() {
                        done.push((index, came));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().flat_map(|(_, came)| came).collect()
}

/// Tells lines of progress. What is lost on Ctrl-C was ended by it, and is not told.
pub(super) fn teller(quiet: bool, stop: &AtomicBool) -> impl Fn(&str) {
    move |line| {
        if !quiet && !stop.load(SeqCst) {
            eprintln!("{line}");
        }
    }
}

/// Says how far it came when it was told to stop, and gives the exit status for that.
pub(super) fn interrupted<'a>(done: impl Iterator<Item = &'a String>, of: usize) -> ExitCode {
    let done: BTreeSet<&String> = done.collect();
    eprintln!("interrupted: {} of {of} kernels were asked", done.len());
    ExitCode::from(ENVIRONMENT)
}
