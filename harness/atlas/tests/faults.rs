//! Faults, each by the real command on a real guest: the verdict names the fault, the other results
//! are whole, and no process is left.

use assert_cmd::cargo::cargo_bin_cmd;
use atlas_vm::kernels::Store;
use seccomp_atlas::results::{Repetitions, Report, Verdict};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The variable by whose value a test finds its own guests: they inherit it.
const VARIABLE: &str = "ATLAS_TEST";

/// Its value.
struct Token(String);

impl Token {
    fn new(test: &str) -> Self {
        Self(format!("{test}-{}", std::process::id()))
    }

    /// QEMU processes of this test.
    fn guests(&self) -> Vec<i32> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let ours = format!("{VARIABLE}={}", self.0);
            String::from_utf8_lossy(&line).contains("qemu-system")
                && environment.split(|&byte| byte == 0).any(|variable| variable == ours.as_bytes())
        })
        .collect()
    }

    fn wait_for_guest(&self) -> i32 {
        wait("a guest", || self.guests().first().copied())
    }

    fn assert_none_left(&self) {
        wait("the end of every guest", || self.guests().is_empty().then_some(()));
    }
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a run that writes here has its first verdict.
fn wait_for_verdict(out: &Path) {
    let events = out.join("events.jsonl");
    wait("the first verdict", || {
        std::fs::read_to_string(&events).ok()?.contains("case-finished").then_some(())
    });
}

/// The kernel that faults are tried on, and another one.
fn kernels() -> [String; 2] {
    let store = Store::open().unwrap();
    let names: Vec<String> = store.default_kernels().unwrap().into_iter().map(|kernel| kernel.name).collect();
    assert!(names.len() >= 2, "two kernels are needed; run: cargo run -p seccomp-atlas -- kernels fetch");
    [names[0].clone(), names[1].clone()]
}

fn atlas() -> Command {
    Command::new(cargo_bin_cmd!("atlas").get_program())
}

fn run(token: &Token, out: &Path) -> Command {
    let mut command = atlas();
    command.args(["run", "--quiet", "--accel", "tcg", "--out"]).arg(out).env(VARIABLE, &token.0);
    command
}

fn report(out: &Path) -> Report {
    seccomp_atlas::store::load(out).unwrap()
}

fn verdict(report: &Report, case: &str) -> (Verdict, String) {
    let result =
        report.results.iter().find(|result| result.case == case).unwrap_or_else(|| panic!("no {case}"));
    (result.verdict, result.note.clone())
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn signal(pid: i32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_guest_that_breaks_is_noticed_and_replaced() {
    let (token, out) = (Token::new("breaks"), tempfile::tempdir().unwrap());
    let [kernel, _] = kernels();
    let mut command = run(&token, out.path());
    // A busy machine takes seconds for the flood that is too much.
    command.args(["--faults", "--case", "fault", "--case", "errno::value", "--jit", "on", "--limit", "8"]);
    let output = command.args(["--kernel", &kernel]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report = report(out.path());
    for (case, wanted, says) in [
        ("fault::panic", Verdict::Crashed, "panic"),
        ("fault::hang", Verdict::Hung, "no answer within"),
        ("fault::slow", Verdict::Hung, "did not end in time"),
        ("fault::killed_child", Verdict::Deviates, "killed by 9"),
        ("fault::flood_console", Verdict::Crashed, "console"),
        ("fault::flood_frames", Verdict::Crashed, "flooded"),
        ("fault::forged_frame", Verdict::Crashed, "protocol"),
        ("fault::bell", Verdict::Crashed, "protocol"),
        ("fault::wrong_fact", Verdict::Deviates, "expected value: 1, observed value: 2"),
        ("errno::value", Verdict::Conforms, ""),
    ] {
        let (verdict, note) = verdict(&report, case);
        assert_eq!(verdict, wanted, "{case}: {note}");
        assert!(note.contains(says), "{case}: {note}");
    }
    assert!(report.kernels[0].console.len() < 100_000, "the console is bounded");
    token.assert_none_left();
}

#[test]
fn a_case_that_is_asked_again_is_judged_by_its_worst() {
    let (token, out) = (Token::new("repeat"), tempfile::tempdir().unwrap());
    let [kernel, _] = kernels();
    let cases = [
        "fault::second_answer",
        "fault::third_wrong",
        "fault::panic",
        "fault::alone",
        "fault::orphans",
        "errno::value",
    ];
    let arguments: Vec<&str> = cases.iter().flat_map(|case| ["--case", case]).collect();
    let command = || {
        let mut command = run(&token, out.path());
        command.args(["--faults", "--jit", "on", "--kernel", &kernel]).args(&arguments);
        command
    };
    let output = command().args(["--repeat", "5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("Exit status 1\n") && shown.contains("differs between repetitions"), "{shown}");
    let found = report(out.path());
    for (case, wanted, says, asked, alike, first, differ) in [
        ("errno::value", Verdict::Conforms, "", 5, 5, 1, false),
        ("fault::panic", Verdict::Crashed, "crashed at once; 4 more were not asked\n", 1, 1, 1, false),
        ("fault::alone", Verdict::Conforms, "", 5, 5, 1, false),
        ("fault::orphans", Verdict::Conforms, "", 5, 5, 1, false),
        (
            "fault::third_wrong",
            Verdict::Deviates,
            "deviated in 1 of 5, first at 3\nexpected value: 0, ",
            5,
            1,
            3,
            false,
        ),
        ("fault::second_answer", Verdict::Conforms, "differs between repetitions, at 2 for", 5, 5, 1, true),
    ] {
        let (verdict, note) = verdict(&found, case);
        assert_eq!(verdict, wanted, "{case}: {note}");
        assert!(note.starts_with(says), "{case}: {note}");
        let counts = found.results.iter().find(|result| result.case == case).unwrap().repetitions;
        assert_eq!(counts, Some(Repetitions { wanted: 5, asked, alike, first, differ }), "{case}");
    }
    // Half the questions would be asked five times and the others once.
    refused(command().arg("--resume"), "go on with --repeat 5");
    let output = command().args(["--repeat", "5", "--resume"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    token.assert_none_left();
}

#[test]
fn killing_qemu_costs_one_case() {
    let (token, out) = (Token::new("qemu"), tempfile::tempdir().unwrap());
    let [kernel, _] = kernels();
    let arguments = ["--case", "errno", "--kernel", &kernel, "--jobs", "1", "--repeat", "5"];
    let mut child = start(run(&token, out.path()).args(arguments));
    wait_for_verdict(out.path());
    signal(token.wait_for_guest(), "-KILL");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let report = report(out.path());
    let crashed: Vec<_> = report.results.iter().filter(|result| result.verdict == Verdict::Crashed).collect();
    assert_eq!(crashed.len(), 1, "{crashed:?}");
    assert!(crashed[0].note.contains("QEMU ended"), "{}", crashed[0].note);
    assert!(report.complete && report.results.len() > 10);
    token.assert_none_left();
}

#[test]
fn an_interrupted_run_keeps_its_results_and_goes_on() {
    let (token, out) = (Token::new("interrupt"), tempfile::tempdir().unwrap());
    let [kernel, _] = kernels();
    let arguments = ["--case", "errno", "--case", "kill", "--kernel", &kernel, "--append", "nosmep"];
    for (name, code) in [("-INT", Some(2)), ("-KILL", None)] {
        let mut child = start(run(&token, out.path()).args(arguments));
        wait_for_verdict(out.path());
        signal(child.id() as i32, name);
        assert_eq!(child.wait().unwrap().code(), code, "{name}");
        token.assert_none_left();
        let partial = report(out.path());
        assert!(!partial.complete && !partial.results.is_empty(), "{name}");
        assert!(partial.results.iter().all(|result| result.verdict == Verdict::Conforms), "{name}");
    }
    let before = report(out.path()).results.len();
    // Another selection would be another run, and what was to be asked would be forgotten.
    let other = |arguments: &[&str], says: &str| {
        refused(run(&token, out.path()).arg("--resume").args(arguments), says);
    };
    other(&["--case", "errno", "--kernel", &kernel], "it asks kill::");
    let [_, another] = kernels();
    other(&["--kernel", &another], &format!("1 kernels, this one 1; it asks {kernel}"));
    other(&["--jit", "on"], "of other JIT settings: leave --jit out");
    other(&["--append", "nosmap"], "of other words for the kernels: leave --append out");
    other(&["--cpu", "EPYC"], "of another CPU model: leave --cpu out");
    other(&["--faults"], "leave --faults out");
    let output = run(&token, out.path()).arg("--resume").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let whole = report(out.path());
    assert!(whole.complete && whole.results.len() > before);
    let events = std::fs::read_to_string(out.path().join("events.jsonl")).unwrap();
    let started: Vec<_> = events.lines().filter(|line| line.contains("run-started")).collect();
    assert!(started.len() == 2 && started[0].contains("nosmep") && started[1].contains("nosmep"));
    assert!(whole.kernels.len() == 1 && whole.results.iter().any(|result| result.case.starts_with("kill::")));
    token.assert_none_left();
}

#[test]
fn an_interrupt_does_not_wait_for_a_guest_that_hangs() {
    let (token, out) = (Token::new("prompt"), tempfile::tempdir().unwrap());
    let [kernel, _] = kernels();
    let mut command = run(&token, out.path());
    command.args(["--faults", "--case", "errno::value", "--case", "fault::hang", "--limit", "50"]);
    let mut child = start(command.args(["--jit", "on", "--kernel", &kernel]));
    wait_for_verdict(out.path());
    // Long enough for the next case to be asked, far from its limit.
    std::thread::sleep(Duration::from_secs(1));
    let sent = Instant::now();
    signal(child.id() as i32, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert!(sent.elapsed() < Duration::from_secs(10), "{:?}", sent.elapsed());
    token.assert_none_left();
    let partial = report(out.path());
    assert!(!partial.complete);
    assert!(partial.results.iter().all(|result| result.case == "errno::value"), "{:?}", partial.results);
}

#[test]
fn two_runs_do_not_write_to_one_place() {
    let (token, out) = (Token::new("two"), tempfile::tempdir().unwrap());
    let [kernel, _] = kernels();
    let mut first = start(run(&token, out.path()).args(["--case", "errno", "--kernel", &kernel]));
    token.wait_for_guest();
    let second = run(&token, out.path()).args(["--case", "errno", "--kernel", &kernel]).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(stderr(&second).contains("another run is writing"), "{}", stderr(&second));
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert!(report(out.path()).complete);
}

#[test]
fn a_full_disk_is_said_and_fails_the_run() {
    let (token, out) = (Token::new("full"), tempfile::tempdir().unwrap());
    let [kernel, _] = kernels();
    std::os::unix::fs::symlink("/dev/full", out.path().join("events.jsonl")).unwrap();
    let mut command = run(&token, out.path());
    let output = command.args(["--case", "errno::value", "--kernel", &kernel]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("results are not whole"), "{}", stderr(&output));
    token.assert_none_left();
}

#[test]
fn a_kernel_that_does_not_boot_does_not_spoil_the_others() {
    let (token, out) = (Token::new("corrupt"), tempfile::tempdir().unwrap());
    let [kernel, other] = kernels();
    let store = Store::open().unwrap();
    let mut image = std::fs::read(store.resolve(&other).unwrap().path).unwrap();
    let middle = image.len() / 2;
    image[middle..middle + 4096].fill(0x55);
    let path = out.path().join("corrupt");
    std::fs::write(&path, image).unwrap();
    let mut command = run(&token, out.path());
    command.args(["--case", "errno", "--kernel", &kernel, "--kernel"]).arg(&path);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report = report(out.path());
    let of = |name: &str| report.results.iter().filter(|result| result.kernel == name).collect::<Vec<_>>();
    assert!(of(&kernel).iter().all(|result| result.verdict == Verdict::Conforms) && !of(&kernel).is_empty());
    assert!(
        of("corrupt").iter().all(|result| result.verdict == Verdict::NotRun) && !of("corrupt").is_empty()
    );
    assert!(of("corrupt")[0].note.contains("no boot"), "{}", of("corrupt")[0].note);
    token.assert_none_left();
}

#[test]
fn the_serial_line_alone_does_as_well() {
    let (token, out) = (Token::new("line"), tempfile::tempdir().unwrap());
    let [kernel, _] = kernels();
    let mut command = run(&token, out.path());
    command.args(["--no-window", "--case", "errno", "--case", "limits::longest_filter", "--kernel", &kernel]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    token.assert_none_left();
}

/// What cannot work says so at once, with status 2.
fn refused(command: &mut Command, says: &str) {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains(says), "{}", stderr(&output));
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
fn what_cannot_work_is_refused_at_once() {
    let out = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = out.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let [kernel, _] = kernels();
    let image = std::fs::read(Store::open().unwrap().resolve(&kernel).unwrap().path).unwrap();
    let with = |path: &Path| {
        let mut command = atlas();
        command.args(["run", "--out"]).arg(out.path().join("r")).arg("--kernel").arg(path);
        command
    };
    refused(&mut with(&file("text", &[b'x'; 4096])), "no x86 setup header");
    refused(&mut with(&file("cut", &image[..image.len() / 2])), "cut off");
    refused(&mut with(&file("arm", &[[0_u8; 0x38].as_slice(), b"ARM\x64", &[0; 4096]].concat())), "arm64");
    refused(&mut with(Path::new("/no/such/kernel")), "atlas kernels list");
    refused(with(Path::new(&kernel)).env("PATH", out.path()), "qemu-system-x86");
    refused(with(Path::new(&kernel)).args(["--case", "no::such"]), "no case matches");
    refused(with(Path::new(&kernel)).args(["--json", "/no/such/dir/r.json"]), "/no/such/dir/r.json");
    refused(atlas().args(["report", "--from"]).arg(out.path()), "there are no results");
    let place = file("place", b"a file");
    refused(atlas().args(["fuzz", "--kernel", &kernel, "--out"]).arg(&place), "it is there and no directory");
}

/// What an earlier run has written stays until there is something to put in its place.
#[test]
fn an_interrupted_bench_leaves_its_file_as_it_was() {
    let token = Token::new("bench");
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("figures.json");
    std::fs::write(&file, "earlier figures").unwrap();
    let [kernel, _] = kernels();
    let mut command = atlas();
    let new = out.path().join("spreads.json");
    command.args(["bench", "--kernel", &kernel, "--jit", "on", "--json"]).arg(&file).env(VARIABLE, &token.0);
    command.arg("--spreads").arg(&new);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    token.wait_for_guest();
    signal(child.id() as i32, "-INT");
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("interrupted: 0 of 1 kernels were measured; files are left"), "{said}");
    assert!(!said.contains("no boot"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "earlier figures");
    assert!(!new.exists());
    token.assert_none_left();
}
