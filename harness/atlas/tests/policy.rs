//! `atlas sweep --policy`: the example is swept as every compiler has it, and files that are no
//! policies are refused with the reason. `ATLAS_KERNEL` names another kernel than 6.12.

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/policy.json");

fn sweep(path: &Path, compiler: &str, more: &[&str]) -> Output {
    let mut command = Command::new(cargo_bin_cmd!("atlas").get_program());
    command.args(["sweep", "--quiet", "--compiler", compiler, "--policy"]).arg(path).args(more);
    command.output().unwrap()
}

#[test]
fn the_example_means_the_same_by_every_compiler() {
    let names = std::env::var("ATLAS_KERNEL").unwrap_or_else(|_| "6.12".into());
    let kernel = names.split(',').next().unwrap();
    let maps: Vec<Value> = ["linear", "libseccomp", "libseccomp-tree", "seccompiler"]
        .into_iter()
        .map(|compiler| {
            let more = ["--json", "--jit", "on", "--args", "16", "--kernel", kernel];
            let output = sweep(Path::new(EXAMPLE), compiler, &more);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{compiler}: {stderr}");
            let mut json: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(json["sweeps"][0]["agrees"], true, "{compiler}: {json}");
            json["sweeps"][0]["map"].take()
        })
        .collect();
    let text = maps[0].to_string();
    assert!(text.contains("ptrace") && text.contains("socket"), "{text}");
    assert!(maps.iter().all(|map| *map == maps[0]), "{maps:#?}");
}

#[test]
fn what_is_no_policy_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.json");
    let good = std::fs::read_to_string(EXAMPLE).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "no {from} in {good}");
        good.replacen(from, to, 1)
    };
    let condition = "{ \"arg\": 0, \"comparison\": \"Equal\", \"value\": 16 }";
    let twice = changed(condition, &format!("{condition}, {condition}"));
    for (content, compiler, says) in [
        ("rules".into(), "linear", "8 bytes each, or JSON of a profile or a policy"),
        ("{ \"abis\" }".into(), "linear", "it is no policy: expected `:` at line 1 column 10"),
        (changed("\"default\"", "\"defalt\""), "linear", "missing field `default`"),
        (changed("\"foreign\"", "\"comment\": 1, \"foreign\""), "linear", "it says more than a policy does"),
        (changed("[\"X86_64\", \"X32\"]", "[]"), "linear", "it speaks of no ABI"),
        (changed("\"X32\"]", "\"X86_64\"]"), "linear", "it names X86_64 twice"),
        (changed(", \"X32\"]", "]"), "linear", "rule 1 is about X32, of which the policy does not speak"),
        (changed("1073742345", "521"), "linear", "rule 1: 521 is no number of X32"),
        (changed("\"arg\": 0", "\"arg\": 6"), "linear", "rule 2 is about argument 6, and calls have six"),
        (changed("\"Errno\": 1", "\"Trap\": 1"), "seccompiler", "seccompiler cannot express rule 1"),
        (changed("\"Errno\": 1", "\"Errno\": 65536"), "linear", "invalid value: integer `65536`"),
        (twice.clone(), "libseccomp", "libseccomp cannot express rule 2: it has several conditions"),
        (twice, "libseccomp-tree", "libseccomp-tree cannot express rule 2: it has several conditions"),
        (" ".repeat(9 << 20), "linear", "it is longer than 8388608 bytes"),
    ] {
        std::fs::write(&path, content).unwrap();
        let output = sweep(&path, compiler, &["--kernel", "no-such"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with(&format!("atlas: {}: ", path.display())), "{stderr}");
        assert!(stderr.contains(says), "no `{says}` in: {stderr}");
    }
}
