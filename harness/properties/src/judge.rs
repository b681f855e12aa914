//! A trial's observations held against the model and the property.

use crate::trial::{Property, Trial};
use atlas_model::expect::{Difference, compare, expect};
use atlas_model::observation::{End, Observation};
use atlas_model::traits::Traits;
use std::fmt::Write as _;

/// How a trial came out.
pub type Judged = Result<(), Broken>;

/// What a trial that breaks its property differs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The experiment it shows in, counted from 0; `None` where it shows only between several.
    pub experiment: Option<usize>,
    /// What was seen otherwise than it had to be, at least one.
    pub differences: Vec<Difference>,
}

impl Property {
    /// Holds a trial's observations, one an experiment, against the model and the property's
    /// statement.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn judge(&self, trial: &Trial, traits: &Traits, seen: &[Observation]) -> Judged {
        for (index, (experiment, observation)) in trial.experiments.iter().zip(seen).enumerate() {
            let differences = compare(&expect(experiment, traits), observation);
            if !differences.is_empty() {
                return Err(Broken { experiment: Some(index), differences });
            }
        }
        match (self.statement)(trial, seen) {
            differences if differences.is_empty() => Ok(()),
            differences => Err(Broken { experiment: None, differences }),
        }
    }

    /// Holds what was seen with the JIT on against what was seen with it off. Ids of tasks differ
    /// between any two runs and are left out.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn same(&self, on: &[Observation], off: &[Observation]) -> Judged {
        for (index, (on, off)) in on.iter().zip(off).enumerate() {
            if let Some(difference) = differ(on, off) {
                return Err(Broken { experiment: Some(index), differences: vec![difference] });
            }
        }
        Ok(())
    }
}

fn differ(on: &Observation, off: &Observation) -> Option<Difference> {
    let ids = |seen: &Observation| -> Vec<i64> {
        seen.tasks.iter().flat_map(|task| [i64::from(task.tid), i64::from(task.pid)]).collect()
    };
    let (on_ids, off_ids) = (ids(on), ids(off));
    let id = |value: Option<i64>, ids: &[i64]| value.and_then(|value| ids.iter().position(|&id| id == value));
    for (index, (one, other)) in on.steps.iter().zip(&off.steps).enumerate() {
        let both_ids = id(one.returned, &on_ids).is_some() && id(other.returned, &off_ids).is_some();
        if one != other && !(both_ids && one.traps == other.traps) {
            return Some(Difference {
                what: format!("step {index}, JIT on against JIT off"),
                expected: other.to_text(),
                observed: one.to_text(),
            });
        }
    }
    let ends = |seen: &Observation| seen.tasks.iter().map(|task| task.end).collect::<Vec<End>>();
    (ends(on) != ends(off)).then(|| Difference {
        what: "ends of tasks, JIT on against JIT off".into(),
        expected: format!("{:?}", ends(off)),
        observed: format!("{:?}", ends(on)),
    })
}

impl Broken {
    /// For people: the experiment written down, what the model says of each step and why, and what
    /// was seen otherwise.
    #[must_use]
    pub fn to_text(&self, trial: &Trial, traits: &Traits) -> String {
        let mut text = String::new();
        for (index, experiment) in trial.experiments.iter().enumerate() {
            if self.experiment.is_some_and(|at| at != index) {
                continue;
            }
            if trial.experiments.len() > 1 {
                let _ = writeln!(text, "experiment {} of {}", index + 1, trial.experiments.len());
            }
            text.push_str(&experiment.to_text());
            let expected = expect(experiment, traits);
            text.push_str("the model expects\n");
            for (number, step) in expected.steps.iter().enumerate() {
                let why = if step.why.is_empty() { String::new() } else { format!(": {}", step.why) };
                let _ = writeln!(text, "  step {number} {}{why}", step.to_text());
            }
            for (number, end) in expected.tasks.iter().enumerate() {
                let _ = writeln!(text, "  task {number} {}", end.to_text());
            }
        }
        for Difference { what, expected, observed } in &self.differences {
            let _ = writeln!(text, "{what}\n  expected: {expected}\n  observed: {observed}");
        }
        text
    }
}
