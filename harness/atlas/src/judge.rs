//! Observation held against expectation.

use crate::bugs;
use crate::results::{CaseResult, Jit, ProbeKind, ProbeResult, Timeline, Verdict};
use atlas_cases::probes::ProbeBody;
use atlas_cases::{Body, Case, Probe, Subject, facts_text};
use atlas_model::expect::{self, Difference, Expectation, Value, compare, leans_on};
use atlas_model::observation::{End, Observation, StepSeen};
use atlas_model::traits::{Kind, Quirk, Series, Traits};
use atlas_model::world::Change;
use atlas_model::{Abi, Experiment};
use atlas_vm::{Lost, Reason};
use atlas_wire::{Fact, Item, Outcome};

/// What the guest is to do for a probe.
#[must_use]
pub fn probe_item(probe: &Probe) -> Item {
    match probe.body {
        ProbeBody::Experiment(make, _) => Item::Experiment(make()),
        ProbeBody::Choreography(..) => Item::Choreography(probe.choreography()),
    }
}

/// A probe's answer and what it saw. `None`: it could not tell.
#[must_use]
pub fn probe_answer(probe: &Probe, outcome: &Outcome) -> (Option<bool>, String) {
    match (&probe.body, outcome) {
        (ProbeBody::Experiment(_, read), Outcome::Observed(seen)) => (read(seen), evidence(seen)),
        (ProbeBody::Choreography(_, read), Outcome::Facts(facts) | Outcome::Died { facts, .. }) => {
            let pairs: Vec<(String, i64)> =
                facts.iter().map(|fact| (fact.name.clone(), fact.value)).collect();
            (read(&pairs), facts_line(facts))
        }
        // A probe whose feature is not there may well wait for ever for its effect.
        (ProbeBody::Choreography(..), Outcome::TimedOut { facts }) => {
            (None, format!("time ran out; {}", facts_line(facts)))
        }
        (_, Outcome::Impossible(why)) => (None, why.clone()),
        _ => (None, "the guest answered something else".into()),
    }
}

fn evidence(seen: &Observation) -> String {
    let steps: Vec<String> = seen.steps.iter().map(StepSeen::to_text).collect();
    let end = seen.tasks.first().map_or(End::NeverMade, |task| task.end);
    format!("{}; {}", steps.join("; "), end.to_text())
}

fn facts_line(facts: &[Fact]) -> String {
    facts.iter().map(|fact| format!("{}: {}", fact.name, fact.value)).collect::<Vec<_>>().join("; ")
}

/// A probe's answer held against the mainline release of the kernel's series.
#[must_use]
pub fn probe_result(probe: &Probe, series: Series, present: Option<bool>, evidence: String) -> ProbeResult {
    let (kind, mainline, about, expected, by_build) = match probe.subject {
        Subject::Feature(feature) => {
            let info = feature.info();
            let there = info.since <= series;
            (
                ProbeKind::Feature,
                format!("since {}", info.since),
                info.about,
                there,
                feature.decided_by_build(),
            )
        }
        Subject::Quirk(quirk) => {
            let info = quirk.info();
            let kind = match info.kind {
                Kind::Change => ProbeKind::Change,
                Kind::Bug => ProbeKind::Bug,
            };
            (kind, info.span(), info.about, info.shown_by(series), false)
        }
    };
    // An old behaviour that is gone, or a fault that is mended, came from a later release.
    let newer_when_present = match probe.subject {
        Subject::Feature(_) => true,
        Subject::Quirk(quirk) => quirk.info().from.is_some() && quirk.info().until.is_none(),
    };
    let timeline = match present {
        None => Timeline::Unknown,
        Some(present) if present == expected => Timeline::AsMainline,
        Some(false) if by_build => Timeline::AsMainline,
        Some(present) if present == newer_when_present => Timeline::Backported,
        Some(_) => Timeline::Missing,
    };
    let advice = crate::advice::of(probe.subject);
    let finding = match probe.subject {
        Subject::Feature(_) => None,
        Subject::Quirk(quirk) => bugs::finding(quirk),
    };
    let evidence =
        if kind == ProbeKind::Bug { format!("{}: {evidence}", bugs::answer(present)) } else { evidence };
    ProbeResult {
        feature: probe.subject.name().into(),
        kind,
        present,
        timeline,
        mainline,
        about: about.into(),
        instead: advice.instead.into(),
        advice: finding.map_or_else(|| advice.advice.into(), |path| format!("{} See {path}.", advice.advice)),
        evidence,
    }
}

/// The traits that the probes found.
#[must_use]
pub fn traits_of(answers: &[(Subject, Option<bool>)]) -> Traits {
    let mut traits = Traits::default();
    for (subject, answer) in answers {
        match (subject, answer) {
            (Subject::Feature(feature), Some(true)) => {
                traits.features.insert(*feature);
            }
            (Subject::Quirk(quirk), Some(true)) => {
                traits.quirks.insert(*quirk);
            }
            _ => {}
        }
    }
    traits
}

/// One case in one ABI, ready to be run on a kernel with given traits.
pub struct Work<'a> {
    /// The case.
    pub case: &'a Case,
    /// The ABI.
    pub abi: Abi,
    prepared: Prepared,
    quirks: Vec<Quirk>,
    /// The bugs that would be seen here if the kernel had them.
    fixed: Vec<Quirk>,
}

/// What a case asks for, and what must be seen.
pub(crate) enum Prepared {
    Experiment(Experiment, Expectation),
    Choreography(Vec<atlas_cases::Fact>),
}

/// Seen, expected, decided, and what differs, as texts.
struct Texts {
    observed: String,
    expected: String,
    decided: String,
    differences: Vec<String>,
}

impl<'a> Work<'a> {
    /// Works out what must be seen.
    #[must_use]
    pub fn prepare(case: &'a Case, abi: Abi, traits: &Traits) -> Self {
        let of_experiment = |experiment: Experiment| {
            let expectation = expect::expect(&experiment, traits);
            let quirks = leans_on(&experiment, traits);
            let fixed = bugs::fixed(traits, |with| expect::expect(&experiment, with) != expectation);
            (Prepared::Experiment(experiment, expectation), quirks, fixed)
        };
        let (prepared, quirks, fixed) = match case.body {
            Body::Experiment(make) => of_experiment(make(abi)),
            Body::Given(experiment) => of_experiment(experiment.clone()),
            Body::Choreography { expect, .. } => {
                let facts = expect(traits);
                let changes = |quirk: &Quirk| expect(&traits.without(*quirk)) != facts;
                let quirks = traits.quirks.iter().copied().filter(changes).collect();
                let fixed = bugs::fixed(traits, |with| expect(with) != facts);
                (Prepared::Choreography(facts), quirks, fixed)
            }
        };
        Self { case, abi, prepared, quirks, fixed }
    }

    /// What it asks for, and what must be seen.
    pub(crate) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// What the guest is to do.
    #[must_use]
    pub fn item(&self) -> Item {
        match &self.prepared {
            Prepared::Experiment(experiment, _) => Item::Experiment(experiment.clone()),
            Prepared::Choreography(_) => Item::Choreography(self.case.name.into()),
        }
    }

    fn result(&self, kernel: &str, jit: Jit, verdict: Verdict, note: String) -> CaseResult {
        CaseResult {
            kernel: kernel.into(),
            case: self.case.name.into(),
            jit,
            abi: self.abi.name().into(),
            verdict,
            observed: String::new(),
            expected: self.expected_text(),
            decided: String::new(),
            note,
            quirks: Vec::new(),
            console: String::new(),
            repetitions: None,
        }
    }

    /// The verdict where nothing was run.
    #[must_use]
    pub fn not_run(&self, kernel: &str, jit: Jit, why: &str) -> CaseResult {
        self.result(kernel, jit, Verdict::NotRun, why.into())
    }

    /// The verdict where a feature that the case is about is missing; `None` where all are there.
    #[must_use]
    pub fn absent(&self, kernel: &str, jit: Jit, traits: &Traits) -> Option<CaseResult> {
        let missing: Vec<&str> =
            self.case.needs.iter().filter(|&&feature| !traits.has(feature)).map(|f| f.info().name).collect();
        if missing.is_empty() {
            return None;
        }
        let note = format!("the kernel has no {}, as the probe found", missing.join(", "));
        Some(CaseResult { expected: String::new(), ..self.result(kernel, jit, Verdict::Absent, note) })
    }

    /// The verdict where the guest was lost.
    #[must_use]
    pub fn lost(&self, kernel: &str, jit: Jit, lost: &Lost) -> CaseResult {
        let verdict = match lost.reason {
            Reason::Timeout(_) | Reason::Stuck { .. } | Reason::Stalled(_) => Verdict::Hung,
            _ => Verdict::Crashed,
        };
        CaseResult {
            console: lost.console.clone(),
            ..self.result(kernel, jit, verdict, lost.reason.to_string())
        }
    }

    /// The verdict on what the guest says it saw.
    #[must_use]
    pub fn judge(&self, kernel: &str, jit: Jit, outcome: &Outcome) -> CaseResult {
        let texts = match (&self.prepared, outcome) {
            (Prepared::Experiment(experiment, expectation), Outcome::Observed(seen)) => {
                experiment_texts(experiment, expectation, seen)
            }
            (Prepared::Choreography(wanted), Outcome::Facts(facts)) => facts_texts(wanted, facts, None),
            (Prepared::Choreography(wanted), Outcome::Died { how, facts, .. }) => {
                facts_texts(wanted, facts, Some(how))
            }
            (_, Outcome::TimedOut { facts }) => {
                let note = "it did not end in time; the guest ended it".into();
                return CaseResult {
                    observed: facts_line(facts),
                    ..self.result(kernel, jit, Verdict::Hung, note)
                };
            }
            (_, Outcome::Impossible(why)) => return self.not_run(kernel, jit, why),
            _ => return self.not_run(kernel, jit, "the guest answered something that was not asked"),
        };
        let hung = matches!(outcome, Outcome::Observed(seen) if seen.tasks.iter().any(|task| task.end == End::TimedOut));
        let bug = self.quirks.iter().any(|quirk| quirk.info().kind == Kind::Bug);
        let (verdict, note) = match (texts.differences.is_empty(), bug) {
            (true, true) => (Verdict::KnownBug, bugs::explained(&self.quirks, &self.fixed)),
            (true, false) => (Verdict::Conforms, bugs::explained(&self.quirks, &self.fixed)),
            (false, _) if hung => (Verdict::Hung, texts.differences.join("\n")),
            (false, _) => (Verdict::Deviates, texts.differences.join("\n")),
        };
        CaseResult {
            observed: texts.observed,
            expected: texts.expected,
            decided: texts.decided,
            quirks: self.quirks.iter().map(|quirk| quirk.info().name.into()).collect(),
            ..self.result(kernel, jit, verdict, note)
        }
    }

    fn expected_text(&self) -> String {
        match &self.prepared {
            Prepared::Choreography(facts) => facts_text(facts),
            Prepared::Experiment(experiment, expectation) => lines(
                experiment,
                |step| expectation.steps[step].to_text(),
                |task| expectation.tasks[task].to_text(),
                expectation.world.as_deref(),
            ),
        }
    }
}

/// One line a step, then one a task, then one a change in the world where it was watched.
fn lines(
    experiment: &Experiment,
    step: impl Fn(usize) -> String,
    task: impl Fn(usize) -> String,
    world: Option<&[Change]>,
) -> String {
    let mut lines: Vec<String> = experiment
        .steps
        .iter()
        .enumerate()
        .map(|(index, of)| format!("{index:3}  task {}  {}: {}", of.task, of.op.to_text(), step(index)))
        .collect();
    lines.extend((0..experiment.tasks()).map(|index| format!("task {index}: {}", task(index))));
    match world.filter(|_| experiment.watch) {
        Some([]) => lines.push("world: unchanged".into()),
        world => {
            lines.extend(
                world.unwrap_or_default().iter().map(|change| format!("world: {}", change.to_text())),
            );
        }
    }
    lines.join("\n")
}

fn differs(differences: &[Difference], step: usize) -> bool {
    let what = format!("step {step}");
    differences.iter().any(|difference| difference.what == what)
}

fn experiment_texts(experiment: &Experiment, expectation: &Expectation, seen: &Observation) -> Texts {
    let differences = compare(expectation, seen);
    // Ids differ from run to run: one that is the task's own is shown as that.
    let step = |index: usize| match (&expectation.steps[index].returned, seen.steps.get(index)) {
        (Some(Value::TidOf(_) | Value::PidOf(_)), Some(_)) if !differs(&differences, index) => {
            expectation.steps[index].to_text()
        }
        (_, step) => step.map(StepSeen::to_text).unwrap_or_default(),
    };
    let task = |index: usize| seen.tasks.get(index).map(|t| t.end.to_text()).unwrap_or_default();
    let decided = |(index, step): (usize, &expect::StepExpected)| {
        (!step.why.is_empty()).then(|| format!("{index:3}  {}", step.why))
    };
    Texts {
        observed: lines(experiment, step, task, Some(&seen.world)),
        expected: lines(
            experiment,
            |index| expectation.steps[index].to_text(),
            |index| expectation.tasks[index].to_text(),
            expectation.world.as_deref(),
        ),
        decided: expectation.steps.iter().enumerate().filter_map(decided).collect::<Vec<_>>().join("\n"),
        differences: differences
            .iter()
            .map(|d| format!("{}: expected {}, observed {}", d.what, d.expected, d.observed))
            .collect(),
    }
}

fn facts_texts(wanted: &[atlas_cases::Fact], facts: &[Fact], died: Option<&String>) -> Texts {
    let mut observed: Vec<String> =
        facts.iter().map(|fact| format!("{}: {}", fact.name, fact.value)).collect();
    let mut differences = Vec::new();
    for index in 0..wanted.len().max(facts.len()) {
        match (wanted.get(index), facts.get(index)) {
            (Some(want), Some(fact)) if want.name == fact.name && want.want.takes(fact.value) => {}
            (Some(want), Some(fact)) => {
                let expected = facts_text(std::slice::from_ref(want));
                differences.push(format!("expected {expected}, observed {}: {}", fact.name, fact.value));
            }
            (Some(want), None) => {
                differences
                    .push(format!("expected {}, observed nothing", facts_text(std::slice::from_ref(want))));
            }
            (None, Some(fact)) => differences.push(format!("unexpected {}: {}", fact.name, fact.value)),
            (None, None) => {}
        }
    }
    if let Some(how) = died {
        observed.push(format!("then {how}"));
        differences.push(format!("the choreography itself ended: {how}"));
    }
    Texts { observed: observed.join("\n"), expected: facts_text(wanted), decided: String::new(), differences }
}
