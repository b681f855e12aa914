//! One worker's guest of a kernel, and where it tells what happens.

use super::queue::Queue;
use super::{Event, Plan};
use crate::run::{FirstGuest, first_guest};
use atlas_model::traits::Traits;
use atlas_vm::kernels::Kernel;
use atlas_vm::{Lost, Machine};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::Sender;

/// After so many lost guests a kernel is given up; where they are boots, after the latter number.
const MOST_LOST: u64 = 1000;
const MOST_LOST_BOOTS: u64 = 60;

/// One worker's guest.
pub(super) struct Hand<'a> {
    pub(super) plan: &'a Plan,
    pub(super) kernel: &'a Kernel,
    stop: &'a AtomicBool,
    events: Sender<Event>,
    machine: Option<Machine>,
    pub(super) release: String,
    pub(super) traits: Traits,
    /// What the guests of the kernel do together.
    pub(super) queue: &'a Queue,
    /// Guests that this one lost.
    pub(super) lost: u64,
}

impl<'a> Hand<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        kernel: &'a Kernel,
        queue: &'a Queue,
        stop: &'a AtomicBool,
        events: &Sender<Event>,
    ) -> Self {
        Self {
            plan,
            kernel,
            stop,
            events: events.clone(),
            machine: None,
            release: String::new(),
            traits: Traits::default(),
            queue,
            lost: 0,
        }
    }

    pub(super) fn tell(&self, event: Event) {
        // The receiver outlives every hand.
        let _ = self.events.send(event);
    }

    pub(super) fn not_run(&self, why: String) {
        if !self.stopped() && self.queue.may_tell() {
            self.tell(Event::NotRun { kernel: self.kernel.name.clone(), why });
        }
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(SeqCst)
    }

    /// Tells what went wrong with a template.
    fn told(&self) -> impl FnMut(String) + use<> {
        let (events, kernel) = (self.events.clone(), self.kernel.name.clone());
        move |why| {
            // The receiver outlives every hand.
            let _ = events.send(Event::TemplateTrouble { kernel: kernel.clone(), why });
        }
    }

    /// Gets a guest and its probes' answers.
    pub(super) fn boot(&mut self) -> Result<(), String> {
        let FirstGuest { machine, traits, .. } =
            first_guest(self.kernel, &self.plan.guests, &mut self.told())?;
        self.traits = traits;
        self.release.clone_from(&machine.hello().release);
        self.machine = Some(machine);
        Ok(())
    }

    fn most_lost(&self) -> u64 {
        if self.plan.guests.are_cheap() { MOST_LOST } else { MOST_LOST_BOOTS }
    }

    /// A guest to ask: the one that is there, or a new one.
    pub(super) fn guest(&mut self) -> Option<&mut Machine> {
        if self.machine.is_none() && !self.stopped() && self.queue.lost() < self.most_lost() {
            match self.plan.guests.take(self.kernel, &mut self.told()) {
                Ok(machine) => self.machine = Some(machine),
                Err(error) => self.not_run(error.to_string()),
            }
        }
        self.machine.as_mut()
    }

    /// The guest is gone.
    pub(super) fn lose(&mut self, lost: &Lost) {
        self.machine = None;
        // Whoever ends a run ends its guests: those are not lost.
        if !self.stopped() {
            self.lost += 1;
            self.queue.note(|tally| tally.lost += 1);
            self.tell(Event::Lost { kernel: self.kernel.name.clone(), why: lost.reason.to_string() });
        }
    }
}
