//! docs/coverage.md is true: it names each of the kernel's own tests once, and only cases there are.

use std::collections::BTreeSet;

const TABLE: &str = include_str!("../../docs/coverage.md");
const SELFTESTS: &str = include_str!("selftests.txt");

/// The rows: the kernel's test, and what stands beside it.
fn rows() -> Vec<(&'static str, &'static str)> {
    let cells = |line: &'static str| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | ");
    TABLE.lines().filter_map(cells).collect()
}

fn selftests() -> Vec<&'static str> {
    SELFTESTS.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn every_selftest_has_its_row_and_every_row_its_selftest() {
    let named: Vec<&str> = rows().iter().map(|(test, _)| *test).collect();
    assert_eq!(named, selftests());
    assert_eq!(named.iter().collect::<BTreeSet<_>>().len(), 112, "tests of the kernel's");
}

#[test]
fn every_case_named_is_in_the_catalogue() {
    let cases: BTreeSet<&str> = atlas_cases::catalogue().iter().map(|case| case.name).collect();
    for (test, beside) in rows() {
        if let Some(reason) = beside.strip_prefix("missing: ") {
            assert!(reason.len() > 40, "{test} is missing without a reason");
            continue;
        }
        for case in beside.split(", ") {
            let name = case.strip_prefix('`').and_then(|case| case.strip_suffix('`'));
            let name = name.unwrap_or_else(|| panic!("{test}: `{case}` is not the name of a case"));
            assert!(cases.contains(name), "{test}: there is no case {name}");
        }
    }
}

#[test]
fn the_number_covered_is_the_number_said() {
    let covered = rows().iter().filter(|(_, beside)| !beside.starts_with("missing: ")).count();
    assert!(TABLE.contains(&format!("{covered} of {} are covered", rows().len())), "{covered} are covered");
}
