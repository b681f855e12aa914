//! Exit statuses and why they are what they are, baselines, and two reports held against each other.

#[path = "report/sample.rs"]
#[expect(dead_code, reason = "the sample serves the tests of the reports too")]
mod sample;

use assert_cmd::cargo::cargo_bin_cmd;
use sample::sample;
use seccomp_atlas::diff::{diff, only};
use seccomp_atlas::event::{Event, KernelInfo, Sink};
use seccomp_atlas::exit::{FailOn, exit};
use seccomp_atlas::report::{Html, Json, Markdown, Renderer as _, Terminal, TerminalTimeline};
use seccomp_atlas::results::{Exit, Why};
use seccomp_atlas::results::{Jit, Repetitions, Report, Verdict};
use seccomp_atlas::store::Writer;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A finished report in which nothing fails.
fn fine() -> Report {
    let mut report = sample();
    report.kernels.retain(|kernel| kernel.name != "6.11");
    report.results.retain(|result| result.kernel != "6.11");
    for result in report.results.iter_mut().filter(|result| result.verdict.fails()) {
        result.verdict = Verdict::Conforms;
        result.note.clear();
    }
    report.complete = true;
    report
}

/// The same with one verdict on one row of a case that conforms everywhere.
fn with(mut report: Report, kernel: &str, case: &str, verdict: Verdict) -> Report {
    let row = |result: &&mut seccomp_atlas::results::CaseResult| {
        result.kernel == kernel && result.case == case && result.jit == Jit::Off && result.abi == "x86-64"
    };
    let result = report.results.iter_mut().find(row).unwrap();
    result.verdict = verdict;
    result.note = "step 1: expected 0, observed -38 (ENOSYS)\nmore".into();
    report
}

fn whys(exit: &Exit) -> Vec<Why> {
    exit.reasons.iter().map(|reason| reason.why).collect()
}

#[test]
fn what_fails_on_its_own() {
    assert_eq!(exit(&fine(), &[], None).status, 0);
    for (verdict, why) in [
        (Verdict::Deviates, Why::Deviates),
        (Verdict::Crashed, Why::Crashed),
        (Verdict::Hung, Why::Hung),
        (Verdict::NotRun, Why::NotRun),
    ] {
        let found = exit(&with(fine(), "6.12", "errno::zero", verdict), &[], None);
        assert_eq!((found.status, whys(&found)), (1, vec![why]));
        let row = found.reasons[0].row.as_ref().unwrap();
        assert_eq!(row.to_string(), "errno::zero on 6.12, x86-64 jit_off");
        assert_eq!(found.reasons[0].note, "step 1: expected 0, observed -38 (ENOSYS)");
    }
    let unfinished = Report { complete: false, ..fine() };
    assert_eq!(whys(&exit(&unfinished, &[], None)), [Why::Incomplete]);
    let mut dead = fine();
    dead.kernels[0].release.clear();
    assert_eq!(whys(&exit(&dead, &[], None)), [Why::NeverBooted]);
}

#[test]
fn what_fails_on_request() {
    assert_eq!(exit(&fine(), &[FailOn::Deviates], None).status, 0);
    // Two JIT settings each.
    assert_eq!(whys(&exit(&fine(), &[FailOn::KnownBug], None)), [Why::KnownBug; 2]);
    assert_eq!(whys(&exit(&fine(), &[FailOn::Absent], None)), [Why::Absent; 2]);
    assert_eq!(whys(&exit(&fine(), &[FailOn::Absent, FailOn::KnownBug], None)).len(), 4);
}

#[test]
fn repetitions_that_differ_fail_and_leave_the_verdict() {
    let report = flaky(fine());
    let found = exit(&report, &[], None);
    assert_eq!((found.status, whys(&found)), (1, vec![Why::Differs]));
    // A baseline that had it makes it known.
    let found = exit(&report, &[FailOn::NewDeviation], Some(&report));
    assert_eq!((found.status, found.known.len()), (0, 1));
}

fn flaky(mut report: Report) -> Report {
    let result = report.results.iter_mut().find(|result| result.case == "errno::zero").unwrap();
    result.repetitions = Some(Repetitions { wanted: 50, asked: 50, alike: 50, first: 1, differ: true });
    result.note = "differs between repetitions, at 17 for the first time: first a: 1, then a: 2".into();
    report
}

#[test]
fn a_baseline_forgives_what_it_had() {
    let new = |old: &Report, now: &Report| exit(now, &[FailOn::NewDeviation], Some(old));
    let broken = with(fine(), "6.12", "errno::zero", Verdict::Deviates);
    let found = new(&broken, &broken);
    assert_eq!((found.status, found.known.len(), found.fixed.len()), (0, 1, 0));
    let found = new(&fine(), &broken);
    assert_eq!((found.status, whys(&found), found.known.len()), (1, vec![Why::Deviates], 0));
    let found = new(&broken, &fine());
    assert_eq!((found.status, found.fixed.len(), found.gone), (0, 1, 0));
    // Another row, or another verdict on the same row, is new.
    let other = with(fine(), "7.3", "errno::zero", Verdict::Deviates);
    let found = new(&broken, &other);
    assert_eq!((found.status, found.known.len(), found.fixed.len()), (1, 0, 1));
    assert_eq!(new(&broken, &with(fine(), "6.12", "errno::zero", Verdict::Crashed)).status, 1);
    // A row that is not there any more is not mended.
    let mut fewer = fine();
    fewer.results.retain(|result| result.case != "errno::zero");
    let found = new(&broken, &fewer);
    assert_eq!((found.status, found.fixed.len(), found.gone), (0, 0, 1));
    // A kernel that never booted before either is known; the end of the run is asked for in any case.
    let (mut dead, mut cut) = (fine(), fine());
    dead.kernels[0].release.clear();
    cut.complete = false;
    assert_eq!((new(&dead, &dead).status, new(&fine(), &dead).status, new(&cut, &cut).status), (0, 1, 1));
}

#[test]
fn the_formats_name_what_the_failures_do_not() {
    let old =
        with(with(fine(), "6.1", "errno::zero", Verdict::Deviates), "5.10", "kill::forever", Verdict::Hung);
    let mut now = with(
        with(flaky(fine()), "6.1", "errno::zero", Verdict::Deviates),
        "7.3",
        "errno::zero",
        Verdict::Crashed,
    );
    now.kernels.retain(|kernel| kernel.name != "6.11");
    now.exit = Some(exit(&now, &[FailOn::NewDeviation, FailOn::KnownBug], Some(&old)));
    let text = Terminal { color: false }.render(&now).unwrap();
    insta::assert_snapshot!(text.split("Exit status").nth(1).unwrap());
    let markdown = Markdown::default().render(&now).unwrap();
    let page = Html.render(&now).unwrap();
    for said in
        ["known from the baseline: deviates", "fixed since the baseline", "new since the baseline: crashed"]
    {
        assert!(markdown.contains(said) && page.contains(said), "{said}");
    }
    let json: serde_json::Value = serde_json::from_str(&Json.render(&now).unwrap()).unwrap();
    assert_eq!(json["exit"]["status"], 1);
    assert_eq!(json["exit"]["reasons"][0]["why"], "crashed");
    assert_eq!(json["exit"]["reasons"][0]["row"]["kernel"], "7.3");
    // Where the failures say it all, nothing is said twice.
    now.exit = Some(exit(&old, &[], None));
    assert!(!Terminal { color: false }.render(&now).unwrap().contains("Exit status"));
}

#[test]
fn reports_are_the_same_as_themselves_and_as_no_other() {
    assert!(diff(&sample(), &sample()).same());
    let found = diff(&fine(), &with(fine(), "6.12", "errno::zero", Verdict::Deviates));
    assert_eq!((found.verdicts.len(), found.probes.len()), (1, 0));
    let change = &found.verdicts[0];
    assert_eq!((change.from, change.to), (Verdict::Conforms, Verdict::Deviates));
    // The same verdict for another reason.
    let mut explained = fine();
    explained.results[0].quirks.push("tsync-leak".into());
    assert_eq!(diff(&fine(), &explained).verdicts[0].to_quirks, ["tsync-leak"]);
    let mut less = fine();
    less.kernels.remove(0);
    less.results.retain(|result| result.kernel != "5.10");
    less.kernels[0].probes[1].present = None;
    less.results.pop();
    let found = diff(&fine(), &less);
    assert_eq!((found.kernels_gone.as_slice(), found.rows_gone.len()), (["5.10".to_owned()].as_slice(), 1));
    let probe = &found.probes[0];
    assert_eq!((probe.kernel.as_str(), probe.feature.as_str()), ("6.1", "wait-killable"));
    assert_eq!((probe.from, probe.to), (Some(true), None));
    assert_eq!(diff(&less, &fine()).kernels_new, ["5.10"]);
}

#[test]
fn two_kernels_of_one_report() {
    let report = sample();
    let kernel = |name| only(&report, name, "both").unwrap();
    assert!(diff(&kernel("6.12"), &kernel("6.12")).same());
    let found = diff(&kernel("5.10"), &kernel("6.1"));
    let changed: Vec<&str> = found.probes.iter().map(|probe| probe.feature.as_str()).collect();
    assert_eq!(changed, ["wait-killable", "tsync-leak"]);
    assert!(found.verdicts.iter().any(|change| change.row.case == "abi::int80"));
    assert!(only(&report, "9.9", "both").is_none());
}

#[test]
fn the_timeline_at_a_prompt() {
    let text = TerminalTimeline { color: false }.render(&sample()).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    insta::assert_snapshot!(text);
    let color = TerminalTimeline { color: true }.render(&sample()).unwrap();
    assert_eq!(anstream::adapter::strip_str(&color).to_string(), text);
}

/// Stores a report as a run would have.
fn store(report: &Report, directory: &Path) {
    let mut writer = Writer::create(directory, false).unwrap();
    let info = |kernel: &seccomp_atlas::results::KernelReport| KernelInfo {
        name: kernel.name.clone(),
        series: kernel.series.clone(),
        source: kernel.source.clone(),
        sha256: kernel.sha256.clone(),
    };
    writer.take(&Event::RunStarted {
        tool: report.tool.clone(),
        catalogue: report.catalogue.clone(),
        shard: report.shard,
        jit: None,
        wanted: None,
        host: report.host.clone(),
        cases: report.cases.clone(),
        kernels: report.kernels.iter().map(info).collect(),
    });
    for kernel in &report.kernels {
        let (name, release) = (kernel.name.clone(), kernel.release.clone());
        let (accelerator, cpu) = (kernel.accelerator.clone(), kernel.cpu.clone());
        writer.take(&Event::KernelBooted { kernel: name.clone(), release, accelerator, cpu });
        let (jit, probes) = (kernel.jit.clone(), kernel.probes.clone());
        writer.take(&Event::KernelProbed { kernel: name, jit, total: 0, probes });
    }
    for result in &report.results {
        writer.take(&Event::CaseFinished(Box::new(result.clone())));
    }
    writer.take(&Event::RunFinished { complete: report.complete });
    writer.finish().unwrap();
}

/// What the command says and its status, with the directory's own name left out.
fn said(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let output = cargo_bin_cmd!("atlas").args(arguments).current_dir(directory).output().unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().unwrap(), text)
}

#[test]
fn the_command_reads_baselines() {
    let temporary = tempfile::tempdir().unwrap();
    let here = temporary.path();
    let broken = with(fine(), "6.12", "errno::zero", Verdict::Deviates);
    store(&broken, &here.join("now"));
    let write = |name: &str, text: &str| std::fs::write(here.join(name), text).unwrap();
    write("broken.json", &Json.render(&broken).unwrap());
    write("fine.json", &Json.render(&fine()).unwrap());
    write("next.json", &Json.render(&fine()).unwrap().replacen("\"schema\": 1", "\"schema\": 2", 1));
    write("other.json", "{\"answer\": 42}");
    let report = |more: &[&str]| said(here, &[["report", "--from", "now"].as_slice(), more].concat());
    let (status, _) = report(&[]);
    assert_eq!(status, 1);
    let new = |baseline| report(&["--fail-on", "new-deviation", "--baseline", baseline]);
    for (baseline, wanted, says) in [
        ("broken.json", 0, "known from the baseline: deviates"),
        ("now", 0, "known from the baseline: deviates"),
        ("fine.json", 1, "new since the baseline: deviates"),
        ("next.json", 2, "next.json is a report of schema 2, and this atlas reads schema 1"),
        ("other.json", 2, "other.json is no JSON report of atlas"),
        ("none.json", 2, "cannot read none.json"),
        (".", 2, "there are no results in ."),
    ] {
        let (status, text) = new(baseline);
        assert!(status == wanted && text.contains(says), "{baseline}: {status}\n{text}");
    }
    let (status, text) = report(&["--fail-on", "new-deviation"]);
    assert!(status == 2 && text.contains("give --baseline FILE"), "{text}");
    let (status, text) = report(&["--baseline", "fine.json"]);
    assert!(status == 2 && text.contains("without --fail-on new-deviation"), "{text}");
    let (status, text) = said(here, &["report", "--from", "fine.json"]);
    assert_eq!(status, 2, "{text}");
    let (_, text) = report(&["--json", "-"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["exit"]["reasons"][0]["why"], "deviates");
}

#[test]
fn what_was_written_stays_until_the_new_report_is_whole() {
    let temporary = tempfile::tempdir().unwrap();
    let here = temporary.path();
    store(&fine(), &here.join("now"));
    std::fs::write(here.join("old.json"), "old").unwrap();
    let file = |name: &str| std::fs::read_to_string(here.join(name)).unwrap();
    let names = || std::fs::read_dir(here).unwrap().count();
    let before = names();
    // A disk that is full after a kilobyte: no file may be longer (setrlimit(2), RLIMIT_FSIZE).
    let full = "trap '' XFSZ; ulimit -f 2; exec \"$0\" report --from now --json old.json";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", full]).arg(cargo_bin_cmd!("atlas").get_program()).current_dir(here);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write old.json"), "{output:?}");
    assert_eq!((file("old.json").as_str(), names()), ("old", before));
    // Where it can be written it is, also by way of a link, and who may read it may go on.
    std::fs::set_permissions(here.join("old.json"), std::fs::Permissions::from_mode(0o664)).unwrap();
    std::os::unix::fs::symlink("old.json", here.join("link.json")).unwrap();
    assert_eq!(said(here, &["report", "--from", "now", "--json", "link.json"]).0, 0);
    assert!(file("old.json").contains("\"results\""));
    assert!(here.join("link.json").symlink_metadata().unwrap().is_symlink());
    assert_eq!(here.join("old.json").metadata().unwrap().permissions().mode() & 0o777, 0o664);
    // Nobody's descriptor is taken away.
    let shared = "{ \"$0\" report --from now --json /dev/stdout; echo done; } >> out";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", shared]).arg(cargo_bin_cmd!("atlas").get_program()).current_dir(here);
    assert!(command.status().unwrap().success());
    assert!(file("out").contains("\"results\"") && file("out").ends_with("done\n"));
    let (status, text) =
        said(here, &["report", "--from", "now", "--json", "old.json", "--html", "link.json"]);
    assert!(status == 2 && text.contains(".json would be written twice"), "{text}");
}

#[test]
fn the_command_compares() {
    let temporary = tempfile::tempdir().unwrap();
    let here = temporary.path();
    let broken = with(fine(), "6.12", "errno::zero", Verdict::Deviates);
    for (name, report) in [("a.json", &fine()), ("b.json", &broken)] {
        std::fs::write(here.join(name), Json.render(report).unwrap()).unwrap();
    }
    assert_eq!(said(here, &["diff", "a.json", "a.json"]), (0, "nothing differs\n".into()));
    let (status, text) = said(here, &["diff", "a.json", "b.json"]);
    assert_eq!(
        (status, text.as_str()),
        (1, "Verdicts (1)\n  errno::zero on 6.12, x86-64 jit_off: conforms → deviates\n")
    );
    let (status, text) = said(here, &["diff", "a.json", "b.json", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &json["verdicts"][0]["to"]), (1, &"deviates".into()));
    let (status, text) = said(here, &["diff", "a.json", "--kernels", "5.10", "6.1"]);
    assert!(status == 1 && text.contains("wait-killable on 5.10 → 6.1: not there → there"), "{text}");
    let (status, text) = said(here, &["diff", "a.json", "--kernels", "5.10", "9.9"]);
    assert!(
        status == 2 && text.contains("the report has no kernel 9.9; it has 5.10, 6.1, 6.12, 7.3"),
        "{text}"
    );
    assert_eq!(said(here, &["diff", "a.json"]).0, 2);
}
