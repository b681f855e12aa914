//! The summary for people at a prompt.

mod layout;
mod timeline;

pub use timeline::TerminalTimeline;

use super::exits;
use super::lines::align;
use super::mark::Mark;
use super::matrix::{FeatureRow, Matrix};
use super::safe::{shorten, visible};
use super::summary::{Failure, Summary, summary};
use super::wording::{count, list, thousands, timeline};
use super::{RenderError, Renderer};
use crate::results::Report;
use anstyle::{AnsiColor, Style};
use layout::{Page, WIDTH};

/// Text for a terminal, at most 100 columns wide: failures first, then the kernels, the cases
/// that do not conform everywhere, the features that are not as mainline, and the quirks.
///
/// Every cell has a glyph as well as a colour.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal {
    /// Whether to colour. The caller knows the stream; `anstream` leaves colours out of one that
    /// is no terminal and obeys `NO_COLOR`.
    pub color: bool,
}

/// The most failures that are shown with what differs; the others get one line each.
const DETAILED: usize = 12;
/// The most failures that are shown at all.
const SHOWN: usize = 60;
/// The most differing lines shown of one failure.
const DIFFERENCES: usize = 6;
/// The most lines of console shown of one failure.
const CONSOLE: usize = 5;

impl Renderer for Terminal {
    fn render(&self, report: &Report) -> Result<String, RenderError> {
        let summary = summary(report);
        let mut page = Page::new(self.color);
        head(&mut page, report, &summary);
        failures(&mut page, &summary.failures);
        kernels(&mut page, report, &summary);
        cases(&mut page, &Matrix::new(report));
        features(&mut page, report, &summary);
        quirks(&mut page, &summary);
        exit(&mut page, report);
        Ok(page.finish())
    }
}

/// The colour of a mark.
fn style(mark: Mark) -> Style {
    let color = match mark {
        Mark::Conforms => AnsiColor::Green,
        Mark::ByQuirk => AnsiColor::Cyan,
        Mark::Absent => AnsiColor::BrightBlack,
        Mark::KnownBug => AnsiColor::Yellow,
        Mark::NotRun | Mark::Hung => AnsiColor::Magenta,
        Mark::Crashed | Mark::Deviates => AnsiColor::Red,
    };
    let style = Style::new().fg_color(Some(color.into()));
    if mark.fails() { style.bold() } else { style }
}

fn head(page: &mut Page, report: &Report, summary: &Summary) {
    let worst = summary.cases.marks().next_back().map(|(mark, _)| mark);
    page.wrapped("", &visible(&summary.headline), worst.map_or(Style::new(), style).bold());
    let parts: Vec<String> = summary.results.marks().map(|(mark, count)| mark.verb(count)).collect();
    if !parts.is_empty() {
        let total = count(summary.results.total(), "result", "results");
        let line = format!("{total} over ABIs and JIT settings: {}", parts.join(", "));
        page.wrapped("", &line, Style::new().dimmed());
    }
    let host = &report.host;
    let processors = count(host.cpus as usize, "processor", "processors");
    let line = format!(
        "seccomp-atlas {} on {}, {processors}; {}; KVM: {}",
        report.tool, host.arch, host.qemu, host.kvm
    );
    page.wrapped("", &visible(&line), Style::new().dimmed());
    if summary.strays > 0 {
        let results = count(summary.strays, "result names", "results name");
        let line = format!("{results} a kernel or case that the report does not list");
        page.wrapped("", &line, style(Mark::NotRun));
    }
}

fn failures(page: &mut Page, failures: &[Failure]) {
    if failures.is_empty() {
        return;
    }
    page.heading("Failures");
    for (at, failure) in failures.iter().enumerate().take(SHOWN) {
        let mark = failure.mark();
        let cases = match failure.cases.as_slice() {
            [case] => case.clone(),
            [first, .., last] => {
                format!("{}, {first} to {last}", count(failure.cases.len(), "case", "cases"))
            }
            [] => String::new(),
        };
        let line = format!("{} {}  {cases}, {}", mark.glyph(), mark.name(), failure.place());
        page.wrapped("  ", &visible(&line), style(mark));
        if at < DETAILED {
            detail(page, failure);
        }
    }
    if failures.len() > SHOWN {
        let more = count(failures.len() - SHOWN, "failure", "failures");
        page.line(&format!("  … {more} more; the other formats have them all"), Style::new());
    }
}

fn detail(page: &mut Page, failure: &Failure) {
    for line in failure.note.lines().take(3) {
        page.wrapped("      ", &visible(line), Style::new());
    }
    let Some(example) = &failure.example else {
        return;
    };
    if !example.observed.is_empty() {
        differences(page, &example.expected, &example.observed);
    }
    let console: Vec<&str> = example.console.lines().collect();
    for line in &console[console.len().saturating_sub(CONSOLE)..] {
        page.line(&format!("      console   {}", visible(line)), Style::new().dimmed());
    }
}

fn differences(page: &mut Page, expected: &str, observed: &str) {
    let pairs = align(expected, observed);
    let differing: Vec<_> = pairs.iter().filter(|pair| !pair.same()).collect();
    for pair in differing.iter().take(DIFFERENCES) {
        for (side, text, mark) in
            [("expected", pair.expected, Mark::Conforms), ("observed", pair.observed, Mark::Deviates)]
        {
            if let Some(text) = text {
                page.line(&format!("      {side}  {}", visible(text)), style(mark));
            }
        }
    }
    if differing.len() > DIFFERENCES {
        let more = count(differing.len() - DIFFERENCES, "differing line", "differing lines");
        page.line(&format!("      … {more} more"), Style::new());
    }
}

fn exit(page: &mut Page, report: &Report) {
    let groups = exits::groups(report);
    if groups.is_empty() {
        return;
    }
    page.heading(&format!("Exit status {}", report.exit.as_ref().map_or(0, |exit| exit.status)));
    for group in groups {
        page.wrapped("  ", &group.title, Style::new().bold());
        for line in group.lines.iter().take(SHOWN) {
            page.wrapped("    ", &visible(line), Style::new());
        }
        if group.lines.len() > SHOWN {
            let more = thousands(group.lines.len() - SHOWN);
            page.line(&format!("    … {more} more; the JSON report has them all"), Style::new());
        }
    }
}

fn kernels(page: &mut Page, report: &Report, summary: &Summary) {
    if report.kernels.is_empty() {
        return;
    }
    page.heading("Kernels");
    let marks: Vec<Mark> = Mark::ALL
        .into_iter()
        .filter(|&mark| mark == Mark::Conforms || summary.kernels.iter().any(|k| k.cases.get(mark) > 0))
        .collect();
    page.text("  ", Style::new());
    for (title, width) in [("kernel", 10), ("release", 28), ("runs on", 7), ("JIT", 17)] {
        page.cell(title, width, Style::new().dimmed());
    }
    for mark in &marks {
        page.right(mark.glyph(), 4, Style::new().dimmed());
    }
    page.end();
    for (kernel, short) in report.kernels.iter().zip(&summary.kernels) {
        page.text("  ", Style::new());
        page.cell(&kernel.name, 10, Style::new().bold());
        let release = if kernel.release.is_empty() { "never booted" } else { &kernel.release };
        page.cell(release, 28, Style::new());
        page.cell(&kernel.accelerator, 7, Style::new());
        page.cell(&kernel.jit, 17, Style::new());
        for &mark in &marks {
            match short.cases.get(mark) {
                0 => page.right("·", 4, Style::new().dimmed()),
                number => page.right(&thousands(number), 4, style(mark)),
            }
        }
        page.end();
        for fault in &kernel.faults {
            page.wrapped("      ", &visible(fault), style(Mark::Crashed));
        }
    }
    let legend: Vec<String> = marks.iter().map(|mark| format!("{} {}", mark.glyph(), mark.name())).collect();
    page.wrapped("  ", &legend.join(", "), Style::new().dimmed());
}

fn cases(page: &mut Page, matrix: &Matrix<'_>) {
    let rows = matrix.failures_first();
    let rows: Vec<_> = rows.into_iter().filter(|row| matrix.worst(row) > Mark::ByQuirk).collect();
    if rows.is_empty() || matrix.kernels.is_empty() {
        return;
    }
    page.heading("Cases that do not conform everywhere");
    let longest = rows.iter().map(|row| row.case.name.chars().count()).max().unwrap_or(0);
    let name_width = longest.clamp(12, 40);
    let names: Vec<String> =
        matrix.kernels.iter().map(|name| shorten(&visible(name), 8).into_owned()).collect();
    let cell_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(4).max(4) + 1;
    // A wide matrix goes on below, a block of kernels at a time.
    let per_block = ((WIDTH - 3 - name_width) / cell_width).max(1);
    for (block, first) in (0..names.len()).step_by(per_block).enumerate() {
        if block > 0 {
            page.end();
        }
        let columns = first..names.len().min(first + per_block);
        page.text(&" ".repeat(3 + name_width), Style::new());
        for name in &names[columns.clone()] {
            page.right(name, cell_width, Style::new().dimmed());
        }
        page.end();
        for row in &rows {
            page.text("  ", Style::new());
            page.cell(&row.case.name, name_width, Style::new());
            for cell in &row.cells[columns.clone()] {
                let glyphs: String = cell.parts().iter().map(|part| part.mark.glyph()).collect();
                page.right(&glyphs, cell_width, style(cell.mark()));
            }
            page.end();
        }
    }
    if rows.iter().flat_map(|row| &row.cells).any(|cell| cell.parts().len() > 1) {
        let legend = "Several glyphs in one cell: ABIs differ, or the JIT on and off.";
        page.wrapped("  ", legend, Style::new().dimmed());
    }
}

fn features(page: &mut Page, report: &Report, summary: &Summary) {
    let (as_mainline, probed) = summary.as_mainline;
    if probed == 0 {
        return;
    }
    page.heading("Features");
    let features = FeatureRow::all(&report.kernels).len();
    let line = format!(
        "{} probed; {} of {} answers as the mainline release of the series",
        count(features, "feature, change or bug", "features, changes and bugs"),
        thousands(as_mainline),
        thousands(probed)
    );
    page.wrapped("  ", &line, Style::new());
    for note in &summary.timeline {
        let timeline = timeline(note.timeline);
        let line = format!("{}: {timeline} {} (mainline: {})", note.feature, note.span, note.mainline);
        page.wrapped("  ", &visible(&line), Style::new());
    }
}

fn quirks(page: &mut Page, summary: &Summary) {
    let none = summary.quirks.is_empty() && summary.retired.told().next().is_none();
    if none && summary.jit_differences.is_empty() {
        return;
    }
    page.heading("Quirks");
    for difference in &summary.jit_differences {
        let (case, abi, on) = (&difference.case, &difference.abi, list(&difference.kernels));
        let line = format!("{case} ({abi}): the JIT makes a difference on {on}");
        page.wrapped("  ", &visible(&line), style(Mark::Deviates));
    }
    for quirk in &summary.quirks {
        let cases = count(quirk.cases, "case", "cases");
        let line = format!("{} explains {cases}, {}", quirk.quirk, quirk.span);
        page.wrapped("  ", &visible(&line), Style::new());
    }
    for (what, names) in summary.retired.told() {
        page.wrapped("  ", &visible(&format!("{what}: {}", names.join(", "))), Style::new().dimmed());
    }
}
