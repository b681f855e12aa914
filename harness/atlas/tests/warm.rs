//! Warm starts by the real command: clones show what boots show, and nothing is left behind.

use assert_cmd::cargo::cargo_bin_cmd;
use atlas_vm::kernels::{Proof, Store};
use seccomp_atlas::results::{CaseResult, Report};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A cache of a test's own, with the images of the user's, and directories for everything that is
/// temporary.
struct Place {
    root: tempfile::TempDir,
    kernel: String,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open().unwrap();
        let kernel = store.default_kernels().unwrap().pop().expect("run: atlas kernels fetch").name;
        for name in ["cache", "temporary"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let cache = root.path().join("cache");
        // A link for each: the store removes images that it has no kernel for.
        let (images, here) = (store.root().join("images"), cache.join("images"));
        fs::create_dir(&here).unwrap();
        names(&images).iter().for_each(|name| symlink(images.join(name), here.join(name)).unwrap());
        for name in ["store.toml", "kvm"] {
            let _ = fs::copy(store.root().join(name), cache.join(name));
        }
        Self { root, kernel }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn atlas(&self) -> Command {
        let mut command = Command::new(cargo_bin_cmd!("atlas").get_program());
        command.env("SECCOMP_ATLAS_CACHE", self.path("cache")).env("TMPDIR", self.path("temporary"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Command {
        let mut command = self.atlas();
        command.args(["run", "--accel", "tcg", "--kernel", &self.kernel, "--out"]).arg(self.path("out"));
        command.args(arguments);
        command
    }

    fn templates(&self) -> Vec<String> {
        let names = fs::read_dir(self.path("cache/templates")).into_iter().flatten().flatten();
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// No template half-made, no temporary file, nothing in shared memory that was not there before.
    fn assert_nothing_left(&self, shared: &[String]) {
        assert!(self.templates().iter().all(|name| !name.starts_with('.')), "{:?}", self.templates());
        assert_eq!(names(&self.path("temporary")), Vec::<String>::new());
        let new: Vec<String> = in_shared_memory().into_iter().filter(|name| !shared.contains(name)).collect();
        assert_eq!(new, Vec::<String>::new());
    }
}

fn quiet(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What of ours or QEMU's is in shared memory.
fn in_shared_memory() -> Vec<String> {
    let ours = |name: &String| ["atlas", "qemu", "seccomp"].iter().any(|word| name.contains(word));
    names(Path::new("/dev/shm")).into_iter().filter(ours).collect()
}

fn output(command: &mut Command, status: i32) -> Output {
    let output = command.output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert_eq!(output.status.code(), Some(status), "{}\n{}", said[0], said[1]);
    output
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The verdicts of a report, and what explains each.
fn verdicts(report: &Report) -> BTreeMap<String, String> {
    let name = |result: &CaseResult| format!("{} {} {}", result.case, result.abi, result.jit.name());
    let what = |result: &CaseResult| format!("{:?} by {:?}", result.verdict, result.quirks);
    report.results.iter().map(|result| (name(result), what(result))).collect()
}

#[test]
fn clones_give_the_verdicts_that_boots_give() {
    let place = Place::new();
    let mut found = [&["--cold"][..], &[], &[]].map(|how| {
        let arguments = [how, &["--quiet", "--jit", "on", "--limit", "60"]].concat();
        output(&mut place.run(&arguments), 0);
        let there = place.templates().len();
        assert_eq!(there, usize::from(how.is_empty()), "templates after {how:?}");
        let report = seccomp_atlas::store::load(&place.path("out")).unwrap();
        let probes: Vec<_> =
            report.kernels[0].probes.iter().map(|p| (p.feature.clone(), p.present)).collect();
        (verdicts(&report), probes)
    });
    let cold = std::mem::take(&mut found[0]);
    assert!(cold.0.len() > 500, "{} verdicts", cold.0.len());
    for warm in &found[1..] {
        let differing: Vec<_> = cold.0.iter().filter(|(row, what)| warm.0.get(*row) != Some(*what)).collect();
        assert!(differing.is_empty() && warm.0.len() == cold.0.len(), "{differing:?}");
        assert_eq!(warm.1, cold.1);
    }
}

#[test]
fn a_kernel_that_is_added_is_booted_and_leaves_what_its_runs_begin_with() {
    let place = Place::new();
    let image = Store::open().unwrap().resolve(&place.kernel).unwrap().path;
    let add = |name: &str| {
        output(place.atlas().args(["kernels", "add", "--name", name]).arg(&image), 0);
        let [key] = &place.templates()[..] else { panic!("{:?}", place.templates()) };
        place.path("cache/templates").join(key)
    };
    let mark = add("mine").join("mark");
    fs::write(&mark, "").unwrap();
    add("the-same");
    assert!(!mark.exists(), "the second proof was a clone");
    fs::write(&mark, "").unwrap();
    output(&mut place.run(&["--case", "errno::value"]), 0);
    assert_eq!(place.templates().len(), 1, "the run made its own");
    assert!(mark.exists(), "the run made it anew");
    // They go with the last name of their image.
    for (name, left) in [("the-same", 1), ("mine", 1), (place.kernel.as_str(), 0)] {
        output(place.atlas().args(["kernels", "remove", name]), 0);
        assert_eq!(place.templates().len(), left, "{name}");
    }
}

#[test]
fn a_broken_template_is_thrown_away_with_a_line_that_says_so() {
    let place = Place::new();
    output(&mut place.run(&["--case", "errno::value"]), 0);
    let [key] = &place.templates()[..] else { panic!("{:?}", place.templates()) };
    let state = place.path("cache/templates").join(key).join("state");
    fs::File::options().write(true).open(&state).unwrap().set_len(1000).unwrap();
    let shared = in_shared_memory();
    let said = stderr(&output(&mut place.run(&["--case", "errno::value"]), 0));
    let line = said.lines().find(|line| line.contains("was thrown away")).unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains("state has 1000 bytes"), "{line}");
    let said = stderr(&output(&mut place.run(&["--case", "errno::value"]), 0));
    assert!(!said.contains("thrown away"), "{said}");
    place.assert_nothing_left(&shared);
}

#[test]
fn nothing_is_left_after_success_failure_and_interruption() {
    let place = Place::new();
    let shared = in_shared_memory();
    // While the template is being made, and while clones of it are asked.
    for warm in [false, true] {
        for (name, code) in [("-INT", Some(2)), ("-KILL", None)] {
            let mut child = quiet(place.run(&["--case", "runner", "--case", "effects"]));
            if warm {
                let events = place.path("out/events.jsonl");
                wait_for("a verdict", || {
                    fs::read_to_string(&events).is_ok_and(|text| text.contains("case-finished"))
                });
            } else {
                wait_for("a template in the making", || place.templates().iter().any(|t| t.starts_with('.')));
            }
            signal(&child, name);
            assert_eq!(child.wait().unwrap().code(), code, "{name}");
            if name == "-INT" {
                place.assert_nothing_left(&shared);
            }
        }
        // What a killed run left half-made goes when the next template is made.
        output(place.atlas().args(["kernels", "warm", "--accel", "tcg", "--kernel", &place.kernel]), 0);
        place.assert_nothing_left(&shared);
        assert_eq!(place.templates().len(), 1);
    }
    output(&mut place.run(&["--case", "errno::value"]), 0);
    output(&mut place.run(&["--faults", "--case", "fault::panic"]), 1);
    place.assert_nothing_left(&shared);
    let listed = output(place.atlas().args(["kernels", "list"]), 0);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("templates: 1, "), "{listed:?}");
    output(place.atlas().args(["kernels", "warm", "--drop"]), 0);
    assert_eq!(place.templates(), Vec::<String>::new());
}

#[test]
fn an_interrupted_first_boot_says_nothing_of_the_kernel() {
    let place = Place::new();
    let store = Store::at(place.path("cache")).unwrap();
    for kernel in store.list().unwrap() {
        store.prove(&kernel.name, Proof::NotYet).unwrap();
    }
    let being_made = || place.templates().iter().any(|name| name.starts_with('.'));
    let mut fetch = place.atlas();
    fetch.args(["kernels", "fetch"]);
    let mut child = quiet(fetch);
    wait_for("a first boot", being_made);
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(2));
    let proofs: Vec<Proof> = store.list().unwrap().into_iter().map(|kernel| kernel.proof).collect();
    assert!(proofs.iter().all(|proof| *proof == Proof::NotYet), "{proofs:?}");
    // What was not booted yet is not left out without a word.
    let said = stderr(&output(place.atlas().args(["run", "--case", "errno::value"]), 2));
    assert!(
        said.contains(", whose first boot was cut short; ") && said.contains("atlas kernels remove"),
        "{said}"
    );

    let image = store.path_of(&store.list().unwrap()[0]);
    // By its release, which is another one's as well.
    let before = store.list().unwrap();
    let mut add = place.atlas();
    add.args(["kernels", "add"]).arg(&image);
    let mut child = quiet(add);
    wait_for("a first boot", being_made);
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert_eq!(store.list().unwrap(), before);
}

#[test]
fn what_an_interruption_did_is_not_taken_for_what_kvm_does() {
    let place = Place::new();
    for milliseconds in [20, 50, 100, 150] {
        let _ = fs::remove_file(place.path("cache/kvm"));
        let mut run = place.atlas();
        run.args(["run", "--kernel", &place.kernel, "--case", "errno::value", "--out"])
            .arg(place.path("out"));
        let mut child = quiet(run);
        std::thread::sleep(Duration::from_millis(milliseconds));
        signal(&child, "-INT");
        child.wait().unwrap();
        let kept = fs::read_to_string(place.path("cache/kvm")).unwrap_or_default();
        assert!(!["interrupted", "SIGKILL"].iter().any(|word| kept.contains(word)), "{kept}");
    }
}
