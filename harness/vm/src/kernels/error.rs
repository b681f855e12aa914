//! What can go wrong with kernels on disk.

use std::io;
use std::path::PathBuf;

/// Why a kernel could not be found, fetched, unpacked or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{what} {path}: {source}")]
    File {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A TOML file is not what it should be.
    #[error("{path} is not valid: {problem}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There is no place for a cache.
    #[error("no home directory to keep kernels in: set SECCOMP_ATLAS_CACHE to a directory")]
    NoCache,
    /// There is no apt.
    #[error(
        "this machine has no {0}, so kernels cannot be fetched from its archive; give images of your own with `atlas kernels add FILE`"
    )]
    NoApt(String),
    /// apt failed.
    #[error(
        "{command} failed: {said}; try again, name another archive with --archive URL, or add images with `atlas kernels add FILE`"
    )]
    Apt {
        /// The command.
        command: String,
        /// The end of what it said.
        said: String,
    },
    /// The machine's apt uses no archive that could hold kernels.
    #[error(
        "apt on this machine uses no Debian archive; name one with --archive URL, or add images with `atlas kernels add FILE`"
    )]
    NoArchive,
    /// No entry of the manifest.
    #[error(
        "the manifest has no {0}: `vm-images/kernels.toml` lists what can be fetched, and any other kernel can be added with `atlas kernels add FILE`"
    )]
    NoEntry(String),
    /// A group needs an address.
    #[error(
        "kernels of group `{0}` are in no archive that this machine uses: give the address of one with --archive URL"
    )]
    ArchiveNeeded(String),
    /// An address or a keyring that cannot be given to apt.
    #[error("--archive {address}: {problem}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong.
        problem: String,
    },
    /// The archive has no such package.
    #[error(
        "the archive has no package for series {series}: nothing matches {looked_for}{unread}; if the series has left the archive, add an image of it with `atlas kernels add FILE`"
    )]
    NoPackage {
        /// The series.
        series: String,
        /// Patterns and their suites.
        looked_for: String,
        /// Suites whose lists could not be read, as a clause of its own; empty when all were read.
        unread: String,
    },
    /// Packages that apt cannot unpack.
    #[error("series {series} comes as rpm, which is not unpacked here: {note}")]
    Rpm {
        /// The series.
        series: String,
        /// What to do.
        note: String,
    },
    /// A package that holds no kernel image.
    #[error("{path} holds no kernel image: {problem}")]
    Deb {
        /// The package.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file that is no kernel image.
    #[error("{path} is not a kernel image that can be booted here: {problem}")]
    NotAKernel {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// An image is not the one that was recorded.
    #[error(
        "{name}: {path} has SHA-256 {found}, and {recorded} was recorded; fetch it again with `atlas kernels fetch --kernel {name}`"
    )]
    Changed {
        /// The kernel's name.
        name: String,
        /// Its image.
        path: PathBuf,
        /// What it has.
        found: String,
        /// What it should have.
        recorded: String,
    },
    /// A package of the locked version holds another image than the locked one.
    #[error(
        "{series}: {package} {version} holds an image with SHA-256 {found}, and the lock says {locked}: one of the two was tampered with or made anew; take what the archive has with `atlas kernels fetch --kernel {series} --update` if you trust it"
    )]
    NotAsLocked {
        /// The series.
        series: String,
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// What the image has.
        found: String,
        /// What the lock has.
        locked: String,
    },
    /// No kernel of this name.
    #[error(
        "no kernel `{0}` on this machine; `atlas kernels list` shows what there is, `atlas kernels fetch` fetches the default ones"
    )]
    Unknown(String),
    /// Two names for one thing.
    #[error("a kernel named `{0}` is there already; choose another with --name, or remove it first")]
    NameTaken(String),
    /// A name that would be mistaken for something else.
    #[error("`{name}` cannot be the name of a kernel: {problem}; choose another with --name")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The kernel does not boot.
    #[error("{name} does not count as usable, because it did not boot here: {reason}")]
    NotProven {
        /// The kernel's name.
        name: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// For `map_err` on operations with a file.
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
