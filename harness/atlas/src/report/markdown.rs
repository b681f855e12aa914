//! Markdown for a CI job's summary.

mod budget;
mod escape;
mod timeline;

use super::exits;
use super::lines::align;
use super::mark::Mark;
use super::matrix::{FeatureRow, Matrix, Part};
use super::safe::clip;
use super::summary::{Failure, Summary, summary};
use super::wording::{count, kind_heading, list, thousands, timeline};
use super::{RenderError, Renderer};
use crate::results::Report;
use budget::Budget;
use escape::{code, folded, inline};

/// Markdown as GitHub and GitLab read it: the summary, the failures with what differs, the table
/// of cases with failing ones first, the table of features.
#[derive(Clone, Copy, Debug)]
pub struct Markdown {
    /// The most bytes the text may take; less than 1,000 is taken as 1,000. What does not fit is
    /// left out, whole rows at a time, and a last line says what. GitHub takes 1 MiB for a step's
    /// summary and 65,536 characters for a comment.
    pub limit: usize,
}

impl Default for Markdown {
    fn default() -> Self {
        Self { limit: 900_000 }
    }
}

/// The most cases that one failure names.
const CASES_NAMED: usize = 20;

impl Renderer for Markdown {
    fn render(&self, report: &Report) -> Result<String, RenderError> {
        let summary = summary(report);
        let mut page = Budget::new(self.limit.max(1000));
        head(&mut page, report, &summary);
        page.section("failures", "\n## Failures\n", summary.failures.iter().map(failure));
        exit(&mut page, report);
        kernels(&mut page, report, &summary);
        cases(&mut page, &Matrix::new(report));
        features(&mut page, report, &summary);
        quirks(&mut page, &summary);
        timeline::timeline(&mut page, report);
        Ok(page.finish())
    }
}

fn head(page: &mut Budget, report: &Report, summary: &Summary) {
    let icon = if summary.failures.is_empty() && report.complete { "✓" } else { "✗" };
    let mut text = format!("# seccomp-atlas\n\n**{icon} {}**\n", inline(&summary.headline));
    let tally: Vec<String> = summary
        .results
        .marks()
        .map(|(mark, count)| format!("{} {}", mark.glyph(), mark.verb(count)))
        .collect();
    if !tally.is_empty() {
        let total = count(summary.results.total(), "result", "results");
        text.push_str(&format!("\n{total} over ABIs and JIT settings: {}.\n", tally.join(", ")));
    }
    let host = &report.host;
    let line = format!(
        "seccomp-atlas {} on {}, {}; {}; KVM: {}",
        report.tool,
        host.arch,
        count(host.cpus as usize, "processor", "processors"),
        host.qemu,
        host.kvm
    );
    text.push_str(&format!("\n{}.\n", inline(&line)));
    if summary.strays > 0 {
        let results = count(summary.strays, "result names", "results name");
        text.push_str(&format!("\n{results} a kernel or case that the report does not list.\n"));
    }
    page.always(&text);
}

fn failure(failure: &Failure) -> String {
    let mark = failure.mark();
    let mut cases: Vec<String> = failure.cases.iter().take(CASES_NAMED).map(|case| code(case)).collect();
    if failure.cases.len() > CASES_NAMED {
        cases.push(format!("{} more", thousands(failure.cases.len() - CASES_NAMED)));
    }
    let place = inline(&failure.place());
    let mut text = format!("\n- **{} {}**: {}, {place}", mark.glyph(), mark.name(), list(&cases));
    let note = inline(failure.note.lines().next().unwrap_or_default());
    if !note.is_empty() {
        text.push_str(&format!("  \n  {note}"));
    }
    text.push('\n');
    let Some(example) = &failure.example else {
        return text;
    };
    if !example.observed.is_empty() {
        let block = difference(&example.expected, &example.observed);
        let title = "expected (-) and observed (+)";
        text.push_str(&folded(title, "diff", &clip(&block, 40, 200, false)));
    }
    if !example.console.is_empty() {
        let block = clip(&example.console, 40, 200, true);
        text.push_str(&folded("the console's last lines", "text", &block));
    }
    text
}

/// Why the exit status is what it is, where the failures do not say it.
fn exit(page: &mut Budget, report: &Report) {
    let head = format!("\n## Exit status {}\n\n", report.exit.as_ref().map_or(0, |exit| exit.status));
    let item = |group: exits::ExitGroup| {
        let lines = group.lines.iter().map(|line| format!("  - {}\n", inline(line)));
        format!("- {}\n{}", inline(&group.title), lines.collect::<String>())
    };
    page.section("reasons of the exit status", &head, exits::groups(report).into_iter().map(item));
}

/// Expected and observed in the notation of `diff -u`.
fn difference(expected: &str, observed: &str) -> String {
    let mut block = String::new();
    for pair in align(expected, observed) {
        let sides = if pair.same() {
            [(" ", pair.expected), ("", None)]
        } else {
            [("-", pair.expected), ("+", pair.observed)]
        };
        for (sign, side) in sides {
            if let Some(line) = side {
                block.push_str(&format!("{sign} {line}\n"));
            }
        }
    }
    block
}

fn kernels(page: &mut Budget, report: &Report, summary: &Summary) {
    let head = "\n## Kernels\n\n| kernel | release | source | runs on | JIT | cases |\n\
                | --- | --- | --- | --- | --- | --- |\n";
    let rows = report.kernels.iter().zip(&summary.kernels).map(|(kernel, short)| {
        let tally: Vec<String> = short
            .cases
            .marks()
            .map(|(mark, count)| format!("{} {}", mark.glyph(), thousands(count)))
            .collect();
        let mut last = vec![tally.join(", ")];
        last.extend(kernel.faults.iter().map(|fault| inline(fault)));
        let mut cells: Vec<String> =
            [&kernel.name, &kernel.release, &kernel.source, &kernel.accelerator, &kernel.jit]
                .map(|text| inline(text))
                .to_vec();
        cells.push(last.join("<br>"));
        row(&cells)
    });
    page.section("kernels", head, rows);
}

/// One line of a table.
fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// The head of a table with one centred column a kernel after some others.
fn table_head(first: &[&str], kernels: &[&str]) -> String {
    let names = first.iter().chain(kernels).map(|name| inline(name)).collect::<Vec<_>>();
    let rule = [vec!["---"; first.len()], vec![":-:"; kernels.len()]].concat();
    format!("{}| {} |\n", row(&names), rule.join(" | "))
}

fn cases(page: &mut Budget, matrix: &Matrix<'_>) {
    let legend: Vec<String> =
        Mark::ALL.iter().map(|mark| format!("{} {}", mark.glyph(), mark.name())).collect();
    let table = table_head(&["case"], &matrix.kernels);
    let head = format!("\n## Cases\n\n{}\n\n{table}", legend.join(" · "));
    let rows = matrix.failures_first().into_iter().map(|case| {
        let part =
            |part: &Part| format!("{} {}", part.mark.glyph(), inline(&part.label)).trim_end().to_owned();
        let cells = case.cells.iter().map(|cell| {
            let text = cell.parts().iter().map(part).collect::<Vec<_>>().join("<br>");
            if cell.mark().fails() { format!("**{text}**") } else { text }
        });
        row(&std::iter::once(code(&case.case.name)).chain(cells).collect::<Vec<_>>())
    });
    page.section("cases", &head, rows);
}

fn features(page: &mut Budget, report: &Report, summary: &Summary) {
    let kernels: Vec<&str> = report.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
    let mut kind = None;
    let rows = FeatureRow::all(&report.kernels).into_iter().map(|feature| {
        let mut text = String::new();
        if kind != Some(feature.probe.kind) {
            kind = Some(feature.probe.kind);
            let mut cells = vec![format!("**{}**", kind_heading(feature.probe.kind))];
            cells.resize(kernels.len() + 2, String::new());
            text.push_str(&row(&cells));
        }
        let mut cells = vec![code(&feature.probe.feature), inline(&feature.probe.mainline)];
        cells.extend(feature.marks().map(|mark| format!("{}{}", mark.glyph, mark.tag)));
        text + &row(&cells)
    });
    let (as_mainline, probed) = summary.as_mainline;
    let head = format!(
        "\n## Features\n\n{} of {} answers are as the mainline release of the series. ✓ there, or \
         free of the bug · – not there · ≈ shows the change · · does not · ! has the bug · \
         + backported · − missing, or not fixed, though mainline is\n\n{}",
        thousands(as_mainline),
        thousands(probed),
        table_head(&["feature", "mainline"], &kernels)
    );
    page.section("features", &head, rows);
    let notes = summary.timeline.iter().map(|note| {
        let rest = format!("{} {} (mainline: {})", timeline(note.timeline), note.span, note.mainline);
        format!("- {}: {}\n", code(&note.feature), inline(&rest))
    });
    page.section("notes on the timeline", "\n", notes);
}

fn quirks(page: &mut Budget, summary: &Summary) {
    let differences = summary.jit_differences.iter().map(|difference| {
        let (case, abi) = (code(&difference.case), inline(&difference.abi));
        let on = inline(&list(&difference.kernels));
        format!("- {case} ({abi}): the JIT makes a difference on {on}\n")
    });
    let uses = summary.quirks.iter().map(|quirk| {
        let cases = count(quirk.cases, "case", "cases");
        format!("- {} explains {cases}, {}\n", code(&quirk.quirk), inline(&quirk.span))
    });
    let retired = summary.retired.told().map(|(what, names)| {
        let names: Vec<String> = names.iter().map(|name| code(name)).collect();
        format!("- {what}: {}\n", names.join(", "))
    });
    page.section("quirks", "\n## Quirks\n\n", differences.chain(uses).chain(retired));
}
