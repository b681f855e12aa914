//! The glyphs and names of what a table's cell can say.

use super::wording::thousands;
use crate::results::{ProbeKind, ProbeResult, Timeline, Verdict};

/// What a cell of a table says: a verdict, with the two that need telling apart told apart.
///
/// The order is that of severity: the worst of several is their greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mark {
    Conforms,
    ByQuirk,
    Absent,
    KnownBug,
    NotRun,
    Hung,
    Crashed,
    Deviates,
}

impl Mark {
    /// Every mark, best first.
    pub(crate) const ALL: [Self; 8] = [
        Self::Conforms,
        Self::ByQuirk,
        Self::Absent,
        Self::KnownBug,
        Self::NotRun,
        Self::Hung,
        Self::Crashed,
        Self::Deviates,
    ];

    /// The mark of a result.
    pub(crate) fn of(verdict: Verdict, quirks: &[String]) -> Self {
        match verdict {
            Verdict::Conforms if quirks.is_empty() => Self::Conforms,
            Verdict::Conforms => Self::ByQuirk,
            Verdict::KnownBug => Self::KnownBug,
            Verdict::Absent => Self::Absent,
            Verdict::Deviates => Self::Deviates,
            Verdict::Crashed => Self::Crashed,
            Verdict::Hung => Self::Hung,
            Verdict::NotRun => Self::NotRun,
        }
    }

    /// The verdict that it shows.
    fn verdict(self) -> Verdict {
        match self {
            Self::Conforms | Self::ByQuirk => Verdict::Conforms,
            Self::Absent => Verdict::Absent,
            Self::KnownBug => Verdict::KnownBug,
            Self::NotRun => Verdict::NotRun,
            Self::Hung => Verdict::Hung,
            Self::Crashed => Verdict::Crashed,
            Self::Deviates => Verdict::Deviates,
        }
    }

    /// One character, one column wide, told apart without colour.
    pub(crate) fn glyph(self) -> &'static str {
        match self {
            Self::ByQuirk => "≈",
            // The hourglass that stands for it elsewhere is missing from many fonts.
            Self::Hung => "∞",
            _ => self.verdict().glyph(),
        }
    }

    /// The verdict in the project's vocabulary.
    pub(crate) fn name(self) -> &'static str {
        if self == Self::ByQuirk { "conforms by a quirk" } else { self.verdict().name() }
    }

    /// One sentence for a legend.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Conforms => "seen exactly as the model says",
            Self::ByQuirk => "as the model says of a kernel with a named, meant difference",
            Self::Absent => "a feature the case needs is not there, as its probe said",
            Self::KnownBug => "explained by a named bug that this kernel still has",
            Self::NotRun => "could not be run; the note says why",
            Self::Hung => "did not end in time",
            Self::Crashed => "the guest was lost",
            Self::Deviates => "nothing explains what was seen",
        }
    }

    /// As a word for style sheets.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Conforms => "ok",
            Self::ByQuirk => "quirk",
            Self::Absent => "absent",
            Self::KnownBug => "bug",
            Self::NotRun => "notrun",
            Self::Hung => "hung",
            Self::Crashed => "crashed",
            Self::Deviates => "bad",
        }
    }

    /// Whether it makes a run's exit status 1.
    pub(crate) fn fails(self) -> bool {
        self.verdict().fails()
    }

    /// What a number of cases or results with this mark do, such as `3 deviate`.
    pub(crate) fn verb(self, count: usize) -> String {
        format!("{} {}", thousands(count), self.bare_verb(count))
    }

    /// The same without the number.
    pub(crate) fn bare_verb(self, count: usize) -> &'static str {
        let one = count == 1;
        match self {
            Self::Conforms if one => "conforms",
            Self::Conforms => "conform",
            Self::ByQuirk if one => "conforms by a quirk",
            Self::ByQuirk => "conform by a quirk",
            Self::Absent if one => "lacks a feature",
            Self::Absent => "lack a feature",
            Self::KnownBug if one => "shows a known bug",
            Self::KnownBug => "show a known bug",
            Self::NotRun if one => "was not run",
            Self::NotRun => "were not run",
            Self::Hung => "hung",
            Self::Crashed => "crashed",
            Self::Deviates if one => "deviates",
            Self::Deviates => "deviate",
        }
    }
}

/// What a cell of the table of features says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FeatureMark {
    /// One character for the answer, `glyph` of a cell.
    pub(crate) glyph: &'static str,
    /// One character for the timeline; empty when as mainline.
    pub(crate) tag: &'static str,
    /// In words, such as `there, backported`.
    pub(crate) words: &'static str,
    /// As a word for style sheets.
    pub(crate) class: &'static str,
}

impl FeatureMark {
    /// The mark of a probe's answer; `None` where the report holds no answer.
    pub(crate) fn of(probe: Option<&ProbeResult>) -> Self {
        let Some(probe) = probe else {
            return Self { glyph: "?", tag: "", words: "not probed", class: "notrun" };
        };
        let mark = |glyph, tag, words, class| Self { glyph, tag, words, class };
        use ProbeKind::{Bug, Change, Feature};
        use Timeline::{AsMainline, Backported, Missing, Unknown};
        match (probe.present, probe.kind, probe.timeline) {
            (None, _, _) => mark("?", "", "the probe could not tell", "notrun"),
            (Some(true), Feature, AsMainline) => mark("✓", "", "there, as mainline", "ok"),
            (Some(true), Feature, Backported) => mark("✓", "+", "there, backported", "plus"),
            (Some(true), Feature, Missing | Unknown) => mark("✓", "", "there", "ok"),
            (Some(false), Feature, AsMainline) => mark("–", "", "not there, as mainline", "absent"),
            (Some(false), Feature, Missing) => mark("–", "−", "missing though mainline has it", "bug"),
            (Some(false), Feature, Backported | Unknown) => mark("–", "", "not there", "absent"),
            (Some(true), Change, AsMainline) => mark("≈", "", "shown, as mainline", "quirk"),
            (Some(true), Change, Backported) => mark("≈", "+", "shown, backported", "plus"),
            (Some(true), Change, Missing) => mark("≈", "−", "shown though mainline ended it", "bug"),
            (Some(true), Change, Unknown) => mark("≈", "", "shown", "quirk"),
            (Some(false), Change, AsMainline) => mark("·", "", "not shown, as mainline", "absent"),
            (Some(false), Change, Backported) => mark("·", "+", "not shown, ended by a backport", "plus"),
            (Some(false), Change, Missing) => mark("·", "−", "not shown though mainline shows it", "bug"),
            (Some(false), Change, Unknown) => mark("·", "", "not shown", "absent"),
            (Some(true), Bug, AsMainline) => mark("!", "", "has the bug, as mainline", "bug"),
            (Some(true), Bug, Missing) => mark("!", "−", "has the bug though mainline fixed it", "bad"),
            (Some(true), Bug, Backported) => mark("!", "+", "has the bug, backported", "bug"),
            (Some(true), Bug, Unknown) => mark("!", "", "has the bug", "bug"),
            (Some(false), Bug, AsMainline) => mark("✓", "", "free of the bug, as mainline", "ok"),
            (Some(false), Bug, Backported) => mark("✓", "+", "free of the bug by a backported fix", "plus"),
            (Some(false), Bug, Missing | Unknown) => mark("✓", "", "free of the bug", "ok"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyphs_are_told_apart_without_colour() {
        let mut glyphs = Mark::ALL.map(Mark::glyph).to_vec();
        glyphs.sort_unstable();
        glyphs.dedup();
        assert_eq!(glyphs.len(), Mark::ALL.len());
    }
}
