//! The themes, in the order of the reports.

mod abi;
mod abi32;
mod arguments;
mod arithmetic;
mod attach;
mod audited;
pub(crate) mod beside;
pub(crate) mod capability;
pub(crate) mod charged;
mod checker;
pub(crate) mod compat;
mod delivery;
mod effects;
pub(crate) mod entry;
mod errno;
mod errors;
pub(crate) mod failed_clone;
mod fallback;
pub(crate) mod info;
pub mod inherit;
mod inspect;
mod jailer;
mod kill;
mod libseccomp;
mod limits;
pub(crate) mod logging;
mod multiplex;
pub(crate) mod namespace;
pub(crate) mod notify;
mod notify_caller;
pub(crate) mod notify_end;
mod notify_fd;
pub(crate) mod notify_queue;
pub(crate) mod notify_stopped;
mod notify_tasks;
mod privilege;
pub(crate) mod proc;
mod profiles;
mod programs;
pub(crate) mod ptrace;
mod restarts;
pub(crate) mod ring;
mod runner;
mod signals;
mod stacking;
mod stops;
mod strict;
mod strict_signals;
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
    strict_signals::CASES,
    attach::CASES,
    privilege::CASES,
    capability::CASES,
    errors::CASES,
    checker::CASES,
    limits::CASES,
    charged::CASES,
    errno::CASES,
    effects::CASES,
    trap::CASES,
    kill::CASES,
    namespace::CASES,
    stacking::CASES,
    arguments::CASES,
    arithmetic::CASES,
    abi::CASES,
    abi32::CASES,
    multiplex::CASES,
    compat::CASES,
    inherit::CASES,
    tsync::CASES,
    threads::CASES,
    notify::CASES,
    notify_caller::CASES,
    notify_fd::CASES,
    notify_stopped::CASES,
    notify_queue::CASES,
    notify_tasks::CASES,
    notify_end::CASES,
    failed_clone::CASES,
    ptrace::CASES,
    tracer::CASES,
    stops::CASES,
    delivery::CASES,
    jailer::CASES,
    inspect::CASES,
    info::CASES,
    signals::CASES,
    restarts::CASES,
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
    // What turns audit on is never wholly undone, so it comes last where guests are not clones.
    audited::CASES,
];
