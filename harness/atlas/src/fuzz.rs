//! Properties on kernels: trials generated, carried out in batches, judged, and shrunk where they
//! break.
//!
//! Trials are numbered. A seed and a number give the same trial on every machine, so that one
//! command repeats what was found.

mod ask;
mod coverage;
mod finding;
mod hand;
mod leg;
mod queue;
mod shrink;
mod source;

pub use coverage::Reach;
pub use finding::{Finding, Kind};

use crate::casefile::CaseFile;
use crate::guests::Guests;
use crate::plan::JitChoice;
use atlas_model::Observation;
use atlas_model::traits::Traits;
use atlas_properties::{Property, Trial};
use atlas_vm::kernels::Kernel;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// What is to be done.
pub struct Plan {
    /// The kernels, with unique names.
    pub kernels: Vec<Kernel>,
    /// The properties, at least one.
    pub properties: Vec<&'static Property>,
    /// What the trials are made from.
    pub seed: u64,
    /// The number of the first trial of each property.
    pub first: u64,
    /// How long to go on.
    pub budget: Budget,
    /// Experiments of earlier findings, carried out first.
    pub regressions: Vec<CaseFile>,
    /// The JIT settings; a trial runs under each.
    pub jit: JitChoice,
    /// Where its guests come from.
    pub guests: Guests,
    /// How many guests run at once.
    pub jobs: usize,
}

/// How long to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So many trials on each kernel, over all properties.
    Trials(u64),
    /// So long on each kernel.
    Time(Duration),
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A kernel is up.
    Booted {
        /// Its name.
        kernel: String,
        /// `uname -r`.
        release: String,
    },
    /// A kernel could not be asked, or not to the end.
    NotRun {
        /// Its name.
        kernel: String,
        /// The reason.
        why: String,
    },
    /// A guest was lost; another one comes.
    Lost {
        /// The kernel's name.
        kernel: String,
        /// The reason.
        why: String,
    },
    /// Something is wrong with the template of a kernel; a guest comes all the same.
    TemplateTrouble {
        /// The kernel's name.
        kernel: String,
        /// What.
        why: String,
    },
    /// A batch is judged.
    Progress {
        /// The kernel's name.
        kernel: String,
        /// What was done so far.
        tally: Tally,
        /// What the trials of all kernels reached so far.
        reach: Reach,
    },
    /// A trial breaks its property, in its smallest form.
    Found(Box<Finding>),
    /// A kernel is done.
    Finished {
        /// Its name.
        kernel: String,
        /// What was done.
        tally: Tally,
    },
}

/// What was done on one kernel.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Trials judged, by property.
    pub judged: BTreeMap<&'static str, u64>,
    /// Experiments carried out; under two JIT settings each counts twice.
    pub experiments: u64,
    /// Filters handed to the kernel.
    pub attached: u64,
    /// Of those, the ones it accepted.
    pub accepted: u64,
    /// Trials that break their property, by property.
    pub broken: BTreeMap<&'static str, u64>,
    /// Guests lost.
    pub lost: u64,
    /// Time since the first guest was up.
    pub busy: Duration,
}

impl Tally {
    /// Trials judged over all properties.
    #[must_use]
    pub fn trials(&self) -> u64 {
        self.judged.values().sum()
    }

    /// Broken trials over all properties.
    #[must_use]
    pub fn all_broken(&self) -> u64 {
        self.broken.values().sum()
    }

    /// Of the filters handed to the kernel, the share it accepted, in percent.
    #[must_use]
    pub fn accepted_percent(&self) -> u64 {
        (self.accepted * 100).checked_div(self.attached).unwrap_or(0)
    }

    /// Experiments a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let seconds = self.busy.as_secs_f64();
        if seconds > 0.0 { self.experiments as f64 / seconds } else { 0.0 }
    }
}

/// A trial and what was seen of it under one JIT setting.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The property it is of.
    pub property: &'static Property,
    /// The trial.
    pub trial: Arc<Trial>,
    /// One observation an experiment.
    pub seen: Vec<Observation>,
}

/// Carries the first trials of a plan out on its first kernel and gives what was seen, unjudged, with
/// the kernel's traits: for those who judge the same observations many times.
///
/// # Errors
/// A sentence, when the kernel does not boot, a guest is lost or a trial cannot be carried out.
pub fn record(plan: &Plan, trials: u64) -> Result<(Traits, Vec<Recorded>), String> {
    let Some(kernel) = plan.kernels.first() else { return Err("no kernel was named".into()) };
    let (sender, _events) = mpsc::channel();
    let source = source::Source::new(plan);
    let queue = queue::Queue::default();
    let stop = AtomicBool::new(false);
    let hand = hand::Hand::new(plan, kernel, &queue, &stop, &sender);
    leg::Leg::new(hand, &source).record(trials)
}

/// Carries a plan out. `stop` ends it early, with what there is. Gives what the trials reached.
///
/// A worker that finds every kernel taken helps with one that is not done yet: a kernel's trials are
/// numbered, so that it does not matter in which guest one is carried out.
pub fn run(plan: &Plan, stop: &AtomicBool, sink: &mut dyn FnMut(&Event)) -> Reach {
    let (sender, events) = mpsc::channel();
    let next = AtomicUsize::new(0);
    let source = source::Source::new(plan);
    let queues: Vec<_> = plan.kernels.iter().map(|kernel| (kernel, queue::Queue::default())).collect();
    let jobs = plan.jobs.max(1);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next, source, queues) = (sender.clone(), &next, &source, &queues);
            scope.spawn(move || {
                while let place = next.fetch_add(1, SeqCst)
                    && place < queues.len() * jobs
                    && !stop.load(SeqCst)
                {
                    let (kernel, queue) = &queues[place % queues.len()];
                    if queue.join(plan.budget) {
                        let hand = hand::Hand::new(plan, kernel, queue, stop, &sender);
                        leg::Leg::new(hand, source).walk();
                    }
                }
            });
        }
        drop(sender);
        for event in events {
            sink(&event);
        }
    });
    source.reach()
}
