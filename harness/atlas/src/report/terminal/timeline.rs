//! The timeline for people at a prompt.

use super::layout::{Page, WIDTH};
use crate::report::lacks::lacking;
use crate::report::mark::FeatureMark;
use crate::report::matrix::FeatureRow;
use crate::report::safe::{shorten, visible};
use crate::report::wording::kind_heading;
use crate::report::{RenderError, Renderer};
use crate::results::{ProbeKind, Report};
use anstyle::{AnsiColor, Style};

/// Feature × kernel, at most 100 columns wide, with what a kernel without it does and what to do, for what
/// some kernel lacks.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminalTimeline {
    /// Whether to colour; as in [`Terminal`](super::Terminal).
    pub color: bool,
}

/// The widths of the columns before the kernels.
const NAME: usize = 27;
const MAINLINE: usize = 18;

impl Renderer for TerminalTimeline {
    fn render(&self, report: &Report) -> Result<String, RenderError> {
        let mut page = Page::new(self.color);
        let rows = FeatureRow::all(&report.kernels);
        if rows.is_empty() {
            page.line("nothing was probed", Style::new());
            return Ok(page.finish());
        }
        let legend = "✓ there, or free of the bug, – not there, ≈ shows the change, · does not, ! has the bug, \
                      ? could not tell; + backported, − missing, or not mended, though mainline is";
        page.wrapped("", legend, Style::new().dimmed());
        let mut kind = None;
        for row in &rows {
            if kind != Some(row.probe.kind) {
                kind = Some(row.probe.kind);
                page.heading(kind_heading(row.probe.kind));
            }
            line(&mut page, row, report);
        }
        Ok(page.finish())
    }
}

fn line(page: &mut Page, row: &FeatureRow<'_>, report: &Report) {
    page.text("  ", Style::new());
    page.cell(&row.probe.feature, NAME, Style::new().bold());
    page.cell(&row.probe.mainline, MAINLINE, Style::new().dimmed());
    // Each kernel stands by its mark, since a head row would have scrolled away.
    let mut used = 2 + NAME + 1 + MAINLINE + 1;
    for (answer, kernel) in row.answers.iter().zip(&report.kernels) {
        let mark = FeatureMark::of(*answer);
        let name = visible(&kernel.name).replace('\n', " ");
        let text = format!("{} {}{}", shorten(&name, 12), mark.glyph, mark.tag);
        let width = text.chars().count() + 2;
        if used + width > WIDTH {
            page.end();
            used = 2 + NAME + 1 + MAINLINE + 1;
            page.text(&" ".repeat(used), Style::new());
        }
        page.text(&text, style(mark));
        page.text("  ", Style::new());
        used += width;
    }
    page.end();
    if row.answers.iter().flatten().any(|probe| lacking(probe)) {
        let of_feature = row.probe.kind == ProbeKind::Feature;
        let (what, said) =
            if of_feature { ("without", &row.probe.instead) } else { ("with it", &row.probe.about) };
        for (what, said) in [(what, said), ("to do", &row.probe.advice)] {
            if !said.is_empty() {
                page.wrapped("      ", &visible(&format!("{what}: {said}")), Style::new().dimmed());
            }
        }
    }
}

fn style(mark: FeatureMark) -> Style {
    let color = match mark.class {
        "ok" => AnsiColor::Green,
        "plus" | "quirk" => AnsiColor::Cyan,
        "bug" => AnsiColor::Yellow,
        "bad" => AnsiColor::Red,
        "notrun" => AnsiColor::Magenta,
        _ => AnsiColor::BrightBlack,
    };
    Style::new().fg_color(Some(color.into()))
}
