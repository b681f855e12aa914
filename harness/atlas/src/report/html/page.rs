//! What the page's template fills in, but for the two tables.

use super::ids::Ids;
use super::tables::{self, KindView, ThemeView};
use super::timeline::TimelineView;
use super::{COLUMNS, CONSOLE_LINES};
use crate::report::exits;
use crate::report::mark::Mark;
use crate::report::matrix::Matrix;
use crate::report::safe::{clip, visible};
use crate::report::summary::{Failure, KernelSummary, Summary, Tally, summary};
use crate::report::wording::{count, list, thousands, timeline};
use crate::results::{KernelReport, Report};
use serde::Serialize;

/// The whole page.
#[derive(Serialize)]
pub(super) struct PageView {
    headline: String,
    /// The class of the worst mark.
    class: &'static str,
    complete: bool,
    tool: String,
    host: Vec<(&'static str, String)>,
    cases: String,
    results: Vec<MarkView>,
    results_total: String,
    legend: Vec<MarkView>,
    kernels: Vec<KernelView>,
    failures: Vec<FailureView>,
    jit_differences: Vec<LinkedView>,
    themes: Vec<ThemeView>,
    kinds: Vec<KindView>,
    quirks: Vec<LinkedView>,
    retired: Vec<ListView>,
    /// What the failures alone do not say of the exit status.
    exit: Vec<ExitView>,
    status: u8,
    lives: TimelineView,
    timeline: Vec<LinkedView>,
    as_mainline: String,
    probed: String,
    strays: usize,
}

/// A mark, and how many there are.
#[derive(Serialize)]
struct MarkView {
    glyph: &'static str,
    class: &'static str,
    name: &'static str,
    about: &'static str,
    /// What as many as there are do, such as `deviate`.
    verb: &'static str,
    count: String,
}

/// One kernel.
#[derive(Serialize)]
struct KernelView {
    id: String,
    name: String,
    release: String,
    ran: bool,
    source: String,
    sha256: String,
    accelerator: String,
    cpu: String,
    jit: String,
    marks: Vec<MarkView>,
    faults: Vec<String>,
    console: String,
}

/// One failure, with links to where it is shown.
#[derive(Serialize)]
struct FailureView {
    class: &'static str,
    glyph: &'static str,
    name: &'static str,
    cases: Vec<LinkedView>,
    more: usize,
    place: String,
    note: String,
}

/// Something with a place of its own on the page.
#[derive(Serialize)]
struct LinkedView {
    /// Where it leads to; empty where it has no place.
    id: String,
    name: String,
    text: String,
}

/// Names under a heading.
#[derive(Serialize)]
struct ListView {
    title: &'static str,
    items: Vec<LinkedView>,
}

/// What makes the exit status what it is.
#[derive(Serialize)]
struct ExitView {
    title: String,
    lines: Vec<String>,
}

/// The most cases that one failure names.
const CASES_NAMED: usize = 12;

impl PageView {
    pub(super) fn new(report: &Report) -> Self {
        let summary = summary(report);
        let matrix = Matrix::new(report);
        let ids = Ids::new(report);
        let worst = summary.cases.marks().next_back().map_or(Mark::NotRun, |(mark, _)| mark);
        let worst = if report.complete { worst } else { worst.max(Mark::NotRun) };
        Self {
            headline: text(&summary.headline),
            class: worst.class(),
            complete: report.complete,
            tool: text(&report.tool),
            host: host(report),
            cases: count(report.cases.len(), "case", "cases"),
            results: marks(&summary.results),
            results_total: thousands(summary.results.total()),
            legend: Mark::ALL.map(|mark| mark_view(mark, 0)).into(),
            kernels: kernels(report, &summary.kernels, &ids),
            failures: summary.failures.iter().map(|failure| failure_view(failure, &ids)).collect(),
            jit_differences: jit_differences(&summary, &ids),
            themes: tables::themes(&matrix, &report.kernels, &ids),
            kinds: tables::kinds(&report.kernels, &ids),
            quirks: quirks(&summary, &ids),
            retired: retired(&summary, &ids),
            exit: exits::groups(report).iter().map(exit_view).collect(),
            status: report.exit.as_ref().map_or(0, |exit| exit.status),
            lives: TimelineView::new(report, &ids),
            timeline: timeline_notes(&summary, &ids),
            as_mainline: thousands(summary.as_mainline.0),
            probed: thousands(summary.as_mainline.1),
            strays: summary.strays,
        }
    }
}

fn text(text: &str) -> String {
    visible(text).into_owned()
}

fn host(report: &Report) -> Vec<(&'static str, String)> {
    let host = &report.host;
    let processors = count(host.cpus as usize, "processor", "processors");
    vec![
        ("Host", format!("{}, {processors}", text(&host.arch))),
        ("Emulator", text(&host.qemu)),
        ("KVM", text(&host.kvm)),
    ]
}

fn mark_view(mark: Mark, number: usize) -> MarkView {
    MarkView {
        glyph: mark.glyph(),
        class: mark.class(),
        name: mark.name(),
        about: mark.about(),
        verb: mark.bare_verb(number),
        count: thousands(number),
    }
}

/// The marks that there are any of, worst first.
fn marks(tally: &Tally) -> Vec<MarkView> {
    tally.marks().rev().map(|(mark, number)| mark_view(mark, number)).collect()
}

fn kernels(report: &Report, short: &[KernelSummary], ids: &Ids) -> Vec<KernelView> {
    let view = |(at, kernel): (usize, &KernelReport)| KernelView {
        id: ids.kernel(at).to_owned(),
        name: text(&kernel.name),
        release: text(&kernel.release),
        ran: short[at].ran,
        source: text(&kernel.source),
        sha256: text(&kernel.sha256),
        accelerator: text(&kernel.accelerator),
        cpu: text(&kernel.cpu),
        jit: text(&kernel.jit),
        marks: marks(&short[at].cases),
        faults: kernel.faults.iter().map(|fault| clip(fault, 4, COLUMNS, false)).collect(),
        console: clip(&kernel.console, CONSOLE_LINES, COLUMNS, true),
    };
    report.kernels.iter().enumerate().map(view).collect()
}

fn failure_view(failure: &Failure, ids: &Ids) -> FailureView {
    let kernel = failure.kernels.first().map_or("", String::as_str);
    let link =
        |case: &String| LinkedView { id: ids.case_on(case, kernel), name: text(case), text: String::new() };
    let mark = failure.mark();
    FailureView {
        class: mark.class(),
        glyph: mark.glyph(),
        name: mark.name(),
        cases: failure.cases.iter().take(CASES_NAMED).map(link).collect(),
        more: failure.cases.len().saturating_sub(CASES_NAMED),
        place: text(&failure.place()),
        note: clip(&failure.note, 6, COLUMNS, false),
    }
}

fn jit_differences(summary: &Summary, ids: &Ids) -> Vec<LinkedView> {
    let view = |difference: &crate::report::JitDifference| {
        let kernel = difference.kernels.first().map_or("", String::as_str);
        LinkedView {
            id: ids.case_on(&difference.case, kernel),
            name: text(&difference.case),
            text: text(&format!("{}, on {}", difference.abi, list(&difference.kernels))),
        }
    };
    summary.jit_differences.iter().map(view).collect()
}

fn feature_link(name: &str, rest: &str, ids: &Ids) -> LinkedView {
    LinkedView { id: ids.feature(name).to_owned(), name: text(name), text: text(rest) }
}

fn retired(summary: &Summary, ids: &Ids) -> Vec<ListView> {
    let view = |(title, names): (&'static str, &[String])| {
        let items = names.iter().map(|name| feature_link(name, "", ids)).collect();
        ListView { title, items }
    };
    summary.retired.told().map(view).collect()
}

fn exit_view(group: &exits::ExitGroup) -> ExitView {
    let lines = group.lines.iter().map(|line| clip(line, 1, COLUMNS, false)).collect();
    ExitView { title: text(&group.title), lines }
}

fn quirks(summary: &Summary, ids: &Ids) -> Vec<LinkedView> {
    let view = |quirk: &crate::report::QuirkUse| {
        let rest = format!("explains {}, {}", count(quirk.cases, "case", "cases"), quirk.span);
        feature_link(&quirk.quirk, &rest, ids)
    };
    summary.quirks.iter().map(view).collect()
}

fn timeline_notes(summary: &Summary, ids: &Ids) -> Vec<LinkedView> {
    let view = |note: &crate::report::TimelineNote| {
        let rest = format!("{} {} (mainline: {})", timeline(note.timeline), note.span, note.mainline);
        feature_link(&note.feature, &rest, ids)
    };
    summary.timeline.iter().map(view).collect()
}
