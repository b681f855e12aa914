//! The one line on top.

use crate::report::mark::Mark;
use crate::report::matrix::Matrix;
use crate::report::wording::{count, list, span, thousands};

/// Each case's worst mark on the kernels on which anything ran; on all where nothing ran anywhere.
pub(super) fn worst_marks(matrix: &Matrix<'_>) -> Vec<Mark> {
    matrix.rows.iter().map(|row| matrix.worst(row)).collect()
}

/// What conforms everywhere, and for what does not, on which kernels.
pub(super) fn headline(matrix: &Matrix<'_>, complete: bool) -> String {
    let interrupted = if complete { "" } else { "; the run did not come to its end" };
    match (matrix.kernels.len(), matrix.rows.len()) {
        (0, 0) => return format!("nothing to report: no kernels and no cases{interrupted}"),
        (0, _) => return format!("nothing to report: no kernels{interrupted}"),
        (_, 0) => return format!("nothing to report: no cases{interrupted}"),
        _ => {}
    }
    let counted = &matrix.counted;
    let silent: Vec<&str> = (0..matrix.kernels.len())
        .filter(|kernel| !counted.contains(kernel))
        .map(|kernel| matrix.kernels[kernel])
        .collect();
    let marks = worst_marks(matrix);
    let conforming = marks.iter().filter(|mark| **mark <= Mark::ByQuirk).count();
    let where_ = match (counted.as_slice(), silent.is_empty()) {
        ([only], _) => format!("on {}", matrix.kernels[*only]),
        ([_, _], true) => "on both kernels".into(),
        (_, true) => format!("on all {}", count(counted.len(), "kernel", "kernels")),
        (_, false) => format!("on the {} that ran", count(counted.len(), "kernel", "kernels")),
    };
    let mut line = match (conforming, marks.len()) {
        (1, 1) => format!("the one case conforms {where_}"),
        (some, all) if some == all => format!("all {} cases conform {where_}", thousands(all)),
        (some, all) => {
            let cases = if all == 1 { "case" } else { "cases" };
            let verb = if some == 1 { "conforms" } else { "conform" };
            format!("{} of {} {cases} {verb} {where_}", thousands(some), thousands(all))
        }
    };
    for &mark in Mark::ALL.iter().rev().filter(|mark| **mark > Mark::ByQuirk) {
        let rows: Vec<usize> = (0..marks.len()).filter(|&row| marks[row] == mark).collect();
        if rows.is_empty() {
            continue;
        }
        let shows = |kernel: &usize| rows.iter().any(|&row| matrix.rows[row].cells[*kernel].mark() == mark);
        let on: Vec<usize> = counted.iter().copied().filter(shows).collect();
        line.push_str("; ");
        line.push_str(&mark.verb(rows.len()));
        if matrix.kernels.len() > 1 {
            let everywhere = rows
                .iter()
                .all(|&row| counted.iter().all(|&kernel| matrix.rows[row].cells[kernel].mark() == mark));
            // "On every kernel" would be read as of each of these cases.
            if on.len() == counted.len() && !everywhere {
                line.push_str(" on one kernel or another");
            } else {
                line.push_str(", ");
                line.push_str(&span(&on, &matrix.kernels));
            }
        }
    }
    if !silent.is_empty() {
        line.push_str("; nothing ran on ");
        line.push_str(&list(&silent));
    }
    line + interrupted
}
