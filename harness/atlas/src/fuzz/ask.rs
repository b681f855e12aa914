//! Trials carried out: batches, and what is left of them when a guest is lost.

use super::hand::Hand;
use crate::results::Jit;
use atlas_model::Observation;
use atlas_properties::{Isolation, Property, Trial};
use atlas_vm::Lost;
use atlas_wire::{Item, Outcome, Request, Response};
use std::time::Duration;

/// How long one experiment may take.
const LIMIT: Duration = Duration::from_secs(4);
/// How long a request may take beyond the time of one slow experiment.
const MARGIN: Duration = Duration::from_secs(20);
/// The most experiments of one request, by isolation: a request shall take about a second at most.
const MOST_BARE: usize = 200;
const MOST_FURNISHED: usize = 25;
/// The most instructions of one request: a guest reads about a million a second.
const MOST_INSNS: usize = 60_000;

/// What became of one trial.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Came {
    /// Every experiment was carried out.
    Seen(Vec<Observation>),
    /// The guest was lost at it.
    Lost(String),
    /// The guest could not carry it out.
    Impossible(String),
}

/// Why there is nothing.
pub(super) struct Nobody;

impl Hand<'_> {
    /// Carries trials out under one JIT setting. Where a guest is lost in the middle, the trials are
    /// carried out one by one to find the one at which it is.
    pub(super) fn carry_out(
        &mut self,
        property: &Property,
        trials: &[&Trial],
        jit: Jit,
    ) -> Result<Vec<Came>, Nobody> {
        let mut came = Vec::with_capacity(trials.len());
        let mut rest = trials;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(batch(property.isolation, rest));
            rest = later;
            match self.request(property, now, jit)? {
                Ok(all) => came.extend(all),
                Err(lost) if now.len() == 1 => came.push(Came::Lost(lost.to_string())),
                Err(_) => {
                    for trial in now {
                        came.push(match self.request(property, &[trial], jit)? {
                            Ok(mut one) => one.remove(0),
                            Err(lost) => Came::Lost(lost.to_string()),
                        });
                    }
                }
            }
        }
        Ok(came)
    }

    fn request(
        &mut self,
        property: &Property,
        trials: &[&Trial],
        jit: Jit,
    ) -> Result<Result<Vec<Came>, Lost>, Nobody> {
        let wrap = match property.isolation {
            Isolation::Bare => Item::Bare,
            Isolation::Furnished => Item::Experiment,
        };
        let items = trials.iter().flat_map(|trial| trial.experiments.iter().cloned().map(wrap)).collect();
        let request = Request::Run { jit: jit.switch(), limit_ms: LIMIT.as_millis() as u32, items };
        if self.stopped() {
            return Err(Nobody);
        }
        let Some(machine) = self.guest() else { return Err(Nobody) };
        match machine.request(&request, LIMIT + MARGIN) {
            Ok(Response::Ran(outcomes)) => {
                self.queue.note(|tally| tally.experiments += outcomes.len() as u64);
                let mut outcomes = outcomes.into_iter();
                Ok(Ok(trials
                    .iter()
                    .map(|trial| of(outcomes.by_ref().take(trial.experiments.len())))
                    .collect()))
            }
            Ok(Response::Refused(why)) => Ok(Ok(vec![Came::Impossible(why); trials.len()])),
            Ok(_) => Ok(Ok(vec![Came::Impossible("an answer of another kind".into()); trials.len()])),
            Err(lost) => {
                self.lose(&lost);
                if self.stopped() { Err(Nobody) } else { Ok(Err(lost)) }
            }
        }
    }
}

/// The most experiments of one request.
pub(super) fn most(isolation: Isolation) -> usize {
    match isolation {
        Isolation::Bare => MOST_BARE,
        Isolation::Furnished => MOST_FURNISHED,
    }
}

fn batch(isolation: Isolation, trials: &[&Trial]) -> usize {
    let most = most(isolation);
    let mut insns = 0;
    let mut experiments = 0;
    let fits = trials.iter().take_while(|trial| {
        experiments += trial.experiments.len();
        insns += trial.experiments.iter().map(weight).sum::<usize>();
        experiments <= most && insns <= MOST_INSNS
    });
    fits.count().max(1)
}

fn weight(experiment: &atlas_model::Experiment) -> usize {
    use atlas_model::experiment::{Op, Program};
    let of = |op: &Op| match op {
        Op::Install(install) => match &install.program {
            Program::Filter(filter) | Program::Length(filter, _) => filter.len(),
            _ => 0,
        },
        _ => 0,
    };
    experiment.steps.iter().map(|step| 1 + of(&step.op)).sum()
}

fn of(outcomes: impl Iterator<Item = Outcome>) -> Came {
    let mut seen = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Observed(observation) => seen.push(observation),
            Outcome::Impossible(why) => return Came::Impossible(why),
            other => return Came::Impossible(format!("an answer of another kind: {other:?}")),
        }
    }
    Came::Seen(seen)
}
