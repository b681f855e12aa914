//! What a row's cells open: what was seen, put together where kernels saw the same.

use super::ids::Ids;
use crate::report::lines::align;
use crate::report::mark::Mark;
use crate::report::matrix::{NO_RESULT, Row, mark_of};
use crate::report::safe::clip;
use crate::report::wording::{list, span};
use crate::results::{CaseResult, KernelReport};
use serde::Serialize;
use std::collections::HashMap;

/// The most lines of one observation that the page shows where a case fails.
const LINES_FAILING: usize = 400;
/// The most lines of one observation that the page shows where it does not.
const LINES: usize = 80;

/// What some of a case's results have in common.
#[derive(Serialize)]
pub(super) struct GroupView {
    /// The columns of the kernels, as classes, such as `k2 k3`.
    columns: String,
    class: &'static str,
    glyph: &'static str,
    name: &'static str,
    /// Kernels and settings in words.
    place: String,
    note: String,
    quirks: Vec<QuirkView>,
    /// What was seen, where that is line for line what was expected.
    same: String,
    /// What was expected, where nothing was seen.
    unseen: String,
    /// Else both, side by side.
    pairs: Vec<PairView>,
    /// Whether a difference is a fault, rather than one way to conform among several.
    faulty: bool,
    /// Which instruction decides each step.
    decided: String,
    consoles: Vec<ConsoleView>,
}

/// A quirk that an expectation leans on.
#[derive(Serialize)]
struct QuirkView {
    name: String,
    id: String,
    about: String,
}

/// One line of the comparison.
#[derive(Serialize)]
struct PairView {
    expected: String,
    observed: String,
    same: bool,
}

/// A console's last lines.
#[derive(Serialize)]
struct ConsoleView {
    place: String,
    /// The anchor of the text: here, or where it is shown already.
    id: String,
    /// The text; empty where it is shown already.
    text: String,
}

/// What makes the groups of one page: which consoles it shows already, and what is known of quirks.
pub(super) struct Evidence<'a> {
    kernels: Vec<&'a str>,
    /// What each probed quirk is about, and its anchor.
    quirks: HashMap<&'a str, (&'a str, String)>,
    consoles: HashMap<&'a str, String>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(kernels: &'a [KernelReport], ids: &Ids) -> Self {
        let probes = kernels.iter().flat_map(|kernel| &kernel.probes);
        let known = |probe: &'a crate::results::ProbeResult| {
            let id = ids.feature(&probe.feature).to_owned();
            (probe.feature.as_str(), (probe.about.as_str(), id))
        };
        Self {
            kernels: kernels.iter().map(|kernel| kernel.name.as_str()).collect(),
            quirks: probes.map(known).collect(),
            consoles: HashMap::new(),
        }
    }

    /// The groups of a row, the worst first, then by kernel.
    pub(super) fn groups(&mut self, row: &Row<'a>) -> Vec<GroupView> {
        let mut groups: Vec<Vec<(usize, &'a CaseResult)>> = Vec::new();
        let mut places: HashMap<Key<'a>, usize> = HashMap::new();
        let mut silent = Vec::new();
        for (kernel, cell) in row.cells.iter().enumerate() {
            for &result in &cell.results {
                let place = *places.entry(key(result)).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                groups[place].push((kernel, result));
            }
            if cell.results.is_empty() {
                silent.push(kernel);
            }
        }
        groups.sort_by_key(|group| std::cmp::Reverse(mark_of(group[0].1)));
        let mut views: Vec<GroupView> = groups.iter().map(|group| self.group(row, group)).collect();
        if !silent.is_empty() {
            views.push(GroupView {
                columns: columns(&silent),
                class: Mark::NotRun.class(),
                glyph: Mark::NotRun.glyph(),
                name: Mark::NotRun.name(),
                place: span(&silent, &self.kernels),
                note: NO_RESULT.into(),
                quirks: vec![],
                same: String::new(),
                unseen: String::new(),
                pairs: vec![],
                faulty: false,
                decided: String::new(),
                consoles: vec![],
            });
        }
        views
    }

    fn group(&mut self, row: &Row<'a>, group: &[(usize, &'a CaseResult)]) -> GroupView {
        let first = group[0].1;
        let mark = mark_of(first);
        let faulty = mark.fails();
        let lines = if faulty { LINES_FAILING } else { LINES };
        let shown = |text: &str| clip(text, lines, super::COLUMNS, false);
        let (expected, observed) = (shown(&first.expected), shown(&first.observed));
        let same = first.expected == first.observed;
        let quirks: Vec<QuirkView> = first.quirks.iter().map(|quirk| self.quirk(quirk)).collect();
        // Where quirks explain a verdict its note says no more than they do.
        let explained = !faulty && !quirks.is_empty() && quirks.iter().all(|q| !q.about.is_empty());
        let unseen = !same && observed.is_empty();
        let pairs = if same || unseen { vec![] } else { align(&expected, &observed) };
        let mut kernels: Vec<usize> = group.iter().map(|(kernel, _)| *kernel).collect();
        kernels.dedup();
        GroupView {
            columns: columns(&kernels),
            class: mark.class(),
            glyph: mark.glyph(),
            name: mark.name(),
            place: self.place(row, group),
            note: if explained { String::new() } else { shown(&first.note) },
            quirks,
            same: if same { observed.clone() } else { String::new() },
            unseen: if unseen { expected.clone() } else { String::new() },
            pairs: pairs
                .iter()
                .map(|pair| PairView {
                    expected: pair.expected.unwrap_or_default().to_owned(),
                    observed: pair.observed.unwrap_or_default().to_owned(),
                    same: pair.same(),
                })
                .collect(),
            faulty,
            decided: shown(&first.decided),
            consoles: self.consoles(group),
        }
    }

    fn quirk(&self, name: &str) -> QuirkView {
        let (about, id) = self.quirks.get(name).cloned().unwrap_or_default();
        let shown = |text: &str| clip(text, 4, super::COLUMNS, false);
        QuirkView { name: shown(name), id, about: shown(about) }
    }

    /// Which kernels and settings, such as `up to 6.1; on 6.12, x86-64 JIT off`.
    fn place(&self, row: &Row<'a>, group: &[(usize, &'a CaseResult)]) -> String {
        let mut by_settings: Vec<(Vec<String>, Vec<usize>)> = Vec::new();
        let mut kernels: Vec<usize> = group.iter().map(|(kernel, _)| *kernel).collect();
        kernels.dedup();
        for kernel in kernels {
            let here: Vec<&CaseResult> =
                group.iter().filter(|(k, _)| *k == kernel).map(|(_, result)| *result).collect();
            let settings = row.cells[kernel].settings(&here);
            match by_settings.iter_mut().find(|(seen, _)| *seen == settings) {
                Some((_, kernels)) => kernels.push(kernel),
                None => by_settings.push((settings, vec![kernel])),
            }
        }
        let words = by_settings.iter().map(|(settings, kernels)| {
            let on = span(kernels, &self.kernels);
            if settings.is_empty() { on } else { format!("{on}, {}", list(settings)) }
        });
        clip(&words.collect::<Vec<_>>().join("; "), 1, super::COLUMNS, false)
    }

    /// Each console once on the page; where it is shown already, a link to it.
    fn consoles(&mut self, group: &[(usize, &'a CaseResult)]) -> Vec<ConsoleView> {
        let mut views: Vec<ConsoleView> = Vec::new();
        let mut here: Vec<(&str, Vec<usize>)> = Vec::new();
        for (kernel, result) in group.iter().filter(|(_, result)| !result.console.is_empty()) {
            match here.iter_mut().find(|(text, _)| *text == result.console) {
                Some((_, kernels)) => {
                    kernels.push(*kernel);
                    kernels.dedup();
                }
                None => here.push((&result.console, vec![*kernel])),
            }
        }
        for (text, kernels) in here {
            let place = span(&kernels, &self.kernels);
            let number = self.consoles.len() + 1;
            let shown = self.consoles.get(text).cloned();
            views.push(match shown {
                Some(id) => ConsoleView { place, id, text: String::new() },
                None => {
                    let id = format!("console@{number}");
                    self.consoles.insert(text, id.clone());
                    let text = clip(text, super::CONSOLE_LINES, super::COLUMNS, true);
                    ConsoleView { place, id, text }
                }
            });
        }
        views
    }
}

/// What results must have in common to be shown as one.
type Key<'a> = ([&'a str; 4], &'a [String], crate::results::Verdict);

fn key(result: &CaseResult) -> Key<'_> {
    let texts = [&result.observed, &result.expected, &result.decided, &result.note];
    (texts.map(String::as_str), &result.quirks, result.verdict)
}

/// Columns as classes that the style sheet selects by.
pub(super) fn columns(kernels: &[usize]) -> String {
    kernels.iter().map(|kernel| format!("k{kernel}")).collect::<Vec<_>>().join(" ")
}
