//! Mitigations of speculation, on the oldest kernel, which forces them with a filter, and the newest, which
//! does not: on a processor that needs them, and on the default one, of which that cannot be told.

use assert_cmd::cargo::cargo_bin_cmd;
use atlas_vm::kernels::Store;
use seccomp_atlas::results::{Report, Verdict};

/// A model that kernels take for vulnerable to speculative store bypass, and whose switch is emulated.
const VULNERABLE: &str = "EPYC";
const CASE: &str = "attach::speculation_mitigated";

/// The oldest default kernel and the newest.
fn kernels() -> [String; 2] {
    let mut names = Store::open().unwrap().default_kernels().unwrap().into_iter().map(|kernel| kernel.name);
    [names.next().unwrap(), names.next_back().unwrap()]
}

fn run(arguments: &[&str]) -> Report {
    let out = tempfile::tempdir().unwrap();
    let mut command = cargo_bin_cmd!("atlas");
    command
        .args(["run", "--quiet", "--case", "attach::speculation*", "--jit", "on", "--out"])
        .arg(out.path());
    for name in kernels() {
        command.args(["--kernel", &name]);
    }
    command.args(arguments).assert().success();
    seccomp_atlas::store::load(out.path()).unwrap()
}

/// The probe's answer on a kernel, and the quirks that explain the case.
fn found(report: &Report, kernel: &str) -> (Option<bool>, Vec<String>) {
    let of = report.kernels.iter().find(|of| of.name == kernel).unwrap();
    let probe = of.probes.iter().find(|probe| probe.feature == "filter-mitigates").unwrap();
    let result = report.results.iter().find(|result| result.kernel == kernel && result.case == CASE).unwrap();
    assert_eq!(result.verdict, Verdict::Conforms, "{kernel}: {}", result.note);
    (probe.present, result.quirks.clone())
}

#[test]
fn a_filter_forces_them_where_the_kernel_is_old_and_the_processor_needs_them() {
    let [oldest, newest] = kernels();
    let report = run(&["--cpu", VULNERABLE]);
    assert_eq!(found(&report, &oldest), (Some(true), vec!["filter-mitigates".to_owned()]));
    assert_eq!(found(&report, &newest), (Some(false), Vec::new()));
    assert!(report.kernels.iter().all(|kernel| kernel.cpu == VULNERABLE));
}

#[test]
fn nothing_is_said_of_it_where_the_processor_is_safe() {
    let report = run(&[]);
    for kernel in kernels() {
        assert_eq!(found(&report, &kernel), (None, Vec::new()), "{kernel}");
    }
}

#[test]
fn a_model_that_qemu_does_not_know_is_said_at_once() {
    let out = tempfile::tempdir().unwrap();
    let [oldest, _] = kernels();
    let mut command = cargo_bin_cmd!("atlas");
    command.args(["run", "--quiet", "--kernel", &oldest, "--case", "errno::value", "--cpu", "8086", "--out"]);
    let output = command.arg(out.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report = seccomp_atlas::store::load(out.path()).unwrap();
    assert!(report.kernels[0].faults[0].contains("unable to find CPU model '8086'"), "{:?}", report.kernels);
}
