//! Boot every kernel that matters, run the same seccomp experiments in each, and print what holds
//! where.
//!
//! One stream of [`event::Event`]s leaves a [`run`]. Everything that people or machines see
//! (progress, stored results, reports) is a consumer of that stream, and replaying a stored run
//! goes through the same code: [`fold`] turns events into a [`results::Report`], and [`report`]
//! renders that.

pub mod advice;
pub mod bench;
pub mod bounded;
pub mod bugs;
pub mod casefile;
pub mod catalogue;
pub mod check;
pub mod cli;
pub mod diff;
pub mod event;
pub mod exit;
pub mod explain;
pub mod fold;
pub mod fuzz;
pub mod guests;
pub mod judge;
pub mod merge;
pub mod numbers;
pub mod plan;
pub mod policyfile;
pub mod read;
pub mod repeat;
pub mod report;
pub mod results;
pub mod run;
pub mod shard;
pub mod source;
pub mod store;
pub mod sweep;

mod progress;
