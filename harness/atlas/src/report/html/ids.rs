//! The page's anchors: the same name gives the same anchor in every report, so that links last.

use crate::results::Report;
use std::collections::{HashMap, HashSet};

/// The anchors that the template itself sets.
const TAKEN: [&str; 14] = [
    "top", "failures", "kernels", "cases", "features", "quirks", "legend", "rows", "only", "main",
    "findings", "timeline", "exit", "lacking",
];

/// The anchors of everything that has a place of its own.
pub(super) struct Ids {
    kernels: Vec<String>,
    kernel_places: HashMap<String, usize>,
    cases: HashMap<String, String>,
    features: HashMap<String, String>,
}

impl Ids {
    /// The anchors of a report.
    pub(super) fn new(report: &Report) -> Self {
        let mut taken: HashSet<String> = TAKEN.map(str::to_owned).into();
        let mut kernels = Vec::new();
        let mut kernel_places = HashMap::new();
        for (at, kernel) in report.kernels.iter().enumerate() {
            kernels.push(unique(&slug(&kernel.name), &mut taken));
            kernel_places.entry(kernel.name.clone()).or_insert(at);
        }
        let mut cases = HashMap::new();
        for case in &report.cases {
            let id = || unique(&slug(&case.name), &mut taken);
            cases.entry(case.name.clone()).or_insert_with(id);
        }
        let mut features = HashMap::new();
        for probe in report.kernels.iter().flat_map(|kernel| &kernel.probes) {
            let id = || unique(&slug(&probe.feature), &mut taken);
            features.entry(probe.feature.clone()).or_insert_with(id);
        }
        Self { kernels, kernel_places, cases, features }
    }

    /// A kernel's anchor, by its place in the report.
    pub(super) fn kernel(&self, at: usize) -> &str {
        &self.kernels[at]
    }

    /// A case's anchor; empty for one that the report does not list.
    pub(super) fn case(&self, name: &str) -> &str {
        self.cases.get(name).map_or("", String::as_str)
    }

    /// A feature's or quirk's anchor; empty for one that was not probed.
    pub(super) fn feature(&self, name: &str) -> &str {
        self.features.get(name).map_or("", String::as_str)
    }

    /// The anchor of a case on a kernel, by names.
    pub(super) fn case_on(&self, case: &str, kernel: &str) -> String {
        match self.kernel_places.get(kernel) {
            Some(&at) => self.cell(self.case(case), at),
            None => self.case(case).to_owned(),
        }
    }

    /// The anchor of a row's cell. No name's anchor holds an `@`, so it is unique.
    pub(super) fn cell(&self, row: &str, kernel: usize) -> String {
        format!("{row}@{}", self.kernels[kernel])
    }
}

/// A name in the characters that need no escape in a link's fragment.
fn slug(name: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || "._:+-".contains(c) { c } else { '-' }
    };
    let slug: String = name.chars().take(100).map(keep).collect();
    if slug.is_empty() { "-".into() } else { slug }
}

/// The name, with a number where it is taken.
fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    let mut id = name.to_owned();
    let mut number = 2;
    while !taken.insert(id.clone()) {
        id = format!("{name}~{number}");
        number += 1;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_plain_and_unique() {
        let mut taken = HashSet::new();
        assert_eq!(unique(&slug("errno::cap 4095"), &mut taken), "errno::cap-4095");
        assert_eq!(unique(&slug("errno::cap@4095"), &mut taken), "errno::cap-4095~2");
        assert_eq!(slug("\"><script>"), "---script-");
    }
}
