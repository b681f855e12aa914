//! The two tables: case × kernel by theme, feature × kernel by kind.

use super::evidence::{Evidence, GroupView, columns};
use super::ids::Ids;
use crate::report::mark::FeatureMark;
use crate::report::matrix::{FeatureRow, Matrix, Row};
use crate::report::safe::{clip, visible};
use crate::report::wording::{kind_heading, span};
use crate::results::{KernelReport, ProbeKind, ProbeResult};
use serde::Serialize;

/// The most lines of an experiment that the page shows.
const EXPERIMENT_LINES: usize = 240;

/// The cases of one theme.
#[derive(Serialize)]
pub(super) struct ThemeView {
    name: String,
    rows: Vec<CaseView>,
}

/// One case.
#[derive(Serialize)]
struct CaseView {
    id: String,
    name: String,
    full_name: String,
    about: String,
    experiment: String,
    /// For the style sheet: `fails` and `same`.
    classes: String,
    cells: Vec<CellView>,
    groups: Vec<GroupView>,
}

/// One cell.
#[derive(Serialize)]
struct CellView {
    id: String,
    /// What a screen reader says and a pointer shows.
    label: String,
    parts: Vec<PartView>,
    /// Whether the JIT makes a difference.
    jit: bool,
}

/// One part of a cell.
#[derive(Serialize)]
struct PartView {
    class: &'static str,
    glyph: &'static str,
    /// A second, small glyph; empty where there is none.
    tag: &'static str,
    label: String,
}

/// The features of one kind.
#[derive(Serialize)]
pub(super) struct KindView {
    name: &'static str,
    rows: Vec<FeatureView>,
}

/// One feature, change or bug.
#[derive(Serialize)]
struct FeatureView {
    id: String,
    name: String,
    about: String,
    mainline: String,
    classes: &'static str,
    cells: Vec<CellView>,
    answers: Vec<AnswerView>,
}

/// What some kernels answered alike.
#[derive(Serialize)]
struct AnswerView {
    columns: String,
    class: &'static str,
    glyph: &'static str,
    tag: &'static str,
    words: &'static str,
    place: String,
    evidence: String,
}

/// The table of cases.
pub(super) fn themes<'a>(matrix: &Matrix<'a>, kernels: &'a [KernelReport], ids: &Ids) -> Vec<ThemeView> {
    let mut evidence = Evidence::new(kernels, ids);
    let mut themes: Vec<ThemeView> = Vec::new();
    for row in &matrix.rows {
        let name = visible(row.theme()).into_owned();
        let view = case(row, matrix, &mut evidence, ids);
        match themes.iter_mut().find(|theme| theme.name == name) {
            Some(theme) => theme.rows.push(view),
            None => themes.push(ThemeView { name, rows: vec![view] }),
        }
    }
    themes
}

fn case<'a>(row: &Row<'a>, matrix: &Matrix<'a>, evidence: &mut Evidence<'a>, ids: &Ids) -> CaseView {
    let id = ids.case(&row.case.name);
    let name = visible(&row.case.name).into_owned();
    let cells = row.cells.iter().enumerate().map(|(kernel, cell)| {
        let parts = cell.parts();
        let said: Vec<String> = parts
            .iter()
            .map(|part| format!("{} {}", part.label, part.mark.name()).trim().to_owned())
            .collect();
        let on = matrix.kernels[kernel];
        CellView {
            id: ids.cell(id, kernel),
            label: visible(&format!("{name} on {on}: {}", said.join(", "))).into_owned(),
            parts: parts
                .into_iter()
                .map(|part| PartView {
                    class: part.mark.class(),
                    glyph: part.mark.glyph(),
                    tag: "",
                    label: visible(&part.label).into_owned(),
                })
                .collect(),
            jit: cell.jit_differs(),
        }
    });
    CaseView {
        id: id.to_owned(),
        cells: cells.collect(),
        name: visible(row.short_name()).into_owned(),
        full_name: name,
        about: visible(&row.case.about).into_owned(),
        experiment: clip(&row.case.experiment, EXPERIMENT_LINES, super::COLUMNS, false),
        classes: classes(matrix.worst(row).fails(), matrix.differs(row)).to_owned(),
        groups: evidence.groups(row),
    }
}

fn classes(fails: bool, differs: bool) -> &'static str {
    match (fails, differs) {
        (true, true) => "fails",
        (true, false) => "fails same",
        (false, true) => "fine",
        (false, false) => "fine same",
    }
}

/// The table of features, changes and bugs.
pub(super) fn kinds(kernels: &[KernelReport], ids: &Ids) -> Vec<KindView> {
    let rows = FeatureRow::all(kernels);
    let names: Vec<&str> = kernels.iter().map(|kernel| kernel.name.as_str()).collect();
    let kinds = [ProbeKind::Feature, ProbeKind::Change, ProbeKind::Bug].map(|kind| {
        let of_kind = rows.iter().filter(|row| row.probe.kind == kind);
        let rows = of_kind.map(|row| feature(row, &names, ids)).collect();
        KindView { name: kind_heading(kind), rows }
    });
    kinds.into_iter().filter(|kind| !kind.rows.is_empty()).collect()
}

fn feature(row: &FeatureRow<'_>, kernels: &[&str], ids: &Ids) -> FeatureView {
    let id = ids.feature(&row.probe.feature);
    let text = |text: &str| visible(text).into_owned();
    let cells = row.marks().enumerate().map(|(kernel, mark)| {
        let label = format!("{} on {}: {}", row.probe.feature, kernels[kernel], mark.words);
        let (class, glyph, tag) = (mark.class, mark.glyph, mark.tag);
        let part = PartView { class, glyph, tag, label: String::new() };
        CellView { id: ids.cell(id, kernel), label: text(&label), parts: vec![part], jit: false }
    });
    FeatureView {
        id: id.to_owned(),
        name: text(&row.probe.feature),
        about: text(&row.probe.about),
        mainline: text(&row.probe.mainline),
        classes: classes(false, row.differs()),
        cells: cells.collect(),
        answers: answers(row, kernels),
    }
}

fn answers(row: &FeatureRow<'_>, kernels: &[&str]) -> Vec<AnswerView> {
    let mut groups: Vec<(FeatureMark, &str, Vec<usize>)> = Vec::new();
    for (kernel, answer) in row.answers.iter().enumerate() {
        let mark = FeatureMark::of(*answer);
        let evidence = answer.map_or("", |probe: &ProbeResult| probe.evidence.as_str());
        match groups.iter_mut().find(|(m, e, _)| *m == mark && *e == evidence) {
            Some((_, _, kernels)) => kernels.push(kernel),
            None => groups.push((mark, evidence, vec![kernel])),
        }
    }
    let view = |(mark, evidence, on): &(FeatureMark, &str, Vec<usize>)| AnswerView {
        columns: columns(on),
        class: mark.class,
        glyph: mark.glyph,
        tag: mark.tag,
        words: mark.words,
        place: visible(&span(on, kernels)).into_owned(),
        evidence: clip(evidence, 40, super::COLUMNS, false),
    };
    groups.iter().map(view).collect()
}
