//! A report as tables: case × kernel and feature × kernel.

use super::mark::{FeatureMark, Mark};
use super::wording;
use crate::results::{CaseInfo, CaseResult, Jit, KernelReport, ProbeKind, ProbeResult, Report};
use std::collections::HashMap;

/// What stands where a report holds no result.
pub(crate) const NO_RESULT: &str = "no result was recorded";

/// The table of cases: one row a case, one cell a kernel.
pub(crate) struct Matrix<'a> {
    /// The kernels' names, oldest first: the columns.
    pub(crate) kernels: Vec<&'a str>,
    /// One row a case, in catalogue order.
    pub(crate) rows: Vec<Row<'a>>,
    /// The kernels on which any case ran; every kernel where nothing ran anywhere. The others are
    /// named once and kept out of what is said of cases: one broken kernel must not blank the
    /// rest.
    pub(crate) counted: Vec<usize>,
    /// Results that name a kernel or case which the report does not list.
    pub(crate) strays: usize,
}

/// What one case showed on every kernel.
pub(crate) struct Row<'a> {
    /// The case.
    pub(crate) case: &'a CaseInfo,
    /// One cell a kernel.
    pub(crate) cells: Vec<Cell<'a>>,
}

/// What one case showed on one kernel: a result for each ABI and JIT setting.
#[derive(Default)]
pub(crate) struct Cell<'a> {
    /// The results, as the report orders them; none where the run did not get so far.
    pub(crate) results: Vec<&'a CaseResult>,
}

/// A part of a cell that is shown on its own, because it differs from the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// What it says.
    pub(crate) mark: Mark,
    /// What it holds for, such as `i386` or `JIT off`; empty when for all.
    pub(crate) label: String,
}

impl<'a> Matrix<'a> {
    /// The table of a report's cases.
    pub(crate) fn new(report: &'a Report) -> Self {
        let column = first_places(report.kernels.iter().map(|kernel| kernel.name.as_str()));
        let line = first_places(report.cases.iter().map(|case| case.name.as_str()));
        let empty_row = |case| {
            let cells = report.kernels.iter().map(|_| Cell::default()).collect();
            Row { case, cells }
        };
        let mut rows: Vec<Row<'a>> = report.cases.iter().map(empty_row).collect();
        let mut strays = 0;
        for result in &report.results {
            match (line.get(result.case.as_str()), column.get(result.kernel.as_str())) {
                (Some(&row), Some(&cell)) => rows[row].cells[cell].results.push(result),
                _ => strays += 1,
            }
        }
        let kernels: Vec<&str> = report.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        let ran = |kernel: &usize| rows.iter().any(|row| row.cells[*kernel].mark() != Mark::NotRun);
        let mut counted: Vec<usize> = (0..kernels.len()).filter(ran).collect();
        if counted.is_empty() {
            counted = (0..kernels.len()).collect();
        }
        Self { kernels, rows, counted, strays }
    }

    /// The worst mark of a row's cells on the kernels that count.
    pub(crate) fn worst(&self, row: &Row<'_>) -> Mark {
        let marks = self.counted.iter().map(|&kernel| row.cells[kernel].mark());
        marks.max().unwrap_or(Mark::NotRun)
    }

    /// Whether a row's cell on some kernel that counts shows something else than on another.
    pub(crate) fn differs(&self, row: &Row<'_>) -> bool {
        let mut parts = self.counted.iter().map(|&kernel| row.cells[kernel].parts());
        let first = parts.next();
        parts.any(|other| Some(other) != first)
    }

    /// The rows, those that fail first, then those that do not conform everywhere.
    pub(crate) fn failures_first(&self) -> Vec<&Row<'a>> {
        let mut rows: Vec<&Row<'a>> = self.rows.iter().collect();
        rows.sort_by_key(|row| match self.worst(row) {
            worst if worst.fails() => 0,
            Mark::Conforms | Mark::ByQuirk => 2,
            _ => 1,
        });
        rows
    }
}

/// Where each name stands first.
fn first_places<'a>(names: impl Iterator<Item = &'a str>) -> HashMap<&'a str, usize> {
    let mut places = HashMap::new();
    for (at, name) in names.enumerate() {
        places.entry(name).or_insert(at);
    }
    places
}

impl Row<'_> {
    /// The part of the case's name before `::`.
    pub(crate) fn theme(&self) -> &str {
        self.case.name.split_once("::").map_or("other", |(theme, _)| theme)
    }

    /// The part of the case's name after the theme.
    pub(crate) fn short_name(&self) -> &str {
        self.case.name.split_once("::").map_or(self.case.name.as_str(), |(_, name)| name)
    }
}

impl Cell<'_> {
    /// The worst of the cell's marks.
    pub(crate) fn mark(&self) -> Mark {
        let marks = self.results.iter().map(|result| mark_of(result));
        marks.max().unwrap_or(Mark::NotRun)
    }

    /// Whether one ABI's verdict is not the same with the JIT on and off. Only verdicts are held
    /// against each other: what was seen may hold thread ids, which differ from run to run.
    pub(crate) fn jit_differs(&self) -> bool {
        self.abis().into_iter().any(|abi| self.jit_differs_in(abi))
    }

    /// The same for one ABI.
    pub(crate) fn jit_differs_in(&self, abi: &str) -> bool {
        let of = |jit| {
            let legs = self.results.iter().filter(move |r| r.abi == abi && r.jit == jit);
            legs.map(|result| result.verdict).max()
        };
        matches!((of(Jit::On), of(Jit::Off)), (Some(on), Some(off)) if on != off)
    }

    /// The ABIs of the cell, in the report's order.
    pub(crate) fn abis(&self) -> Vec<&str> {
        let mut abis: Vec<&str> = Vec::new();
        for result in &self.results {
            if !abis.contains(&result.abi.as_str()) {
                abis.push(&result.abi);
            }
        }
        abis
    }

    /// The settings of some of the cell's results, no longer than need be: none for all of them,
    /// an ABI alone where both its JIT settings are among them.
    pub(crate) fn settings(&self, some: &[&CaseResult]) -> Vec<String> {
        if some.len() == self.results.len() {
            return Vec::new();
        }
        let mut settings = Vec::new();
        for abi in self.abis() {
            let of_abi = |results: &[&CaseResult]| results.iter().filter(|r| r.abi == abi).count();
            if self.abis().len() > 1 && of_abi(some) == of_abi(&self.results) {
                settings.push(abi.to_owned());
            } else {
                let legs = some.iter().filter(|result| result.abi == abi);
                settings.extend(legs.map(|leg| format!("{abi} {}", wording::jit(leg.jit))));
            }
        }
        settings
    }

    /// The cell split no further than its marks differ: one part when all agree, else one an ABI,
    /// and within an ABI one a JIT setting where these differ.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let same =
            |results: &[&CaseResult]| results.windows(2).all(|pair| mark_of(pair[0]) == mark_of(pair[1]));
        if same(&self.results) {
            return vec![Part { mark: self.mark(), label: String::new() }];
        }
        let abis = self.abis();
        let mut parts = Vec::new();
        for abi in &abis {
            let legs: Vec<&CaseResult> =
                self.results.iter().copied().filter(|result| result.abi == *abi).collect();
            let prefix = if abis.len() > 1 { *abi } else { "" };
            if same(&legs) {
                parts.push(Part { mark: mark_of(legs[0]), label: prefix.to_owned() });
            } else {
                parts.extend(legs.iter().map(|leg| Part {
                    mark: mark_of(leg),
                    label: format!("{prefix} {}", wording::jit(leg.jit)).trim_start().to_owned(),
                }));
            }
        }
        parts
    }
}

/// The mark of one result.
pub(crate) fn mark_of(result: &CaseResult) -> Mark {
    Mark::of(result.verdict, &result.quirks)
}

/// The table of features: one row a feature, change or bug, one answer a kernel.
pub(crate) struct FeatureRow<'a> {
    /// The first kernel's answer, which names and describes the feature.
    pub(crate) probe: &'a ProbeResult,
    /// One answer a kernel; `None` where it was not probed.
    pub(crate) answers: Vec<Option<&'a ProbeResult>>,
}

impl<'a> FeatureRow<'a> {
    /// Every feature that any kernel was probed for: features, then changes, then bugs, each in
    /// the order of the catalogue.
    pub(crate) fn all(kernels: &'a [KernelReport]) -> Vec<Self> {
        let mut rows: Vec<Self> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (column, kernel) in kernels.iter().enumerate() {
            for probe in &kernel.probes {
                let row = *places.entry(&probe.feature).or_insert_with(|| {
                    rows.push(Self { probe, answers: vec![None; kernels.len()] });
                    rows.len() - 1
                });
                rows[row].answers[column].get_or_insert(probe);
            }
        }
        rows.sort_by_key(|row| match row.probe.kind {
            ProbeKind::Feature => 0,
            ProbeKind::Change => 1,
            ProbeKind::Bug => 2,
        });
        rows
    }

    /// One mark a kernel.
    pub(crate) fn marks(&self) -> impl Iterator<Item = FeatureMark> {
        self.answers.iter().map(|answer| FeatureMark::of(*answer))
    }

    /// Whether some kernel answers otherwise than another.
    pub(crate) fn differs(&self) -> bool {
        let first = self.marks().next();
        self.marks().any(|mark| Some(mark) != first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Verdict;

    fn result(abi: &str, jit: Jit, verdict: Verdict) -> CaseResult {
        CaseResult {
            kernel: "6.12".into(),
            case: "a::b".into(),
            jit,
            abi: abi.into(),
            verdict,
            observed: String::new(),
            expected: String::new(),
            decided: String::new(),
            note: String::new(),
            quirks: vec![],
            console: String::new(),
            repetitions: None,
        }
    }

    fn labels(results: &[CaseResult]) -> Vec<String> {
        let cell = Cell { results: results.iter().collect() };
        cell.parts().iter().map(|part| format!("{}{}", part.mark.glyph(), part.label)).collect()
    }

    #[test]
    fn cells_are_split_no_further_than_they_differ() {
        use Verdict::{Conforms, Deviates};
        let cell = |verdicts: [Verdict; 4]| {
            labels(&[
                result("x86-64", Jit::On, verdicts[0]),
                result("x86-64", Jit::Off, verdicts[1]),
                result("i386", Jit::On, verdicts[2]),
                result("i386", Jit::Off, verdicts[3]),
            ])
        };
        assert_eq!(cell([Conforms; 4]), ["✓"]);
        assert_eq!(cell([Conforms, Conforms, Deviates, Deviates]), ["✓x86-64", "✗i386"]);
        assert_eq!(
            cell([Conforms, Conforms, Conforms, Deviates]),
            ["✓x86-64", "✓i386 JIT on", "✗i386 JIT off"]
        );
        assert_eq!(
            labels(&[result("x86-64", Jit::On, Deviates), result("x86-64", Jit::Off, Conforms)]),
            ["✗JIT on", "✓JIT off"]
        );
        assert_eq!(labels(&[]), ["?"]);
    }

    #[test]
    fn a_difference_between_abis_is_none_of_the_jit() {
        let results = [
            result("x86-64", Jit::On, Verdict::Conforms),
            result("x86-64", Jit::Off, Verdict::Conforms),
            result("i386", Jit::On, Verdict::Deviates),
        ];
        assert!(!Cell { results: results.iter().collect() }.jit_differs());
        let results = [results[0].clone(), result("x86-64", Jit::Off, Verdict::KnownBug)];
        assert!(Cell { results: results.iter().collect() }.jit_differs());
    }
}
