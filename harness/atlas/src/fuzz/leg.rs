//! One guest's part of a fuzz run: of one kernel, beside others perhaps.

use super::ask::{Came, Nobody, most};
use super::finding::{Finding, Kind};
use super::hand::Hand;
use super::shrink::{Smallest, between};
use super::source::{Generators, Source};
use super::{Event, Recorded};
use crate::results::Jit;
use atlas_model::experiment::Op;
use atlas_model::traits::{Feature, Traits};
use atlas_properties::{Property, REPLAY, Trial};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many broken trials of a property are made smaller on a kernel; more are only counted.
const SHRUNK: u64 = 2;
/// Trials carried out before the clock is looked at: so many at first, and twice as many each time that they
/// took less than a while, for a trial of one property takes a hundred times as long as one of another.
const STEP: usize = 4;
const WHILE: Duration = Duration::from_millis(300);

/// Trials, and for each its outcomes.
type Carried = (Vec<Arc<Trial>>, Vec<Vec<Came>>);

/// One guest's part of a fuzz run.
pub(super) struct Leg<'a> {
    hand: Hand<'a>,
    source: &'a Source<'a>,
    generators: Generators,
}

impl<'a> Leg<'a> {
    pub(super) fn new(hand: Hand<'a>, source: &'a Source<'a>) -> Self {
        let generators = Generators::new(hand.plan);
        Self { hand, source, generators }
    }

    /// Carries the plan's trials out and gives what was seen, unjudged.
    pub(super) fn record(mut self, trials: u64) -> Result<(Traits, Vec<Recorded>), String> {
        self.hand.boot()?;
        let mut recorded = Vec::new();
        for index in 0..self.hand.plan.properties.len() {
            let numbers =
                self.hand.plan.first..self.hand.plan.first + part(&self.hand.plan.properties, index, trials);
            let Ok((trials, came)) = self.carry(index, numbers) else {
                return Err(format!("the guest was lost {} times", self.hand.lost));
            };
            for (trial, came) in trials.into_iter().zip(came) {
                for came in came {
                    let Came::Seen(seen) = came else {
                        return Err(format!("a trial was not carried out: {came:?}"));
                    };
                    recorded.push(Recorded {
                        property: self.hand.plan.properties[index],
                        trial: Arc::clone(&trial),
                        seen,
                    });
                }
            }
        }
        Ok((self.hand.traits, recorded))
    }

    /// Takes rounds until none is left. Its worker has joined the queue.
    pub(super) fn walk(mut self) {
        if let Err(why) = self.work() {
            self.hand.not_run(why);
        }
        if let Some(tally) = self.hand.queue.leave() {
            self.hand.tell(Event::Finished { kernel: self.hand.kernel.name.clone(), tally });
        }
    }

    fn work(&mut self) -> Result<(), String> {
        self.hand.boot()?;
        if self.hand.queue.up() {
            self.hand.tell(Event::Booted {
                kernel: self.hand.kernel.name.clone(),
                release: self.hand.release.clone(),
            });
        }
        if !self.hand.traits.has(Feature::ModeFilter) {
            return Err("the kernel has no filters, as its probe says".into());
        }
        self.rounds().map_err(|Nobody| format!("given up after {} lost guests", self.hand.queue.lost()))
    }

    fn rounds(&mut self) -> Result<(), Nobody> {
        if self.hand.queue.begin() {
            self.replay()?;
        }
        while !self.hand.stopped()
            && let Some(trials) = self.hand.queue.next_round(self.hand.plan.budget)
        {
            self.round(&trials)?;
        }
        Ok(())
    }

    /// Whether the time is over, or somebody ended it.
    fn over(&self) -> bool {
        self.hand.stopped() || self.hand.queue.ended(self.hand.plan.budget)
    }

    /// A round: every property gets its share of these trials, some at a time.
    fn round(&mut self, trials: &Range<u64>) -> Result<(), Nobody> {
        for index in 0..self.hand.plan.properties.len() {
            let share = |upto| self.hand.plan.first + part(&self.hand.plan.properties, index, upto);
            let (mut next, end) = (share(trials.start), share(trials.end));
            let mut step = STEP;
            while next < end && !self.over() {
                let (upto, start) = (end.min(next + step as u64), Instant::now());
                self.batch(index, next..upto)?;
                next = upto;
                if start.elapsed() < WHILE {
                    step = most(self.hand.plan.properties[index].isolation).min(step * 2);
                }
                self.hand.tell(Event::Progress {
                    kernel: self.hand.kernel.name.clone(),
                    tally: self.hand.queue.tally(),
                    reach: self.source.reach(),
                });
            }
        }
        Ok(())
    }

    fn batch(&mut self, index: usize, numbers: Range<u64>) -> Result<(), Nobody> {
        let property = self.hand.plan.properties[index];
        let first = numbers.start;
        let settings = self.hand.plan.jit.settings(self.hand.traits.has(Feature::JitToggle));
        let (trials, came) = self.carry(index, numbers)?;
        self.hand.queue.note(|tally| *tally.judged.entry(property.name).or_default() += trials.len() as u64);
        for (number, (trial, came)) in (first..).zip(trials.iter().zip(&came)) {
            self.note_accepted(trial, came);
            let Some((kind, settings)) = self.broken(property, trial, came, settings) else { continue };
            if self.hand.queue.note_broken(property.name) <= SHRUNK {
                let tree = self.generators.tree(self.hand.plan, index, number);
                let smallest = self.hand.shrink(property, tree, &settings, kind);
                self.found(property, number, &settings, smallest);
            }
        }
        Ok(())
    }

    /// Carries trials of one property out under every JIT setting: for each trial one outcome a setting.
    fn carry(&mut self, index: usize, numbers: Range<u64>) -> Result<Carried, Nobody> {
        let trials = self.source.trials(&self.generators, index, numbers);
        let plain: Vec<&Trial> = trials.iter().map(Arc::as_ref).collect();
        let mut came: Vec<Vec<Came>> = vec![Vec::new(); trials.len()];
        for &jit in self.hand.plan.jit.settings(self.hand.traits.has(Feature::JitToggle)) {
            for (all, one) in
                came.iter_mut().zip(self.hand.carry_out(self.hand.plan.properties[index], &plain, jit)?)
            {
                all.push(one);
            }
        }
        Ok((trials, came))
    }

    /// Whether a trial's outcomes under these JIT settings break its property, and under which they do.
    fn broken(
        &self,
        property: &Property,
        trial: &Trial,
        came: &[Came],
        settings: &[Jit],
    ) -> Option<(Kind, Vec<Jit>)> {
        let under_one = came
            .iter()
            .zip(settings)
            .find_map(|(came, &jit)| Some((self.hand.verdict(property, trial, came)?, vec![jit])));
        under_one.or_else(|| Some((between(property, came)?, settings.to_vec())))
    }

    /// Earlier findings, each under every JIT setting.
    fn replay(&mut self) -> Result<(), Nobody> {
        let settings = self.hand.plan.jit.settings(self.hand.traits.has(Feature::JitToggle));
        for (number, file) in (0..).zip(&self.hand.plan.regressions) {
            let trial = Trial::from(file.experiments.clone());
            let mut came = Vec::new();
            for &jit in settings {
                came.extend(self.hand.carry_out(&REPLAY, &[&trial], jit)?);
            }
            self.hand.queue.note(|tally| *tally.judged.entry(REPLAY.name).or_default() += 1);
            if let Some((kind, settings)) = self.broken(&REPLAY, &trial, &came, settings) {
                self.hand.queue.note_broken(REPLAY.name);
                self.found(&REPLAY, number, &settings, Smallest { trial, kind, shrunk: 0 });
            }
        }
        Ok(())
    }

    fn found(&self, property: &'static Property, number: u64, settings: &[Jit], smallest: Smallest) {
        let finding = Finding {
            property: property.name,
            about: property.about,
            kernel: self.hand.kernel.name.clone(),
            release: self.hand.release.clone(),
            jit: if let [jit] = settings { *jit } else { Jit::Fixed },
            seed: self.hand.plan.seed,
            number,
            shrunk: smallest.shrunk,
            trial: smallest.trial,
            kind: smallest.kind,
            text: String::new(),
        };
        self.hand.tell(Event::Found(Box::new(finding.tell(property, &self.hand.traits))));
    }

    fn note_accepted(&self, trial: &Trial, came: &[Came]) {
        let (mut attached, mut accepted) = (0, 0);
        for came in came {
            let Came::Seen(seen) = came else { continue };
            for (experiment, seen) in trial.experiments.iter().zip(seen) {
                for (step, seen) in experiment.steps.iter().zip(&seen.steps) {
                    if matches!(step.op, Op::Install(_)) && seen.reached {
                        attached += 1;
                        accepted += u64::from(seen.returned == Some(0));
                    }
                }
            }
        }
        self.hand.queue.note(|tally| {
            tally.attached += attached;
            tally.accepted += accepted;
        });
    }
}

/// How many of the first `upto` trials over all properties are this one's, rounded up: nobody goes
/// without.
fn part(properties: &[&Property], index: usize, upto: u64) -> u64 {
    let whole: u64 = properties.iter().map(|property| u64::from(property.share)).sum();
    (upto * u64::from(properties[index].share)).div_ceil(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_nobody_goes_without() {
        let properties: Vec<&Property> = atlas_properties::all().iter().collect();
        let count = properties.len() as u64;
        for upto in [1, 7, 500, 1000, 2000] {
            let parts: Vec<u64> = (0..properties.len()).map(|index| part(&properties, index, upto)).collect();
            assert!((upto..upto + count).contains(&parts.iter().sum()), "{parts:?}");
            assert!(parts.iter().all(|&part| part > 0), "{parts:?}");
        }
    }
}
