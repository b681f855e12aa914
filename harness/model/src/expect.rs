//! The paper interpreter: what a kernel with given traits must show of an experiment.
//!
//! [`expect`] walks an experiment's steps through a small model of tasks, processes and attached
//! filters and says of each step whether it is reached, what its call returns, and which SIGSYS
//! handlers run; and of each task how it ends. [`compare`] holds an observation against that.

mod behind;
mod compare;
mod install;
mod judge;
mod lives;
mod machine;
mod native;
mod own;
mod walk;
mod world;

pub use behind::{Expected, Foreseen, behind, behind_from};
pub use compare::{Difference, compare};
pub use judge::{dialect, is_for_probes};
pub use walk::expect;

use crate::Experiment;
use crate::TaskId;
use crate::observation::{End, Sigsys};
use crate::traits::{Quirk, Traits};
use crate::world::Change;

/// What must be seen of an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// One entry a step.
    pub steps: Vec<StepExpected>,
    /// How each task must end, by task number.
    pub tasks: Vec<End>,
    /// What must have changed in the world. `None` where nobody watches it, or where a call ran of
    /// which the model does not know what it does.
    pub world: Option<Vec<Change>>,
}

/// What must be seen of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepExpected {
    /// The task begins the step.
    pub reached: bool,
    /// What the call returns, if it returns.
    pub returned: Option<Value>,
    /// The handler runs that are seen.
    pub traps: Vec<Sigsys>,
    /// What the tracer is told.
    pub traced: Vec<u32>,
    /// What decided, for people: a filter's instruction, strict mode, or nothing.
    pub why: String,
}

/// A returned value as far as the model knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// This and nothing else.
    Exactly(i64),
    /// One of these.
    OneOf(&'static [i64]),
    /// The thread id of a task.
    TidOf(TaskId),
    /// The process id of a task.
    PidOf(TaskId),
    /// The call runs and succeeds with something the experiment does not fix, such as a descriptor.
    Success,
    /// The call runs; the model does not know what it returns.
    Any,
}

/// The quirks that an expectation leans on: without one of them it would be another.
#[must_use]
pub fn leans_on(experiment: &Experiment, traits: &Traits) -> Vec<Quirk> {
    let full = expect(experiment, traits);
    let changes = |quirk: &Quirk| expect(experiment, &traits.without(*quirk)) != full;
    traits.quirks.iter().copied().filter(changes).collect()
}
