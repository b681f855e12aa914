//! The probes of a kernel: asked, or read back where a guest of the same template was asked before.
//!
//! What is kept is what guests answered, not what it means: that is judged anew every time.

use crate::guests::Guests;
use crate::judge;
use crate::results::ProbeResult;
use atlas_cases::{Probe, Subject};
use atlas_model::traits::{Series, Traits};
use atlas_vm::Machine;
use atlas_vm::kernels::Kernel;
use atlas_wire::{Item, Outcome, Request, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::time::Duration;

/// The file beside a template.
const FILE: &str = "probes.json";
/// How long a probe may take at a first boot.
const LIMIT: Duration = Duration::from_secs(5);
/// How many probes may take a first guest down before its kernel counts as unusable.
const LOSSES: usize = 4;
/// How much longer than the guest's own limit the host waits for an answer.
pub(super) const MARGIN: Duration = Duration::from_secs(8);

/// Whether a probe's subject is there, as far as the probe could tell.
pub(super) type Answers = Vec<(Subject, Option<bool>)>;

/// What was asked, by its digest, and what was answered. Some questions are programs of 4,000 instructions, and every
/// clone's start would read them.
#[derive(Serialize, Deserialize)]
struct Kept {
    question: Digest,
    outcome: Outcome,
}

/// SHA-256 of an item's encoding.
type Digest = [u8; 32];

/// What an item is known by. One that cannot be encoded cannot be asked either.
fn digest_of(item: &Item) -> Option<Digest> {
    atlas_wire::encode(item).ok().map(|encoded| Sha256::digest(encoded).into())
}

/// Outcomes of probes by what was asked.
#[derive(Default)]
pub(super) struct Known {
    file: Option<PathBuf>,
    kept: Vec<Kept>,
    asked: bool,
}

impl Known {
    /// What is known of the guests of a kernel.
    pub(super) fn of(guests: &Guests, kernel: &Kernel) -> Self {
        let file = guests.beside(kernel).map(|place| place.join(FILE));
        let text = file.as_ref().and_then(|file| std::fs::read(file).ok());
        // A file that cannot be read is as good as none: the probes are asked.
        let kept = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file, kept, asked: false }
    }

    /// Goes through all probes, asking those whose outcome is not known. `ask` gives an outcome or a sentence
    /// on why there is none.
    ///
    /// # Errors
    /// What `ask` fails with, which ends it.
    pub(super) fn complete<E>(
        &mut self,
        series: Series,
        mut ask: impl FnMut(&Probe, Item) -> Result<Result<Outcome, String>, E>,
    ) -> Result<(Answers, Vec<ProbeResult>), E> {
        let (mut answers, mut results) = (Vec::new(), Vec::new());
        for probe in atlas_cases::probes::all() {
            let item = judge::probe_item(&probe);
            let question = digest_of(&item);
            let outcome = match question.and_then(|question| self.outcome(question)) {
                Some(outcome) => Ok(outcome),
                None => ask(&probe, item)?.inspect(|outcome| self.learn(question, outcome)),
            };
            let (present, evidence) = match outcome {
                Ok(outcome) => judge::probe_answer(&probe, &outcome),
                Err(why) => (None, why),
            };
            answers.push((probe.subject, present));
            results.push(judge::probe_result(&probe, series, present, evidence));
        }
        Ok((answers, results))
    }

    /// The same by guests that may be lost: `ask` gives an outcome, or how it lost the guest, which `another` hears and
    /// takes the place of.
    ///
    /// # Errors
    /// How the last of too many was lost, or what `another` fails with.
    fn complete_by<G>(
        &mut self,
        series: Series,
        mut guest: G,
        mut another: impl FnMut(String) -> Result<G, String>,
        mut ask: impl FnMut(&mut G, &Probe, Item) -> Result<Outcome, String>,
    ) -> Result<(G, Answers, Vec<ProbeResult>), String> {
        let mut left = LOSSES;
        let (answers, results) = self.complete(series, |probe, item| match ask(&mut guest, probe, item) {
            Err(lost) if left > 0 => {
                left -= 1;
                guest = another(lost.clone())?;
                Ok(Err(lost))
            }
            answer => answer.map(Ok),
        })?;
        Ok((guest, answers, results))
    }

    /// The outcome of the same question.
    fn outcome(&self, question: Digest) -> Option<Outcome> {
        self.kept.iter().find(|kept| kept.question == question).map(|kept| kept.outcome.clone())
    }

    /// Takes an outcome down.
    fn learn(&mut self, question: Option<Digest>, outcome: &Outcome) {
        let Some(question) = question else { return };
        self.kept.retain(|kept| kept.question != question);
        self.kept.push(Kept { question, outcome: outcome.clone() });
        self.asked = true;
    }

    /// Keeps what was learnt, where the template is still there. Losing it costs the probes' time.
    pub(super) fn keep(&self) {
        let Some(file) = self.file.as_ref().filter(|_| self.asked) else { return };
        let Some(directory) = file.parent() else { return };
        if let Ok(aside) = tempfile::NamedTempFile::new_in(directory)
            && serde_json::to_writer(&aside, &self.kept).is_ok()
        {
            let _ = aside.persist(file);
        }
    }
}

/// A kernel that is up and whose probes were asked.
pub struct FirstGuest {
    /// Its guest.
    pub machine: Machine,
    /// What the probes found, as reports show it.
    pub probes: Vec<ProbeResult>,
    /// The traits that follow.
    pub traits: Traits,
}

/// Gets a guest and its probes' answers: for `fetch`, `add`, `fuzz` and `warm`. A probe that takes its guest down is
/// left unanswered, and told of.
///
/// # Errors
/// A sentence that says why the kernel does not count as usable.
pub fn first_guest(
    kernel: &Kernel,
    guests: &Guests,
    tell: &mut dyn FnMut(String),
) -> Result<FirstGuest, String> {
    let machine = guests.take(kernel, tell).map_err(|error| error.to_string())?;
    let series: Series = machine.hello().release.parse().unwrap_or(kernel.series);
    let mut known = Known::of(guests, kernel);
    let another = |lost| {
        tell(lost);
        guests.take(kernel, tell).map_err(|error| error.to_string())
    };
    let (machine, answers, probes) = known.complete_by(series, machine, another, ask)?;
    known.keep();
    Ok(FirstGuest { machine, probes, traits: judge::traits_of(&answers) })
}

fn ask(machine: &mut Machine, probe: &Probe, item: Item) -> Result<Outcome, String> {
    let limit_ms = LIMIT.as_millis() as u32;
    let request = Request::Run { jit: None, limit_ms, items: vec![item] };
    match machine.request(&request, LIMIT + MARGIN) {
        Ok(Response::Ran(mut outcomes)) if outcomes.len() == 1 => Ok(outcomes.remove(0)),
        Ok(_) => Err("the guest does not answer what it is asked".into()),
        Err(lost) => Err(format!("lost at the probe of {}: {lost}", probe.subject.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_takes_its_guest_down_is_unanswered_and_the_next_has_another_guest() {
        let series = Series::new(6, 12);
        // Guests are numbered. `fatal` of the probes take theirs down.
        let complete = |fatal: usize| {
            let (mut number, mut asked) = (0, 0);
            let another = |lost: String| {
                assert_eq!(lost, "it panicked");
                number += 1;
                Ok(number)
            };
            Known::default().complete_by(series, 0, another, |_, _, _| {
                asked += 1;
                if asked <= fatal {
                    Err("it panicked".into())
                } else {
                    Ok(Outcome::Impossible("alive".into()))
                }
            })
        };
        let (guest, answers, results) = complete(LOSSES).unwrap();
        assert_eq!((guest, answers.len()), (LOSSES, atlas_cases::probes::all().len()));
        let lost = results.iter().take_while(|probe| probe.evidence.contains("it panicked"));
        assert_eq!((lost.count(), answers[0].1), (LOSSES, None));
        assert_eq!(complete(LOSSES + 1).unwrap_err(), "it panicked");
    }

    #[test]
    fn an_answer_is_kept_for_its_question_alone_and_the_last_one_counts() {
        let question = |name: &str| digest_of(&Item::Choreography(name.into()));
        let (asked, other) = (question("probe::a"), question("probe::b"));
        let mut known = Known::default();
        known.learn(asked, &Outcome::Impossible("first".into()));
        known.learn(asked, &Outcome::Impossible("second".into()));
        let text = serde_json::to_vec(&known.kept).unwrap();
        let known = Known { kept: serde_json::from_slice(&text).unwrap(), ..Known::default() };
        assert_eq!(known.kept.len(), 1);
        assert_eq!(known.outcome(asked.unwrap()), Some(Outcome::Impossible("second".into())));
        assert_eq!(known.outcome(other.unwrap()), None);
    }
}
