//! Bugs in the words of those who ask whether their kernel has them: vulnerable, or fixed.

use atlas_model::traits::quirk::Info;
use atlas_model::traits::{Kind, Quirk, Traits};

/// Where a bug is argued, from the root of the sources; `None` for what was meant.
#[must_use]
pub fn finding(quirk: Quirk) -> Option<String> {
    let Info { kind, name, .. } = quirk.info();
    (kind == Kind::Bug).then(|| format!("docs/findings/{name}.md"))
}

/// A probe's answer about a bug.
pub(crate) fn answer(present: Option<bool>) -> &'static str {
    match present {
        Some(true) => "vulnerable",
        Some(false) => "fixed",
        None => "could not tell",
    }
}

/// The bugs that a kernel does not have and that would change what is to be seen.
pub(crate) fn fixed(traits: &Traits, changes: impl Fn(&Traits) -> bool) -> Vec<Quirk> {
    let would_show = |quirk: &Quirk| {
        let mut with = traits.clone();
        with.quirks.insert(*quirk) && changes(&with)
    };
    let bugs = Quirk::ALL.iter().copied().filter(|quirk| quirk.info().kind == Kind::Bug);
    bugs.filter(would_show).collect()
}

/// What a verdict leans on: the quirks that explain it, and the bugs that it shows to be fixed.
pub(crate) fn explained(quirks: &[Quirk], fixed: &[Quirk]) -> String {
    let leant = quirks.iter().map(|&quirk| {
        let info = quirk.info();
        let sentence = format!("{} ({}): {}", info.name, info.span(), info.about);
        match finding(quirk) {
            Some(path) => format!("vulnerable: {sentence} See {path}."),
            None => sentence,
        }
    });
    let fixed = fixed.iter().map(|quirk| format!("fixed: {}", quirk.info().name));
    leant.chain(fixed).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Of each bug its finding names the function at fault, the releases, and the backports.
    #[test]
    fn every_bug_has_its_finding() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut problems = Vec::new();
        for &quirk in Quirk::ALL {
            let Some(path) = finding(quirk) else { continue };
            let Ok(text) = std::fs::read_to_string(root.join(&path)) else {
                problems.push(format!("{path} is not there"));
                continue;
            };
            let info = quirk.info();
            let ends = match info.until {
                Some(series) => text.contains(&series.to_string()),
                None => text.contains("No release"),
            };
            for (what, there) in [
                ("a kernel source's file", text.contains(".c") || text.contains(".h")),
                ("a function", text.contains("_") && text.contains('`')),
                ("the release that fixed it, or that none has", ends),
                ("stable releases", text.to_lowercase().contains("stable")),
                ("its probe", text.contains(&format!("`{}`", info.name))),
            ] {
                if !there {
                    problems.push(format!("{path} does not name {what}"));
                }
            }
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    #[test]
    fn a_verdict_says_vulnerable_or_fixed() {
        let leant = explained(&[Quirk::TsyncTraceBypass, Quirk::UprobeExempt], &[Quirk::TraceNoRecheck]);
        let lines: Vec<&str> = leant.lines().collect();
        assert!(lines[0].starts_with("vulnerable: tsync-trace-bypass (3.17 to before 7.3)"), "{leant}");
        assert!(lines[0].ends_with("See docs/findings/tsync-trace-bypass.md."), "{leant}");
        assert!(lines[1].starts_with("uprobe-exempt (since 6.18)"), "{leant}");
        assert_eq!(lines[2], "fixed: trace-no-recheck");
    }

    #[test]
    fn what_a_kernel_has_is_not_fixed() {
        let mut traits = Traits::newest();
        let all = fixed(&traits, |_| true);
        traits.quirks.insert(all[0]);
        assert_eq!(fixed(&traits, |_| true), all[1..]);
        assert_eq!(fixed(&traits, |_| false), []);
    }
}
