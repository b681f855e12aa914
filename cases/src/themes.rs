//! The themes, in the order of the reports.

mod abi;
mod abi32;
mod arguments;
mod arithmetic;
mod attach;
pub(crate) mod beside;
pub(crate) mod charged;
mod checker;
pub(crate) mod compat;
mod effects;
pub(crate) mod entry;
mod errno;
mod errors;
mod fallback;
pub mod inherit;
mod inspect;
mod kill;
mod libseccomp;
mod limits;
mod logging;
pub(crate) mod notify;
mod notify_caller;
pub(crate) mod notify_end;
pub(crate) mod notify_fd;
mod notify_tasks;
mod privilege;
pub(crate) mod proc;
mod profiles;
mod programs;
pub(crate) mod ptrace;
pub(crate) mod ring;
mod runner;
mod signals;
mod stacking;
mod stops;
mod strict;
mod threads;
mod tracer;
mod trap;
mod tsync;
pub(crate) mod uprobe;
pub(crate) mod vsyscall;

use crate::Case;

/// Every theme's cases.
pub(crate) const ALL: &[&[Case]] = &[
    strict::CASES,
    attach::CASES,
    privilege::CASES,
    errors::CASES,
    checker::CASES,
    limits::CASES,
    charged::CASES,
    errno::CASES,
    effects::CASES,
    trap::CASES,
    kill::CASES,
    stacking::CASES,
    arguments::CASES,
    arithmetic::CASES,
    abi::CASES,
    abi32::CASES,
    compat::CASES,
    inherit::CASES,
    tsync::CASES,
    threads::CASES,
    notify::CASES,
    notify_caller::CASES,
    notify_fd::CASES,
    notify_tasks::CASES,
    notify_end::CASES,
    ptrace::CASES,
    tracer::CASES,
    stops::CASES,
    inspect::CASES,
    signals::CASES,
    proc::CASES,
    logging::CASES,
    uprobe::CASES,
    entry::CASES,
    beside::CASES,
    vsyscall::CASES,
    ring::CASES,
    fallback::CASES,
    profiles::CASES,
    programs::CASES,
    libseccomp::CASES,
    runner::CASES,
];
