//! The timeline in Markdown: what each kernel lacks, then feature × kernel with what it means.

use super::budget::Budget;
use super::escape::{code, inline};
use super::{row, table_head};
use crate::report::lacks::{does, lacks, word};
use crate::report::mark::FeatureMark;
use crate::report::matrix::FeatureRow;
use crate::report::wording::count;
use crate::results::{KernelReport, ProbeResult, Report};

/// The two, last of all: they are long, and the table of features has the marks already.
pub(super) fn timeline(page: &mut Budget, report: &Report) {
    let lacks = lacks(&report.kernels);
    let head = "\n## What your kernels lack\n";
    let items = lacks.iter().map(|of| {
        let kernel: &KernelReport = &report.kernels[of.kernel];
        let things = of.groups.iter().map(|group| group.probes.len()).sum();
        let things = count(things, "thing to know of", "things to know of");
        let title = format!("{}, {}: {things}", inline(&kernel.name), inline(&kernel.release));
        let groups = of.groups.iter().map(|group| {
            let lines: String = group.probes.iter().map(|probe| lack(probe)).collect();
            format!("{}:\n\n{lines}\n", group.title)
        });
        let body: String = groups.collect();
        format!("\n<details><summary>{title}</summary>\n\n{body}</details>\n")
    });
    page.section("what kernels lack", head, items);
    let kernels: Vec<&str> = report.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
    let mut heads = vec!["feature", "mainline"];
    heads.extend(&kernels);
    heads.extend(["without it", "what to do"]);
    let head = format!(
        "\n## Timeline\n\nBackported: there, or mended, though the release is older. Missing: not there, or not \
         mended, though the release is newer. No word: as mainline.\n\n{}",
        table_head(&heads, &[])
    );
    let rows = FeatureRow::all(&report.kernels).into_iter().map(|feature| {
        let mut cells = vec![code(&feature.probe.feature), inline(&feature.probe.mainline)];
        let cell = |answer: &Option<&ProbeResult>| {
            format!("{} {}", FeatureMark::of(*answer).glyph, word(*answer)).trim_end().to_owned()
        };
        cells.extend(feature.answers.iter().map(cell));
        cells.extend([inline(&feature.probe.instead), inline(&feature.probe.advice)]);
        row(&cells)
    });
    page.section("the timeline", &head, rows);
}

fn lack(probe: &ProbeResult) -> String {
    let word = word(Some(probe));
    let comma = if word.is_empty() { "" } else { ", " };
    let place = inline(&format!("mainline: {}{comma}{word}", probe.mainline));
    let said = format!("{} {}", inline(does(probe)), inline(&probe.advice));
    format!("- {} ({place}): {}\n", code(&probe.feature), said.trim_end())
}
