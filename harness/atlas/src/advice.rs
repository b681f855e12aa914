//! What each feature and quirk means for who ships a sandbox.
//!
//! What a kernel with it does is told by the model (`about`). Here stands what a kernel without it does
//! instead, and what to do about the difference, in one sentence each. Sources are those of the feature or
//! quirk in `atlas_model::traits`, unless a line names another.

mod feature;
mod quirk;

use atlas_cases::Subject;

/// What a feature or quirk means for who ships a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What a kernel without it does.
    pub instead: &'static str,
    /// What to do.
    pub advice: &'static str,
}

/// What is to be said of a feature or quirk.
#[must_use]
pub fn of(subject: Subject) -> Advice {
    let (instead, advice) = match subject {
        Subject::Feature(feature) => feature::texts(feature),
        Subject::Quirk(quirk) => quirk::texts(quirk),
    };
    Advice { instead, advice }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::traits::{Feature, Quirk};
    use std::collections::BTreeSet;

    /// One sentence that a table's cell can hold.
    fn wrong(text: &str) -> Option<&'static str> {
        if text.len() < 20 {
            Some("it says nothing")
        } else if text.chars().count() > 160 {
            Some("it is too long")
        } else if !text.ends_with('.') || text.ends_with("..") {
            Some("it does not end with a full stop")
        } else if [". ", "! ", "? ", "\n"].iter().any(|end| text.contains(end)) {
            Some("it is more than one sentence")
        } else if !text.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit() || c == '/')
            && !text.contains("(2)")
        {
            Some("it does not begin as a sentence")
        } else {
            None
        }
    }

    #[test]
    fn each_is_one_sentence_of_its_own() {
        let features = Feature::ALL.iter().map(|&feature| (feature.info().name, Subject::Feature(feature)));
        let quirks = Quirk::ALL.iter().map(|&quirk| (quirk.info().name, Subject::Quirk(quirk)));
        let mut problems = Vec::new();
        let mut advised = BTreeSet::new();
        for (name, subject) in features.chain(quirks) {
            let Advice { instead, advice } = of(subject);
            for text in [instead, advice] {
                problems.extend(
                    wrong(text).map(|why| format!("{name}: {why} ({}): {text}", text.chars().count())),
                );
            }
            // What to do about one thing is not what to do about another.
            if !advised.insert(advice) {
                problems.push(format!("{name}: the advice stands twice: {advice}"));
            }
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        assert_eq!(advised.len(), Feature::ALL.len() + Quirk::ALL.len());
    }

    #[test]
    fn what_is_no_sentence_is_noticed() {
        assert_eq!(wrong("The flag gives EINVAL, as any unknown flag."), None);
        for text in [
            "",
            "Short.",
            "The flag gives EINVAL, as any unknown flag",
            "The flag gives EINVAL. It is unknown to the kernel.",
            "the flag gives an errno as others do.",
        ] {
            assert!(wrong(text).is_some(), "{text}");
        }
        assert!(wrong(&format!("A{}.", "a".repeat(160))).is_some());
    }
}
