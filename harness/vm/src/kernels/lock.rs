//! `vm-images/kernels.lock`: which exact packages were booted.
//!
//! The lock belongs to the repository and pins what is fetched; `store.toml` belongs to one machine
//! and says what it has. A kernel that is on disk and has booted stays as it is, whatever the lock
//! says: no network is needed for it. Only [`super::FetchOptions::update`] replaces it.

use super::{Error, Proof, Stored, whole::read_text};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The lock of this build.
const EMBEDDED: &str = include_str!("../../../../vm-images/kernels.lock");
/// First lines of a written lock.
const HEADER: &str = "# Which packages were booted last. Written by `atlas kernels fetch --update --lock FILE`.\n# A version that has left the archive falls forward within its series.\n\n";

/// Which exact packages were booted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// One a series.
    #[serde(rename = "kernel", default)]
    pub kernels: Vec<Locked>,
}

/// One locked kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// `major.minor`, and all three numbers of 2.6.
    pub series: String,
    /// Release, as the image's header says.
    pub release: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The suite that it was taken from.
    #[serde(default)]
    pub suite: String,
    /// SHA-256 of the image, lower-case hex.
    pub sha256: String,
    /// Length of the image in bytes.
    #[serde(default)]
    pub size: u64,
    /// What it first booted on: accelerator and CPU model.
    #[serde(default)]
    pub proven: String,
}

impl Lock {
    /// The lock that this build carries.
    ///
    /// # Errors
    /// [`Error::Toml`].
    pub fn embedded() -> Result<Self, Error> {
        Self::parse(EMBEDDED, Path::new("vm-images/kernels.lock"))
    }

    /// Reads a lock; a file that is not there is an empty one.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Toml`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        match read_text(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::file("cannot read", path)(error)),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        toml::from_str(text)
            .map_err(|error| Error::Toml { path: path.to_owned(), problem: error.to_string() })
    }

    /// What is locked for a series.
    #[must_use]
    pub fn series(&self, series: &str) -> Option<&Locked> {
        self.kernels.iter().find(|locked| locked.series == series)
    }

    /// Puts a kernel in, in place of the one of its series.
    pub fn put(&mut self, locked: Locked) {
        self.kernels.retain(|other| other.series != locked.series);
        self.kernels.push(locked);
        self.kernels.sort_by_key(|locked| locked.series.parse::<atlas_model::traits::Series>().ok());
    }

    /// Puts a fetched kernel in. One that did not boot, or was added by hand, is not for others to
    /// fetch: it is left out, and what the lock says of its series stays.
    pub fn record(&mut self, stored: &Stored) {
        let (Some(package), Some(version), Some(suite)) = (&stored.package, &stored.version, &stored.suite)
        else {
            return;
        };
        let Proof::Booted { accelerator, cpu, .. } = &stored.proof else { return };
        self.put(Locked {
            series: stored.name.clone(),
            release: stored.release.clone(),
            package: package.clone(),
            version: version.clone(),
            suite: suite.clone(),
            sha256: stored.sha256.clone(),
            size: stored.size,
            proven: format!("{accelerator}, CPU {cpu}"),
        });
    }

    /// Writes the lock.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = toml::to_string(self)
            .map_err(|error| Error::Toml { path: path.to_owned(), problem: error.to_string() })?;
        super::whole::write_whole(path, format!("{HEADER}{text}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(proof: Proof) -> Stored {
        Stored {
            name: "6.12".into(),
            release: "6.12.1-test".into(),
            source: "p 1 (s)".into(),
            sha256: "ab".into(),
            size: 7,
            package: Some("p".into()),
            version: Some("1".into()),
            suite: Some("s".into()),
            default: true,
            proof,
        }
    }

    fn booted() -> Proof {
        Proof::Booted {
            release: "6.12.1-test".into(),
            accelerator: "tcg".into(),
            cpu: "max".into(),
            probes: String::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut lock = Lock::default();
        lock.record(&stored(booted()));
        lock.record(&Stored { name: "5.10".into(), ..stored(booted()) });
        let file = tempfile::NamedTempFile::new().unwrap();
        lock.write(file.path()).unwrap();
        assert_eq!(Lock::read(file.path()).unwrap(), lock);
        let series: Vec<&str> = lock.kernels.iter().map(|locked| locked.series.as_str()).collect();
        assert_eq!(series, ["5.10", "6.12"], "sorted as numbers");
    }

    #[test]
    fn only_fetched_kernels_that_booted_are_recorded() {
        let mut lock = Lock::default();
        lock.record(&stored(Proof::NotYet));
        lock.record(&stored(Proof::Failed { reason: "panic".into() }));
        lock.record(&Stored { package: None, ..stored(booted()) });
        assert_eq!(lock, Lock::default());
    }

    #[test]
    fn the_embedded_one_is_valid() {
        Lock::embedded().unwrap();
    }
}
