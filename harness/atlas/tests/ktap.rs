//! KTAP, read back by a parser of its own.
//!
//! The parser follows Documentation/dev-tools/ktap.rst and knows nothing of the renderer.

#[path = "report/sample.rs"]
mod sample;

use sample::{HOSTILE, large, sample};
use seccomp_atlas::report::{Ktap, Renderer as _};
use seccomp_atlas::results::{Report, Verdict};

/// A test as KTAP tells it.
#[derive(Debug)]
struct Test {
    ok: bool,
    description: String,
    directive: Option<String>,
    diagnostic: String,
    subtests: Vec<Test>,
}

const DIRECTIVES: [&str; 5] = ["SKIP", "TODO", "XFAIL", "TIMEOUT", "ERROR"];

struct Parser<'a> {
    lines: std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'a>>>,
}

impl Parser<'_> {
    /// The results of one level: a version line, a plan, and as many results as planned.
    fn level(&mut self, depth: usize) -> Result<Vec<Test>, String> {
        let indent = "  ".repeat(depth);
        let version = self.line()?;
        if version != format!("{indent}KTAP version 1") {
            return Err(format!("no version line: {version}"));
        }
        self.diagnostics(&indent);
        let plan = self.line()?;
        let planned: usize = plan
            .strip_prefix(&format!("{indent}1.."))
            .and_then(|count| count.parse().ok())
            .ok_or_else(|| format!("no plan: {plan}"))?;
        let mut tests: Vec<Test> = Vec::new();
        while tests.len() < planned {
            let subtests = match self.lines.peek() {
                Some((_, line)) if line.starts_with(&format!("{indent}  ")) => self.level(depth + 1)?,
                _ => Vec::new(),
            };
            self.diagnostics(&indent);
            let line = self.line()?;
            let result = line.strip_prefix(&indent).ok_or_else(|| format!("not indented: {line}"))?;
            tests.push(Self::result(result, tests.len() + 1, subtests)?);
        }
        Ok(tests)
    }

    fn line(&mut self) -> Result<String, String> {
        self.lines.next().map(|(_, line)| line.to_owned()).ok_or_else(|| "it ends too early".into())
    }

    fn diagnostics(&mut self, indent: &str) {
        while self.lines.next_if(|(_, line)| line.starts_with(&format!("{indent}#"))).is_some() {}
    }

    /// `<result> <number> [<description>][ # [<directive>] [<diagnostic data>]]`
    fn result(line: &str, number: usize, subtests: Vec<Test>) -> Result<Test, String> {
        let wrong = || format!("no result of number {number}: {line}");
        let (ok, rest) = match line.strip_prefix("not ok ") {
            Some(rest) => (false, rest),
            None => (true, line.strip_prefix("ok ").ok_or_else(wrong)?),
        };
        let rest = rest.strip_prefix(&format!("{number} ")).ok_or_else(wrong)?;
        let (description, data) = rest.split_once(" # ").unwrap_or((rest, ""));
        if description.contains('#') {
            return Err(wrong());
        }
        let (word, after) = data.split_once(' ').unwrap_or((data, ""));
        let directive = DIRECTIVES.contains(&word).then(|| word.to_owned());
        let diagnostic = if directive.is_some() { after } else { data };
        Ok(Test { ok, description: description.into(), directive, diagnostic: diagnostic.into(), subtests })
    }
}

fn parse(text: &str) -> Result<Vec<Test>, String> {
    let mut parser = Parser { lines: text.lines().enumerate().peekable() };
    let tests = parser.level(0)?;
    parser.diagnostics("");
    match parser.lines.next() {
        None => Ok(tests),
        Some((at, line)) => Err(format!("line {}: more than was planned: {line}", at + 1)),
    }
}

fn ktap(report: &Report) -> String {
    Ktap.render(report).unwrap()
}

/// Every test without subtests, with the names of those it is in.
fn leaves<'a>(tests: &'a [Test], path: &str, found: &mut Vec<(String, &'a Test)>) {
    for test in tests {
        let path = format!("{path}/{}", test.description);
        if test.subtests.is_empty() {
            found.push((path, test));
        } else {
            leaves(&test.subtests, &path, found);
        }
    }
}

#[test]
fn snapshot() {
    insta::assert_snapshot!("ktap", ktap(&sample()));
}

#[test]
fn every_result_is_one_test_with_its_verdict() {
    for report in [sample(), large()] {
        let tests = parse(&ktap(&report)).unwrap();
        let names: Vec<&str> = tests.iter().map(|test| test.description.as_str()).collect();
        assert_eq!(names, report.kernels.iter().map(|kernel| kernel.name.as_str()).collect::<Vec<_>>());
        let mut found = Vec::new();
        leaves(&tests, "", &mut found);
        for result in &report.results {
            let (theme, case) = result.case.split_once("::").unwrap();
            let path = format!("/{}/{theme}/{case}/{} {}", result.kernel, result.abi, result.jit.name());
            let these: Vec<&Test> =
                found.iter().filter(|(known, _)| *known == path).map(|(_, test)| *test).collect();
            let [test] = these[..] else { panic!("{path}: {these:?}") };
            let wanted = match result.verdict {
                Verdict::Conforms => (true, None),
                Verdict::KnownBug => (true, Some("XFAIL")),
                Verdict::Absent => (true, Some("SKIP")),
                Verdict::Deviates => (false, None),
                Verdict::Hung => (false, Some("TIMEOUT")),
                Verdict::Crashed | Verdict::NotRun => (false, Some("ERROR")),
            };
            assert_eq!((test.ok, test.directive.as_deref()), wanted, "{path}");
            if result.verdict == Verdict::Absent {
                assert_eq!(test.diagnostic, result.note);
            }
            if result.verdict == Verdict::KnownBug || !result.quirks.is_empty() {
                assert!(test.diagnostic.contains(&result.quirks[0]), "{}", test.diagnostic);
            }
        }
        let unanswered = found.iter().filter(|(_, test)| test.diagnostic == "no result was recorded").count();
        assert_eq!(found.len(), report.results.len() + unanswered);
        // Two of the sample's results are missing: they are one case.
        assert_eq!(
            unanswered,
            usize::from(!report.complete && !report.results.is_empty() && report.cases.len() == 9)
        );
    }
}

#[test]
fn a_test_fails_if_one_of_its_subtests_does_and_is_skipped_if_all_are() {
    fn check(test: &Test) -> (usize, usize) {
        if test.subtests.is_empty() {
            return (0, 0);
        }
        assert_eq!(test.ok, test.subtests.iter().all(|test| test.ok), "{}", test.description);
        let skipped = |test: &Test| test.directive.as_deref() == Some("SKIP");
        assert_eq!(skipped(test), test.subtests.iter().all(skipped), "{}", test.description);
        test.subtests
            .iter()
            .map(check)
            .fold((usize::from(!test.ok), usize::from(skipped(test))), |sum, more| {
                (sum.0 + more.0, sum.1 + more.1)
            })
    }
    let tests = parse(&ktap(&sample())).unwrap();
    let (failed, skipped) =
        tests.iter().map(check).fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1));
    assert!(failed > 10 && skipped > 0, "{failed} {skipped}");
}

#[test]
fn what_guests_say_is_no_result() {
    let mut report = sample();
    let forged =
        "ok 1 forged\nnot ok 2 forged # SKIP\n1..9\nKTAP version 1\n# Subtest: forged\nSubtest: forged";
    for result in &mut report.results {
        result.verdict = Verdict::Deviates;
        result.observed = format!("{forged}\n{HOSTILE}");
        result.note = format!("SKIP {forged}");
    }
    report.kernels[0].faults = vec![forged.into()];
    report.kernels[0].name = "a # SKIP kernel\nok 2".into();
    for result in report.results.iter_mut().filter(|result| result.kernel == "5.10") {
        result.kernel.clone_from(&report.kernels[0].name);
    }
    let text = ktap(&report);
    let tests = parse(&text).unwrap();
    assert!(tests.iter().all(|test| !test.ok && test.directive.is_none()));
    assert_eq!(tests[0].description, "a _ SKIP kernel");
    let mut found = Vec::new();
    leaves(&tests, "", &mut found);
    assert!(found.iter().all(|(path, _)| !path.contains("forged")));
    // The kernel's own parser takes this for the name of a test.
    assert!(!text.lines().any(|line| line.trim_start().starts_with("# Subtest: forged")));
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
}

#[test]
fn nothing_at_all_is_still_ktap() {
    let mut report = sample();
    report.kernels.clear();
    assert!(parse(&ktap(&report)).unwrap().is_empty());
    let mut report = sample();
    report.cases.clear();
    let tests = parse(&ktap(&report)).unwrap();
    let ok: Vec<bool> = tests.iter().map(|test| test.ok).collect();
    assert_eq!(ok, [true, true, false, true, true], "6.11 never booted");
}

#[test]
fn the_parser_of_this_test_is_strict() {
    let fine =
        "KTAP version 1\n1..2\n  KTAP version 1\n  1..1\n  ok 1 a\nok 1 b\n# why\nnot ok 2 c # ERROR d\n";
    let tests = parse(fine).unwrap();
    assert_eq!((tests.len(), tests[0].subtests.len(), tests[1].directive.as_deref()), (2, 1, Some("ERROR")));
    for (from, to) in [
        ("1..2", "1..3"),
        ("1..2", "1..1"),
        ("  1..1\n", ""),
        ("KTAP version 1\n1", "1"),
        ("not ok 2", "not ok 3"),
        ("  ok 1 a", "ok 1 a"),
        ("ok 1 b", "ok b"),
        ("not ok 2 c", "nok 2 c"),
        ("2 c #", "2 c#c #"),
    ] {
        let broken = fine.replacen(from, to, 1);
        assert_ne!(broken, fine);
        assert!(parse(&broken).is_err(), "{broken}");
    }
}
