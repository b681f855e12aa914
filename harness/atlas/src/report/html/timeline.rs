//! The timeline: feature × kernel with what it means, and what each kernel lacks.

use super::ids::Ids;
use crate::report::lacks::{does, lacking, lacks, word};
use crate::report::mark::FeatureMark;
use crate::report::matrix::FeatureRow;
use crate::report::safe::visible;
use crate::report::wording::{count, kind_heading};
use crate::results::{KernelReport, ProbeKind, ProbeResult, Report};
use serde::Serialize;

/// The whole section.
#[derive(Serialize)]
pub(super) struct TimelineView {
    kinds: Vec<KindView>,
    lacks: Vec<LacksView>,
}

#[derive(Serialize)]
struct KindView {
    name: &'static str,
    rows: Vec<RowView>,
}

/// One feature, change or bug.
#[derive(Serialize)]
struct RowView {
    id: String,
    name: String,
    about: String,
    mainline: String,
    instead: String,
    advice: String,
    /// For the filter: `none` where no kernel lacks it, `plain` where all are as mainline.
    classes: &'static str,
    cells: Vec<CellView>,
}

#[derive(Serialize)]
struct CellView {
    label: String,
    words: &'static str,
    glyph: &'static str,
    class: &'static str,
    word: &'static str,
}

/// What one kernel lacks.
#[derive(Serialize)]
struct LacksView {
    name: String,
    release: String,
    count: String,
    groups: Vec<GroupView>,
}

#[derive(Serialize)]
struct GroupView {
    title: &'static str,
    rows: Vec<LackView>,
}

#[derive(Serialize)]
struct LackView {
    id: String,
    name: String,
    mainline: String,
    word: &'static str,
    does: String,
    advice: String,
}

fn text(text: &str) -> String {
    visible(text).into_owned()
}

impl TimelineView {
    pub(super) fn new(report: &Report, ids: &Ids) -> Self {
        let rows = FeatureRow::all(&report.kernels);
        let kinds = [ProbeKind::Feature, ProbeKind::Change, ProbeKind::Bug].map(|kind| KindView {
            name: kind_heading(kind),
            rows: rows
                .iter()
                .filter(|row| row.probe.kind == kind)
                .map(|row| row_view(row, &report.kernels, ids))
                .collect(),
        });
        let lacks = lacks(&report.kernels);
        let lacks = lacks.iter().map(|of| {
            let group = |group: &crate::report::lacks::Group<'_>| GroupView {
                title: group.title,
                rows: group.probes.iter().map(|probe| lack_view(probe, ids)).collect(),
            };
            let things: usize = of.groups.iter().map(|group| group.probes.len()).sum();
            LacksView {
                name: text(&report.kernels[of.kernel].name),
                release: text(&report.kernels[of.kernel].release),
                count: count(things, "thing to know of", "things to know of"),
                groups: of.groups.iter().map(group).collect(),
            }
        });
        Self {
            kinds: kinds.into_iter().filter(|kind| !kind.rows.is_empty()).collect(),
            lacks: lacks.collect(),
        }
    }
}

fn row_view(row: &FeatureRow<'_>, kernels: &[KernelReport], ids: &Ids) -> RowView {
    let cells = row.answers.iter().zip(kernels).map(|(answer, kernel)| {
        let mark = FeatureMark::of(*answer);
        CellView {
            label: text(&format!("{} on {}: {}", row.probe.feature, kernel.name, mark.words)),
            words: mark.words,
            glyph: mark.glyph,
            class: mark.class,
            word: word(*answer),
        }
    });
    let some = row.answers.iter().flatten().any(|probe| lacking(probe));
    let plain = row.answers.iter().all(|answer| word(*answer).is_empty());
    RowView {
        id: ids.feature(&row.probe.feature).to_owned(),
        name: text(&row.probe.feature),
        about: text(&row.probe.about),
        mainline: text(&row.probe.mainline),
        instead: text(&row.probe.instead),
        advice: text(&row.probe.advice),
        classes: match (some, plain) {
            (true, true) => "plain",
            (true, false) => "",
            (false, true) => "none plain",
            (false, false) => "none",
        },
        cells: cells.collect(),
    }
}

fn lack_view(probe: &ProbeResult, ids: &Ids) -> LackView {
    LackView {
        id: ids.feature(&probe.feature).to_owned(),
        name: text(&probe.feature),
        mainline: text(&probe.mainline),
        word: word(Some(probe)),
        does: text(does(probe)),
        advice: text(&probe.advice),
    }
}
