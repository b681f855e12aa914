//! The run: guests booted side by side, probed, asked case by case, judged.
//!
//! The host decides what is asked; what does not come back is `crashed`, `hung` or `not run`. A lost
//! guest costs the case it was lost at: the next one gets a new guest.

use crate::catalogue;
use crate::event::{Event, Sink};
use crate::judge::{self, Work};
use crate::plan::Plan;
use crate::repeat::Repeat;
use crate::results::{CaseResult, Host, Jit, ProbeResult};
use atlas_cases::Subject;
use atlas_model::traits::{Feature, Series, Traits};
use atlas_vm::kernels::Kernel;
use atlas_vm::{Accelerator, BootOptions, Lost, Machine};
use atlas_wire::{Item, Outcome, Request, Response};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

/// After so many lost guests a kernel is given up.
const MOST_LOST: usize = 12;
/// How much longer than the guest's own limit the host waits for an answer.
const MARGIN: Duration = Duration::from_secs(8);

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
        host: host(&plan.accelerator),
        cases: plan.case_infos(),
        kernels: plan.kernel_infos(),
    });
    let (sender, events) = mpsc::channel();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.clamp(1, plan.kernels.len().max(1)) {
            let sender = sender.clone();
            let next = &next;
            scope.spawn(move || {
                while let Some(kernel) = plan.kernels.get(next.fetch_add(1, SeqCst)) {
                    if stop.load(SeqCst) {
                        return;
                    }
                    Leg::new(plan, kernel, stop, &sender).walk();
                }
            });
        }
        drop(sender);
        for event in events {
            sink.take(&event);
        }
    });
    sink.take(&Event::RunFinished { complete: !stop.load(SeqCst) });
}

/// One kernel's part of a run.
struct Leg<'a> {
    plan: &'a Plan,
    kernel: &'a Kernel,
    stop: &'a AtomicBool,
    events: Mutex<Sender<Event>>,
    machine: Option<Machine>,
    lost: usize,
    /// Why no guest can be had any more.
    given_up: Option<String>,
}

impl<'a> Leg<'a> {
    fn new(plan: &'a Plan, kernel: &'a Kernel, stop: &'a AtomicBool, events: &Sender<Event>) -> Self {
        let events = Mutex::new(events.clone());
        Self { plan, kernel, stop, events, machine: None, lost: 0, given_up: None }
    }

    fn tell(&self, event: Event) {
        // The receiver outlives every leg.
        if let Ok(events) = self.events.lock() {
            let _ = events.send(event);
        }
    }

    fn name(&self) -> String {
        self.kernel.name.clone()
    }

    fn walk(&mut self) {
        self.boot();
        let answers = self.probe();
        let traits = judge::traits_of(&answers);
        if !self.stop.load(SeqCst) {
            self.cases(&traits, &answers);
        }
        self.machine = None;
        if !self.stop.load(SeqCst) {
            self.tell(Event::KernelFinished { kernel: self.name() });
        }
    }

    fn boot(&mut self) {
        self.tell(Event::KernelBooting { kernel: self.name() });
        match Machine::boot(&self.kernel.path, &self.plan.boot_options()) {
            Ok(machine) => {
                self.tell(Event::KernelBooted {
                    kernel: self.name(),
                    release: machine.hello().release.clone(),
                    accelerator: self.plan.accelerator.name().into(),
                    cpu: machine.cpu().into(),
                });
                self.machine = Some(machine);
            }
            Err(error) => {
                let (reason, console) = match &error {
                    atlas_vm::Error::Boot { lost, .. } => {
                        (format!("no boot: {}", lost.reason), lost.console.clone())
                    }
                    other => (format!("no boot: {other}"), String::new()),
                };
                self.given_up = Some(reason.clone());
                if !self.stop.load(SeqCst) {
                    self.tell(Event::GuestLost { kernel: self.name(), reason, console });
                }
            }
        }
    }

    /// A guest to ask: the one that is there, or a new one.
    fn guest(&mut self) -> Option<&mut Machine> {
        if self.machine.is_none() && self.given_up.is_none() && !self.stop.load(SeqCst) {
            self.boot();
        }
        self.machine.as_mut()
    }

    fn ask(&mut self, item: Item, jit: Option<bool>, what: &str) -> Result<Outcome, Asked> {
        let limit = self.plan.limit;
        let request = Request::Run { jit, limit_ms: limit.as_millis() as u32, items: vec![item] };
        let Some(machine) = self.guest() else { return Err(Asked::Nobody) };
        let lost = match machine.request(&request, limit + MARGIN) {
            Ok(Response::Ran(outcomes)) if outcomes.len() == 1 => {
                return Ok(outcomes.into_iter().next().unwrap_or(Outcome::Impossible(String::new())));
            }
            Ok(Response::Refused(why)) => return Ok(Outcome::Impossible(why)),
            Ok(_) => Lost {
                reason: atlas_vm::Reason::Protocol("an answer of another shape than was asked for".into()),
                console: machine.last_lines(40),
            },
            Err(lost) => lost,
        };
        self.machine = None;
        if self.stop.load(SeqCst) {
            return Err(Asked::Nobody);
        }
        self.lost += 1;
        if self.lost >= MOST_LOST {
            self.given_up = Some(format!("given up after {MOST_LOST} lost guests"));
        }
        self.tell(Event::GuestLost {
            kernel: self.name(),
            reason: format!("at {what}: {}", lost.reason),
            console: lost.console.clone(),
        });
        Err(Asked::Lost(lost))
    }

    fn probe(&mut self) -> Vec<(Subject, Option<bool>)> {
        let mut answers = Vec::new();
        let mut results: Vec<ProbeResult> = Vec::new();
        for probe in atlas_cases::probes::all() {
            if self.stop.load(SeqCst) {
                return answers;
            }
            let outcome = self.ask(judge::probe_item(&probe), None, probe.subject.name());
            let (present, evidence) = match outcome {
                Ok(outcome) => judge::probe_answer(&probe, &outcome),
                Err(Asked::Lost(lost)) => (None, format!("the guest was lost: {}", lost.reason)),
                Err(Asked::Nobody) => (None, "there was no guest to ask".into()),
            };
            answers.push((probe.subject, present));
            results.push(judge::probe_result(&probe, self.kernel.series, present, evidence));
        }
        let total = self.work_count(&judge::traits_of(&answers));
        let jit = match (&self.given_up, switchable(&answers)) {
            (Some(why), _) => why.clone(),
            (None, true) => "on and off".into(),
            (None, false) => "fixed: the kernel has no switch, or refuses to turn it".into(),
        };
        self.tell(Event::KernelProbed { kernel: self.name(), jit, total, probes: results });
        answers
    }

    fn work_count(&self, traits: &Traits) -> usize {
        let settings = self.plan.jit.settings(traits.has(Feature::JitToggle)).len();
        settings * self.plan.cases.iter().map(|case| case.abis.len()).sum::<usize>()
    }

    fn cases(&mut self, traits: &Traits, answers: &[(Subject, Option<bool>)]) {
        let plan = self.plan;
        let work: Vec<Work<'_>> = plan
            .cases
            .iter()
            .flat_map(|case| case.abis.iter().map(|&abi| Work::prepare(case, abi, traits)))
            .collect();
        for &jit in plan.jit.settings(switchable(answers)) {
            for item in &work {
                if self.stop.load(SeqCst) {
                    return;
                }
                let key = (self.name(), item.case.name.to_owned(), item.abi.name().to_owned(), jit);
                if plan.done.contains(&key) {
                    continue;
                }
                if let Some(result) = self.verdict(item, jit, traits) {
                    self.tell(Event::CaseFinished(Box::new(result)));
                }
            }
        }
    }

    /// `None` when the run is being stopped: some of the repetitions are no verdict.
    fn verdict(&mut self, work: &Work<'_>, jit: Jit, traits: &Traits) -> Option<CaseResult> {
        let mut repeat = Repeat::new(self.plan.repeat);
        while !repeat.over() {
            let (result, outcome) = self.once(work, jit, traits)?;
            repeat.take(work, result, outcome.as_ref());
        }
        repeat.finish()
    }

    /// One result, and what the guest answered; `None` when the run is being stopped.
    fn once(&mut self, work: &Work<'_>, jit: Jit, traits: &Traits) -> Option<(CaseResult, Option<Outcome>)> {
        let name = self.name();
        let setting = match jit {
            Jit::On => Some(true),
            Jit::Off => Some(false),
            Jit::Fixed => None,
        };
        if self.given_up.is_none()
            && let Some(absent) = work.absent(&name, jit, traits)
        {
            return Some((absent, None));
        }
        let result = match self.ask(work.item(), setting, work.case.name) {
            Ok(outcome) => {
                let mut result = work.judge(&name, jit, &outcome);
                if result.verdict.fails() {
                    result.console =
                        self.machine.as_ref().map(|machine| machine.last_lines(12)).unwrap_or_default();
                }
                return Some((result, Some(outcome)));
            }
            Err(Asked::Lost(lost)) => work.lost(&name, jit, &lost),
            Err(Asked::Nobody) if self.stop.load(SeqCst) => return None,
            Err(Asked::Nobody) => {
                let why = self.given_up.clone().unwrap_or_else(|| "there was no guest to ask".into());
                work.not_run(&name, jit, &why)
            }
        };
        Some((result, None))
    }
}

/// Why there is no outcome.
enum Asked {
    Lost(Lost),
    Nobody,
}

fn switchable(answers: &[(Subject, Option<bool>)]) -> bool {
    answers.contains(&(Subject::Feature(Feature::JitToggle), Some(true)))
}

/// A kernel that has booted for the first time and whose probes were asked.
pub struct FirstBoot {
    /// Its guest.
    pub machine: Machine,
    /// What the probes found, as reports show it.
    pub probes: Vec<ProbeResult>,
    /// The traits that follow.
    pub traits: Traits,
}

/// Boots a kernel for the first time and asks its probes: for `fetch`, `add` and `fuzz`.
///
/// # Errors
/// A sentence that says why it does not count as usable.
pub fn first_boot(kernel: &Kernel, options: &BootOptions) -> Result<FirstBoot, String> {
    let mut machine = Machine::boot(&kernel.path, options).map_err(|error| error.to_string())?;
    let series: Series = machine.hello().release.parse().unwrap_or(kernel.series);
    let mut probes = Vec::new();
    let mut answers = Vec::new();
    for probe in atlas_cases::probes::all() {
        let request = Request::Run { jit: None, limit_ms: 5000, items: vec![judge::probe_item(&probe)] };
        let outcomes = match machine.request(&request, Duration::from_secs(5) + MARGIN) {
            Ok(Response::Ran(outcomes)) => outcomes,
            Ok(_) => return Err("the guest does not answer what it is asked".into()),
            Err(lost) => return Err(format!("lost at the probe of {}: {lost}", probe.subject.name())),
        };
        let Some(outcome) = outcomes.first() else { continue };
        let (present, evidence) = judge::probe_answer(&probe, outcome);
        answers.push((probe.subject, present));
        probes.push(judge::probe_result(&probe, series, present, evidence));
    }
    Ok(FirstBoot { machine, probes, traits: judge::traits_of(&answers) })
}
