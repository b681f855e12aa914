//! Probes: what a kernel can do and which quirks it shows, found out by effect.
//!
//! A probe observes in the guest like a case; its answer is worked out on the host. An answer of
//! `None` says that the probe could not tell, with the evidence beside it.

mod features;
mod quirks;
mod stages;

use atlas_edge::stage::Observe;
use atlas_model::traits::{Feature, Quirk};
use atlas_model::{Experiment, Observation};

/// What a probe asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A feature.
    Feature(Feature),
    /// A quirk.
    Quirk(Quirk),
}

impl Subject {
    /// Stable name of what is asked about.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Feature(feature) => feature.info().name,
            Self::Quirk(quirk) => quirk.info().name,
        }
    }
}

/// A probe.
pub struct Probe {
    /// What it asks about.
    pub subject: Subject,
    /// How it finds out.
    pub body: ProbeBody,
}

/// How a probe finds out.
pub enum ProbeBody {
    /// By an experiment, and a reading of what was seen.
    Experiment(fn() -> Experiment, fn(&Observation) -> Option<bool>),
    /// By code in the guest, and a reading of its facts.
    Choreography(Observe, fn(&[(String, i64)]) -> Option<bool>),
}

/// Every probe: one a feature, then one a quirk.
#[must_use]
pub fn all() -> Vec<Probe> {
    let features = Feature::ALL
        .iter()
        .map(|&feature| Probe { subject: Subject::Feature(feature), body: features::probe(feature) });
    let quirks =
        Quirk::ALL.iter().map(|&quirk| Probe { subject: Subject::Quirk(quirk), body: quirks::probe(quirk) });
    features.chain(quirks).collect()
}

/// What goes before a probe's name where it is asked for as a choreography.
const PREFIX: &str = "probe::";

impl Probe {
    /// The name by which the guest knows its choreography. Probes that read the same one in two ways have the same name
    /// for it, that of the first: what it gave once need not be asked for again. Two that the compiler makes one are as
    /// good as the same; one that it makes twice is asked for twice.
    #[must_use]
    pub fn choreography(&self) -> String {
        let is_mine = |other: &Self| match (&self.body, &other.body) {
            (ProbeBody::Choreography(mine, _), ProbeBody::Choreography(its, _)) => {
                std::ptr::fn_addr_eq(*mine, *its)
            }
            _ => false,
        };
        let first = all().into_iter().find(is_mine).map_or(self.subject, |probe| probe.subject);
        format!("{PREFIX}{}", first.name())
    }
}

/// What the guest does for a probe that is a choreography.
pub(crate) fn observe(name: &str) -> Option<Observe> {
    let name = name.strip_prefix(PREFIX)?;
    all().into_iter().find(|probe| probe.subject.name() == name).and_then(|probe| match probe.body {
        ProbeBody::Choreography(observe, _) => Some(observe),
        ProbeBody::Experiment(..) => None,
    })
}

/// The value that a step returned.
fn value(seen: &Observation, step: usize) -> Option<i64> {
    seen.steps.get(step)?.returned
}

/// The value that the last step returned.
fn last(seen: &Observation) -> Option<i64> {
    seen.steps.last()?.returned
}

/// The signal that ended a task's process.
fn signal(seen: &Observation, task: usize) -> Option<i32> {
    match seen.tasks.get(task)?.end {
        atlas_model::observation::End::Signaled { signal, .. } => Some(signal),
        _ => None,
    }
}

/// The value of a fact.
fn fact(facts: &[(String, i64)], name: &str) -> Option<i64> {
    facts.iter().find(|(of, _)| of == name).map(|(_, value)| *value)
}
