//! What failed, with what failed in the same way put together.

use crate::report::mark::Mark;
use crate::report::matrix::{Cell, Matrix, NO_RESULT};
use crate::report::wording;
use crate::results::{CaseResult, Verdict};

/// Cases that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The verdict: deviates, crashed, hung or not run.
    pub verdict: Verdict,
    /// The cases: one, or several that were not run for the same reason on the same kernels.
    pub cases: Vec<String>,
    /// The kernels, oldest first.
    pub kernels: Vec<String>,
    /// Which of the kernels these are, in words, such as `from 5.19`.
    pub span: String,
    /// The ABIs and JIT settings that failed, such as `i386 JIT off`; empty when all did.
    pub settings: Vec<String>,
    /// The verdict's note.
    pub note: String,
    /// One of the results, for its observation; `None` where no result was recorded.
    pub example: Option<CaseResult>,
}

impl Failure {
    pub(crate) fn mark(&self) -> Mark {
        Mark::of(self.verdict, &[])
    }

    /// Where it failed, such as `from 5.19, i386 JIT off`.
    pub(crate) fn place(&self) -> String {
        let mut place = self.span.clone();
        if !self.settings.is_empty() {
            place.push_str(", ");
            place.push_str(&wording::list(&self.settings));
        }
        place
    }
}

/// A failure while its kernels are still being gathered.
struct Gathered<'a> {
    mark: Mark,
    verdict: Verdict,
    cases: Vec<&'a str>,
    kernels: Vec<usize>,
    settings: Vec<String>,
    note: &'a str,
    example: Option<&'a CaseResult>,
}

/// Every failure, worst first, then in catalogue order.
pub(super) fn failures(matrix: &Matrix<'_>) -> Vec<Failure> {
    let mut found: Vec<Gathered<'_>> = Vec::new();
    for row in &matrix.rows {
        let begin = found.len();
        for (kernel, cell) in row.cells.iter().enumerate() {
            for group in groups(cell, &row.case.name, kernel) {
                let same = |seen: &&mut Gathered<'_>| {
                    (seen.mark, seen.note, &seen.settings) == (group.mark, group.note, &group.settings)
                };
                match found[begin..].iter_mut().find(same) {
                    Some(seen) => seen.kernels.push(kernel),
                    None => found.push(group),
                }
            }
        }
    }
    let mut merged: Vec<Gathered<'_>> = Vec::new();
    for failure in found {
        let same = |seen: &&mut Gathered<'_>| {
            failure.mark == Mark::NotRun
                && (seen.mark, seen.note, &seen.settings, &seen.kernels)
                    == (failure.mark, failure.note, &failure.settings, &failure.kernels)
        };
        match merged.iter_mut().find(same) {
            Some(seen) => seen.cases.extend(failure.cases),
            None => merged.push(failure),
        }
    }
    merged.sort_by_key(|failure| std::cmp::Reverse(failure.mark));
    let finish = |failure: Gathered<'_>| Failure {
        verdict: failure.verdict,
        cases: failure.cases.into_iter().map(str::to_owned).collect(),
        kernels: failure.kernels.iter().map(|&k| matrix.kernels[k].to_owned()).collect(),
        span: wording::span(&failure.kernels, &matrix.kernels),
        settings: failure.settings,
        note: failure.note.to_owned(),
        example: failure.example.cloned(),
    };
    merged.into_iter().map(finish).collect()
}

/// The failures of one cell, those with the same verdict and note put together.
fn groups<'a>(cell: &Cell<'a>, case: &'a str, kernel: usize) -> Vec<Gathered<'a>> {
    let group = |verdict, note, settings, example| Gathered {
        mark: Mark::of(verdict, &[]),
        verdict,
        cases: vec![case],
        kernels: vec![kernel],
        settings,
        note,
        example,
    };
    if cell.results.is_empty() {
        return vec![group(Verdict::NotRun, NO_RESULT, Vec::new(), None)];
    }
    let mut alike: Vec<Vec<&'a CaseResult>> = Vec::new();
    for &result in cell.results.iter().filter(|result| result.verdict.fails()) {
        let same =
            |seen: &&mut Vec<&CaseResult>| (seen[0].verdict, &seen[0].note) == (result.verdict, &result.note);
        match alike.iter_mut().find(same) {
            Some(seen) => seen.push(result),
            None => alike.push(vec![result]),
        }
    }
    let finish = |results: Vec<&'a CaseResult>| {
        let first = results[0];
        group(first.verdict, first.note.as_str(), cell.settings(&results), Some(first))
    };
    alike.into_iter().map(finish).collect()
}
