//! How the engine works, and what keeps it from working.

use mruby_runner::{Limits, Native, Policy};
use std::time::Duration;

/// What goes around a line in a request, at most: brackets, the checker's mark, commas.
pub(crate) const AROUND: usize = 64;
/// What a request has besides its lines, at most.
pub(crate) const BESIDES: usize = 256;

/// How the engine works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Strikes until a tenant is quarantined; at least 1, 3 by default.
    pub strikes: u32,
    /// Events that a rule decides on in one evaluation, at most; 1 to 1024, 64 by default.
    pub batch: usize,
    /// Bytes of a line, at most, and of a changed event; 64 KiB by default.
    pub line: usize,
    /// How long a batch waits for its next event before it goes as it is; 10 ms by default.
    pub linger: Duration,
    /// What a rule may use for one event. A batch has no more than that for all its events together:
    /// where it does not do, its events are decided one by one.
    pub limits: Limits,
    /// The rules' filter; [`Policy::Strict`] by default. [`Policy::Diagnose`] names forbidden calls.
    pub policy: Policy,
    /// Native functions for rules, as [`mruby_runner::Builder::native`] takes them.
    pub natives: Vec<(String, Native)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            strikes: 3,
            batch: 64,
            line: 64 << 10,
            linger: Duration::from_millis(10),
            limits: Limits::default(),
            policy: Policy::Strict,
            natives: Vec::new(),
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.limits.check()?;
        if self.strikes == 0 {
            return Err(Error::Option("a tenant has at least 1 strike".into()));
        }
        if !(1..=1024).contains(&self.batch) {
            return Err(Error::Option("a batch is 1 to 1024 events".into()));
        }
        let most = self.limits.code.saturating_sub(AROUND + BESIDES);
        if !(2..=most).contains(&self.line) {
            return Err(Error::Option(format!(
                "a line has 2 to {most} bytes, where the limit `code` is {}",
                self.limits.code
            )));
        }
        Ok(())
    }
}

/// Why the engine cannot work, or cannot go on. What rules and events come to is a record instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tenant that cannot be one.
    #[error("tenant `{name}`: {why}")]
    Tenant {
        /// Its name.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// No tenant at all.
    #[error("there is no tenant, so nobody decides")]
    Nobody,
    /// An option out of its range.
    #[error("{0}")]
    Option(String),
    /// The runner cannot run.
    #[error(transparent)]
    Runner(#[from] mruby_runner::Error),
    /// Events could not be read.
    #[error("the events cannot be read: {0}")]
    Read(#[source] std::io::Error),
    /// A record could not be written.
    #[error("a record cannot be written: {0}")]
    Write(#[source] std::io::Error),
    /// A thread could not be started, or ended early.
    #[error("a thread cannot go on: {0}")]
    Thread(String),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Write(error.into())
    }
}
