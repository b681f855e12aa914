//! Two reports, or two kernels of one, held against each other.
//!
//! What is compared is what reports are read for: the verdict of every row, the answer of every probe.
//! Observations, notes and consoles are not: they hold ids and times.

use crate::results::{CaseResult, ProbeKind, Report, Row, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

impl Row {
    /// The name of a result.
    #[must_use]
    pub fn of(result: &CaseResult) -> Self {
        Self {
            kernel: result.kernel.clone(),
            case: result.case.clone(),
            abi: result.abi.clone(),
            jit: result.jit,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}, {} {}", self.case, self.kernel, self.abi, self.jit.name())
    }
}

/// A report's results by their names.
#[must_use]
pub fn rows(report: &Report) -> BTreeMap<Row, &CaseResult> {
    report.results.iter().map(|result| (Row::of(result), result)).collect()
}

/// What differs between two reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Kernels of the first alone.
    pub kernels_gone: Vec<String>,
    /// Kernels of the second alone.
    pub kernels_new: Vec<String>,
    /// Rows of the first alone, on kernels of both.
    pub rows_gone: Vec<Row>,
    /// Rows of the second alone, on kernels of both.
    pub rows_new: Vec<Row>,
    /// Rows whose verdict, or the quirks that explain it, is another.
    pub verdicts: Vec<VerdictChange>,
    /// Probes that answer otherwise.
    pub probes: Vec<ProbeChange>,
}

/// A row with two verdicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerdictChange {
    /// The row.
    pub row: Row,
    /// Its verdict in the first report.
    pub from: Verdict,
    /// Its verdict in the second.
    pub to: Verdict,
    /// The quirks that explain it in the first.
    pub from_quirks: Vec<String>,
    /// The quirks that explain it in the second.
    pub to_quirks: Vec<String>,
}

/// A feature or quirk with two answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeChange {
    /// The kernel.
    pub kernel: String,
    /// The feature or quirk.
    pub feature: String,
    /// What kind of thing it is.
    pub kind: ProbeKind,
    /// The answer in the first report; `None` where it could not tell or was not asked.
    pub from: Option<bool>,
    /// The answer in the second.
    pub to: Option<bool>,
}

impl Diff {
    /// Whether nothing differs.
    #[must_use]
    pub fn same(&self) -> bool {
        *self == Self::default()
    }
}

/// What differs.
#[must_use]
pub fn diff(a: &Report, b: &Report) -> Diff {
    let only = |one: &Report, other: &Report| -> Vec<String> {
        let names = one.kernels.iter().map(|kernel| &kernel.name);
        names.filter(|name| other.kernels.iter().all(|kernel| kernel.name != **name)).cloned().collect()
    };
    let shared = |row: &&Row| {
        [a, b].iter().all(|report| report.kernels.iter().any(|kernel| kernel.name == row.kernel))
    };
    let (from, to) = (rows(a), rows(b));
    let change = |(row, now): (&Row, &&CaseResult)| {
        let then = from.get(row)?;
        let same = then.verdict == now.verdict && then.quirks == now.quirks;
        (!same).then(|| VerdictChange {
            row: row.clone(),
            from: then.verdict,
            to: now.verdict,
            from_quirks: then.quirks.clone(),
            to_quirks: now.quirks.clone(),
        })
    };
    Diff {
        kernels_gone: only(a, b),
        kernels_new: only(b, a),
        rows_gone: from.keys().filter(|row| !to.contains_key(row)).filter(shared).cloned().collect(),
        rows_new: to.keys().filter(|row| !from.contains_key(row)).filter(shared).cloned().collect(),
        verdicts: to.iter().filter_map(change).collect(),
        probes: probes(a, b),
    }
}

fn probes(a: &Report, b: &Report) -> Vec<ProbeChange> {
    let mut changes = Vec::new();
    for kernel in &b.kernels {
        let Some(then) = a.kernels.iter().find(|then| then.name == kernel.name) else { continue };
        let both = then.probes.iter().chain(&kernel.probes);
        let mut seen: Vec<&str> = Vec::new();
        for probe in both {
            if seen.contains(&probe.feature.as_str()) {
                continue;
            }
            seen.push(&probe.feature);
            let answer = |probes: &[crate::results::ProbeResult]| {
                probes.iter().find(|other| other.feature == probe.feature).and_then(|other| other.present)
            };
            let (from, to) = (answer(&then.probes), answer(&kernel.probes));
            if from != to {
                let (kernel, feature) = (kernel.name.clone(), probe.feature.clone());
                changes.push(ProbeChange { kernel, feature, kind: probe.kind, from, to });
            }
        }
    }
    changes
}

/// One kernel of a report, under another name, so that two of them can be held against each other.
#[must_use]
pub fn only(report: &Report, kernel: &str, name: &str) -> Option<Report> {
    let mut one = report.clone();
    one.kernels.retain(|other| other.name == kernel);
    one.results.retain(|result| result.kernel == kernel);
    one.kernels.first_mut()?.name = name.into();
    one.results.iter_mut().for_each(|result| result.kernel = name.into());
    Some(one)
}
