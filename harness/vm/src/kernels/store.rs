//! The cache of kernels on this machine.
//!
//! `store.toml` lists what there is, `images/` holds each image under its SHA-256, `tmp/` what is
//! being written, `apt*/` private apts. Whoever changes anything holds the file `lock`; readers need
//! not, since every file is replaced whole.

use super::fetch::Proof;
use super::whole::write_by;
use super::{Error, deb, image};
use crate::digest;
use atlas_model::traits::Series;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Names the cache directory.
const VARIABLE: &str = "SECCOMP_ATLAS_CACHE";

/// The cache of kernels.
pub struct Store {
    root: PathBuf,
}

/// A kernel in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Unique name: the series for fetched ones.
    pub name: String,
    /// Release, as the image's header says.
    pub release: String,
    /// Where it came from, such as a package and its version.
    pub source: String,
    /// SHA-256 of the image, lower-case hex.
    pub sha256: String,
    /// Its length in bytes.
    pub size: u64,
    /// The package, for fetched ones.
    pub package: Option<String>,
    /// The package's version, for fetched ones.
    pub version: Option<String>,
    /// The suite that the package was taken from, for fetched ones.
    #[serde(default)]
    pub suite: Option<String>,
    /// Whether it belongs to the default group.
    pub default: bool,
    /// Its first boot here.
    pub proof: Proof,
}

/// A kernel that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its name in reports.
    pub name: String,
    /// Release, as the image's header says.
    pub release: String,
    /// The series of the release.
    pub series: Series,
    /// The image.
    pub path: PathBuf,
    /// Where it came from.
    pub source: String,
    /// SHA-256 of the image.
    pub sha256: String,
}

/// `store.toml`.
#[derive(Default, Serialize, Deserialize)]
struct Index {
    #[serde(rename = "kernel", default)]
    kernels: Vec<Stored>,
}

impl Store {
    /// Opens the store of this user: `SECCOMP_ATLAS_CACHE`, or the system's place for caches.
    ///
    /// # Errors
    /// [`Error::NoCache`] and [`Error::File`].
    pub fn open() -> Result<Self, Error> {
        let root = match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            Some(root) => PathBuf::from(root),
            None => directories::ProjectDirs::from("", "", "seccomp-atlas")
                .ok_or(Error::NoCache)?
                .cache_dir()
                .to_owned(),
        };
        Self::at(root)
    }

    /// Opens the store in a directory, which is made if need be.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn at(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        for directory in ["images", "tmp"] {
            let path = root.join(directory);
            fs::create_dir_all(&path).map_err(Error::file("cannot make", &path))?;
        }
        // apt takes relative paths as relative to other places.
        let root = root.canonicalize().map_err(Error::file("cannot find", &root))?;
        Ok(Self { root })
    }

    /// Its directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Waits until no other process changes the store, and keeps others waiting while the file is held.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn lock(&self) -> Result<File, Error> {
        let path = self.root.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::file("cannot open", &path))?;
        file.lock().map_err(Error::file("cannot lock", &path))?;
        Ok(file)
    }

    fn index(&self) -> Result<Index, Error> {
        let path = self.root.join("store.toml");
        match fs::read_to_string(&path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|error| Error::Toml { path, problem: error.to_string() })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Index::default()),
            Err(error) => Err(Error::file("cannot read", path)(error)),
        }
    }

    /// Everything in the store, oldest release first.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Toml`].
    pub fn list(&self) -> Result<Vec<Stored>, Error> {
        let mut kernels = self.index()?.kernels;
        kernels.sort_by_key(|kernel| (kernel.release.parse::<Series>().ok(), kernel.name.clone()));
        Ok(kernels)
    }

    /// Where an image is kept.
    #[must_use]
    pub fn path_of(&self, stored: &Stored) -> PathBuf {
        self.root.join("images").join(&stored.sha256)
    }

    /// Keeps an image and its record, in place of one of the same name. To be called with the lock held.
    pub(super) fn keep(&self, stored: &Stored, image: &[u8]) -> Result<(), Error> {
        self.write(&self.path_of(stored), image)?;
        self.change(|kernels| {
            kernels.retain(|other| other.name != stored.name);
            kernels.push(stored.clone());
        })
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Stored>)) -> Result<(), Error> {
        let mut index = self.index()?;
        change(&mut index.kernels);
        let path = self.root.join("store.toml");
        let text = toml::to_string(&index)
            .map_err(|error| Error::Toml { path: path.clone(), problem: error.to_string() })?;
        self.write(&path, text.as_bytes())?;
        self.drop_unused(&index)
    }

    /// Writes a file of the store by way of `tmp`, which the next fetch clears if we are killed.
    fn write(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        write_by(&self.root.join("tmp"), path, content)
    }

    /// Removes images that no record names: replaced ones, and one that was written just before its
    /// writer was killed.
    fn drop_unused(&self, index: &Index) -> Result<(), Error> {
        let images = self.root.join("images");
        let entries = fs::read_dir(&images).map_err(Error::file("cannot read", &images))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !index.kernels.iter().any(|kernel| name == *kernel.sha256) {
                fs::remove_file(entry.path()).map_err(Error::file("cannot remove", entry.path()))?;
            }
        }
        Ok(())
    }

    /// The record of a kernel.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn get(&self, name: &str) -> Result<Stored, Error> {
        let list = self.list()?;
        let of_release = || list.iter().find(|kernel| kernel.release == name);
        // A kernel may be named by another one's release.
        let found = list.iter().find(|kernel| kernel.name == name).or_else(of_release);
        found.cloned().ok_or_else(|| Error::Unknown(name.into()))
    }

    /// Adds an image or a Debian package that holds one, under a name or its release. The proof is
    /// for the caller to bring, with [`Store::prove`].
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Deb`], [`Error::NotAKernel`], [`Error::BadName`] and [`Error::NameTaken`].
    pub fn add(&self, path: &Path, name: Option<&str>) -> Result<Stored, Error> {
        let _lock = self.lock()?;
        let image = read_image(path)?;
        let release = image::release_of(&image, path)?;
        series_of(&release, path)?;
        let name = name.unwrap_or(&release).to_owned();
        check_name(&name)?;
        if self.list()?.iter().any(|kernel| kernel.name == name) {
            return Err(Error::NameTaken(name));
        }
        let file = path.file_name().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
        let stored = Stored {
            name,
            release,
            source: format!("added from {file}"),
            sha256: digest::of(&image),
            size: image.len() as u64,
            package: None,
            version: None,
            suite: None,
            default: false,
            proof: Proof::NotYet,
        };
        self.keep(&stored, &image)?;
        Ok(stored)
    }

    /// Records how a kernel's first boot went.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::File`] and [`Error::Toml`].
    pub fn prove(&self, name: &str, proof: Proof) -> Result<(), Error> {
        let sha256 = self.get(name)?.sha256;
        self.prove_image(name, &sha256, proof)
    }

    /// The same for one image: another process may have put a newer one in its place meanwhile, of
    /// which the proof says nothing.
    pub(super) fn prove_image(&self, name: &str, sha256: &str, proof: Proof) -> Result<(), Error> {
        let _lock = self.lock()?;
        self.change(|kernels| {
            if let Some(kernel) = kernels.iter_mut().find(|k| k.name == name && k.sha256 == sha256) {
                kernel.proof = proof;
            }
        })
    }

    /// Removes a kernel.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::File`] and [`Error::Toml`].
    pub fn remove(&self, name: &str) -> Result<Stored, Error> {
        let _lock = self.lock()?;
        let stored = self.get(name)?;
        self.change(|kernels| kernels.retain(|kernel| kernel.name != stored.name))?;
        Ok(stored)
    }

    /// Takes back what [`Store::add`] has added, and no other kernel.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Toml`].
    pub fn take_back(&self, added: &Stored) -> Result<(), Error> {
        let _lock = self.lock()?;
        self.change(|kernels| {
            kernels.retain(|kernel| kernel.name != added.name || kernel.sha256 != added.sha256);
        })
    }

    /// Holds an image against its record.
    ///
    /// # Errors
    /// [`Error::Changed`] and [`Error::File`].
    pub fn verify(&self, stored: &Stored) -> Result<(), Error> {
        let path = self.path_of(stored);
        let image = fs::read(&path).map_err(Error::file("cannot read", &path))?;
        let found = digest::of(&image);
        if found == stored.sha256 {
            return Ok(());
        }
        Err(Error::Changed { name: stored.name.clone(), path, found, recorded: stored.sha256.clone() })
    }

    /// The kernels of the default group that count as usable.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Toml`].
    pub fn default_kernels(&self) -> Result<Vec<Kernel>, Error> {
        let usable = |stored: &Stored| stored.default && matches!(stored.proof, Proof::Booted { .. });
        self.list()?.iter().filter(|stored| usable(stored)).map(|stored| self.kernel(stored)).collect()
    }

    /// What a user means by a name: a kernel in the store by its name, release or series, or a path to
    /// an image. The image is not hashed again: that is for [`Store::verify`].
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::NotProven`], [`Error::NotAKernel`] and [`Error::File`].
    pub fn resolve(&self, wanted: &str) -> Result<Kernel, Error> {
        let list = self.list()?;
        let of_series =
            |stored: &&Stored| stored.release.parse::<Series>().is_ok_and(|s| s.to_string() == wanted);
        let named = |stored: &&Stored| stored.name == wanted || stored.release == wanted;
        if let Some(stored) = list.iter().find(named).or_else(|| list.iter().find(of_series)) {
            let reason = match &stored.proof {
                Proof::Booted { .. } => return self.kernel(stored),
                Proof::Failed { reason } => reason.clone(),
                Proof::NotYet => "its first boot was cut short; fetch it again, or remove and add it".into(),
            };
            return Err(Error::NotProven { name: stored.name.clone(), reason });
        }
        let path = Path::new(wanted);
        if !path.exists() {
            return Err(Error::Unknown(wanted.into()));
        }
        if !path.is_file() {
            let problem = "it is no file".into();
            return Err(Error::NotAKernel { path: path.to_owned(), problem });
        }
        let image = read_image(path)?;
        let release = image::release_of(&image, path)?;
        let series = series_of(&release, path)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = path.to_owned();
        Ok(Kernel { name, series, release, path, source: "a file".into(), sha256: digest::of(&image) })
    }

    /// A kernel whose proof is still to come.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::NotAKernel`] for a release without a series.
    pub fn resolve_unproven(&self, stored: &Stored) -> Result<Kernel, Error> {
        self.kernel(stored)
    }

    fn kernel(&self, stored: &Stored) -> Result<Kernel, Error> {
        let path = self.path_of(stored);
        fs::metadata(&path).map_err(Error::file("cannot find", &path))?;
        Ok(Kernel {
            name: stored.name.clone(),
            release: stored.release.clone(),
            series: series_of(&stored.release, &path)?,
            path,
            source: stored.source.clone(),
            sha256: stored.sha256.clone(),
        })
    }
}

fn series_of(release: &str, path: &Path) -> Result<Series, Error> {
    release.parse().map_err(|error: atlas_model::traits::NotARelease| Error::NotAKernel {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

/// Names stand in reports, in names of tests and on command lines.
fn check_name(name: &str) -> Result<(), Error> {
    let bad = |problem| Err(Error::BadName { name: name.into(), problem });
    let fit = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(fit) {
        return bad("it may have letters, digits and ._+~- and may not begin with a dot or a dash");
    }
    if name.parse::<Series>().is_ok_and(|series| series.to_string() == name) {
        return bad("a series alone names the kernel that is fetched");
    }
    Ok(())
}

/// An image, or the one inside a Debian package.
fn read_image(path: &Path) -> Result<Vec<u8>, Error> {
    let cannot = |error| Error::file("cannot read", path)(error);
    let file = File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(deb::LARGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.starts_with(b"!<arch>\n") {
        return deb::image(path);
    }
    if bytes.len() as u64 > deb::LARGEST {
        let problem = format!("it is longer than {} MiB", deb::LARGEST >> 20);
        return Err(Error::NotAKernel { path: path.to_owned(), problem });
    }
    Ok(bytes)
}
