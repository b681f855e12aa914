//! `atlas fuzz` as a command: Ctrl-C ends it with a summary and without guests. And case files that
//! are none: `atlas run --experiment` says what is wrong with them.

use assert_cmd::cargo::cargo_bin_cmd;
use atlas_model::bpf;
use atlas_model::experiment::{Call, Experiment, Install, MAX_STEPS, MAX_TASKS, Op, Program, Step, Via};
use atlas_model::{Abi, Action};
use seccomp_atlas::casefile::CaseFile;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn atlas() -> Command {
    Command::new(cargo_bin_cmd!("atlas").get_program())
}

/// QEMU processes that are children of this process.
fn guests_of(parent: u32) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| is_guest(pid) && parent_of(pid) == Some(parent)).collect()
}

fn is_guest(pid: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    // Not the one that is asked for its version.
    line.contains("qemu-system") && !line.contains("--version")
}

fn parent_of(pid: &str) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
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

#[test]
fn no_trial_at_all_is_nothing_that_held() {
    let kernel = std::env::var("ATLAS_KERNEL").unwrap_or_else(|_| "6.12".into());
    let output = atlas().args(["fuzz", "--quiet", "--for", "1ns", "--kernel", &kernel]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{kernel}: not run: it came to no trial")), "{said}");
}

/// Sends SIGINT some time after the first guest is seen; gives the summary.
fn interrupted(json: bool, after: Duration) -> String {
    let kernel = std::env::var("ATLAS_KERNEL").unwrap_or_else(|_| "6.12".into());
    let out = tempfile::tempdir().unwrap();
    let mut command = atlas();
    command.args([
        "fuzz",
        "--quiet",
        "--seed",
        "2013",
        "--for",
        "10m",
        "--kernel",
        kernel.split(',').next().unwrap(),
        "--out",
    ]);
    command.arg(out.path()).args(json.then_some("--json"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let guests = wait("a guest", || Some(guests_of(child.id())).filter(|guests| !guests.is_empty()));
    std::thread::sleep(after);
    let sent = Instant::now();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert!(sent.elapsed() < Duration::from_secs(10), "{:?}", sent.elapsed());
    println!("ended in {:?}", sent.elapsed());
    wait("the end of every guest", || guests.iter().all(|pid| !is_guest(pid)).then_some(()));
    let mut summary = String::new();
    child.stdout.unwrap().read_to_string(&mut summary).unwrap();
    summary
}

#[test]
fn an_interrupted_fuzz_run_says_so_and_leaves_no_guest() {
    let summary = interrupted(false, Duration::from_secs(15));
    assert!(summary.starts_with("interrupted after "), "{summary}");
    assert!(summary.contains(" on 1 kernels ") && summary.contains("; 0 found"), "{summary}");
    assert!(!summary.contains("interrupted after 0 experiments"), "{summary}");
    // While the guest boots there is nothing yet.
    let summary = interrupted(true, Duration::ZERO);
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["complete"], false);
    assert_eq!((&summary["found"], &summary["problems"]), (&serde_json::json!([]), &serde_json::json!([])));
}

fn case_file() -> CaseFile {
    let install = Install { via: Via::Prctl, program: Program::Filter(vec![bpf::ret(Action::Allow)].into()) };
    let call = Call { abi: Abi::X86_64, nr: 39, args: [0; 6] };
    let steps = [Op::Install(install), Op::Call(call)].map(|op| Step { task: 0, op }).to_vec();
    CaseFile {
        name: "found::one".into(),
        about: "One call.".into(),
        found: None,
        experiments: vec![Experiment { steps, ..Experiment::default() }],
    }
}

#[test]
fn a_case_file_that_is_none_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("case.json");
    case_file().write(&path).unwrap();
    assert_eq!(CaseFile::read(&path).unwrap(), case_file());
    let good = std::fs::read_to_string(&path).unwrap();
    let grown = |change: &dyn Fn(&mut Experiment)| {
        let mut file = case_file();
        change(&mut file.experiments[0]);
        file.write(&path).unwrap();
        std::fs::read_to_string(&path).unwrap()
    };
    let call = case_file().experiments[0].steps[1].clone();
    let fork = Step { task: 0, op: Op::Fork { child: 1 } };
    let without = CaseFile { experiments: Vec::new(), ..case_file() };
    let most = format!("experiment 0 has more than {MAX_STEPS} steps or {MAX_TASKS} tasks");
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "no {from} in {good}");
        good.replacen(from, to, 1)
    };
    for (content, says) in [
        ("no JSON".into(), "is no case file: expected ident at line 1 column 2"),
        (good[..good.len() / 2].into(), "EOF while parsing"),
        (good.clone() + "{}", "trailing characters"),
        ("\u{fffd}\0".into(), "is no case file: "),
        (changed("\"about\"", "\"extra\": 1, \"about\""), "unknown field `extra`"),
        (changed("\"name\"", "\"title\""), "unknown field `title`"),
        (changed("X86_64", "Arm64"), "unknown variant `Arm64`"),
        (changed("ret #0x7fff0000", "return everything"), "`return everything`: "),
        (changed("ret #0x7fff0000", ".insn 6"), "`.insn 6` is not `.insn CODE, JT, JF, K`"),
        (serde_json::to_string(&without).unwrap(), "it has no experiment"),
        (grown(&|it| it.steps = vec![call.clone(); MAX_STEPS + 1]), &most),
        (grown(&|it| it.steps = vec![fork.clone(); MAX_TASKS]), &most),
        (" ".repeat(9 << 20), "is longer than 8388608 bytes"),
    ] {
        std::fs::write(&path, content).unwrap();
        refused(&path, says);
    }
    refused(directory.path(), "Is a directory");
    refused(&directory.path().join("none"), "No such file");
    // A device says that it has no length, and never ends.
    refused(Path::new("/dev/zero"), "is longer than 8388608 bytes");
}

/// The command names the file and the reason, with status 2, and looks no further.
fn refused(path: &Path, says: &str) {
    let output = atlas().args(["run", "--kernel", "no-such", "--experiment"]).arg(path).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("atlas: ") && stderr.trim_end().lines().count() == 1, "{stderr}");
    assert!(
        stderr.contains(says) && stderr.contains(&path.display().to_string()),
        "no `{says}` in: {stderr}"
    );
}
