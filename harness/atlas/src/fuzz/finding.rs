//! A trial that breaks its property, in its smallest form, as people and as files have it.

use crate::casefile::{CaseFile, Found};
use crate::results::Jit;
use atlas_model::traits::Traits;
use atlas_properties::{Broken, Property, Trial};

/// How a trial broke its property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something was seen otherwise than expected.
    Differs(Broken),
    /// The guest was lost.
    Lost(String),
    /// The guest could not carry it out.
    Impossible(String),
}

/// A trial that breaks its property.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The property's name.
    pub property: &'static str,
    /// Its statement.
    pub about: &'static str,
    /// The kernel's name.
    pub kernel: String,
    /// `uname -r`.
    pub release: String,
    /// The JIT setting under which it shows; [`Jit::Fixed`] where the two were held against each other.
    pub jit: Jit,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the trial.
    pub number: u64,
    /// How often it was made smaller.
    pub shrunk: u32,
    /// The smallest trial that still breaks it.
    pub trial: Trial,
    /// How.
    pub kind: Kind,
    /// The whole story for people.
    pub text: String,
}

impl Finding {
    pub(super) fn tell(mut self, property: &Property, traits: &Traits) -> Self {
        let story = match &self.kind {
            Kind::Differs(broken) => broken.to_text(&self.trial, traits),
            Kind::Lost(why) => format!("{}\nthe guest was lost: {why}\n", self.experiments_text()),
            Kind::Impossible(why) => format!("{}\nnot carried out: {why}\n", self.experiments_text()),
        };
        self.text = format!(
            "property `{}` does not hold on {} ({}), {}\n{}\n{story}seed {}, trial {}, made smaller {} times\nrepeat with: {}\n",
            property.name,
            self.kernel,
            self.release,
            self.jit_text(),
            property.about,
            self.seed,
            self.number,
            self.shrunk,
            self.repeat(),
        );
        self
    }

    fn jit_text(&self) -> &'static str {
        match self.jit {
            Jit::On => "JIT on",
            Jit::Off => "JIT off",
            Jit::Fixed => "whatever the JIT",
        }
    }

    fn experiments_text(&self) -> String {
        self.trial.experiments.iter().map(atlas_model::Experiment::to_text).collect::<Vec<_>>().join("\n")
    }

    /// The command that repeats it.
    #[must_use]
    pub fn repeat(&self) -> String {
        format!(
            "atlas fuzz --kernel {} --property {} --seed {} --first {} --cases 1",
            self.kernel, self.property, self.seed, self.number
        )
    }

    /// As a file that `atlas run --experiment` takes.
    #[must_use]
    pub fn case_file(&self) -> CaseFile {
        CaseFile {
            name: format!("found::{}_{}_{}", self.property, self.seed, self.number),
            about: format!("Breaks the property `{}`: {}", self.property, self.about),
            experiments: self.trial.experiments.clone(),
            found: Some(Found {
                property: self.property.into(),
                kernel: self.release.clone(),
                jit: self.jit,
                seed: self.seed,
                trial: self.number,
                story: self.text.lines().map(str::to_owned).collect(),
            }),
        }
    }
}
