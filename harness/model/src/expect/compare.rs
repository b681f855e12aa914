//! Expectation against observation, line by line.

use super::{Expectation, StepExpected, Value};
use crate::action::errno;
use crate::experiment::{MAX_STEPS, MAX_TASKS};
use crate::observation::{End, Observation, Sigsys, StepSeen, TaskSeen};
use crate::world::{MAX_CHANGES, changes_text};

/// One thing that was seen otherwise than expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about, such as `step 3` or `task 1`.
    pub what: String,
    /// What had to be seen.
    pub expected: String,
    /// What was seen.
    pub observed: String,
}

/// What a difference in the world is about.
const WORLD: &str = "world";

/// Everything in which an observation is not what was expected. An observation with another
/// number of steps or tasks than the experiment has is one difference: it cannot be held against it.
#[must_use]
pub fn compare(expected: &Expectation, observed: &Observation) -> Vec<Difference> {
    let shape = |steps: usize, tasks: usize| format!("{steps} steps and {tasks} tasks");
    if expected.steps.len() != observed.steps.len()
        || expected.tasks.len() != observed.tasks.len()
        || observed.steps.len() > MAX_STEPS
        || observed.tasks.len() > MAX_TASKS
        || observed.world.len() > MAX_CHANGES
    {
        return vec![Difference {
            what: "shape".into(),
            expected: shape(expected.steps.len(), expected.tasks.len()),
            observed: shape(observed.steps.len(), observed.tasks.len()),
        }];
    }
    let mut differences = Vec::new();
    let mut note = |what: String, expected: String, observed: String, same: bool| {
        if !same {
            differences.push(Difference { what, expected, observed });
        }
    };
    for (index, (want, got)) in expected.steps.iter().zip(&observed.steps).enumerate() {
        let same = want.matches(got, &observed.tasks);
        note(format!("step {index}"), want.to_text(), got.to_text(), same);
    }
    for (index, (want, got)) in expected.tasks.iter().zip(&observed.tasks).enumerate() {
        note(format!("task {index}"), want.to_text(), got.end.to_text(), *want == got.end);
    }
    if let Some(world) = &expected.world {
        note(WORLD.into(), changes_text(world), changes_text(&observed.world), *world == observed.world);
    }
    differences
}

impl StepExpected {
    fn matches(&self, seen: &StepSeen, tasks: &[TaskSeen]) -> bool {
        let value = match (&self.returned, seen.returned) {
            (None, None) => true,
            (Some(want), Some(got)) => want.matches(got, tasks),
            _ => false,
        };
        let told = self.traced == seen.traced;
        value && told && self.reached == seen.reached && self.traps == seen.traps
    }

    /// As one line for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let returned = self.returned.as_ref().map(Value::to_text);
        step_text(self.reached, returned, &self.traps, &self.traced)
    }
}

impl StepSeen {
    /// As one line for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        step_text(self.reached, self.returned.map(value_text), &self.traps, &self.traced)
    }
}

fn step_text(reached: bool, returned: Option<String>, traps: &[Sigsys], traced: &[u32]) -> String {
    if !reached {
        return "not reached".into();
    }
    let told: String = traced.iter().map(|data| format!("tracer told {data}, then ")).collect();
    let traps: String = traps.iter().map(|trap| format!("{}, then ", trap.to_text())).collect();
    match returned {
        Some(value) => format!("{told}{traps}returned {value}"),
        None => format!("{told}{traps}never returned"),
    }
}

impl Sigsys {
    /// As a phrase for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "signal {} (code {}, errno {}, call {}, arch {:#x}, at {:#x}, result {})",
            self.signo, self.code, self.errno, self.syscall, self.arch, self.call_addr, self.result
        )
    }
}

impl Value {
    fn matches(&self, got: i64, tasks: &[TaskSeen]) -> bool {
        match self {
            Self::Exactly(value) => got == *value,
            Self::OneOf(values) => values.contains(&got),
            Self::TidOf(task) => {
                tasks.get(usize::from(*task)).is_some_and(|seen| seen.tid > 0 && i64::from(seen.tid) == got)
            }
            Self::PidOf(task) => {
                tasks.get(usize::from(*task)).is_some_and(|seen| seen.pid > 0 && i64::from(seen.pid) == got)
            }
            Self::Success => got >= 0,
            Self::Any => true,
        }
    }

    /// As a phrase for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Exactly(value) => value_text(*value),
            Self::OneOf(values) => {
                let all: Vec<String> = values.iter().map(|value| value_text(*value)).collect();
                all.join(" or ")
            }
            Self::TidOf(task) => format!("the thread id of task {task}"),
            Self::PidOf(task) => format!("the process id of task {task}"),
            Self::Success => "success".into(),
            Self::Any => "anything".into(),
        }
    }
}

fn value_text(value: i64) -> String {
    match errno::name(-value) {
        Some(name) if value < 0 => format!("{value} {name}"),
        _ => value.to_string(),
    }
}

impl End {
    /// As a phrase for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::NeverMade => "never made".into(),
            Self::Alive => "alive at the end".into(),
            Self::Exited(status) => format!("process exited with {status}"),
            Self::Signaled { signal, core } => {
                let name = match signal {
                    4 => " SIGILL",
                    9 => " SIGKILL",
                    11 => " SIGSEGV",
                    31 => " SIGSYS",
                    _ => "",
                };
                format!("process killed by {signal}{name}{}", if *core { ", core dumped" } else { "" })
            }
            Self::ThreadGone => "thread gone, its process lives".into(),
            Self::TimedOut => "still busy when time was over".into(),
        }
    }
}
