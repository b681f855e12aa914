//! `atlas explain`: what it prints of the examples, and what it says of input that is none.

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;
use std::process::Output;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples");

fn explain(arguments: &[&str]) -> Output {
    cargo_bin_cmd!("atlas").arg("explain").args(arguments).current_dir(DOCS).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = explain(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_profile() {
    insta::assert_snapshot!("profile", printed(&["profile.json"]));
}

#[test]
fn calls_of_a_policy() {
    let calls = ["openat", "socket", "socket(16)", "i386:open", "x32:ptrace", "1023()"];
    let mut arguments = vec!["policy.json"];
    arguments.extend(calls.iter().flat_map(|call| ["--call", call]));
    insta::assert_snapshot!("calls", printed(&arguments));
}

#[test]
fn a_long_way_is_cut_short_and_every_comparison_is_counted() {
    let text = printed(&["profile.json", "--call", "1023"]);
    let left_out: usize = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("…")?.trim().split(' ').next()?.parse::<usize>().ok())
        .sum();
    let told = text.lines().filter(|line| line.starts_with("  0")).count();
    let json = printed(&["profile.json", "--call", "1023", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let steps = json["calls"][0]["ways"][0]["steps"].as_array().unwrap().len();
    assert!(left_out > 10, "{text}");
    assert_eq!(told + left_out, steps, "{text}");
}

#[test]
fn for_machines() {
    let json: Value = serde_json::from_str(&printed(&["profile.json", "--call", "clone", "--json"])).unwrap();
    assert_eq!(json["compiler"], "linear");
    assert!(json.get("map").is_none());
    let ways = json["calls"][0]["ways"].as_array().unwrap();
    let said: Vec<(&str, &str)> = ways
        .iter()
        .map(|way| (way["action"].as_str().unwrap(), way["conditions"][0].as_str().unwrap()))
        .collect();
    assert_eq!(
        said,
        [("ALLOW", "args[0] & 0x7e020000 == 0"), ("ERRNO(1 EPERM)", "args[0] & 0x7e020000 != 0")]
    );
    let whole: Value = serde_json::from_str(&printed(&["profile.json", "--json"])).unwrap();
    assert_eq!(whole["unreached"], serde_json::json!([]));
    assert!(whole["map"].as_array().unwrap().iter().any(|row| row["abi"] == "i386"), "{whole}");
}

#[test]
fn a_filter_of_records_is_explained_without_a_policy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.bpf");
    let mine = [
        atlas_model::bpf::ld(0),
        atlas_model::bpf::jeq(110, 0, 1),
        atlas_model::bpf::ret_word(0x0005_0001),
        atlas_model::bpf::ret_word(0x7fff_0000),
        atlas_model::bpf::ret_word(0),
    ];
    std::fs::write(&path, atlas_model::Filter(mine.to_vec()).to_bytes()).unwrap();
    let text = printed(&[path.to_str().unwrap()]);
    assert!(text.contains("No call gets to the instructions 0004."), "{text}");
    assert!(!text.contains("rule"), "{text}");
    let program = printed(&[path.to_str().unwrap(), "--disassemble"]);
    assert!(program.contains("0001: 0x15 0x00 0x01 0x0000006e  if (A != getppid) goto 0003"), "{program}");
}

#[test]
fn a_reader_who_leaves_and_a_disk_that_is_full() {
    let to = |out: std::fs::File| {
        let mut command = std::process::Command::new(cargo_bin_cmd!("atlas").get_program());
        command.args(["explain", "profile.json"]).current_dir(DOCS).stdout(out).output().unwrap()
    };
    let full = to(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let said = String::from_utf8_lossy(&full.stderr);
    assert_eq!(full.status.code(), Some(2), "{said}");
    assert!(said.contains("atlas: cannot write to standard output: No space left on device"), "{said}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let left = to(std::os::fd::OwnedFd::from(writer).into());
    let said = String::from_utf8_lossy(&left.stderr);
    assert_eq!(left.status.code(), Some(0), "{said}");
    assert!(!said.contains("panicked") && !said.contains("cannot write"), "{said}");
}
