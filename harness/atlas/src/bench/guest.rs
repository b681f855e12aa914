//! A guest whose clock counts instructions.

use super::measuring::Count;
use super::{COMMAND_LINE, CPUS};
use crate::guests::Guests;
use crate::plan::JitChoice;
use crate::results::Jit;
use atlas_vm::kernels::Kernel;
use atlas_vm::templates::Templates;
use atlas_vm::{BootOptions, Error, Lost, Machine};
use atlas_wire::measure::Subject;
use atlas_wire::{Measure, Measured, Request, Response};
use std::time::Duration;

/// How long one measurement may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How much longer than the guest's own limit the host waits.
const MARGIN: Duration = Duration::from_secs(20);
/// How long a boot may take: counting makes guests slower.
pub(super) const BOOT: Duration = Duration::from_secs(180);

/// A guest that counts.
pub struct Guest(Machine);

/// Guests that count, whose kernels are told these words besides: clones where there are templates. What a clone counts
/// is what a guest counts that was booted.
#[must_use]
pub fn guests(templates: Option<Templates>, append: &[String]) -> Guests {
    let words = COMMAND_LINE.into_iter().map(String::from).chain(append.iter().cloned());
    let options = BootOptions {
        icount: true,
        append: words.collect(),
        cpus: CPUS.map(String::from).to_vec(),
        limit: BOOT,
        ..BootOptions::default()
    };
    Guests { options, templates }
}

impl Guest {
    /// Gets one of these. `tell` hears, a line each, what went wrong with templates.
    ///
    /// # Errors
    /// As [`Guests::take`].
    pub fn take(kernel: &Kernel, guests: &Guests, tell: &mut dyn FnMut(String)) -> Result<Self, Error> {
        guests.take(kernel, tell).map(Self)
    }

    /// A machine that is up already.
    pub(super) fn of(machine: Machine) -> Self {
        Self(machine)
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.0
    }

    /// The settings of the JIT that it has, of those that are asked for.
    #[must_use]
    pub fn settings(&self, choice: JitChoice) -> &'static [Jit] {
        choice.settings(self.0.hello().jit.is_some())
    }

    /// Takes one measurement, in so many rounds.
    ///
    /// # Errors
    /// [`Lost`]; a guest is not to be asked again then.
    pub fn measure(&mut self, subject: &Subject, rounds: u32, jit: Jit) -> Result<Measured, Lost> {
        let limit_ms = LIMIT.as_millis() as u32;
        let request =
            Request::Measure(Measure { jit: jit.switch(), limit_ms, rounds, subject: subject.clone() });
        match self.0.request(&request, LIMIT + MARGIN)? {
            Response::Measured(measured) => Ok(measured),
            Response::Refused(why) => Ok(Measured::Impossible(why)),
            // The conversation lets no other answer through.
            Response::Hello(_)
            | Response::Ran(_)
            | Response::Swept(_)
            | Response::Stored(_)
            | Response::Traced(_) => Ok(Measured::Impossible("another answer".into())),
        }
    }
}

impl Count for Guest {
    fn count(&mut self, subject: &Subject, rounds: u32, jit: Jit) -> Result<Measured, Lost> {
        self.measure(subject, rounds, jit)
    }
}
