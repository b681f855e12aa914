//! The catalogue: every case and probe, one module per theme.
//!
//! A **case** is a named experiment with a sentence on what it is for. It observes; what must be
//! seen is for the model to say. A **choreography** is a case or probe that does not fit the
//! experiment language: `observe` runs in the guest, `expect` on the host, side by side.
//!
//! A **probe** finds out one feature or quirk by its effect. Both come in lists, in the order that
//! reports show.

mod attached;
mod attacks;
mod case;
mod cgroup;
pub mod faults;
mod handed;
mod listener;
mod passing;
pub mod probes;
pub(crate) mod program32;
pub mod rubies;
mod scheduling;
mod script;
mod setting;
mod sigsys;
pub mod themes;
mod tracee;
mod waiting;

pub use case::{Body, Case, Fact, Want, facts_text};
pub use probes::{Probe, Subject};
pub use script::Script;

use atlas_edge::stage::Observe;

/// Every case, by theme.
#[must_use]
pub fn catalogue() -> Vec<&'static Case> {
    themes::ALL.iter().flat_map(|cases| cases.iter()).collect()
}

/// What the guest does for a case or probe that is a choreography.
#[must_use]
pub fn observe(name: &str) -> Option<Observe> {
    let of_case = |case: &&'static Case| match case.body {
        Body::Choreography { observe, .. } if case.name == name => Some(observe),
        _ => None,
    };
    let cases = catalogue();
    let found = cases.iter().chain(faults::CASES.iter().collect::<Vec<_>>().iter()).find_map(of_case);
    found.or_else(|| probes::observe(name))
}
