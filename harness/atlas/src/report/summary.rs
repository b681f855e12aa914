//! A report in a few lines: what holds everywhere, what does not, and what explains it.

mod failures;
mod headline;

pub use failures::Failure;

use super::mark::Mark;
use super::matrix::{FeatureRow, Matrix, Row, mark_of};
use super::wording::span;
use crate::results::{ProbeKind, ProbeResult, Report, Timeline};

/// A report in short.
///
/// A **case** counts once, by the worst verdict it got on any kernel; a **result** is one case on
/// one kernel with one ABI and one JIT setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// One line, such as `61 of 64 cases conform on all 11 kernels; 3 deviate, from 5.19`.
    pub headline: String,
    /// The cases, each by its worst verdict on any kernel on which anything ran.
    pub cases: Tally,
    /// The results.
    pub results: Tally,
    /// One entry a kernel, oldest first.
    pub kernels: Vec<KernelSummary>,
    /// What makes the exit status 1, worst first. Empty when all is well.
    pub failures: Vec<Failure>,
    /// Where one case's verdict is not the same with the JIT on and off, in catalogue order.
    pub jit_differences: Vec<JitDifference>,
    /// The quirks that explained a result, in the order of the probes.
    pub quirks: Vec<QuirkUse>,
    /// The quirks that were probed for and that no kernel shows.
    pub retired: Retired,
    /// Answers that are not as mainline, in the order of the probes.
    pub timeline: Vec<TimelineNote>,
    /// How many answers of probes are as mainline, and how many there are.
    pub as_mainline: (usize, usize),
    /// Results that name a kernel or case which the report does not list. They are shown nowhere.
    pub strays: usize,
}

/// How many of each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Conforms, and no quirk was needed.
    pub conforms: usize,
    /// Conforms by a quirk of kind change.
    pub by_quirk: usize,
    /// Known bug.
    pub known_bug: usize,
    /// Absent.
    pub absent: usize,
    /// Deviates.
    pub deviates: usize,
    /// Crashed.
    pub crashed: usize,
    /// Hung.
    pub hung: usize,
    /// Not run, or no result was recorded.
    pub not_run: usize,
}

/// One kernel in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSummary {
    /// The kernel's name within the report.
    pub name: String,
    /// Whether any case ran on it.
    pub ran: bool,
    /// The cases, each by the worst of its ABIs and JIT settings.
    pub cases: Tally,
}

/// Quirks that no kernel shows, in the order of the probes. One of which a kernel could not tell is not
/// among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Bugs that no kernel has: nothing need work around them.
    pub bugs: Vec<String>,
    /// Changes that mainline has ended and no kernel shows: nothing need allow for them.
    pub changes: Vec<String>,
    /// Changes that the newest mainline shows and none of these kernels does.
    pub coming: Vec<String>,
}

impl Retired {
    /// The three, each with what to say before its names; none that is empty.
    pub(crate) fn told(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        let all = [
            ("Bugs that no kernel here has, so that nothing need work around them", self.bugs.as_slice()),
            (
                "Changes that no kernel here shows any more, so that nothing need allow for them",
                &self.changes,
            ),
            ("Changes that newer kernels show and none here does", &self.coming),
        ];
        all.into_iter().filter(|(_, names)| !names.is_empty())
    }
}

/// A case whose verdict depends on whether its filters are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JitDifference {
    /// The case's name.
    pub case: String,
    /// The calling convention.
    pub abi: String,
    /// The kernels that show it, oldest first.
    pub kernels: Vec<String>,
}

/// A quirk that explained results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuirkUse {
    /// The quirk's name.
    pub quirk: String,
    /// The kernels on which it explained a result, oldest first.
    pub kernels: Vec<String>,
    /// How many cases it explained on some kernel.
    pub cases: usize,
    /// Which of the kernels these are, in words, such as `up to 6.1`.
    pub span: String,
}

/// Answers to a probe that are not as the mainline release of the same series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineNote {
    /// The feature's or quirk's name.
    pub feature: String,
    /// In which way.
    pub timeline: Timeline,
    /// The kernels, oldest first.
    pub kernels: Vec<String>,
    /// Which of the kernels these are, in words, such as `up to 6.1`.
    pub span: String,
    /// The mainline release or releases.
    pub mainline: String,
}

impl Tally {
    /// How many there are in all.
    #[must_use]
    pub fn total(&self) -> usize {
        Mark::ALL.iter().map(|&mark| self.get(mark)).sum()
    }

    /// How many conform, by a quirk or without one.
    #[must_use]
    pub fn conforming(&self) -> usize {
        self.conforms + self.by_quirk
    }

    /// How many make the exit status 1.
    #[must_use]
    pub fn failing(&self) -> usize {
        self.deviates + self.crashed + self.hung + self.not_run
    }

    pub(crate) fn get(&self, mark: Mark) -> usize {
        match mark {
            Mark::Conforms => self.conforms,
            Mark::ByQuirk => self.by_quirk,
            Mark::Absent => self.absent,
            Mark::KnownBug => self.known_bug,
            Mark::NotRun => self.not_run,
            Mark::Hung => self.hung,
            Mark::Crashed => self.crashed,
            Mark::Deviates => self.deviates,
        }
    }

    /// The marks that there are any of, best first, and how many.
    pub(crate) fn marks(&self) -> impl DoubleEndedIterator<Item = (Mark, usize)> {
        Mark::ALL.into_iter().map(|mark| (mark, self.get(mark))).filter(|(_, count)| *count > 0)
    }
}

impl FromIterator<Mark> for Tally {
    fn from_iter<I: IntoIterator<Item = Mark>>(marks: I) -> Self {
        let mut tally = Self::default();
        for mark in marks {
            *match mark {
                Mark::Conforms => &mut tally.conforms,
                Mark::ByQuirk => &mut tally.by_quirk,
                Mark::Absent => &mut tally.absent,
                Mark::KnownBug => &mut tally.known_bug,
                Mark::NotRun => &mut tally.not_run,
                Mark::Hung => &mut tally.hung,
                Mark::Crashed => &mut tally.crashed,
                Mark::Deviates => &mut tally.deviates,
            } += 1;
        }
        tally
    }
}

/// A report in short.
#[must_use]
pub fn summary(report: &Report) -> Summary {
    let matrix = Matrix::new(report);
    let features = FeatureRow::all(&report.kernels);
    let kernels = (0..matrix.kernels.len()).map(|kernel| KernelSummary {
        name: matrix.kernels[kernel].to_owned(),
        ran: matrix.rows.iter().any(|row| row.cells[kernel].mark() != Mark::NotRun),
        cases: matrix.rows.iter().map(|row| row.cells[kernel].mark()).collect(),
    });
    let recorded = matrix.rows.iter().flat_map(|row| &row.cells).flat_map(|cell| &cell.results);
    let probed = features.iter().flat_map(|row| answered(&features, row)).map(|(_, probe)| probe);
    let as_mainline = probed.clone().filter(|probe| probe.timeline == Timeline::AsMainline).count();
    let shard = report.shard.map(|shard| format!("; shard {shard}")).unwrap_or_default();
    Summary {
        headline: headline::headline(&matrix, report.complete) + &shard,
        cases: headline::worst_marks(&matrix).into_iter().collect(),
        results: recorded.map(|result| mark_of(result)).collect(),
        kernels: kernels.collect(),
        failures: failures::failures(&matrix),
        jit_differences: jit_differences(&matrix),
        quirks: quirks(&matrix, &features),
        retired: retired(&features),
        timeline: timeline(&matrix, &features),
        as_mainline: (as_mainline, probed.count()),
        strays: matrix.strays,
    }
}

/// A row's answers, by the kernels' places. Those of kernels that answered no probe are left out: that they
/// did not boot is told once, and not for each feature.
fn answered<'a>(
    features: &'a [FeatureRow<'a>],
    row: &'a FeatureRow<'a>,
) -> impl Iterator<Item = (usize, &'a ProbeResult)> + Clone {
    let told =
        |kernel: usize| features.iter().any(|row| row.answers[kernel].is_some_and(|it| it.present.is_some()));
    let answers = row.answers.iter().enumerate();
    answers.filter_map(move |(kernel, answer)| Some((kernel, (*answer)?)).filter(|_| told(kernel)))
}

fn retired(features: &[FeatureRow<'_>]) -> Retired {
    let mut retired = Retired::default();
    for row in features {
        // Kernels that never booted have no answer at all, and are named elsewhere.
        if row.answers.iter().flatten().any(|probe| probe.present != Some(false)) {
            continue;
        }
        let names = match row.probe.kind {
            ProbeKind::Feature => continue,
            ProbeKind::Bug => &mut retired.bugs,
            ProbeKind::Change if row.probe.mainline.starts_with("since ") => &mut retired.coming,
            ProbeKind::Change => &mut retired.changes,
        };
        names.push(row.probe.feature.clone());
    }
    retired
}

fn jit_differences(matrix: &Matrix<'_>) -> Vec<JitDifference> {
    let mut found: Vec<JitDifference> = Vec::new();
    for row in &matrix.rows {
        for (cell, kernel) in row.cells.iter().zip(&matrix.kernels) {
            for abi in cell.abis().into_iter().filter(|abi| cell.jit_differs_in(abi)) {
                let here = |seen: &&mut JitDifference| seen.case == row.case.name && seen.abi == abi;
                match found.iter_mut().find(here) {
                    Some(seen) => seen.kernels.push((*kernel).to_owned()),
                    None => found.push(JitDifference {
                        case: row.case.name.clone(),
                        abi: abi.to_owned(),
                        kernels: vec![(*kernel).to_owned()],
                    }),
                }
            }
        }
    }
    found
}

fn quirks(matrix: &Matrix<'_>, features: &[FeatureRow<'_>]) -> Vec<QuirkUse> {
    let mut names: Vec<&str> = features.iter().map(|row| row.probe.feature.as_str()).collect();
    let cells = || matrix.rows.iter().flat_map(|row| &row.cells);
    for quirk in cells().flat_map(|cell| &cell.results).flat_map(|result| &result.quirks) {
        if !names.contains(&quirk.as_str()) {
            names.push(quirk);
        }
    }
    let uses = names.into_iter().filter_map(|name| {
        let leans = |kernel: usize, row: &Row<'_>| {
            row.cells[kernel]
                .results
                .iter()
                .any(|result| !result.verdict.fails() && result.quirks.iter().any(|quirk| quirk == name))
        };
        let on: Vec<usize> = (0..matrix.kernels.len())
            .filter(|&kernel| matrix.rows.iter().any(|row| leans(kernel, row)))
            .collect();
        let cases = matrix.rows.iter().filter(|row| on.iter().any(|&kernel| leans(kernel, row)));
        (!on.is_empty()).then(|| QuirkUse {
            quirk: name.to_owned(),
            kernels: on.iter().map(|&kernel| matrix.kernels[kernel].to_owned()).collect(),
            cases: cases.count(),
            span: span(&on, &matrix.kernels),
        })
    });
    uses.collect()
}

fn timeline(matrix: &Matrix<'_>, features: &[FeatureRow<'_>]) -> Vec<TimelineNote> {
    let mut notes = Vec::new();
    for row in features {
        for timeline in [Timeline::Missing, Timeline::Backported, Timeline::Unknown] {
            let on: Vec<usize> = answered(features, row)
                .filter(|(_, probe)| probe.timeline == timeline)
                .map(|(kernel, _)| kernel)
                .collect();
            if !on.is_empty() {
                notes.push(TimelineNote {
                    feature: row.probe.feature.clone(),
                    timeline,
                    kernels: on.iter().map(|&kernel| matrix.kernels[kernel].to_owned()).collect(),
                    span: span(&on, &matrix.kernels),
                    mainline: row.probe.mainline.clone(),
                });
            }
        }
    }
    notes
}
