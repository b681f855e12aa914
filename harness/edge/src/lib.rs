//! The guest's syscall edge: everything that needs `unsafe` or knows the architecture.
//!
//! [`stub`] makes calls by every ABI from one fixed address, [`board`] is the memory that tasks and
//! their supervisor share, [`task`] takes an experiment's steps, [`supervise`] makes the tasks and
//! sees them end, [`image`] is what one hands to `execve` and [`resume`] goes on with it there,
//! [`mod@sweep`] asks for every number behind one filter, and [`program`] watches a user's program. [`sys`]
//! and [`stage`] are for choreographies: thin syscall wrappers, and facts that survive the process that
//! reports them.

pub mod board;
mod first;
pub mod image;
pub mod memory;
pub mod program;
mod ptrace;
pub mod resume;
mod segments;
pub mod stage;
pub mod stub;
pub mod supervise;
pub mod sweep;
pub mod sys;
pub mod task;
pub mod timed;
mod tracer;
mod world;

pub use segments::{Segment, segments};
pub use stage::Stage;
