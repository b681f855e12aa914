//! Repetitions of one case, folded into one verdict.
//!
//! The verdict of a case that is asked several times is its worst, with what the first repetition of
//! that verdict saw. A repetition that does not answer (crashed, hung, not run) is the last one: each
//! more would cost a boot or the whole time limit, and twelve lost guests end a kernel's part of the run.
//!
//! A case may also conform each time and yet not show the same each time. Then the model or the case
//! leaves something open that the kernel settles now so, now otherwise: one of two answers, for example.
//! Its verdict stays, for nothing that was seen is wrong; but it makes the exit status 1, for who asks
//! fifty times asks whether the answer can be relied on. What is left open because it cannot be known
//! (ids, descriptors, amounts that are only bounded from below) is not compared.

use crate::judge::{Prepared, Work};
use crate::results::{CaseResult, Repetitions, Verdict};
use atlas_cases::{Want, facts_text};
use atlas_model::expect::Value;
use atlas_model::observation::StepSeen;
use atlas_wire::Outcome;
use std::collections::BTreeMap;

/// The repetitions of one case with one ABI and one JIT setting.
pub struct Repeat {
    wanted: u32,
    asked: u32,
    over: bool,
    /// How many repetitions gave each verdict, and which was the first.
    verdicts: BTreeMap<Verdict, (u32, u32)>,
    /// The first result of the worst verdict so far.
    worst: Option<CaseResult>,
    /// What the first repetition saw, as far as it is fixed.
    first: Option<Vec<String>>,
    /// The first repetition that saw something else, and in what.
    other: Option<(u32, String)>,
}

impl Repeat {
    /// A case that is to be asked so often.
    #[must_use]
    pub fn new(wanted: u32) -> Self {
        let verdicts = BTreeMap::new();
        Self { wanted, asked: 0, over: false, verdicts, worst: None, first: None, other: None }
    }

    /// Whether nothing more is to be asked.
    #[must_use]
    pub fn over(&self) -> bool {
        self.over || self.asked >= self.wanted
    }

    /// Takes one repetition's result, and what the guest answered where it did.
    pub fn take(&mut self, work: &Work<'_>, result: CaseResult, outcome: Option<&Outcome>) {
        let compared = self.wanted > 1 && !result.verdict.fails();
        let seen = outcome.filter(|_| compared).map(|outcome| fixed(work, outcome));
        self.add(result, seen);
    }

    fn add(&mut self, result: CaseResult, seen: Option<Vec<String>>) {
        use Verdict::{Absent, Crashed, Hung, NotRun};
        self.over = matches!(result.verdict, Absent | Crashed | Hung | NotRun);
        // Nothing is asked where a feature is missing.
        self.asked += u32::from(result.verdict != Absent);
        let at = self.asked;
        self.verdicts.entry(result.verdict).or_insert((0, at)).0 += 1;
        match (&self.first, seen) {
            (None, seen) => self.first = seen,
            (Some(first), Some(seen)) if *first != seen && self.other.is_none() => {
                self.other = Some((at, difference(first, &seen)));
            }
            _ => {}
        }
        let severity = result.verdict.severity();
        if self.worst.as_ref().is_none_or(|worst| severity > worst.verdict.severity()) {
            self.worst = Some(result);
        }
    }

    /// The one result; `None` where nothing was taken.
    #[must_use]
    pub fn finish(self) -> Option<CaseResult> {
        let (wanted, asked) = (self.wanted, self.asked);
        let mut result = self.worst?;
        if wanted <= 1 {
            return Some(result);
        }
        let (alike, first) = self.verdicts.get(&result.verdict).copied().unwrap_or_default();
        let differ = self.other.is_some() && !result.verdict.fails();
        result.repetitions = Some(Repetitions { wanted, asked, alike, first, differ });
        let mut notes = Vec::new();
        if result.verdict.fails() {
            let mut failed: Vec<_> = self.verdicts.iter().filter(|(verdict, _)| verdict.fails()).collect();
            failed.sort_by_key(|(verdict, _)| std::cmp::Reverse(verdict.severity()));
            let said = failed.iter().map(|(verdict, (count, first))| told(**verdict, *count, *first, asked));
            let cut =
                if asked < wanted { format!("; {} more were not asked", wanted - asked) } else { "".into() };
            notes.push(said.collect::<Vec<_>>().join("; ") + &cut);
        } else if let Some((at, what)) = self.other {
            notes.push(format!("differs between repetitions, at {at} for the first time: {what}"));
        }
        notes.extend(Some(std::mem::take(&mut result.note)).filter(|note| !note.is_empty()));
        result.note = notes.join("\n");
        Some(result)
    }
}

/// Such as `deviated in 2 of 50, first at 17`.
fn told(verdict: Verdict, count: u32, first: u32, asked: u32) -> String {
    let verb = match verdict {
        Verdict::Deviates => "deviated",
        Verdict::NotRun => "was not run",
        other => other.name(),
    };
    if asked == 1 {
        format!("{verb} at once")
    } else if count == asked {
        format!("{verb} in all {asked}")
    } else {
        format!("{verb} in {count} of {asked}, first at {first}")
    }
}

/// The first line in which two repetitions differ.
fn difference(first: &[String], other: &[String]) -> String {
    let line =
        |lines: &[String], at: usize| lines.get(at).map_or("nothing", String::as_str).trim().to_owned();
    let at = (0..first.len().max(other.len())).find(|&at| first.get(at) != other.get(at)).unwrap_or(0);
    format!("first {}, then {}", line(first, at), line(other, at))
}

/// What was seen, without what the model and the case cannot know.
fn fixed(work: &Work<'_>, outcome: &Outcome) -> Vec<String> {
    match (work.prepared(), outcome) {
        (Prepared::Experiment(_, expectation), Outcome::Observed(seen)) => {
            let step = |(at, step): (usize, &StepSeen)| {
                let wanted = expectation.steps.get(at).and_then(|step| step.returned.as_ref());
                let returned = step.returned.map(|value| known(wanted, value));
                format!("step {at}: {}", StepSeen { returned, ..step.clone() }.to_text())
            };
            let mut lines: Vec<String> = seen.steps.iter().enumerate().map(step).collect();
            lines.extend(
                seen.tasks.iter().enumerate().map(|(at, task)| format!("task {at}: {}", task.end.to_text())),
            );
            lines.extend(seen.world.iter().map(|change| format!("world: {}", change.to_text())));
            lines
        }
        (Prepared::Choreography(wanted), Outcome::Facts(facts)) => {
            let fact = |(at, fact): (usize, &atlas_wire::Fact)| match wanted.get(at) {
                Some(want) if matches!(want.want, Want::AtLeast(_)) => facts_text(std::slice::from_ref(want)),
                _ => format!("{}: {}", fact.name, fact.value),
            };
            facts.iter().enumerate().map(fact).collect()
        }
        _ => Vec::new(),
    }
}

/// A returned value that can be held against another repetition's: an errno always, any other value
/// where the model says what it must be.
fn known(wanted: Option<&Value>, value: i64) -> i64 {
    let open = matches!(wanted, Some(Value::TidOf(_) | Value::PidOf(_) | Value::Success | Value::Any));
    if open && !(-4095..0).contains(&value) { 0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::select;
    use crate::results::Jit;
    use atlas_model::Abi;
    use atlas_model::traits::Traits;

    /// Feeds verdicts, each with what was seen, and finishes.
    fn fold(wanted: u32, answers: &[(Verdict, &str)]) -> CaseResult {
        let cases = select(&["errno::value".into()], false).unwrap();
        let work = Work::prepare(cases[0], Abi::X86_64, &Traits::newest());
        let mut repeat = Repeat::new(wanted);
        for (verdict, seen) in answers {
            assert!(!repeat.over());
            let result = CaseResult {
                verdict: *verdict,
                observed: (*seen).into(),
                ..work.not_run("6.12", Jit::On, if verdict.fails() { seen } else { "" })
            };
            repeat.add(result, (!verdict.fails()).then(|| vec![(*seen).to_owned()]));
        }
        assert!(repeat.over());
        repeat.finish().unwrap()
    }

    #[test]
    fn one_of_many_is_told_with_its_first() {
        use Verdict::{Conforms, Deviates};
        let result =
            fold(5, &[(Conforms, "a"), (Conforms, "a"), (Deviates, "x"), (Conforms, "a"), (Deviates, "y")]);
        assert_eq!((result.verdict, result.note.as_str()), (Deviates, "deviated in 2 of 5, first at 3\nx"));
        assert_eq!(result.observed, "x", "the first that deviated");
        let counts = Repetitions { wanted: 5, asked: 5, alike: 2, first: 3, differ: false };
        assert_eq!(result.repetitions, Some(counts));
        assert_eq!(fold(2, &[(Deviates, "x"), (Deviates, "x")]).note, "deviated in all 2\nx");
    }

    #[test]
    fn the_worst_counts_and_what_does_not_answer_is_the_last() {
        use Verdict::{Conforms, Crashed, Deviates};
        let result = fold(9, &[(Conforms, "a"), (Deviates, "x"), (Crashed, "panic")]);
        assert_eq!(result.verdict, Deviates);
        let note = "deviated in 1 of 3, first at 2; crashed in 1 of 3, first at 3; 6 more were not asked\nx";
        assert_eq!(result.note, note);
        let result = fold(9, &[(Conforms, "a"), (Crashed, "panic")]);
        assert_eq!((result.verdict, result.note.lines().last()), (Crashed, Some("panic")));
    }

    #[test]
    fn what_conforms_in_two_ways_is_flaky() {
        use Verdict::{Conforms, Deviates};
        let result = fold(3, &[(Conforms, "a"), (Conforms, "b"), (Conforms, "a")]);
        assert_eq!(result.verdict, Conforms);
        assert_eq!(result.note, "differs between repetitions, at 2 for the first time: first a, then b");
        assert!(result.flaky());
        assert!(!fold(3, &[(Conforms, "a"), (Conforms, "a"), (Conforms, "a")]).flaky());
        // What fails is told as that, once.
        assert!(!fold(3, &[(Conforms, "a"), (Conforms, "b"), (Deviates, "x")]).flaky());
    }

    #[test]
    fn a_single_answer_is_left_as_it_is() {
        let result = fold(1, &[(Verdict::Deviates, "x")]);
        assert_eq!((result.note.as_str(), result.repetitions), ("x", None));
    }

    #[test]
    fn an_absent_case_is_not_asked_at_all() {
        let result = fold(50, &[(Verdict::Absent, "")]);
        assert_eq!(result.repetitions.map(|counts| (counts.asked, counts.alike)), Some((0, 1)));
        assert!(!result.flaky() && result.note.is_empty());
    }

    #[test]
    fn open_values_are_compared_as_far_as_they_are_known() {
        assert_eq!(known(Some(&Value::Success), 3), known(Some(&Value::Success), 4));
        assert_ne!(known(Some(&Value::Any), 3), known(Some(&Value::Any), -9));
        assert_ne!(known(Some(&Value::OneOf(&[0, 1])), 0), known(Some(&Value::OneOf(&[0, 1])), 1));
        assert_ne!(known(Some(&Value::Exactly(3)), 3), known(Some(&Value::Exactly(3)), 4));
    }

    #[test]
    fn facts_bounded_from_below_are_not_compared() {
        let facts = |value| {
            let name = "kB".to_owned();
            Outcome::Facts(vec![atlas_wire::Fact { name, value }])
        };
        let cases = select(&["*".into()], false).unwrap();
        // Any choreography whose first fact is bounded from below shows it.
        let bounded = cases.iter().map(|case| Work::prepare(case, case.abis[0], &Traits::newest())).find(
            |work| matches!(work.prepared(), Prepared::Choreography(facts) if matches!(facts.first(), Some(fact) if matches!(fact.want, Want::AtLeast(_)))),
        );
        if let Some(work) = bounded {
            assert_eq!(fixed(&work, &facts(5000)), fixed(&work, &facts(6000)));
        }
        let exact = cases.iter().map(|case| Work::prepare(case, case.abis[0], &Traits::newest())).find(
            |work| matches!(work.prepared(), Prepared::Choreography(facts) if matches!(facts.first(), Some(fact) if matches!(fact.want, Want::Is(_)))),
        );
        let work = exact.expect("a choreography with an exact fact");
        assert_ne!(fixed(&work, &facts(5000)), fixed(&work, &facts(6000)));
    }
}
