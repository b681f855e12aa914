//! Why a run's exit status is what it is.
//!
//! | makes the status 1 | when |
//! | --- | --- |
//! | deviates, crashed, hung, not run | always; with `--fail-on new-deviation` where the baseline did not have the same |
//! | repetitions that differ | always, in a run that repeats; with a baseline where it did not have the same |
//! | known bug, absent | with `--fail-on known-bug`, `--fail-on absent` |
//! | a kernel that never booted | always; with a baseline where it booted then |
//! | a run that did not come to its end | always |

use crate::diff::rows;
use crate::results::{CaseResult, Exit, Reason, Report, Row, Verdict, Why};

/// What else makes the exit status 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// What deviates, crashed, hung or was not run; this is always on
    Deviates,
    /// Of what deviates, crashed, hung or was not run only what the baseline did not have
    NewDeviation,
    /// What shows a known bug too
    KnownBug,
    /// What lacks a feature too
    Absent,
}

impl Why {
    /// What makes a result fail on its own.
    fn of(result: &CaseResult) -> Option<Self> {
        match result.verdict {
            Verdict::Deviates => Some(Self::Deviates),
            Verdict::Crashed => Some(Self::Crashed),
            Verdict::Hung => Some(Self::Hung),
            Verdict::NotRun => Some(Self::NotRun),
            Verdict::Conforms | Verdict::KnownBug | Verdict::Absent => {
                result.flaky().then_some(Self::Differs)
            }
        }
    }

    /// What makes it fail because somebody wishes so.
    fn wished(result: &CaseResult, fail_on: &[FailOn]) -> Option<Self> {
        match result.verdict {
            Verdict::KnownBug if fail_on.contains(&FailOn::KnownBug) => Some(Self::KnownBug),
            Verdict::Absent if fail_on.contains(&FailOn::Absent) => Some(Self::Absent),
            _ => None,
        }
    }
}

/// The exit status that a report stands for. With a baseline, what that had already does not fail: the
/// same row with the same verdict. Another verdict on it is new, for better or worse.
#[must_use]
pub fn exit(report: &Report, fail_on: &[FailOn], baseline: Option<&Report>) -> Exit {
    let (now, before) = (rows(report), baseline.map(rows).unwrap_or_default());
    let (mut reasons, mut known) = (Vec::new(), Vec::new());
    if !report.complete {
        let note = "the run did not come to its end".into();
        reasons.push(Reason { why: Why::Incomplete, row: None, note });
    }
    let never_booted = |report: &Report, name: &str| {
        report.kernels.iter().any(|kernel| kernel.name == name && kernel.release.is_empty())
    };
    for kernel in report.kernels.iter().filter(|kernel| kernel.release.is_empty()) {
        let reason = Reason { why: Why::NeverBooted, row: None, note: kernel.name.clone() };
        let had = baseline.is_some_and(|baseline| never_booted(baseline, &kernel.name));
        if had { known.push(reason) } else { reasons.push(reason) }
    }
    let mut fixed = Vec::new();
    for result in &report.results {
        let row = Row::of(result);
        let then = before.get(&row).and_then(|result| Why::of(result));
        let note = result.note.lines().next().unwrap_or_default().to_owned();
        let reason = |why| Reason { why, row: Some(row.clone()), note: note.clone() };
        match Why::of(result) {
            Some(why) if then == Some(why) => known.push(reason(why)),
            Some(why) => reasons.push(reason(why)),
            None if then.is_some() => fixed.push(row.clone()),
            None => {}
        }
        reasons.extend(Why::wished(result, fail_on).map(reason));
    }
    // The order within one kind is that of the report.
    reasons.sort_by_key(|reason| reason.why);
    known.sort_by_key(|reason| reason.why);
    let failed = before.iter().filter(|(_, result)| Why::of(result).is_some());
    let gone = failed.filter(|(row, _)| !now.contains_key(row)).count();
    let status = u8::from(!reasons.is_empty());
    Exit { status, reasons, known, fixed, gone, baseline: baseline.is_some() }
}
