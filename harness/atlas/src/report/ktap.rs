//! KTAP for kernel CI.

use super::matrix::{Cell, Matrix, NO_RESULT, Row};
use super::safe::visible;
use super::wording;
use super::{RenderError, Renderer};
use crate::results::{CaseResult, KernelReport, Report, Verdict};
use std::fmt::Write as _;

/// KTAP version 1, as Documentation/dev-tools/ktap.rst of the kernel says: kernels hold themes, themes
/// hold cases, cases hold a test for each ABI and JIT setting.
///
/// | verdict | in KTAP |
/// | --- | --- |
/// | conforms | `ok`; a quirk that it leans on stands behind it |
/// | known bug | `ok`, `XFAIL`, as the kernel's selftests print what is expected to fail |
/// | absent | `ok`, `SKIP`, with the reason |
/// | deviates | `not ok` |
/// | hung | `not ok`, `TIMEOUT` |
/// | crashed, not run, or no result | `not ok`, `ERROR` |
///
/// A test fails if any of its subtests does, and is skipped if all are. What was expected and observed
/// stands in diagnostic lines before failures and known bugs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ktap;

impl Renderer for Ktap {
    fn render(&self, report: &Report) -> Result<String, RenderError> {
        let matrix = Matrix::new(report);
        let kernels = report.kernels.iter().enumerate();
        let tests: Vec<Test> = kernels.map(|(column, kernel)| of_kernel(&matrix, column, kernel)).collect();
        let mut out = String::new();
        write_all(&mut out, None, &tests, 0);
        if !report.complete {
            out.push_str("# the run did not come to its end\n");
        }
        Ok(out)
    }
}

/// A test with its subtests.
struct Test {
    name: String,
    ok: bool,
    directive: Option<Directive>,
    /// What stands behind the directive, or behind the name where there is none.
    data: String,
    /// Diagnostic lines before the result.
    notes: Vec<String>,
    subtests: Vec<Test>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Skip,
    Xfail,
    Timeout,
    Error,
}

impl Directive {
    fn word(self) -> &'static str {
        match self {
            Self::Skip => "SKIP",
            Self::Xfail => "XFAIL",
            Self::Timeout => "TIMEOUT",
            Self::Error => "ERROR",
        }
    }
}

fn of_kernel(matrix: &Matrix<'_>, column: usize, kernel: &KernelReport) -> Test {
    let mut themes: Vec<(&str, Vec<Test>)> = Vec::new();
    for row in &matrix.rows {
        let test = of_case(row, &row.cells[column]);
        match themes.iter_mut().find(|(theme, _)| *theme == row.theme()) {
            Some((_, tests)) => tests.push(test),
            None => themes.push((row.theme(), vec![test])),
        }
    }
    let mut test =
        parent(&kernel.name, themes.into_iter().map(|(theme, tests)| parent(theme, tests)).collect());
    // A kernel that never booted has not passed, even where no case was asked for.
    test.ok &= !kernel.release.is_empty();
    let said = [
        ("release", &kernel.release),
        ("source", &kernel.source),
        ("accelerator", &kernel.accelerator),
        ("JIT", &kernel.jit),
    ];
    let said = said.into_iter().filter(|(_, value)| !value.is_empty());
    test.notes.extend(said.map(|(name, value)| format!("{name}: {value}")));
    test.notes.extend(kernel.faults.iter().map(|fault| format!("fault: {fault}")));
    test
}

fn of_case(row: &Row<'_>, cell: &Cell<'_>) -> Test {
    if cell.results.is_empty() {
        return Test {
            name: row.short_name().into(),
            ok: false,
            directive: Some(Directive::Error),
            data: NO_RESULT.into(),
            notes: Vec::new(),
            subtests: Vec::new(),
        };
    }
    parent(row.short_name(), cell.results.iter().map(|result| of_result(result)).collect())
}

fn of_result(result: &CaseResult) -> Test {
    let directive = match result.verdict {
        Verdict::Conforms | Verdict::Deviates => None,
        Verdict::KnownBug => Some(Directive::Xfail),
        Verdict::Absent => Some(Directive::Skip),
        Verdict::Hung => Some(Directive::Timeout),
        Verdict::Crashed | Verdict::NotRun => Some(Directive::Error),
    };
    let quirks = wording::list(&result.quirks);
    // What the note says first could itself be read as a directive, so it never stands there.
    let data = match result.verdict {
        Verdict::Conforms if quirks.is_empty() => String::new(),
        Verdict::Conforms => format!("by the quirk {quirks}"),
        Verdict::KnownBug => format!("known bug: {quirks}"),
        Verdict::Absent => result.note.clone(),
        verdict => format!("{}: {}", verdict.name(), result.note),
    };
    let notes =
        if result.verdict.fails() || result.verdict == Verdict::KnownBug { story(result) } else { vec![] };
    Test {
        name: format!("{} {}", result.abi, result.jit.name()),
        ok: !result.verdict.fails(),
        directive,
        data,
        notes,
        subtests: Vec::new(),
    }
}

/// What was expected and what was observed, line by line.
fn story(result: &CaseResult) -> Vec<String> {
    let parts = [
        ("note", &result.note),
        ("expected", &result.expected),
        ("observed", &result.observed),
        ("decided by", &result.decided),
        ("the console's last lines", &result.console),
    ];
    let mut lines = Vec::new();
    for (title, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
        lines.push(format!("{title}:"));
        lines.extend(visible(part).lines().map(|line| format!("  {line}")));
    }
    lines
}

/// A test of subtests: it fails if one does; where all are skipped or expected to fail, so is it.
fn parent(name: &str, subtests: Vec<Test>) -> Test {
    let shared = subtests.first().and_then(|first| first.directive).filter(|directive| {
        matches!(directive, Directive::Skip | Directive::Xfail)
            && subtests.iter().all(|test| test.directive == Some(*directive))
    });
    let same = shared.is_some() && subtests.windows(2).all(|pair| pair[0].data == pair[1].data);
    Test {
        name: name.into(),
        ok: subtests.iter().all(|test| test.ok),
        directive: shared,
        data: if same { subtests[0].data.clone() } else { String::new() },
        notes: Vec::new(),
        subtests,
    }
}

/// Tests of one level with their version and plan.
fn write_all(out: &mut String, of: Option<&str>, tests: &[Test], depth: usize) {
    let indent = "  ".repeat(depth);
    // Writing to a String cannot fail.
    _ = writeln!(out, "{indent}KTAP version 1");
    if let Some(name) = of {
        // The result with the name comes last: the kernel's own parser shows this one before.
        _ = writeln!(out, "{indent}# Subtest: {}", description(name));
    }
    _ = writeln!(out, "{indent}1..{}", tests.len());
    for (at, test) in tests.iter().enumerate() {
        if !test.subtests.is_empty() {
            write_all(out, Some(&test.name), &test.subtests, depth + 1);
        }
        for note in &test.notes {
            _ = writeln!(out, "{indent}# {}", one_line(note));
        }
        let result = if test.ok { "ok" } else { "not ok" };
        _ = write!(out, "{indent}{result} {} {}", at + 1, description(&test.name));
        let data = one_line(&test.data);
        _ = match (test.directive, data.is_empty()) {
            (Some(directive), true) => writeln!(out, " # {}", directive.word()),
            (Some(directive), false) => writeln!(out, " # {} {data}", directive.word()),
            (None, false) => writeln!(out, " # {data}"),
            (None, true) => writeln!(out),
        };
    }
}

/// A description, which "can't include #".
fn description(name: &str) -> String {
    one_line(name).replace('#', "_")
}

/// The first line of a text, made visible.
fn one_line(text: &str) -> String {
    visible(text).lines().next().unwrap_or_default().trim_end().to_owned()
}
