//! Which measurements are taken.

use crate::bench::item::{Item, REFERENCE};
use crate::bench::list;
use crate::cli::Failure;
use globset::Glob;
use std::collections::BTreeSet;

/// The name under which the look at mitigations is selected.
const MITIGATIONS: &str = "mitigations";

pub(super) fn wants_mitigations(patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| pattern == MITIGATIONS)
}

/// The measurements that patterns select, with those that they are compared with.
pub(super) fn select(patterns: &[String], own: bool) -> Result<Vec<Item>, Failure> {
    let all = list::all();
    if patterns.is_empty() {
        return Ok(if own { vec![] } else { all });
    }
    let mut wanted = BTreeSet::from([REFERENCE.to_owned()]);
    for pattern in patterns.iter().filter(|pattern| *pattern != MITIGATIONS) {
        let glob = Glob::new(&format!("{{{pattern},{pattern}/*}}"))
            .map_err(|error| format!("`{pattern}` is not a pattern: {}", error.kind()))?;
        let matcher = glob.compile_matcher();
        let before = wanted.len();
        for item in all.iter().filter(|item| matcher.is_match(&item.name)) {
            wanted.insert(item.name.clone());
            wanted.extend(item.baseline.clone());
        }
        if wanted.len() == before && pattern != REFERENCE {
            return Err(
                format!("no measurement matches `{pattern}`; `atlas bench --list` shows them all").into()
            );
        }
    }
    Ok(all.into_iter().filter(|item| wanted.contains(&item.name)).collect())
}
