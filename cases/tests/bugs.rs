//! docs/bugs.md and docs/manuals.md are true: they name cases and probes that are there, and the former every quirk of
//! kind bug.

use atlas_model::traits::{Feature, Kind, Quirk};
use std::collections::BTreeSet;
use std::path::Path;

const TABLE: &str = include_str!("../../docs/bugs.md");
const MANUALS: &str = include_str!("../../docs/manuals.md");

/// The rows: the bug, and what stands under "shown by".
fn rows() -> Vec<(&'static str, &'static str)> {
    let cells = |line: &'static str| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        match cells[..] {
            ["bug" | "---", ..] => None,
            [bug, _, shown] => Some((bug, shown)),
            _ => panic!("not three cells: {line}"),
        }
    };
    TABLE.lines().filter_map(cells).collect()
}

/// The names in backticks.
fn names(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_name_is_a_case_or_a_probe() {
    let cases: BTreeSet<&str> = atlas_cases::catalogue().iter().map(|case| case.name).collect();
    assert!(rows().len() >= 30, "{} rows", rows().len());
    for (bug, shown) in rows() {
        if let Some(reason) = shown.strip_prefix("not seen: ") {
            assert!(reason.len() > 40, "{bug}: without a reason");
        } else {
            assert!(names(shown).any(|name| name.contains("::")), "{bug}: no case");
        }
        for name in names(shown) {
            let known =
                cases.contains(name) || Quirk::by_name(name).is_some() || Feature::by_name(name).is_some();
            assert!(known, "{bug}: there is no case and no probe {name}");
        }
    }
}

#[test]
fn every_quirk_of_kind_bug_has_its_row_and_its_finding() {
    for quirk in Quirk::ALL.iter().filter(|quirk| quirk.info().kind == Kind::Bug) {
        let name = quirk.info().name;
        let row = rows().into_iter().find(|(_, shown)| names(shown).any(|it| it == name));
        let (bug, _) = row.unwrap_or_else(|| panic!("{name} has no row"));
        assert!(bug.contains(&format!("(findings/{name}.md)")), "{name}: no link to its finding");
    }
}

#[test]
fn every_row_about_a_manual_names_cases() {
    let cases: BTreeSet<&str> = atlas_cases::catalogue().iter().map(|case| case.name).collect();
    let rows: Vec<&str> = MANUALS.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(rows.len() >= 7, "{} rows", rows.len());
    for row in rows {
        let shown = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        assert!(shown.contains("::"), "{row}: no case");
        for name in names(shown) {
            let known = cases.contains(name) || Quirk::by_name(name).is_some();
            assert!(known, "there is no case and no quirk {name}");
        }
    }
}

#[test]
fn every_finding_linked_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for link in TABLE.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(docs.join(link).is_file(), "{link} is not there");
    }
}
