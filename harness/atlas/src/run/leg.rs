//! One kernel's part of a run, which any worker can go on with.

use super::probing::{Answers, Known, MARGIN};
use crate::event::Event;
use crate::judge::{self, Work};
use crate::plan::Plan;
use crate::repeat::Repeat;
use crate::results::{CaseResult, Jit};
use atlas_cases::Subject;
use atlas_model::traits::{Feature, Traits};
use atlas_vm::kernels::Kernel;
use atlas_vm::{Lost, Machine, Reason};
use atlas_wire::{Item, Outcome, Request, Response};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, OnceLock, PoisonError};

/// What a kernel may cost in lost guests before it is given up.
const PATIENCE: usize = 480;
/// What a lost guest costs that has to be booted anew, or that was waited for until its time was over: a
/// dozen of them is enough. One that fell at once and is cloned anew costs next to nothing.
const DEAR: usize = PATIENCE / 12;

/// What is known of a kernel once it was probed.
struct Probed<'a> {
    traits: Traits,
    work: Vec<Work<'a>>,
    /// What is to be asked: places in `work`, under a setting.
    questions: Vec<(usize, Jit)>,
}

/// One kernel's part of a run.
pub(super) struct Leg<'a> {
    plan: &'a Plan,
    pub(super) kernel: &'a Kernel,
    stop: &'a AtomicBool,
    lost: AtomicUsize,
    patience: AtomicUsize,
    /// Why no guest can be had any more.
    given_up: Mutex<Option<String>>,
    probed: OnceLock<Probed<'a>>,
}

/// The run is being stopped.
struct Stopped;

/// Why there is no outcome.
enum Asked {
    Lost(Lost),
    Nobody,
}

/// One worker's guest of the kernel, and where it tells what happens.
pub(super) struct Hand<'a> {
    pub(super) machine: Option<Machine>,
    pub(super) events: &'a Sender<Event>,
}

impl Hand<'_> {
    fn tell(&self, event: Event) {
        // The receiver outlives every worker.
        let _ = self.events.send(event);
    }
}

impl<'a> Leg<'a> {
    pub(super) fn new(plan: &'a Plan, kernel: &'a Kernel, stop: &'a AtomicBool) -> Self {
        let (lost, patience) = (AtomicUsize::new(0), AtomicUsize::new(PATIENCE));
        Self { plan, kernel, stop, lost, patience, given_up: Mutex::new(None), probed: OnceLock::new() }
    }

    fn name(&self) -> String {
        self.kernel.name.clone()
    }

    fn stopped(&self) -> bool {
        self.stop.load(SeqCst)
    }

    fn given_up(&self) -> Option<String> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn give_up(&self, why: String) {
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Says that nothing more will come.
    pub(super) fn finish(&self, hand: &Hand<'_>) {
        if !self.stopped() {
            hand.tell(Event::KernelFinished { kernel: self.name() });
        }
    }

    /// Gets a guest and asks the probes. Gives how many questions follow.
    pub(super) fn probe(&self, hand: &mut Hand<'_>) -> usize {
        self.boot(hand);
        let answers = self.ask_probes(hand);
        if self.stopped() {
            return 0;
        }
        let plan = self.plan;
        let traits = judge::traits_of(&answers);
        let prepared =
            plan.cases.iter().flat_map(|case| case.abis.iter().map(|&abi| Work::prepare(case, abi, &traits)));
        let work: Vec<Work<'_>> = prepared.collect();
        let is_done = |item: &Work<'_>, jit| {
            let key = (self.name(), item.case.name.to_owned(), item.abi.name().to_owned(), jit);
            plan.done.contains(&key)
        };
        let mut questions = Vec::new();
        let settings = plan.jit.settings(switchable(&answers));
        // The settings of a case follow one another: the second finds its way through kernel and emulator warm.
        for (place, item) in work.iter().enumerate() {
            let open = settings.iter().filter(|&&jit| !is_done(item, jit));
            questions.extend(open.map(|&jit| (place, jit)));
        }
        let count = questions.len();
        // Each kernel is probed once.
        let _ = self.probed.set(Probed { traits, work, questions });
        count
    }

    /// Asks some of the questions.
    pub(super) fn ask_cases(&self, places: std::ops::Range<usize>, hand: &mut Hand<'_>) {
        let Some(probed) = self.probed.get() else { return };
        for &(place, jit) in &probed.questions[places] {
            if self.stopped() {
                return;
            }
            if let Some(result) = self.verdict(hand, &probed.work[place], jit, &probed.traits) {
                hand.tell(Event::CaseFinished(Box::new(result)));
            }
        }
    }

    fn boot(&self, hand: &mut Hand<'_>) {
        hand.tell(Event::KernelBooting { kernel: self.name() });
        let mut troubles = Vec::new();
        let guest = self.plan.guests.take(self.kernel, &mut |trouble| troubles.push(trouble));
        for trouble in troubles {
            hand.tell(Event::TemplateTrouble { kernel: self.name(), trouble });
        }
        match guest {
            Ok(machine) => {
                hand.tell(Event::KernelBooted {
                    kernel: self.name(),
                    release: machine.hello().release.clone(),
                    accelerator: self.plan.guests.options.accelerator.name().into(),
                    cpu: machine.cpu().into(),
                });
                hand.machine = Some(machine);
            }
            Err(error) => {
                let (reason, console) = match &error {
                    atlas_vm::Error::Boot { lost, .. } => {
                        (format!("no boot: {}", lost.reason), lost.console.clone())
                    }
                    other => (format!("no boot: {other}"), String::new()),
                };
                self.give_up(reason.clone());
                if !self.stopped() {
                    hand.tell(Event::GuestLost { kernel: self.name(), reason, console });
                }
            }
        }
    }

    /// A guest to ask: the one that is there, or a new one.
    fn guest<'h>(&self, hand: &'h mut Hand<'_>) -> Option<&'h mut Machine> {
        if hand.machine.is_none() && self.given_up().is_none() && !self.stopped() {
            self.boot(hand);
        }
        hand.machine.as_mut()
    }

    fn ask(&self, hand: &mut Hand<'_>, item: Item, jit: Option<bool>, what: &str) -> Result<Outcome, Asked> {
        let limit = self.plan.limit;
        let request = Request::Run { jit, limit_ms: limit.as_millis() as u32, items: vec![item] };
        let Some(machine) = self.guest(hand) else { return Err(Asked::Nobody) };
        let lost = match machine.request(&request, limit + MARGIN) {
            Ok(Response::Ran(outcomes)) if outcomes.len() == 1 => {
                return Ok(outcomes.into_iter().next().unwrap_or(Outcome::Impossible(String::new())));
            }
            Ok(Response::Refused(why)) => return Ok(Outcome::Impossible(why)),
            Ok(_) => Lost {
                reason: Reason::Protocol("an answer of another shape than was asked for".into()),
                console: machine.last_lines(40),
            },
            Err(lost) => lost,
        };
        hand.machine = None;
        if self.stopped() {
            return Err(Asked::Nobody);
        }
        self.count(&lost.reason);
        hand.tell(Event::GuestLost {
            kernel: self.name(),
            reason: format!("at {what}: {}", lost.reason),
            console: lost.console.clone(),
        });
        Err(Asked::Lost(lost))
    }

    /// Counts a lost guest, and gives the kernel up when it was one too many.
    fn count(&self, reason: &Reason) {
        let dear = !self.plan.guests.are_cheap() || reason.is_timeout();
        let lost = self.lost.fetch_add(1, SeqCst) + 1;
        let cost = if dear { DEAR } else { 1 };
        let before = self.patience.fetch_update(SeqCst, SeqCst, |left| Some(left.saturating_sub(cost)));
        if before.is_ok_and(|left| left <= cost) {
            self.give_up(format!("given up after {lost} lost guests"));
        }
    }

    fn ask_probes(&self, hand: &mut Hand<'_>) -> Answers {
        let mut known = match self.given_up() {
            None => Known::of(&self.plan.guests, self.kernel),
            // Nothing is known of what does not boot today.
            Some(_) => Known::default(),
        };
        let found = known.complete(self.kernel.series, |probe, item| {
            if self.stopped() {
                return Err(Stopped);
            }
            Ok(match self.ask(hand, item, None, probe.subject.name()) {
                Ok(outcome) => Ok(outcome),
                Err(Asked::Lost(lost)) => Err(format!("the guest was lost: {}", lost.reason)),
                Err(Asked::Nobody) => Err("there was no guest to ask".into()),
            })
        });
        let Ok((answers, results)) = found else { return Answers::new() };
        known.keep();
        let total = self.work_count(&judge::traits_of(&answers));
        let jit = match (self.given_up(), switchable(&answers)) {
            (Some(why), _) => why,
            (None, true) => "on and off".into(),
            (None, false) => "fixed: the kernel has no switch, or refuses to turn it".into(),
        };
        hand.tell(Event::KernelProbed { kernel: self.name(), jit, total, probes: results });
        answers
    }

    fn work_count(&self, traits: &Traits) -> usize {
        let settings = self.plan.jit.settings(traits.has(Feature::JitToggle)).len();
        settings * self.plan.cases.iter().map(|case| case.abis.len()).sum::<usize>()
    }

    /// A guest for one question, where one more costs next to nothing; else what is there has to do.
    fn lend<T>(&self, hand: &mut Hand<'_>, ask: impl FnOnce(&mut Hand<'_>) -> T) -> T {
        if !self.plan.guests.are_cheap() {
            return ask(hand);
        }
        let shared = hand.machine.take();
        let answer = ask(hand);
        hand.machine = shared;
        answer
    }

    /// `None` when the run is being stopped: some of the repetitions are no verdict.
    fn verdict(&self, hand: &mut Hand<'_>, work: &Work<'_>, jit: Jit, traits: &Traits) -> Option<CaseResult> {
        let mut repeat = Repeat::new(self.plan.repeat);
        while !repeat.over() {
            let once = |hand: &mut Hand<'_>| self.once(hand, work, jit, traits);
            let (result, outcome) = if work.case.alone { self.lend(hand, once) } else { once(hand) }?;
            repeat.take(work, result, outcome.as_ref());
        }
        repeat.finish()
    }

    /// One result, and what the guest answered; `None` when the run is being stopped.
    fn once(
        &self,
        hand: &mut Hand<'_>,
        work: &Work<'_>,
        jit: Jit,
        traits: &Traits,
    ) -> Option<(CaseResult, Option<Outcome>)> {
        let name = self.name();
        if self.given_up().is_none()
            && let Some(absent) = work.absent(&name, jit, traits)
        {
            return Some((absent, None));
        }
        let result = match self.ask(hand, work.item(), jit.switch(), work.case.name) {
            Ok(outcome) => {
                let mut result = work.judge(&name, jit, &outcome);
                if result.verdict.fails() {
                    result.console =
                        hand.machine.as_ref().map(|machine| machine.last_lines(12)).unwrap_or_default();
                }
                return Some((result, Some(outcome)));
            }
            Err(Asked::Lost(lost)) => work.lost(&name, jit, &lost),
            Err(Asked::Nobody) if self.stopped() => return None,
            Err(Asked::Nobody) => {
                let why = self.given_up().unwrap_or_else(|| "there was no guest to ask".into());
                work.not_run(&name, jit, &why)
            }
        };
        Some((result, None))
    }
}

fn switchable(answers: &[(Subject, Option<bool>)]) -> bool {
    answers.contains(&(Subject::Feature(Feature::JitToggle), Some(true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::Guests;
    use crate::plan::JitChoice;
    use atlas_vm::BootOptions;
    use atlas_vm::templates::Templates;
    use std::collections::BTreeSet;
    use std::time::Duration;

    /// How many guests lost for this reason it takes until a kernel is given up.
    fn patience(templates: Option<Templates>, reason: &Reason) -> usize {
        let kernel = Kernel {
            name: "6.12".into(),
            release: "6.12.1".into(),
            series: "6.12".parse().unwrap(),
            path: "none".into(),
            source: String::new(),
            sha256: String::new(),
        };
        let plan = Plan {
            kernels: vec![kernel],
            cases: Vec::new(),
            shard: None,
            jit: JitChoice::On,
            guests: Guests { options: BootOptions::default(), templates },
            jobs: 1,
            limit: Duration::from_secs(1),
            repeat: 1,
            done: BTreeSet::new(),
        };
        let stop = AtomicBool::new(false);
        let leg = Leg::new(&plan, &plan.kernels[0], &stop);
        (1..)
            .find(|_| {
                leg.count(reason);
                leg.given_up().is_some()
            })
            .unwrap()
    }

    #[test]
    fn a_dozen_dear_guests_are_enough_and_cheap_ones_may_fall_by_hundreds() {
        let directory = tempfile::tempdir().unwrap();
        let templates = || Some(Templates::at(directory.path(), 0).unwrap());
        assert_eq!(patience(None, &Reason::Reset), 12);
        assert_eq!(patience(templates(), &Reason::Timeout(Duration::ZERO)), 12);
        assert_eq!(patience(templates(), &Reason::Reset), PATIENCE);
    }
}
