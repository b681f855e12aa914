//! The check: one filter of a user's own, and a program behind it, on every kernel, held against the
//! model.
//!
//! On each kernel, with the JIT on and off, the filter is asked for every number of every ABI and for
//! the [`chosen`] calls, none of which is carried out (see [`crate::sweep`]). Then the program runs behind it,
//! traced, and [`program`] judges each call that the filter denied it.

pub mod chosen;
mod elf;
pub mod files;
pub mod json;
mod loader;
pub mod program;
pub mod text;
mod verdict;

use crate::explain::Subject;
use crate::guests::Guests;
use crate::plan::JitChoice;
use crate::sweep;
use atlas_model::bpf::{self, Dialect};
use atlas_model::sweep::{COUNT, Calls};
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Action, Call, Filter};
use atlas_policy::{agrees_as, calls_near};
use atlas_vm::kernels::Kernel;
use chosen::Chosen;
use program::{Program, Ran};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What is to be checked, and how.
pub struct Order {
    /// The filter.
    pub filter: Filter,
    /// The calls that are made beside every number.
    pub chosen: Chosen,
    /// The features that the filter's actions came with, see [`needs`].
    pub needs: Vec<Feature>,
    /// The program, where there is one.
    pub program: Option<Program>,
    /// The JIT settings.
    pub jit: JitChoice,
    /// How long one sweep may take.
    pub limit: Duration,
}

/// What was found on one kernel with one JIT setting.
pub struct Leg {
    /// The sweep of every number, which names kernel and JIT setting.
    pub every: sweep::Leg,
    /// Those of the chosen calls.
    pub chosen: Vec<sweep::Leg>,
    /// What became of the program, or why it could not be run.
    pub ran: Option<Result<Ran, String>>,
    /// Actions that the filter gives and the kernel does not know.
    pub lacks: Vec<Feature>,
}

impl Leg {
    /// All sweeps, that of every number first.
    pub fn sweeps(&self) -> impl Iterator<Item = &sweep::Leg> {
        std::iter::once(&self.every).chain(&self.chosen)
    }

    /// What was seen of the sweeps that came to their end.
    pub fn seen(&self) -> impl Iterator<Item = (&sweep::Leg, &sweep::Seen)> {
        self.sweeps().filter_map(|sweep| Some((sweep, sweep.outcome.as_ref().ok()?)))
    }

    /// Whether no call of the program came out otherwise than the model says.
    fn program_agrees(&self) -> bool {
        self.ran.as_ref().and_then(|ran| ran.as_ref().ok()).is_none_or(|ran| ran.wrong.is_empty())
    }

    /// Whether kernel and model agree on everything that was tried. A program that could not be run says nothing
    /// about that; [`Leg::program_is_well`] does.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.program_agrees() && self.sweeps().all(sweep::Leg::agrees)
    }

    /// Whether the program, where there is one, ended as it was to.
    #[must_use]
    pub fn program_is_well(&self) -> bool {
        self.ran.as_ref().is_none_or(|ran| ran.as_ref().is_ok_and(|ran| ran.well))
    }
}

/// Whether there is nothing to act on: every kernel agrees, and the program ended well on each.
#[must_use]
pub fn is_well(legs: &[Leg]) -> bool {
    !legs.is_empty() && legs.iter().all(|leg| leg.agrees() && leg.program_is_well())
}

/// Whether a filter says what the policy says that it was made of.
///
/// # Errors
/// A call of which it does not, for people.
pub fn means_its_policy(subject: &Subject, chosen: &[Call]) -> Result<(), String> {
    let (Some(policy), Some(compiler)) = (&subject.policy, subject.compiler) else { return Ok(()) };
    let calls = calls_near(policy).into_iter().chain(chosen.iter().map(Call::data));
    agrees_as(compiler, policy, &subject.filter, calls).map_err(|disagreement| disagreement.to_string())
}

/// Checks on a kernel. `tell` takes lines of progress.
pub fn on_kernel(kernel: &Kernel, guests: &Guests, order: &Order, tell: &dyn Fn(&str)) -> Vec<Leg> {
    let start = Instant::now();
    let mut guest = match sweep::Guest::take(kernel, guests, tell) {
        Ok(guest) => guest,
        Err(problem) => return vec![leg(sweep::Leg::lost(kernel, problem), vec![])],
    };
    let lacks = lacks(&order.needs, guest.traits());
    let mut legs: Vec<Leg> = Vec::new();
    for calls in all_calls(&order.chosen.calls) {
        let swept = guest.sweep(&sweep::Order {
            filter: order.filter.clone(),
            calls,
            suspend: true,
            jit: order.jit,
            limit: order.limit,
        });
        for one in swept {
            match legs.iter_mut().find(|leg| leg.every.jit == one.jit) {
                Some(leg) => leg.chosen.push(one),
                None => legs.push(leg(one, lacks.clone())),
            }
        }
    }
    if let Some(program) = &order.program {
        for leg in &mut legs {
            leg.ran = Some(program.run(kernel, guests, &order.filter, leg.every.jit, guest.traits(), tell));
        }
    }
    let took = start.elapsed().as_secs_f64();
    legs.iter().for_each(|leg| tell(&format!("{}; {took:.1} s", text::leg_line(leg))));
    legs
}

fn leg(every: sweep::Leg, lacks: Vec<Feature>) -> Leg {
    let lacks = if every.outcome.is_ok() { lacks } else { vec![] };
    Leg { every, chosen: vec![], ran: None, lacks }
}

/// Every number, then the chosen calls, in sweeps that a guest takes.
fn all_calls(chosen: &[Call]) -> Vec<Calls> {
    let these = chosen.chunks(COUNT).map(|calls| Calls::These(calls.to_vec()));
    std::iter::once(Calls::default()).chain(these).collect()
}

/// The features that the actions came with which the chosen calls are given, each once.
#[must_use]
pub fn needs(filter: &Filter, chosen: &[Call]) -> Vec<Feature> {
    let dialect = Dialect::default();
    let of = |call: &Call| came_with(Action::from_word(bpf::run(filter, &call.data(), &dialect).word));
    let needs: BTreeSet<Feature> = chosen.iter().filter_map(of).collect();
    needs.into_iter().collect()
}

/// Those of them that a kernel does not have.
fn lacks(needs: &[Feature], traits: &Traits) -> Vec<Feature> {
    needs.iter().copied().filter(|feature| !traits.has(*feature)).collect()
}

/// The feature that an action came with, after filters themselves.
fn came_with(action: Action) -> Option<Feature> {
    match action {
        Action::Log => Some(Feature::ActionLog),
        Action::KillProcess => Some(Feature::ActionKillProcess),
        Action::UserNotif => Some(Feature::ActionUserNotif),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::explored::Explored;
    use crate::source;
    use atlas_policy::Compiler;
    use std::path::Path;

    #[test]
    fn a_filter_that_is_not_its_policy_is_noticed() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/profile.json");
        let mut subject = Subject::of(source::read(&file).unwrap(), Compiler::Linear).unwrap();
        assert_eq!(means_its_policy(&subject, &[]), Ok(()));
        let denies = subject.filter.0.iter_mut().find(|insn| insn.k == Action::Errno(1).word()).unwrap();
        denies.k = Action::Errno(2).word();
        let said = means_its_policy(&subject, &[]).unwrap_err();
        assert!(said.contains("ERRNO(1 EPERM)") && said.contains("ERRNO(2 ENOENT)"), "{said}");
    }

    #[test]
    fn actions_that_a_kernel_lacks_are_found_where_the_filter_gives_them() {
        let filter = |action| Filter(vec![bpf::ret(action)]);
        let newest = Traits::newest();
        let mut older = newest.clone();
        older.features.remove(&Feature::ActionUserNotif);
        let of = |action, traits| {
            let filter = filter(action);
            lacks(&needs(&filter, &Chosen::of(&filter, &Explored::of(&filter)).calls), traits)
        };
        assert_eq!(of(Action::UserNotif, &older), [Feature::ActionUserNotif]);
        assert_eq!(of(Action::Errno(1), &older), []);
        assert_eq!(of(Action::UserNotif, &newest), []);
    }
}
