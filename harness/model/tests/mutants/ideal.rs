//! What is seen on a kernel that does as the model says.

use atlas_model::expect::{Expectation, StepExpected, Value};
use atlas_model::experiment::{Experiment, Op, TaskId};
use atlas_model::observation::{End, Observation, StepSeen, TaskSeen};

/// An observation that fits an expectation. Task `t` has the id `1000 + t`.
pub(crate) fn observation(experiment: &Experiment, expected: &Expectation) -> Observation {
    let mut leaders: Vec<TaskId> = vec![0; expected.tasks.len()];
    for step in &experiment.steps {
        match step.op {
            Op::Fork { child } => leaders[usize::from(child)] = child,
            Op::Thread { child } => leaders[usize::from(child)] = leaders[usize::from(step.task)],
            _ => {}
        }
    }
    let task = |(leader, end): (&TaskId, &End)| (1000 + i32::from(*leader), *end);
    let tasks = leaders.iter().zip(&expected.tasks).map(task).zip(1000..);
    let tasks = tasks.map(|((pid, end), tid)| match end {
        End::NeverMade => TaskSeen::default(),
        _ => TaskSeen { tid, pid, end },
    });
    let tasks: Vec<TaskSeen> = tasks.collect();
    let step = |step: &StepExpected| StepSeen {
        reached: step.reached,
        returned: step.returned.as_ref().map(|value| number(value, &tasks)),
        traps: step.traps.clone(),
        traced: step.traced.clone(),
    };
    let world = expected.world.clone().unwrap_or_default();
    Observation { steps: expected.steps.iter().map(step).collect(), tasks: tasks.clone(), world }
}

fn number(value: &Value, tasks: &[TaskSeen]) -> i64 {
    match value {
        Value::Exactly(value) => *value,
        Value::OneOf(values) => values[0],
        Value::TidOf(task) => i64::from(tasks[usize::from(*task)].tid),
        Value::PidOf(task) => i64::from(tasks[usize::from(*task)].pid),
        Value::Success => 3,
        Value::Any => 0x7777_7777,
    }
}
