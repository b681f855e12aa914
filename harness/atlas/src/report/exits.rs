//! Why the exit status is what it is, as all formats tell it.

use super::wording::{count, list};
use crate::results::Report;
use crate::results::{Reason, Row, Why};

/// Things told under one heading.
pub(crate) struct ExitGroup {
    /// The heading.
    pub(crate) title: String,
    /// One line a case or kernel.
    pub(crate) lines: Vec<String>,
}

/// What the failures alone do not say: nothing where they say it all.
pub(crate) fn groups(report: &Report) -> Vec<ExitGroup> {
    let Some(exit) = &report.exit else { return Vec::new() };
    let beyond = |reason: &Reason| matches!(reason.why, Why::Differs | Why::KnownBug | Why::Absent);
    if !exit.baseline && !exit.reasons.iter().any(beyond) {
        return Vec::new();
    }
    let mut groups = Vec::new();
    for of_kind in exit.reasons.chunk_by(|one, other| one.why == other.why) {
        let new = if exit.baseline && !beyond(&of_kind[0]) { "new since the baseline: " } else { "" };
        groups.push(ExitGroup { title: format!("{new}{}", of_kind[0].why.name()), lines: lines(of_kind) });
    }
    for of_kind in exit.known.chunk_by(|one, other| one.why == other.why) {
        let title = format!("known from the baseline: {}", of_kind[0].why.name());
        groups.push(ExitGroup { title, lines: lines(of_kind) });
    }
    let rows: Vec<(&Row, &str)> = exit.fixed.iter().map(|row| (row, "")).collect();
    if !rows.is_empty() {
        groups.push(ExitGroup { title: "fixed since the baseline".into(), lines: merged(&rows) });
    }
    if exit.gone > 0 {
        let rows = count(exit.gone, "result that failed there is", "results that failed there are");
        let lines = vec![format!("{rows} not in this report")];
        groups.push(ExitGroup { title: "in the baseline alone".into(), lines });
    }
    groups
}

fn lines(reasons: &[Reason]) -> Vec<String> {
    let rows: Vec<(&Row, &str)> =
        reasons.iter().filter_map(|reason| Some((reason.row.as_ref()?, reason.note.as_str()))).collect();
    let whole = reasons.iter().filter(|reason| reason.row.is_none()).map(|reason| reason.note.clone());
    whole.chain(merged(&rows)).collect()
}

/// One line a case and note: its kernels, and how many results there are.
fn merged(rows: &[(&Row, &str)]) -> Vec<String> {
    let mut cases: Vec<(&str, &str, Vec<&str>, Vec<String>)> = Vec::new();
    for (row, note) in rows {
        let setting = format!("{} {}", row.abi, super::wording::jit(row.jit));
        match cases.iter_mut().find(|(case, other, ..)| *case == row.case && other == note) {
            Some((_, _, kernels, settings)) => {
                if !kernels.contains(&row.kernel.as_str()) {
                    kernels.push(&row.kernel);
                }
                settings.push(setting);
            }
            None => cases.push((&row.case, note, vec![&row.kernel], vec![setting])),
        }
    }
    let line = |(case, note, kernels, settings): &(&str, &str, Vec<&str>, Vec<String>)| {
        let results = match settings.as_slice() {
            [only] => only.clone(),
            more => count(more.len(), "result", "results"),
        };
        let note = if note.is_empty() { String::new() } else { format!(": {note}") };
        format!("{case} on {} ({results}){note}", list(kernels))
    };
    cases.iter().map(line).collect()
}
