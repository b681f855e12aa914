//! Properties and trials.

use atlas_model::expect::Difference;
use atlas_model::policy::Policy;
use atlas_model::{Experiment, Observation};
use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A generator of trials and a statement about all of them.
pub struct Property {
    /// Its name in commands and reports.
    pub name: &'static str,
    /// The statement, as one sentence.
    pub about: &'static str,
    /// What its trials need to be kept apart.
    pub isolation: Isolation,
    /// Of a thousand trials of a run over all properties, so many are its.
    pub share: u32,
    /// Makes the generator.
    pub strategy: fn() -> BoxedStrategy<Trial>,
    /// What must hold beyond the model's expectation of each experiment: differences, none when it
    /// holds. One observation an experiment.
    pub statement: fn(&Trial, &[Observation]) -> Vec<Difference>,
}

impl std::fmt::Debug for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Property").field(&self.name).finish()
    }
}

/// What keeps experiments apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A process with the guest's memory, and a copy of its descriptors: the calls touch neither.
    Bare,
    /// A process with the descriptors of [`atlas_model::experiment::layout`], and with memory of its own where its calls
    /// do not leave that alone.
    Furnished,
}

/// Experiments that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// At least one.
    pub experiments: Vec<Experiment>,
    /// The policy that their filters were compiled from, where they were.
    pub policy: Option<Policy>,
}

impl From<Vec<Experiment>> for Trial {
    fn from(experiments: Vec<Experiment>) -> Self {
        Self { experiments, policy: None }
    }
}

impl From<Experiment> for Trial {
    fn from(experiment: Experiment) -> Self {
        vec![experiment].into()
    }
}

/// The trial that a seed and a number stand for, as a tree that can be shrunk. Equal inputs give
/// equal trials, on every machine.
#[must_use]
pub fn tree(
    property: &Property,
    strategy: &BoxedStrategy<Trial>,
    seed: u64,
    number: u64,
) -> Box<dyn ValueTree<Value = Trial>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    for (byte, letter) in bytes[16..].iter_mut().zip(property.name.bytes()) {
        *byte = letter;
    }
    // Filters inside a strategy may refuse many values; the default limit is for whole tests.
    let config = Config { max_local_rejects: 1 << 20, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    strategy.new_tree(&mut runner).unwrap_or_else(|reason| {
        panic!("the generator of `{}` gives up at trial {number} of seed {seed}: {reason}", property.name)
    })
}
