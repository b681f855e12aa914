//! Untrusted Ruby behind a seccomp filter: code in, a typed outcome out.
//!
//! A [`Sandbox`] forks a **zygote** once, a process of one thread with an mruby that is initialised and
//! warm. For every evaluation the zygote forks a **worker**, which gives up every descriptor but its two
//! pipes, its privileges and its limits, loads a filter made by libseccomp, shows that the filter judges,
//! and only then reads the code. Whatever becomes of a worker, the **master**, the program that holds
//! the sandbox, gets a typed [`Outcome`] and goes on.
//!
//! The interpreter's memory is one mapping made beforehand, so behind the filter nothing is needed but
//! `read` and `write` on the two pipes, and `exit`: see [`Policy`].
//!
//! ```no_run
//! use mruby_runner::{Ending, Limit, Limits, Request, Sandbox};
//! use std::time::Duration;
//!
//! let mut limits = Limits::default();
//! limits.wall = Duration::from_millis(200);
//! let mut sandbox = Sandbox::builder().limits(limits).build()?;
//!
//! let request = Request::new("INPUT['a'] + INPUT['b']").input(&serde_json::json!({"a": 1, "b": 2}))?;
//! assert_eq!(sandbox.eval(request)?.value(), Some("3"));
//!
//! let looping = sandbox.eval("loop {}")?;
//! assert!(matches!(looping.ending, Ending::Limit { limit: Limit::Wall, .. }));
//! # Ok::<(), mruby_runner::Error>(())
//! ```
//!
//! What each step is for, and what it is not for, stands in the crate's README.

mod answer;
mod attempt;
mod config;
mod error;
mod forked;
mod frame;
mod limits;
mod out;
mod outcome;
mod policy;
mod request;
mod sandbox;
mod signals;
mod steps;
mod sys;
mod vm;
mod worker;
mod zygote;

pub use error::Error;
pub use limits::{Limit, Limits};
pub use outcome::{Ending, ForbiddenCall, Outcome, Usage};
pub use policy::{Policy, Rule};
pub use request::Request;
pub use sandbox::{Builder, Sandbox, Session};
pub use steps::Steps;
pub use vm::Native;
