//! The vsyscall page in its three modes, on the oldest and the newest kernel: the boot decides which is
//! there, so each mode is a run of its own.

use assert_cmd::cargo::cargo_bin_cmd;
use atlas_vm::kernels::Store;
use seccomp_atlas::results::{Report, Verdict};

fn run(mode: &str) -> Report {
    let names: Vec<String> =
        Store::open().unwrap().default_kernels().unwrap().into_iter().map(|kernel| kernel.name).collect();
    let out = tempfile::tempdir().unwrap();
    let mut command = cargo_bin_cmd!("atlas");
    command.args(["run", "--quiet", "--case", "vsyscall", "--append", &format!("vsyscall={mode}"), "--out"]);
    command.arg(out.path());
    for name in [names.first().unwrap(), names.last().unwrap()] {
        command.args(["--kernel", name]);
    }
    command.assert().success();
    seccomp_atlas::store::load(out.path()).unwrap()
}

/// Holds each kernel's answers about the page, and the verdicts, against what the mode means.
fn holds(mode: &str, page: bool, readable: bool) {
    let report = run(mode);
    for kernel in &report.kernels {
        for (feature, there) in [("vsyscall-page", page), ("vsyscall-readable", readable)] {
            let probe = kernel.probes.iter().find(|probe| probe.feature == feature).unwrap();
            assert_eq!(probe.present, Some(there), "{feature} on {} under {mode}", kernel.name);
        }
    }
    assert!(report.results.len() >= 2 * 9, "{} results", report.results.len());
    for result in &report.results {
        let there = page || result.case == "vsyscall::page";
        let verdict = if there { Verdict::Conforms } else { Verdict::Absent };
        assert_eq!(result.verdict, verdict, "{} on {} under {mode}", result.case, result.kernel);
    }
}

#[test]
fn none_has_no_page() {
    holds("none", false, false);
}

#[test]
fn xonly_can_be_called_and_not_read() {
    holds("xonly", true, false);
}

#[test]
fn emulate_can_be_called_and_read() {
    holds("emulate", true, true);
}
