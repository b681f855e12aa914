//! Fetching: from the manifest's series to proven images in the store.

use super::apt::{self, Apt, Package, Unread};
use super::{Archive, Entry, Error, Kernel, Lock, Locked, Manifest, Store, Stored, deb, image};
use crate::digest;
use crate::qemu::all_were_killed;
use serde::{Deserialize, Serialize};
use std::fs;

/// How a kernel's first boot here went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Proof {
    /// It has not been booted yet.
    #[default]
    NotYet,
    /// It booted.
    Booted {
        /// `uname -r`.
        release: String,
        /// What ran it.
        accelerator: String,
        /// The CPU model.
        cpu: String,
        /// What its probes found, in one line.
        probes: String,
    },
    /// It did not boot.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What to fetch, and from where.
#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// These series; all of the group when empty.
    pub series: Vec<String>,
    /// The group.
    pub group: Option<String>,
    /// Another archive than the machine's own.
    pub archive: Option<Archive>,
    /// Take the newest packages, whatever the lock says.
    pub update: bool,
}

/// What happens while fetching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// The archive's lists are being fetched.
    Lists,
    /// A kernel is there already.
    Present {
        /// Its series.
        series: String,
    },
    /// The locked version has left the archive.
    FellForward {
        /// The series.
        series: String,
        /// The version in the lock.
        locked: String,
        /// The version taken.
        taken: String,
    },
    /// A package is being downloaded.
    Downloading {
        /// The series.
        series: String,
        /// The package.
        package: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The kernel is being booted for the first time.
    Proving {
        /// Its series.
        series: String,
    },
    /// The kernel is in the store.
    Ready(Box<Stored>),
}

impl Store {
    /// Fetches what is missing, boots each for the first time with `prove`, and records all. A kernel
    /// that is there and has booted stays as it is, unless an update is asked for; one whose first
    /// boot was cut short or failed is booted again, and not downloaded again. One kernel that fails
    /// does not keep the others from being fetched: the errors come at the end.
    ///
    /// Two fetches at once are safe: the second waits for the first one's downloads and finds them.
    /// `prove` is called without the store's lock held.
    ///
    /// Once [`crate::kill_all`] was called there are no more downloads and proofs, and what was being booted stays as
    /// it was.
    ///
    /// # Errors
    /// [`Error`] at once where nothing can be fetched at all.
    pub fn fetch(
        &self,
        manifest: &Manifest,
        lock: &Lock,
        options: &FetchOptions,
        tell: &mut dyn FnMut(FetchEvent),
        prove: &mut dyn FnMut(&Kernel) -> Proof,
    ) -> Result<Vec<Error>, Error> {
        let entries = chosen(manifest, options)?;
        let held = self.lock()?;
        // A fetch that was killed has left its downloads; nobody else is fetching now.
        let scratch = self.root().join("tmp");
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch).map_err(Error::file("cannot make", &scratch))?;
        let mut to_prove = Vec::new();
        let mut missing = Vec::new();
        for entry in entries {
            match self.there(entry)? {
                _ if options.update => missing.push(entry),
                None => missing.push(entry),
                Some(stored) => to_prove.extend(unless_proven(stored, tell)),
            }
        }
        let mut errors = Vec::new();
        if !missing.is_empty() {
            match self.download(&missing, lock, options, tell, &mut errors) {
                Ok(stored) => to_prove.extend(stored),
                // What is on disk can be booted all the same.
                Err(error) if !to_prove.is_empty() => errors.push(error),
                Err(error) => return Err(error),
            }
        }
        drop(held);
        for mut stored in to_prove {
            tell(FetchEvent::Proving { series: stored.name.clone() });
            stored.proof = prove(&self.resolve_unproven(&stored)?);
            if all_were_killed() {
                break;
            }
            self.prove_image(&stored.name, &stored.sha256, stored.proof.clone())?;
            if let Proof::Failed { reason } = &stored.proof {
                errors.push(Error::NotProven { name: stored.name.clone(), reason: reason.clone() });
            }
            tell(FetchEvent::Ready(Box::new(stored)));
        }
        Ok(errors)
    }

    /// The fetched kernel of an entry, if its image is as recorded.
    fn there(&self, entry: &Entry) -> Result<Option<Stored>, Error> {
        let mut fetched = self.list()?.into_iter().filter(|stored| stored.package.is_some());
        Ok(fetched.find(|stored| stored.name == entry.series && self.verify(stored).is_ok()))
    }

    /// Puts what can be had of these into the store, unproven.
    fn download(
        &self,
        entries: &[&Entry],
        lock: &Lock,
        options: &FetchOptions,
        tell: &mut dyn FnMut(FetchEvent),
        errors: &mut Vec<Error>,
    ) -> Result<Vec<Stored>, Error> {
        let mut suites: Vec<String> =
            entries.iter().flat_map(|entry| entry.from.iter().map(|origin| origin.suite.clone())).collect();
        suites.sort_unstable();
        suites.dedup();
        let apt = Apt::set_up(self.root(), suites, options.archive.as_ref())?;
        tell(FetchEvent::Lists);
        let unread = apt.update()?;
        let mut fetched = Vec::new();
        for entry in entries {
            if all_were_killed() {
                break;
            }
            let locked = lock.series(&entry.series).filter(|_| !options.update);
            let taken = choose(&apt, entry, locked, unread.as_ref(), tell)
                .and_then(|package| self.take(&apt, entry, &package, locked, tell));
            match taken {
                Ok(stored) => fetched.extend(unless_proven(stored, tell)),
                Err(error) => errors.push(error),
            }
        }
        Ok(fetched)
    }

    /// Downloads a package and keeps the image inside, unless that is there already.
    fn take(
        &self,
        apt: &Apt,
        entry: &Entry,
        package: &Package,
        locked: Option<&Locked>,
        tell: &mut dyn FnMut(FetchEvent),
    ) -> Result<Stored, Error> {
        let the_same = |stored: &Stored| {
            stored.package.as_ref() == Some(&package.name)
                && stored.version.as_ref() == Some(&package.version)
        };
        if let Some(stored) = self.there(entry)?.filter(the_same) {
            return Ok(stored);
        }
        let directory = tempfile::tempdir_in(self.root().join("tmp"))
            .map_err(Error::file("cannot make a directory in", self.root()))?;
        let deb = apt.download(package, directory.path(), &mut |done, total| {
            tell(FetchEvent::Downloading {
                series: entry.series.clone(),
                package: package.name.clone(),
                done,
                total,
            });
        })?;
        let image = deb::image(&deb)?;
        let release = image::release_of(&image, &deb)?;
        let sha256 = digest::of(&image);
        if let Some(locked) = locked.filter(|locked| is(package, locked) && locked.sha256 != sha256) {
            return Err(Error::NotAsLocked {
                series: entry.series.clone(),
                package: package.name.clone(),
                version: package.version.clone(),
                found: sha256,
                locked: locked.sha256.clone(),
            });
        }
        let stored = Stored {
            name: entry.series.clone(),
            release,
            source: format!("{} {} ({})", package.name, package.version, package.suite),
            sha256,
            size: image.len() as u64,
            package: Some(package.name.clone()),
            version: Some(package.version.clone()),
            suite: Some(package.suite.clone()),
            default: entry.group == "default",
            proof: Proof::NotYet,
        };
        self.keep(&stored, &image)?;
        Ok(stored)
    }
}

/// A kernel that has still to be booted; one that has booted is only told of.
fn unless_proven(stored: Stored, tell: &mut dyn FnMut(FetchEvent)) -> Option<Stored> {
    if !matches!(stored.proof, Proof::Booted { .. }) {
        return Some(stored);
    }
    tell(FetchEvent::Present { series: stored.name });
    None
}

fn is(package: &Package, locked: &Locked) -> bool {
    package.name == locked.package && package.version == locked.version
}

/// The locked package, or the newest that any origin has.
fn choose(
    apt: &Apt,
    entry: &Entry,
    locked: Option<&Locked>,
    unread: Option<&Unread>,
    tell: &mut dyn FnMut(FetchEvent),
) -> Result<Package, Error> {
    let mut packages = Vec::new();
    for origin in &entry.from {
        packages.extend(apt.matching(&origin.suite, &origin.package)?);
    }
    if let Some(package) = packages.iter().find(|package| locked.is_some_and(|locked| is(package, locked))) {
        return Ok(package.clone());
    }
    let Some(package) = apt::newest(&packages)?.cloned() else {
        let looked_for: Vec<String> =
            entry.from.iter().map(|origin| format!("{} in {}", origin.package, origin.suite)).collect();
        let missed =
            unread.filter(|unread| entry.from.iter().any(|origin| unread.suites.contains(&origin.suite)));
        return Err(Error::NoPackage {
            series: entry.series.clone(),
            looked_for: looked_for.join(", nor "),
            unread: missed
                .map(|unread| format!(" ({} could not be read: {})", unread.suites.join(", "), unread.said))
                .unwrap_or_default(),
        });
    };
    if let Some(locked) = locked {
        tell(FetchEvent::FellForward {
            series: entry.series.clone(),
            locked: locked.version.clone(),
            taken: package.version.clone(),
        });
    }
    Ok(package)
}

fn chosen<'a>(manifest: &'a Manifest, options: &'a FetchOptions) -> Result<Vec<&'a Entry>, Error> {
    let group = options.group.as_deref().unwrap_or("default");
    let entries: Vec<&Entry> = if options.series.is_empty() {
        manifest.group(group).collect()
    } else {
        let find = |series: &String| {
            manifest.series(series).ok_or_else(|| Error::NoEntry(format!("series `{series}`")))
        };
        options.series.iter().map(find).collect::<Result<_, _>>()?
    };
    if entries.is_empty() {
        return Err(Error::NoEntry(format!("group `{group}`")));
    }
    for entry in &entries {
        if entry.from.is_empty() {
            return Err(Error::Rpm { series: entry.series.clone(), note: entry.note.clone() });
        }
        if entry.group != "default" && options.archive.is_none() {
            return Err(Error::ArchiveNeeded(entry.group.clone()));
        }
    }
    Ok(entries)
}
