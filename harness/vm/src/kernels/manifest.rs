//! `vm-images/kernels.toml`: what to boot.

use super::{Error, whole::read_text};
use atlas_model::traits::Series;
use serde::Deserialize;
use std::path::Path;

/// The manifest of this build.
const EMBEDDED: &str = include_str!("../../../../vm-images/kernels.toml");

/// What to boot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The entries, in the order of the file.
    #[serde(rename = "kernel")]
    pub entries: Vec<Entry>,
}

/// One series to boot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// `major.minor`, and all three numbers of 2.6.
    pub series: String,
    /// `default`, or a group that is asked for.
    pub group: String,
    /// Where packages of it are; of all of them the highest version is taken. Empty for kernels that
    /// only come in packages of other kinds, and are added by hand.
    pub from: Vec<Origin>,
    /// What it matters for.
    pub note: String,
}

/// Packages of one suite.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Suite of the archive, such as `trixie-backports`.
    pub suite: String,
    /// POSIX extended regular expression for the whole package name.
    pub package: String,
}

impl Manifest {
    /// The manifest that this build carries.
    ///
    /// # Errors
    /// [`Error::Toml`].
    pub fn embedded() -> Result<Self, Error> {
        Self::parse(EMBEDDED, Path::new("vm-images/kernels.toml"))
    }

    /// Reads a manifest from a file.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Toml`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = read_text(path).map_err(Error::file("cannot read", path))?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Toml { path: path.to_owned(), problem };
        let manifest: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let mut seen = std::collections::BTreeSet::new();
        for entry in &manifest.entries {
            let series: Series =
                entry.series.parse().map_err(|error| wrong(format!("series of an entry: {error}")))?;
            if series.to_string() != entry.series {
                return Err(wrong(format!("`{}` is a release; a series is {series}", entry.series)));
            }
            let unfit = |text: &str| text.is_empty() || text.contains(char::is_whitespace);
            if let Some(origin) =
                entry.from.iter().find(|origin| unfit(&origin.suite) || unfit(&origin.package))
            {
                return Err(wrong(format!(
                    "series {series}: suite and package must be words, not {origin:?}"
                )));
            }
            if !seen.insert(series) {
                return Err(wrong(format!("series {series} stands twice")));
            }
        }
        Ok(manifest)
    }

    /// The entries of a group.
    pub fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.group == group)
    }

    /// The entry of a series.
    #[must_use]
    pub fn series(&self, series: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.series == series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_one_has_the_eleven_default_kernels() {
        let manifest = Manifest::embedded().unwrap();
        assert_eq!(manifest.group("default").count(), 11);
        assert!(manifest.group("historic").count() >= 7);
    }

    #[test]
    fn mistakes_are_named() {
        let parse = |text: &str| Manifest::parse(text, Path::new("k.toml")).unwrap_err().to_string();
        let entry = |series: &str| {
            format!(
                "[[kernel]]\nseries = '{series}'\ngroup = 'g'\nfrom = [{{ suite = 's', package = 'p' }}]\nnote = ''\n"
            )
        };
        assert!(parse(&entry("5.10").replace("'s'", "'s main'")).contains("must be words"));
        assert!(parse("[[kernel]]\nseries = \"5.10\"\n").contains("missing field `group`"));
        assert!(parse(&entry("five")).contains("`five` is not a kernel release"));
        assert!(parse(&entry("5.10.3")).contains("a series is 5.10"));
        assert!(parse(&(entry("5.10") + &entry("5.10"))).contains("stands twice"));
        assert!(parse(&(entry("5.10") + "colour = 1\n")).contains("unknown field `colour`"));
    }
}
