//! What the command says: help pages and errors, as snapshots.

use assert_cmd::cargo::cargo_bin_cmd;

/// What a command prints on either stream, and its status.
fn said(arguments: &[&str]) -> String {
    let cache = tempfile::tempdir().unwrap();
    let output = cargo_bin_cmd!("atlas")
        .args(arguments)
        .current_dir(cache.path())
        .env("SECCOMP_ATLAS_CACHE", cache.path())
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "$ atlas {}\nstatus {}\n{}{}",
        arguments.join(" "),
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr)
    )
}

#[test]
fn help() {
    for (name, arguments) in [
        ("help", ["--help"].as_slice()),
        ("help_run", &["run", "--help"]),
        ("help_sweep", &["sweep", "--help"]),
        ("help_check", &["check", "--help"]),
        ("help_explain", &["explain", "--help"]),
        ("help_bench", &["bench", "--help"]),
        ("help_fuzz", &["fuzz", "--help"]),
        ("help_report", &["report", "--help"]),
        ("help_diff", &["diff", "--help"]),
        ("help_kernels", &["kernels", "--help"]),
        ("help_kernels_fetch", &["kernels", "fetch", "--help"]),
        ("help_kernels_add", &["kernels", "add", "--help"]),
    ] {
        insta::assert_snapshot!(name, said(arguments));
    }
}

#[test]
fn errors() {
    let all: Vec<String> = [
        ["run"].as_slice(),
        &["run", "--case", "no::such"],
        &["run", "--case", "errno::{"],
        &["run", "--kernel", "9.99"],
        &["run", "--jobs", "0"],
        &["run", "--jit", "maybe"],
        &["run", "--shard", "0/3"],
        &["run", "--shard", "4/3"],
        &["run", "--shard", "half"],
        &["run", "--case", "errno::value", "--shard", "2/2"],
        &["run", "--repeat", "0"],
        &["run", "--repeat", "1001"],
        &["run", "--fail-on", "everything"],
        &["run", "--fail-on", "new-deviation"],
        &["run", "--fail-on", "new-deviation", "--baseline", "no-such-file"],
        &["run", "--baseline", "no-such-file"],
        &["diff", "no-such-file"],
        &["diff", "no-such-file", "no-such-file"],
        &["bench", "--measure", "no/such"],
        &["bench", "--filter", "no-such-file"],
        &["report"],
        &["report", "--merge"],
        &["report", "--merge", "no-such.json"],
        &["report", "--merge", "one.json", "--from", "results"],
        &["sweep"],
        &["sweep", "--example", "toy", "--filter", "f"],
        &["sweep", "--filter", "no-such-file"],
        &["sweep", "--example", "toy", "--args", "1,0xx"],
        &["sweep", "--example", "toy", "--args", "1,2,3,4,5,6,7"],
        &["sweep", "--example", "toy"],
        &["sweep", "--example", "toy", "--compiler", "linear"],
        &["sweep", "--policy", "no-such-file"],
        &["sweep", "--policy", "f", "--compiler", "gcc"],
        &["check"],
        &["check", "no-such-file"],
        &["check", "f", "--status", "3"],
        &["check", "f", "--env", "nothing", "--", "program"],
        &["explain"],
        &["explain", "no-such-file"],
        &["explain", "--example", "toy", "file"],
        &["explain", "--example", "toy", "--call", "opne"],
        &["explain", "--example", "toy", "--call", "socketcall"],
        &["explain", "--example", "toy", "--disassemble", "--json"],
        &["fuzz", "--property", "no-such"],
        &["fuzz", "--kernel", "9.99"],
        &["fuzz", "--for", "0s"],
        &["fuzz", "--for", "soon"],
        &["fuzz", "--for", "1s", "--cases", "1"],
        &["fuzz", "--cases", "0"],
        &["fuzz", "--seed", "-1"],
        &["fuzz", "--first", "18446744073709551610"],
        &["fuzz"],
        &["kernels", "remove", "9.99"],
        &["kernels", "add", "no-such-file"],
        &["kernels", "fetch", "--group", "historic"],
        &["kernels", "fetch", "--kernel", "3.10"],
        // What has no end is refused at a bound.
        &["run", "--kernel", "/dev/zero"],
        &["diff", "/dev/zero", "/dev/zero"],
        &["report", "--merge", "/dev/zero"],
        &["bench", "--from", "/dev/zero"],
        &["kernels", "fetch", "--manifest", "/dev/zero"],
        &["kernels", "fetch", "--lock", "/dev/zero"],
    ]
    .iter()
    .map(|arguments| said(arguments))
    .collect();
    insta::assert_snapshot!("errors", all.join("\n"));
}
