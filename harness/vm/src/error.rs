//! What can go wrong with a guest.

use crate::kernels;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a guest could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU is not installed.
    #[error("{program} is not installed: install the package qemu-system-x86, or run ci/setup")]
    QemuMissing {
        /// The program looked for.
        program: PathBuf,
    },
    /// QEMU could not be started.
    #[error("{program} could not be started: {source}")]
    QemuStart {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image cannot be read.
    #[error("the kernel image {path} cannot be read: {source}; `atlas kernels list` shows what is there")]
    Image {
        /// The image.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image is damaged, or is not one for this machine.
    #[error(transparent)]
    NotAKernel(#[from] kernels::Error),
    /// The initramfs does not fit.
    #[error(
        "the initramfs has {length} bytes, and the guest's memory leaves room for {room}: \
         the guest binary is too large"
    )]
    InitramfsTooBig {
        /// Its length.
        length: usize,
        /// What there is room for.
        room: usize,
    },
    /// The kernel's command line has no room for the words.
    #[error(
        "the kernel's command line would have {length} bytes, and x86 kernels take {most}: --append fewer words"
    )]
    CommandLine {
        /// Its length.
        length: usize,
        /// The most there can be.
        most: usize,
    },
    /// Memory, sockets, threads or anonymous files could not be had.
    #[error("{what} failed: {source}; fewer guests at once (--jobs) need less of it")]
    System {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The guest was started and lost before it had said who it is.
    #[error("{path} did not boot on CPU model {tried}: {lost}")]
    Boot {
        /// The image.
        path: PathBuf,
        /// CPU models tried, in order.
        tried: String,
        /// How it was lost on the first of them.
        lost: Box<Lost>,
    },
    /// A booted guest could not be saved as a template.
    #[error("the booted guest could not be kept as a template: {0}")]
    Template(String),
    /// A template does not give a guest that answers.
    #[error("the template gives no guest: {0}")]
    Clone(String),
    /// KVM was demanded and does not run guests.
    #[error("KVM was asked for, but {0}; leave --accel at auto, or say tcg")]
    NoKvm(String),
}

/// How a guest was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Why.
    pub reason: Reason,
    /// The console's last lines, readable: control characters are escaped.
    pub console: String,
}

/// Why a guest was lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The kernel panicked; the line that says so.
    #[error("the kernel panicked: {0}")]
    Panic(String),
    /// The kernel reported that it does not get on; the line that says so.
    #[error("the kernel stalled: {0}")]
    Stalled(String),
    /// PID 1 ended, which the kernel does not survive; the line that says so.
    #[error("PID 1 was lost: {0}")]
    InitLost(String),
    /// The machine reset or switched itself off without a word: a triple fault looks like this.
    #[error("the guest reset or switched itself off")]
    Reset,
    /// QEMU ended; its status and what it complained of.
    #[error("QEMU ended: {0}")]
    QemuExited(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No answer in time, from a QEMU that goes on and complains, as it does of a processor that KVM cannot enter.
    #[error("no answer within {limit:?}, and QEMU says: {said}")]
    Stuck {
        /// The time.
        limit: Duration,
        /// What it complains of.
        said: String,
    },
    /// A line was flooded; which one, and with how much.
    #[error("the guest flooded {0}")]
    Flooded(String),
    /// The guest broke the protocol; how.
    #[error("the guest broke the protocol: {0}")]
    Protocol(String),
}

impl Reason {
    /// Whether there was no answer in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Stuck { .. })
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        let last: Vec<&str> = self.console.lines().rev().take(5).collect();
        if !last.is_empty() {
            f.write_str("; last lines of its console:")?;
            last.iter().rev().try_for_each(|line| write!(f, "\n    {line}"))?;
        }
        Ok(())
    }
}

impl std::error::Error for Lost {}
