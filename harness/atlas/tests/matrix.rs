//! The matrix on this machine, with an `atlas` that answers from files in place of guests.

#[path = "report/sample.rs"]
#[allow(dead_code, reason = "the large sample is for other tests")]
mod sample;

use assert_cmd::cargo::cargo_bin_cmd;
use sample::sample;
use seccomp_atlas::report::{Format, render};
use seccomp_atlas::results::{Report, Verdict};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// `run` and `bench` do what the files of a directory say: SERIES.json is the report, SERIES.KIND the
/// exit status, SERIES.hangs a word to wait by. Everything else is done by the real `atlas`.
const FAKE: &str = r#"#!/usr/bin/env bash
here=$(dirname "$0")
case $1 in
run | bench)
    echo "begin $1 $3" >> "$here/trace"
    while [ $# -gt 0 ]; do
        case $1 in run | bench) kind=$1 ;; --kernel) series=$2 ;; --json) json=$2 ;; esac
        shift
    done
    if [ -e "$here/$series.hangs" ]; then sleep 600 & echo "$here"; wait; fi
    sleep 0.2
    [ ! -e "$here/$series.json" ] || cat "$here/$series.json" > "$json"
    echo "end $kind $series" >> "$here/trace"
    exit "$(cat "$here/$series.$kind" 2>/dev/null || echo 0)"
    ;;
*) exec "$REAL" "$@" ;;
esac
"#;

struct Matrix {
    directory: tempfile::TempDir,
}

impl Matrix {
    /// Kernels that conform, a report each.
    fn new(series: &[&str]) -> Self {
        let matrix = Self { directory: tempfile::tempdir().unwrap() };
        matrix.put("atlas", FAKE);
        let program = matrix.path("atlas");
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for name in series {
            matrix.put(&format!("{name}.json"), &render(&of(name), Format::Json).unwrap());
        }
        matrix
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, script: &str) -> Command {
        // What a shell starts in the background has SIGINT ignored, hands that on, and bash does not trap it then.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(ci(script));
        command.current_dir(self.directory.path());
        command.env("ATLAS", "./atlas").env("REAL", cargo_bin_cmd!("atlas").get_program());
        command.env_remove("GITHUB_STEP_SUMMARY").env_remove("GITHUB_OUTPUT");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command("matrix").args(arguments).args(["--out", "out"]).output().unwrap()
    }

    fn report(&self) -> Report {
        serde_json::from_slice(&std::fs::read(self.path("out/report.json")).unwrap()).unwrap()
    }

    /// Processes that know of the directory.
    fn processes(&self) -> Vec<String> {
        let word = self.directory.path().to_str().unwrap().to_owned();
        let of = |pid: &str| {
            let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let text = [read("cmdline"), read("environ")].concat();
            String::from_utf8_lossy(&text).contains(&word).then(|| pid.to_owned())
        };
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| of(entry.file_name().to_str()?)).collect()
    }
}

fn ci(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci").join(script)
}

fn of(name: &str) -> Report {
    let mut report = sample();
    report.kernels.retain(|kernel| kernel.name == name);
    report.results.retain(|result| result.kernel == name);
    report.results.iter_mut().for_each(|result| result.verdict = Verdict::Conforms);
    report.complete = true;
    report
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_series_come_from_the_manifest() {
    let matrix = Matrix::new(&[]);
    let said =
        matrix.command("matrix").arg("--list-json").env("GITHUB_OUTPUT", matrix.path("output")).output();
    let said = text(&said.unwrap().stdout);
    let listed: Vec<String> = serde_json::from_str(&said).unwrap();
    let manifest = atlas_vm::kernels::Manifest::embedded().unwrap();
    let series: Vec<String> = manifest.group("default").map(|entry| entry.series.to_string()).collect();
    assert_eq!(listed, series);
    assert_eq!(std::fs::read_to_string(matrix.path("output")).unwrap(), format!("json={said}"));
    let lines = text(&matrix.command("matrix").arg("--list").output().unwrap().stdout);
    assert_eq!(lines.lines().collect::<Vec<_>>(), series);
}

#[test]
fn legs_are_merged() {
    let matrix = Matrix::new(&["5.10", "6.12", "7.3"]);
    let summary = matrix.path("summary");
    let mut command = matrix.command("matrix");
    command.args(["--kernel", "7.3", "--kernel", "5.10", "--jobs", "1", "--out", "out"]);
    let output = command.env("GITHUB_STEP_SUMMARY", &summary).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for line in ["[1/4] test-7.3: ok", "[2/4] test-5.10: ok", "[3/4] bench-7.3: ok", "[4/4] bench-5.10: ok"] {
        assert!(said.contains(line), "{said}");
    }
    let names: Vec<String> = matrix.report().kernels.into_iter().map(|kernel| kernel.name).collect();
    assert_eq!(names, ["5.10", "7.3"]);
    for file in ["report.html", "report.md", "junit.xml", "ktap.txt", "bench/5.10.json", "bench/7.3.json"] {
        assert!(matrix.path("out").join(file).metadata().unwrap().len() > 0, "{file}");
    }
    let page = std::fs::read_to_string(matrix.path("out/report.md")).unwrap();
    assert_eq!(std::fs::read_to_string(summary).unwrap(), page);
    // One job: what began has ended before the next begins.
    let trace = std::fs::read_to_string(matrix.path("trace")).unwrap();
    let words: Vec<&str> = trace.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(words, ["begin", "end"].repeat(4));
    // As many at once as there are jobs.
    std::fs::remove_file(matrix.path("trace")).unwrap();
    assert_eq!(matrix.run(&["--kernel", "5.10", "--kernel", "7.3", "--jobs", "2"]).status.code(), Some(0));
    let trace = std::fs::read_to_string(matrix.path("trace")).unwrap();
    assert!(trace.lines().take(2).all(|line| line.starts_with("begin run")), "{trace}");
}

#[test]
fn a_leg_that_fails_stops_no_other() {
    let matrix = Matrix::new(&["5.10", "6.12", "7.3"]);
    let all = ["--kernel", "5.10", "--kernel", "6.12", "--kernel", "7.3", "--jobs", "2"];
    let mut deviating = of("5.10");
    deviating.results[0].verdict = Verdict::Deviates;
    matrix.put("5.10.json", &render(&deviating, Format::Json).unwrap());
    matrix.put("5.10.run", "1");
    let output = matrix.run(&all);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("test-5.10: something deviates"), "{}", text(&output.stdout));
    assert_eq!(matrix.report().kernels.len(), 3);
    // A leg without a report is missed, though an earlier one left something in its place.
    std::fs::remove_file(matrix.path("6.12.json")).unwrap();
    matrix.put("6.12.run", "2");
    matrix.put("6.12.bench", "2");
    let output = matrix.run(&all);
    assert_eq!(output.status.code(), Some(2));
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(out.contains("test-6.12: could not run (status 2)") && out.contains("[6/6]"), "{out}");
    assert!(error.contains("leg 6.12 test left no report"), "{error}");
    assert!(error.contains("leg 6.12 bench left no measurements"), "{error}");
    let names: Vec<String> = matrix.report().kernels.into_iter().map(|kernel| kernel.name).collect();
    assert_eq!(names, ["5.10", "7.3"]);
    // Measurements that are off fail the whole, too, and so does a leg that says it is well and is not there.
    let matrix = Matrix::new(&["5.10"]);
    matrix.put("5.10.bench", "1");
    assert_eq!(matrix.run(&["--kernel", "5.10"]).status.code(), Some(1));
    assert_eq!(matrix.run(&["--kernel", "6.1"]).status.code(), Some(2));
}

#[test]
fn an_interrupt_leaves_nothing() {
    for signal in ["-INT", "-TERM"] {
        let matrix = Matrix::new(&["5.10", "7.3"]);
        matrix.put("5.10.hangs", "");
        matrix.put("7.3.hangs", "");
        let mut command = matrix.command("matrix");
        command.args(["--kernel", "5.10", "--kernel", "7.3", "--jobs", "2", "--out", "out"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while std::fs::read_to_string(matrix.path("trace")).unwrap_or_default().lines().count() < 2 {
            assert!(start.elapsed() < Duration::from_secs(30), "the legs do not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(matrix.processes().len() >= 3, "{:?}", matrix.processes());
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{signal} ends nothing");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(130), "{signal}");
        assert_eq!(matrix.processes(), [""; 0], "{signal}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn what_cannot_work_is_refused() {
    let matrix = Matrix::new(&[]);
    for (script, arguments, says) in [
        ("matrix", ["--jobs", "0"].as_slice(), "--jobs 0"),
        ("matrix", &["--jobs"], "--jobs needs a value"),
        ("matrix", &["--kernel", "../6.12"], "--kernel ../6.12"),
        ("matrix", &["--shard", "1/2"], "--shard is no option"),
        ("leg", &["6.12", "test"], "three arguments"),
        ("leg", &["6.12", "tests", "out"], "tests is no kind of leg"),
        ("merge", &["legs"], "two arguments"),
        ("merge", &["legs", "out", "6.12"], "leg 6.12 test left no report"),
    ] {
        let output = matrix.command(script).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{script} {arguments:?}");
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
    for none in ["no-such", "no/such"] {
        for (script, arguments) in [("leg", ["6.12", "test", "out"]), ("merge", ["legs", "out", "6.12"])] {
            let output = matrix.command(script).args(arguments).env("ATLAS", none).output().unwrap();
            assert_eq!(output.status.code(), Some(2));
            assert!(text(&output.stderr).contains("run ci/prepare"), "{}", text(&output.stderr));
        }
        // What it lists needs none.
        let output = matrix.command("matrix").arg("--list-json").env("ATLAS", none).output().unwrap();
        assert!(output.status.success() && text(&output.stdout).starts_with('['), "{output:?}");
    }
}
