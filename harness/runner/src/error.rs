//! What keeps an evaluation from being tried.

use nix::errno::Errno;

/// Why an evaluation could not be tried. What the code itself comes to, good or bad, is an
/// [`Outcome`](crate::Outcome) instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no seccomp filters, or none for this process: nothing is run without one.
    #[error("this kernel gives no seccomp filter ({what}: {errno}); code is not run without one")]
    NoSeccomp {
        /// What was refused.
        what: &'static str,
        /// With which errno.
        errno: Errno,
    },
    /// The filter was loaded without an error and still does not judge.
    #[error("the filter was loaded, and does not judge ({why}); code is not run without one")]
    NotFiltered {
        /// How that shows.
        why: String,
    },
    /// libseccomp could not make the filter.
    #[error("libseccomp cannot make the filter of policy {policy}: {why}")]
    Filter {
        /// The policy.
        policy: &'static str,
        /// What it says.
        why: String,
    },
    /// A step of the worker's set-up failed.
    #[error("the worker could not be set up: {step}: {errno}")]
    Setup {
        /// The step.
        step: &'static str,
        /// Its errno.
        errno: Errno,
    },
    /// The zygote could not be made, or is gone; the next evaluation makes a new one.
    #[error("the zygote is not there: {what}: {errno}")]
    Zygote {
        /// What was tried.
        what: &'static str,
        /// Its errno.
        errno: Errno,
    },
    /// A limit out of its range.
    #[error("limit `{name}` is out of range: {range}")]
    Limit {
        /// The limit.
        name: &'static str,
        /// Its range.
        range: &'static str,
    },
    /// A policy that there is not.
    #[error("there is no policy `{0}`; the policies are strict, diagnose, mode1, base and sample")]
    Policy(String),
    /// Code that holds nothing but white space.
    #[error("the code is empty")]
    Empty,
    /// Code with a NUL byte.
    #[error("the code has a NUL byte at offset {0}")]
    Nul(usize),
    /// Code that is not UTF-8.
    #[error("the code is not UTF-8 from offset {0} on")]
    NotUtf8(usize),
    /// An input that cannot be written as JSON.
    #[error("the input cannot be written as JSON: {0}")]
    Input(#[source] serde_json::Error),
    /// A native function's name that Ruby could not call.
    #[error("`{0}` is no name for a native function: a-z, 0-9 and _, and a letter first")]
    Native(String),
}
