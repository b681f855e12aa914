//! JUnit XML for CI systems.

use super::matrix::{Matrix, NO_RESULT};
use super::safe::visible;
use super::wording;
use super::{RenderError, Renderer};
use crate::results::{CaseResult, KernelReport, ProbeResult, Report, Verdict};
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};

/// JUnit XML in the dialect of Jenkins: one suite a kernel, one test a result.
///
/// | verdict | in JUnit |
/// | --- | --- |
/// | conforms | passed; a quirk that it leans on is a property |
/// | known bug | passed; the bug is a property and stands in `system-out` |
/// | absent | skipped, with the reason |
/// | deviates, crashed, hung, or repetitions that differ | failure |
/// | not run, or no result | error |
///
/// Output stands beside failures and known bugs only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Junit;

impl Renderer for Junit {
    fn render(&self, report: &Report) -> Result<String, RenderError> {
        let matrix = Matrix::new(report);
        let mut junit = quick_junit::Report::new("seccomp-atlas");
        for (column, kernel) in report.kernels.iter().enumerate() {
            let mut suite = suite(kernel);
            for row in &matrix.rows {
                let results = &row.cells[column].results;
                suite.add_test_cases(results.iter().map(|result| test(kernel, result)));
                if results.is_empty() {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
                    status.set_type(Verdict::NotRun.name()).set_message(NO_RESULT);
                    suite.add_test_case(named(&row.case.name, kernel, status));
                }
            }
            junit.add_test_suite(suite);
        }
        Ok(junit.to_string()?)
    }
}

fn suite(kernel: &KernelReport) -> TestSuite {
    let mut suite = TestSuite::new(text(&kernel.name));
    let properties = [
        ("release", &kernel.release),
        ("source", &kernel.source),
        ("sha256", &kernel.sha256),
        ("accelerator", &kernel.accelerator),
        ("cpu", &kernel.cpu),
        ("jit", &kernel.jit),
    ];
    for (name, value) in properties {
        suite.add_property(Property::new(name, text(value)));
    }
    for probe in &kernel.probes {
        let name = format!("probe.{}", text(&probe.feature));
        suite.add_property(Property::new(name, answer(probe)));
    }
    if !kernel.faults.is_empty() {
        suite.set_system_err(text(&kernel.faults.join("\n")));
    }
    suite
}

/// A probe's answer, such as `present, backported`.
fn answer(probe: &ProbeResult) -> String {
    let present = match probe.present {
        Some(true) => "present",
        Some(false) => "not present",
        None => "no answer",
    };
    format!("{present}, {}", wording::timeline(probe.timeline))
}

fn test(kernel: &KernelReport, result: &CaseResult) -> TestCase {
    let status = match result.verdict {
        Verdict::Conforms | Verdict::KnownBug if result.flaky() => failed(NonSuccessKind::Failure, result),
        Verdict::Conforms | Verdict::KnownBug => TestCaseStatus::success(),
        Verdict::Absent => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(text(&result.note));
            status
        }
        Verdict::Deviates | Verdict::Crashed | Verdict::Hung => failed(NonSuccessKind::Failure, result),
        Verdict::NotRun => failed(NonSuccessKind::Error, result),
    };
    let name = format!("{}::{}::{}", result.case, result.abi, result.jit.name());
    let mut test = named(&name, kernel, status);
    for quirk in &result.quirks {
        test.add_property(Property::new("quirk", text(quirk)));
    }
    if result.verdict == Verdict::KnownBug {
        let bugs = wording::list(&result.quirks);
        test.set_system_out(text(&format!("known bug: {bugs}\n{}", result.note)));
    }
    test
}

fn failed(kind: NonSuccessKind, result: &CaseResult) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    let verdict = result.verdict.name();
    status.set_type(verdict);
    status.set_message(text(result.note.lines().next().unwrap_or(verdict)));
    let parts = [
        ("note", &result.note),
        ("expected", &result.expected),
        ("observed", &result.observed),
        ("decided by", &result.decided),
        ("the console's last lines", &result.console),
    ];
    let parts = parts.iter().filter(|(_, part)| !part.is_empty());
    let body: Vec<String> = parts.map(|(title, part)| format!("{title}:\n{}", part.trim_end())).collect();
    status.set_description(text(&body.join("\n\n")));
    status
}

fn named(name: &str, kernel: &KernelReport, status: TestCaseStatus) -> TestCase {
    let mut test = TestCase::new(text(name), status);
    test.set_classname(text(&kernel.name));
    test
}

/// Text for the file: what XML cannot hold is shown, so that the library strips nothing.
fn text(text: &str) -> String {
    visible(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
