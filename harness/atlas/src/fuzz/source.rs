//! Trials by number, made once for all kernels.

use super::coverage::{Coverage, Reach};
use super::{Budget, Plan};
use atlas_properties::{Trial, tree};
use proptest::strategy::{BoxedStrategy, ValueTree};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The most trials kept for the other kernels.
const KEPT: usize = 20_000;

/// Makes trials, and keeps them where every kernel gets the same ones.
pub(super) struct Source<'a> {
    plan: &'a Plan,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    trials: HashMap<(usize, u64), Arc<Trial>>,
    coverage: Coverage,
}

/// A thread's generators, one a property: they cannot be shared between threads.
pub(super) struct Generators(Vec<BoxedStrategy<Trial>>);

impl Generators {
    pub(super) fn new(plan: &Plan) -> Self {
        Self(plan.properties.iter().map(|property| (property.strategy)()).collect())
    }

    /// A trial that can be shrunk.
    pub(super) fn tree(
        &self,
        plan: &Plan,
        property: usize,
        number: u64,
    ) -> Box<dyn ValueTree<Value = Trial>> {
        tree(plan.properties[property], &self.0[property], plan.seed, number)
    }
}

impl<'a> Source<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self { plan, made: Mutex::default() }
    }

    /// Trials of one property, in the order of their numbers.
    pub(super) fn trials(
        &self,
        generators: &Generators,
        property: usize,
        numbers: std::ops::Range<u64>,
    ) -> Vec<Arc<Trial>> {
        // Held while trials are made: the other kernels wait for the same ones.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let keep = matches!(self.plan.budget, Budget::Trials(_));
        numbers
            .map(|number| {
                if let Some(trial) = made.trials.get(&(property, number)) {
                    return Arc::clone(trial);
                }
                let trial = Arc::new(generators.tree(self.plan, property, number).current());
                made.coverage.note(&trial);
                if keep && made.trials.len() < KEPT {
                    made.trials.insert((property, number), Arc::clone(&trial));
                }
                trial
            })
            .collect()
    }

    pub(super) fn reach(&self) -> Reach {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).coverage.reach()
    }
}
