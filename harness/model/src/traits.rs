//! What sets kernels apart: features they have and quirks they show.
//!
//! The model never asks for a kernel's version. A kernel is described by its [`Traits`], which its
//! probes find out, and that one set must then explain every observation made on it. Releases
//! stand here for one purpose: so that a probe's answer can be held against the mainline release
//! of the same series (the timeline verdict).

pub mod feature;
pub mod quirk;

pub use feature::Feature;
pub use quirk::Quirk;

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A series of kernel releases: `major.minor`, and before 3.0, when the first two numbers stayed at 2.6,
/// all three.
///
/// ```
/// use atlas_model::traits::Series;
/// let series: Series = "6.12.117+deb13-cloud-amd64".parse().unwrap();
/// assert_eq!(series, Series::new(6, 12));
/// assert!(series > Series::new(6, 2));
/// let old: Series = "2.6.32-5-amd64".parse().unwrap();
/// assert_eq!((old, old.to_string().as_str()), (Series::of_2_6(32), "2.6.32"));
/// assert!(Series::of_2_6(9) < Series::of_2_6(10) && old < Series::new(3, 0));
/// assert!("2.6".parse::<Series>().is_err() && "2.6.70000".parse::<Series>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    major: u16,
    minor: u16,
    /// The third number of 2.6, and 0 of all else.
    third: u16,
}

impl Series {
    /// The series of these two numbers, since 3.0.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor, third: 0 }
    }

    /// 2.6 with a third number.
    #[must_use]
    pub const fn of_2_6(third: u16) -> Self {
        Self { major: 2, minor: 6, third }
    }
}

/// `_`, or the numbers in brackets as the tables of features and quirks have them.
macro_rules! series {
    (_) => {
        None
    };
    ((2, 6, $third:literal)) => {
        Some($crate::traits::Series::of_2_6($third))
    };
    (($major:literal, $minor:literal)) => {
        Some($crate::traits::Series::new($major, $minor))
    };
}
pub(crate) use series;

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.third > 0 { write!(f, ".{}", self.third) } else { Ok(()) }
    }
}

/// A release string that does not begin with the numbers of a series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a kernel release: it must begin with major.minor, such as 6.12, or with 2.6 and a third number"
)]
pub struct NotARelease(String);

impl std::str::FromStr for Series {
    type Err = NotARelease;

    fn from_str(release: &str) -> Result<Self, NotARelease> {
        let error = || NotARelease(release.chars().take(64).collect());
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(2)), Some(Ok(6)), Some(Ok(third))) => Ok(Self::of_2_6(third)),
            (Some(Ok(2)), Some(Ok(6)), _) => Err(error()),
            (Some(Ok(major)), Some(Ok(minor)), _) => Ok(Self::new(major, minor)),
            _ => Err(error()),
        }
    }
}

/// Whether a quirk was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A difference that was meant, or that nobody calls a fault.
    Change,
    /// A fault, with releases that fixed it.
    Bug,
}

/// What a kernel can do and how it differs from the newest one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traits {
    /// What it can do.
    pub features: BTreeSet<Feature>,
    /// In what it differs.
    pub quirks: BTreeSet<Quirk>,
}

impl Traits {
    /// The newest kernel the model knows: every feature of a mainline build for x86-64 without
    /// x32, and no quirk that has ended.
    #[must_use]
    pub fn newest() -> Self {
        Self {
            features: Feature::ALL.iter().copied().filter(|&f| f != Feature::AbiX32).collect(),
            quirks: Quirk::ALL.iter().copied().filter(|q| q.info().until.is_none()).collect(),
        }
    }

    /// What the mainline release of a series has, as far as the build does not decide.
    #[must_use]
    pub fn mainline(series: Series) -> Self {
        Self {
            features: Feature::ALL.iter().copied().filter(|f| f.info().since <= series).collect(),
            quirks: Quirk::ALL.iter().copied().filter(|q| q.info().shown_by(series)).collect(),
        }
    }

    /// Whether the kernel has a feature.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Whether the kernel shows a quirk.
    #[must_use]
    pub fn shows(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// The same kernel without one quirk.
    #[must_use]
    pub fn without(&self, quirk: Quirk) -> Self {
        let mut other = self.clone();
        other.quirks.remove(&quirk);
        other
    }
}
