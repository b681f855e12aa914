//! The run: guests side by side, probed, asked case by case, judged.
//!
//! The host decides what is asked; what does not come back is `crashed`, `hung` or `not run`. A lost
//! guest costs the case it was lost at: the next one gets a new guest.

mod leg;
mod probing;
mod queue;

pub use probing::{FirstGuest, first_guest};

use crate::catalogue;
use crate::event::{Event, Sink, Wanted};
use crate::plan::Plan;
use crate::results::Host;
use atlas_vm::Accelerator;
use leg::{Hand, Leg};
use queue::{Queue, Task};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{self, Sender};

/// What this machine is.
#[must_use]
pub fn host(accelerator: &Accelerator) -> Host {
    Host {
        arch: std::env::consts::ARCH.into(),
        cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
        qemu: atlas_vm::version().unwrap_or_else(|error| error.to_string()),
        kvm: accelerator.why().into(),
    }
}

/// Carries a plan out. Events go to the sink in the order in which they happen; `stop` ends the run early.
pub fn run(plan: &Plan, stop: &AtomicBool, sink: &mut dyn Sink) {
    sink.take(&Event::RunStarted {
        tool: env!("CARGO_PKG_VERSION").into(),
        catalogue: catalogue::digest().into(),
        shard: plan.shard,
        jit: Some(plan.jit),
        wanted: Some(Wanted {
            append: plan.guests.options.append.clone(),
            cpus: plan.guests.options.cpus.clone(),
        }),
        host: host(&plan.guests.options.accelerator),
        cases: plan.case_infos(),
        kernels: plan.kernel_infos(),
    });
    let (sender, events) = mpsc::channel();
    let legs: Vec<Leg<'_>> = plan.kernels.iter().map(|kernel| Leg::new(plan, kernel, stop)).collect();
    let queue = Queue::new(legs.len(), plan.guests.are_cheap());
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            let (sender, legs, queue) = (sender.clone(), &legs, &queue);
            scope.spawn(move || work(legs, queue, stop, &sender));
        }
        drop(sender);
        for event in events {
            sink.take(&event);
        }
    });
    sink.take(&Event::RunFinished { complete: !stop.load(SeqCst) });
}

/// What one worker does: one thing after the other, with one guest at a time.
fn work(legs: &[Leg<'_>], queue: &Queue, stop: &AtomicBool, events: &Sender<Event>) {
    let mut mine = None;
    let mut hand = Hand { machine: None, events };
    while let Some(task) = queue.next(mine) {
        let (Task::Probe(kernel) | Task::Ask(kernel, _)) = task;
        if mine != Some(kernel) {
            hand.machine = None;
            mine = Some(kernel);
        }
        let leg = &legs[kernel];
        let last = match task {
            Task::Probe(_) => {
                let questions = if stop.load(SeqCst) { 0 } else { leg.probe(&mut hand) };
                !queue.begin(kernel, questions)
            }
            Task::Ask(_, places) => {
                leg.ask_cases(places, &mut hand);
                queue.done(kernel)
            }
        };
        if last {
            hand.machine = None;
            leg.finish(&hand);
        }
    }
}
