//! A private apt: its own lists and settings, the machine's archive and keys, no root rights.
//!
//! apt verifies the signature of each suite's list, and each package against the list. All of it
//! lives in one directory of the cache, so the machine's own apt is neither read nor locked.

mod archive;
mod process;

pub use archive::Archive;

use super::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// Lists are fetched anew when they are older than this.
const FRESH: Duration = Duration::from_secs(3600);
/// The longest that fetching the lists may take, and the longest that a download may take.
const LONGEST: Duration = Duration::from_secs(1200);
/// The longest that a question to apt's cache may take: the first one builds the cache.
const LONGEST_ANSWER: Duration = Duration::from_secs(120);

/// What the machine's settings must not bring into a private apt: commands that run around an update.
const CLEARED: &str = "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n";

/// A package that apt knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) suite: String,
}

/// A private apt.
pub(super) struct Apt {
    root: PathBuf,
    suites: Vec<String>,
}

impl Apt {
    /// Sets one up below a directory, for these suites of the machine's own archive or of another.
    pub(super) fn set_up(cache: &Path, suites: Vec<String>, other: Option<&Archive>) -> Result<Self, Error> {
        let root = cache.join(match other {
            None => "apt",
            Some(Archive { trusted: false, .. }) => "apt-other",
            // apt goes on with lists that it once had, so unsigned ones must not lie among the signed.
            Some(Archive { trusted: true, .. }) => "apt-unsigned",
        });
        let apt = Self { root, suites };
        for directory in ["lists/partial", "cache/archives/partial", "etc"] {
            let path = apt.root.join(directory);
            fs::create_dir_all(&path).map_err(Error::file("cannot make", &path))?;
        }
        apt.write("status", "")?;
        apt.write("etc/apt.conf", CLEARED)?;
        let sources = match other {
            Some(other) => other.sources(&apt.suites)?,
            None => archive::own()?.sources(&apt.suites),
        };
        apt.write("etc/sources.list", &sources)?;
        Ok(apt)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        super::whole::write_whole(&self.root.join(name), text.as_bytes())
    }

    fn command(&self, program: &'static str) -> Command {
        let mut command = Command::new(program);
        let root = self.root.display();
        command.arg("-c").arg(self.root.join("etc/apt.conf"));
        for option in [
            format!("Dir::State={root}"),
            format!("Dir::State::status={root}/status"),
            format!("Dir::State::lists={root}/lists"),
            format!("Dir::Cache={root}/cache"),
            // Switched off in many container images, and then every question reads all lists anew.
            "Dir::Cache::pkgcache=pkgcache.bin".into(),
            "Dir::Cache::srcpkgcache=srcpkgcache.bin".into(),
            format!("Dir::Etc::sourcelist={root}/etc/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".into(),
            "Dir::Etc::preferences=/dev/null".into(),
            "Dir::Etc::preferencesparts=/dev/null".into(),
            "APT::Architecture=amd64".into(),
            "APT::Architectures=amd64".into(),
            "APT::Sandbox::User=".into(),
            "Acquire::Languages=none".into(),
            "Acquire::Retries=3".into(),
            // Whatever the machine's own settings allow.
            "Acquire::AllowInsecureRepositories=false".into(),
            "Acquire::AllowDowngradeToInsecureRepositories=false".into(),
            "APT::Get::AllowUnauthenticated=false".into(),
            // Only the lists of packages; a machine with a desktop or apt-file fetches far more.
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled=false".into(),
            "Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled=false".into(),
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false".into(),
            // The next fetch may be for other series, in other suites.
            "APT::Get::List-Cleanup=false".into(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    /// Fetches the lists, unless they are fresh and of the same sources. Returns the suites that
    /// could not be read and are not there from an earlier time, with what apt said of them.
    pub(super) fn update(&self) -> Result<Option<Unread>, Error> {
        let stamp = self.root.join("fetched-for");
        let sources = self.root.join("etc/sources.list");
        let sources = fs::read_to_string(&sources).map_err(Error::file("cannot read", &sources))?;
        let fresh = fs::metadata(&stamp)
            .and_then(|meta| meta.modified())
            .is_ok_and(|when| SystemTime::now().duration_since(when).is_ok_and(|age| age < FRESH));
        if fresh && fs::read_to_string(&stamp).is_ok_and(|text| text == sources) {
            return Ok(None);
        }
        let mut command = self.command("apt-get");
        // Without this a list that could not be fetched is only a warning.
        command.args(["-q", "-o", "APT::Update::Error-Mode=any", "update"]);
        let Err(error) = process::run(command, "apt-get update", LONGEST, &mut || ()) else {
            self.write("fetched-for", &sources)?;
            return Ok(None);
        };
        let Error::Apt { said, .. } = &error else { return Err(error) };
        let there = self.suites_there()?;
        let suites: Vec<String> =
            self.suites.iter().filter(|suite| !there.contains(suite)).cloned().collect();
        if suites.len() == self.suites.len() {
            return Err(error);
        }
        Ok(Some(Unread { suites, said: said.clone() }))
    }

    /// The suites whose lists are there.
    fn suites_there(&self) -> Result<Vec<String>, Error> {
        let mut command = self.command("apt-get");
        command.args(["indextargets", "--format", "$(FILENAME) $(RELEASE)", "Created-By: Packages"]);
        let text = process::run(command, "apt-get indextargets", LONGEST_ANSWER, &mut || ())?;
        let there = text.lines().filter_map(|line| line.rsplit_once(' '));
        Ok(there.filter(|(file, _)| Path::new(file).is_file()).map(|(_, suite)| suite.to_owned()).collect())
    }

    /// The packages of a suite whose whole name matches.
    pub(super) fn matching(&self, suite: &str, pattern: &str) -> Result<Vec<Package>, Error> {
        let mut command = self.command("apt-cache");
        command.args(["search", "--names-only", &format!("^{pattern}$")]);
        let text = process::run(command, "apt-cache search", LONGEST_ANSWER, &mut || ())?;
        let names: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.command("apt-cache");
        command.arg("madison").args(&names);
        let text = process::run(command, "apt-cache madison", LONGEST_ANSWER, &mut || ())?;
        Ok(text.lines().filter_map(package).filter(|package| package.suite == suite).collect())
    }

    /// The length of a package in bytes, by the list.
    fn size(&self, wanted: &str) -> Result<u64, Error> {
        let mut command = self.command("apt-cache");
        command.args(["show", wanted]);
        let text = process::run(command, "apt-cache show", LONGEST_ANSWER, &mut || ())?;
        let size = text.lines().find_map(|line| line.strip_prefix("Size: ")?.trim().parse().ok());
        size.ok_or_else(|| Error::Apt {
            command: format!("apt-cache show {wanted}"),
            said: "it did not say the package's size".into(),
        })
    }

    /// Downloads a package into an empty directory; apt holds it against its signed lists. Progress
    /// is told as bytes done and bytes in all: none first, all last.
    pub(super) fn download(
        &self,
        package: &Package,
        into: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<PathBuf, Error> {
        let wanted = format!("{}={}", package.name, package.version);
        let total = self.size(&wanted)?;
        let mut command = self.command("apt-get");
        command.args(["-q", "download", &wanted]).current_dir(into);
        let what = format!("apt-get download {wanted}");
        let files = || fs::read_dir(into).into_iter().flatten().flatten().map(|entry| entry.path());
        progress(0, total);
        let mut told = 0;
        process::run(command, &what, LONGEST, &mut || {
            let done: u64 = files().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
            // The whole is told below, once apt has verified it.
            if done > told && done < total {
                told = done;
                progress(done, total);
            }
        })?;
        progress(total, total);
        let deb = files().find(|path| path.extension().is_some_and(|extension| extension == "deb"));
        deb.ok_or_else(|| Error::Apt { command: what, said: "it succeeded, but left no package".into() })
    }
}

/// Suites whose lists could not be read.
pub(super) struct Unread {
    pub(super) suites: Vec<String>,
    /// The end of what apt said.
    pub(super) said: String,
}

/// A line of `apt-cache madison`: `name | version | address suite/component architecture Packages`.
fn package(line: &str) -> Option<Package> {
    let mut columns = line.split(" | ").map(str::trim);
    let (name, version, place) = (columns.next()?, columns.next()?, columns.next()?);
    let (suite, _component) = place.split_whitespace().nth(1)?.rsplit_once('/')?;
    Some(Package { name: name.into(), version: version.into(), suite: suite.into() })
}

/// The package of the highest version, in Debian's order: by dpkg, which defines it.
pub(super) fn newest(packages: &[Package]) -> Result<Option<&Package>, Error> {
    let mut newest: Option<&Package> = None;
    for package in packages {
        if match newest {
            None => true,
            Some(newest) => process::is_newer(&package.version, &newest.version)?,
        } {
            newest = Some(package);
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn madison_is_read() {
        let line =
            "linux-image-1 | 6.1.176-1~bpo | http://a.example/debian stable/updates/main amd64 Packages";
        let Package { name, version, suite } = package(line).unwrap();
        assert_eq!((&*name, &*version, &*suite), ("linux-image-1", "6.1.176-1~bpo", "stable/updates"));
        assert_eq!(package("N: Unable to locate package x"), None);
    }

    #[test]
    fn the_newest_is_by_debians_order() {
        let of = |version: &str| Package { name: "p".into(), version: version.into(), suite: "s".into() };
        let packages = ["7.3.4-1~bpo13+1", "7.3.10-1~bpo13+1", "7.3.10~rc1-1", "7.3.9-2"].map(of);
        assert_eq!(newest(&packages).unwrap().unwrap().version, "7.3.10-1~bpo13+1");
        assert_eq!(newest(&[]).unwrap(), None);
    }
}
