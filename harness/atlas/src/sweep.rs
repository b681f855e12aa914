//! The sweep: one filter, every number of every ABI, on each kernel, held against the model.
//!
//! No call is carried out (see [`atlas_model::sweep`]). A guest is got and probed, its [`twin`] is
//! worked out from its traits, and then the guest sweeps once a JIT setting. What comes back is a
//! [`map::Map`], and the calls on which kernel and twin differ.

pub mod example;
pub mod map;
pub mod text;
pub mod twin;

use crate::guests::Guests;
use crate::plan::JitChoice;
use crate::results::Jit;
use crate::run::{FirstGuest, first_guest};
use atlas_model::Filter;
use atlas_model::sweep::Calls;
use atlas_model::traits::{Feature, Traits};
use atlas_vm::Machine;
use atlas_vm::kernels::Kernel;
use atlas_wire::{Request, Response};
use map::Map;
use std::time::{Duration, Instant};
use twin::{Difference, Twin};

/// How much longer than the guest's own limit the host waits for an answer.
const MARGIN: Duration = Duration::from_secs(8);

/// What is to be swept, and how.
pub struct Order {
    /// The filter.
    pub filter: Filter,
    /// The calls.
    pub calls: Calls,
    /// Whether the guest may suspend filters by ptrace, which is faster where calls end processes.
    pub suspend: bool,
    /// The JIT settings.
    pub jit: JitChoice,
    /// How long one sweep may take.
    pub limit: Duration,
}

/// One sweep on one kernel.
pub struct Leg {
    /// The kernel's name.
    pub kernel: String,
    /// Its release as the guest says it; empty where none came up.
    pub release: String,
    /// The JIT setting.
    pub jit: Jit,
    /// What was seen, or why nothing was.
    pub outcome: Result<Seen, String>,
}

/// What was seen of a sweep.
pub struct Seen {
    /// The map.
    pub map: Map,
    /// The calls that the model had otherwise.
    pub differences: Vec<Difference>,
    /// The marker that was used.
    pub marker: u16,
    /// Whether filters were suspended for the maker of processes.
    pub suspended: bool,
    /// How many processes it took.
    pub processes: u32,
    /// How long it took in the guest.
    pub took: Duration,
}

impl Leg {
    /// What there is to say of a kernel that gave no guest.
    pub(crate) fn lost(kernel: &Kernel, problem: String) -> Self {
        Self { kernel: kernel.name.clone(), release: String::new(), jit: Jit::Fixed, outcome: Err(problem) }
    }

    /// Whether kernel and model agree on every call.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|seen| seen.differences.is_empty())
    }
}

/// A kernel that is up and whose traits are known.
pub struct Guest {
    kernel: String,
    machine: Machine,
    traits: Traits,
}

impl Guest {
    /// Gets a guest of a kernel and what its probes find. `tell` hears what went wrong with templates.
    ///
    /// # Errors
    /// A sentence that says what became of it.
    pub fn take(kernel: &Kernel, guests: &Guests, tell: &dyn Fn(&str)) -> Result<Self, String> {
        let FirstGuest { machine, traits, .. } =
            first_guest(kernel, guests, &mut |trouble| tell(&format!("{}: {trouble}", kernel.name)))?;
        Ok(Self { kernel: kernel.name.clone(), machine, traits })
    }

    /// What the probes found.
    #[must_use]
    pub fn traits(&self) -> &Traits {
        &self.traits
    }

    /// Sweeps once a JIT setting.
    pub fn sweep(&mut self, order: &Order) -> Vec<Leg> {
        let twin = Twin::of(&order.filter, &order.calls, order.suspend, &self.traits);
        let settings = order.jit.settings(self.traits.has(Feature::JitToggle));
        let mut leg = |&jit: &Jit| Leg {
            kernel: self.kernel.clone(),
            release: self.machine.hello().release.clone(),
            jit,
            outcome: match &twin {
                Ok(twin) => self.hold_against(twin, jit, order.limit),
                Err(none) => Err(none.to_string()),
            },
        };
        settings.iter().map(&mut leg).collect()
    }

    /// Sweeps what a twin says is to be swept, and holds the answers against it.
    ///
    /// # Errors
    /// A sentence: the guest was lost, or could not sweep.
    pub fn hold_against(&mut self, twin: &Twin, jit: Jit, limit: Duration) -> Result<Seen, String> {
        let request = Request::Sweep {
            jit: jit.switch(),
            limit_ms: limit.as_millis() as u32,
            sweep: twin.sweep.clone(),
        };
        let swept = match self.machine.request(&request, limit + MARGIN) {
            Ok(Response::Swept(swept)) => swept,
            Ok(Response::Refused(why)) => return Err(why),
            Ok(_) => return Err("the guest answered something that was not asked".into()),
            Err(lost) => return Err(format!("the guest was lost: {lost}")),
        };
        Ok(Seen {
            map: Map::of(&twin.calls, &swept.answers, &twin.words, twin.sweep.marker),
            differences: twin.differences(&swept.answers),
            marker: twin.sweep.marker,
            suspended: swept.suspended,
            processes: swept.children,
            took: Duration::from_micros(swept.micros),
        })
    }
}

/// Sweeps on a kernel. `tell` takes lines of progress.
pub fn on_kernel(kernel: &Kernel, guests: &Guests, order: &Order, tell: &dyn Fn(&str)) -> Vec<Leg> {
    let start = Instant::now();
    let legs = match Guest::take(kernel, guests, tell) {
        Ok(mut guest) => {
            let took = start.elapsed().as_secs_f64();
            tell(&format!("{}: {} is up and probed after {took:.1} s", kernel.name, kernel.release));
            guest.sweep(order)
        }
        Err(problem) => vec![Leg::lost(kernel, problem)],
    };
    legs.iter().for_each(|leg| tell(&text::leg_line(leg)));
    legs
}
