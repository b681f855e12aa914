//! Templates: kernels booted once and kept, to be cloned in a fraction of the time of a boot.
//!
//! A template is what a guest was when it waited for its first request: the file of its memory, the
//! state of its machine, and what it was made of. A clone has its own pages where it writes, its own
//! window, clock and entropy; a template is never written again.
//!
//! A directory under the root holds one template and is named by its key. It is made aside and
//! renamed, so that it is whole or not there, unless the machine loses its power before all is on disk; whoever comes
//! second finds it and drops his own.

mod key;
mod sparse;

use crate::error::{Error, Reason};
use crate::kernels::Kernel;
use crate::machine::{BootOptions, Machine};
use crate::qemu::{self, all_were_killed};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// How much disk all templates together may take, in bytes. Eleven kernels take about 1 GB, and as much once more for
/// guests that count.
pub const ROOM: u64 = 3 << 30;
/// What has to be free on disk for one more, in bytes: a template takes about half of it.
const NEEDED: u64 = 192 << 20;
/// What was left half-made is removed when it is this old: no boot takes as long.
const STALE: Duration = Duration::from_secs(3600);
/// The beginning of names of what is being made or removed; the maker's process id follows.
const ASIDE: &str = ".aside-";
/// File names in a template.
const MEMORY: &str = "memory";
const STATE: &str = "state";
const ABOUT: &str = "about.json";

/// What a template is of, and what it must be like to be whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    /// The kernel's name.
    kernel: String,
    /// Its release.
    release: String,
    /// The CPU model, in QEMU's words.
    cpu: String,
    /// The same as reports show it.
    shown: String,
    /// Whether its guests' clocks count instructions.
    counts: bool,
    /// Lengths of the files of memory and state, in bytes.
    lengths: [u64; 2],
    /// SHA-256 of the state.
    state: String,
}

/// A template on disk.
#[derive(Debug)]
struct Template {
    directory: PathBuf,
    about: About,
    memory: File,
    state: File,
}

/// One row of the list of templates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// The kernel's name.
    pub kernel: String,
    /// Its release.
    pub release: String,
    /// Whether its guests' clocks count instructions, as those of `bench` do.
    pub counts: bool,
    /// What it takes on disk, in bytes.
    pub size: u64,
    /// When it was last used.
    pub used: SystemTime,
}

/// The templates of this user.
#[derive(Clone, Debug)]
pub struct Templates {
    root: PathBuf,
    room: u64,
    /// Keys of the templates that were made here, and whether one of them gave no clone: then no other is made.
    made: Arc<Mutex<BTreeMap<String, bool>>>,
}

/// Where a guest came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A boot.
    Boot,
    /// A template that was there.
    Clone,
    /// A boot, of which a template was made.
    NewTemplate,
}

impl Templates {
    /// The templates in a directory, which is made if need be, with this much room in bytes.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn at(root: impl Into<PathBuf>, room: u64) -> Result<Self, Error> {
        let root = root.into();
        fs::create_dir_all(&root)
            .map_err(|source| Error::System { what: "making the directory of templates", source })?;
        Ok(Self { root, room, made: Arc::default() })
    }

    fn made(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        // Who panicked has left it whole.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A guest of a kernel: a clone of its template; where that is not there or not whole, a booted guest, of which one
    /// is made if that can be done. `tell` hears what went wrong with a template.
    ///
    /// # Errors
    /// As [`Machine::boot`].
    pub fn guest(
        &self,
        kernel: &Kernel,
        options: &BootOptions,
        tell: &mut dyn FnMut(String),
    ) -> Result<(Machine, Origin), Error> {
        let key = key::of(kernel, options);
        let booted = || Machine::boot(&kernel.path, options).map(|machine| (machine, Origin::Boot));
        let problem = match self.found(kernel, options) {
            Ok(Some(template)) => match template.wake(options) {
                Ok(machine) => return Ok((machine, Origin::Clone)),
                // That QEMU is not there, or memory, or was ended by Ctrl-C, is no fault of the template.
                Err(error) if !matches!(error, Error::Clone(_)) || all_were_killed() => return Err(error),
                Err(error) => {
                    self.made().entry(key.clone()).and_modify(|useless| *useless = true);
                    Some(error.to_string())
                }
            },
            Ok(None) => None,
            Err(broken) => Some(broken),
        };
        if let Some(problem) = problem {
            self.drop_key(&key);
            tell(format!("a template of {} was thrown away: {problem}", kernel.name));
        }
        if self.made().get(&key) == Some(&true) {
            return booted();
        }
        let mut not_kept = |problem: Error| tell(format!("{} is booted, not cloned: {problem}", kernel.name));
        match self.make(kernel, options) {
            Ok((machine, Ok(()))) => {
                self.made().entry(key).or_default();
                Ok((machine, Origin::NewTemplate))
            }
            Ok((machine, Err(problem))) => {
                not_kept(problem);
                Ok((machine, Origin::Boot))
            }
            // A plain boot needs no file for its memory.
            Err(error) if ended(&error) && !all_were_killed() => {
                not_kept(error);
                booted()
            }
            Err(error) => Err(error),
        }
    }

    /// The template of a kernel, if there is one.
    ///
    /// # Errors
    /// What is wrong with it.
    fn found(&self, kernel: &Kernel, options: &BootOptions) -> Result<Option<Template>, String> {
        let directory = self.place(kernel, options);
        if !directory.exists() {
            return Ok(None);
        }
        Template::open(directory).map(Some)
    }

    /// Whether there is a template of a kernel that looks whole.
    #[must_use]
    pub fn has(&self, kernel: &Kernel, options: &BootOptions) -> bool {
        matches!(self.found(kernel, options), Ok(Some(_)))
    }

    /// Where the template of a kernel is, or would be. What was found out about its guests may be kept
    /// beside it, and is gone with it.
    #[must_use]
    pub fn place(&self, kernel: &Kernel, options: &BootOptions) -> PathBuf {
        self.root.join(key::of(kernel, options))
    }

    /// Boots a kernel and keeps what it is then as a template, in place of none. Gives the guest, which goes on, and how
    /// keeping it went.
    ///
    /// # Errors
    /// As [`Machine::boot`].
    fn make(&self, kernel: &Kernel, options: &BootOptions) -> Result<(Machine, Result<(), Error>), Error> {
        let aside = match self.aside() {
            Ok(aside) => aside,
            Err(error) => return Machine::boot(&kernel.path, options).map(|machine| (machine, Err(error))),
        };
        // A guest that writes to a file on disk makes the file system work at every page it touches first.
        let pages = qemu::anonymous(&[], 0);
        let pages = pages.map_err(|source| Error::System { what: "making a file for the memory", source })?;
        let (mut machine, cpu) = Machine::boot_in(&kernel.path, options, Some(&pages))?;
        let kept = self.keep(kernel, options, (&mut machine, cpu, &pages), aside);
        // Time went by while it stood; and that it answers shows that it goes on.
        match machine.awaken() {
            Ok(()) => Ok((machine, kept)),
            Err(lost) => {
                let problem = kept.err().unwrap_or_else(|| Error::Template(lost.to_string()));
                Machine::boot(&kernel.path, options).map(|machine| (machine, Err(problem)))
            }
        }
    }

    /// A directory for what is being made.
    fn aside(&self) -> Result<TempDir, Error> {
        let kept = |error: io::Error| Error::Template(error.to_string());
        self.clear_stale();
        let disk = nix::sys::statvfs::statvfs(&self.root).map_err(|errno| kept(errno.into()))?;
        let free = disk.blocks_available() * disk.fragment_size();
        if free < NEEDED {
            let problem = format!("the disk has {} MiB left, and it needs {}", free >> 20, NEEDED >> 20);
            return Err(Error::Template(problem));
        }
        let prefix = format!("{ASIDE}{}-", std::process::id());
        tempfile::Builder::new().prefix(&prefix).tempdir_in(&self.root).map_err(kept)
    }

    /// Keeps a guest, with its CPU model in QEMU's words and its memory, as a template.
    fn keep(
        &self,
        kernel: &Kernel,
        options: &BootOptions,
        (machine, cpu, pages): (&mut Machine, String, &File),
        aside: TempDir,
    ) -> Result<(), Error> {
        let kept = |error: io::Error| Error::Template(error.to_string());
        let create = |name: &str| {
            File::options().read(true).write(true).create_new(true).open(aside.path().join(name))
        };
        let (memory, state) = (create(MEMORY).map_err(kept)?, create(STATE).map_err(kept)?);
        machine.save(&state, || sparse::copy(pages, &memory))?;
        let about = About {
            kernel: kernel.name.clone(),
            release: machine.hello().release.clone(),
            cpu,
            shown: machine.cpu().to_owned(),
            counts: options.icount,
            lengths: [memory.metadata().map_err(kept)?.len(), state.metadata().map_err(kept)?.len()],
            state: key::digest_of(&aside.path().join(STATE)).map_err(kept)?,
        };
        let text = serde_json::to_string(&about).map_err(|error| Error::Template(error.to_string()))?;
        fs::write(aside.path().join(ABOUT), text).map_err(kept)?;
        let directory = self.place(kernel, options);
        match fs::rename(aside.path(), &directory) {
            // There is nothing left aside to be removed.
            Ok(()) => drop(aside.keep()),
            // Somebody else was faster, and his is as good.
            Err(_) if directory.join(ABOUT).exists() => {}
            Err(error) => return Err(kept(error)),
        }
        self.make_room(&directory);
        Ok(())
    }

    /// All templates, the last used first.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let mut all: Vec<Listed> = self.directories().iter().filter_map(|path| listed(path)).collect();
        all.sort_by(|one, other| other.used.cmp(&one.used).then_with(|| one.key.cmp(&other.key)));
        all
    }

    /// Removes a template. Clones that live go on.
    pub fn drop_key(&self, key: &str) {
        let aside = self.root.join(format!("{ASIDE}{}-{key}", std::process::id()));
        // Whoever opens it meanwhile finds all of it or nothing; what cannot be removed now is stale later.
        if fs::rename(self.root.join(key), &aside).is_ok() {
            let _ = fs::remove_dir_all(aside);
        }
    }

    /// Removes the template of a kernel, if there is one. Clones that live go on.
    pub fn forget(&self, kernel: &Kernel, options: &BootOptions) {
        self.drop_key(&key::of(kernel, options));
    }

    fn directories(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let is_aside =
            |path: &Path| path.file_name().is_none_or(|name| name.to_string_lossy().starts_with(ASIDE));
        entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !is_aside(path)).collect()
    }

    /// Drops the templates that were used longest ago until all fit, but not this one.
    fn make_room(&self, newest: &Path) {
        let all = self.list();
        let mut taken: u64 = all.iter().map(|listed| listed.size).sum();
        for listed in all.iter().rev() {
            if taken <= self.room {
                return;
            }
            if self.root.join(&listed.key) != newest {
                self.drop_key(&listed.key);
                taken -= listed.size;
            }
        }
    }

    /// Removes what a killed process has left half-made.
    fn clear_stale(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(ASIDE) else { continue };
            let maker = rest.split('-').next().unwrap_or_default();
            let gone = !Path::new("/proc").join(maker).exists();
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            if gone || modified.is_ok_and(|then| then.elapsed().is_ok_and(|age| age > STALE)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Whether QEMU ended, as one does that gets no memory.
fn ended(error: &Error) -> bool {
    matches!(error, Error::Boot { lost, .. } if matches!(lost.reason, Reason::QemuExited(_)))
}

fn listed(directory: &Path) -> Option<Listed> {
    let about = read_about(directory).ok();
    let size = |name: &str| fs::metadata(directory.join(name)).map_or(0, |file| file.blocks() * 512);
    let used = fs::metadata(directory.join(ABOUT)).and_then(|file| file.modified());
    Some(Listed {
        key: directory.file_name()?.to_string_lossy().into_owned(),
        kernel: about.as_ref().map_or_else(|| "?".into(), |about| about.kernel.clone()),
        counts: about.as_ref().is_some_and(|about| about.counts),
        release: about.map_or_else(|| "?".into(), |about| about.release),
        size: [MEMORY, STATE, ABOUT].map(size).iter().sum(),
        used: used.unwrap_or(SystemTime::UNIX_EPOCH),
    })
}

fn read_about(directory: &Path) -> Result<About, String> {
    let path = directory.join(ABOUT);
    let text = fs::read_to_string(&path).map_err(|error| format!("{ABOUT}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{ABOUT}: {error}"))
}

impl Template {
    /// Opens a template, which must be whole as far as that is quickly seen: the rest shows when a clone
    /// does not answer.
    fn open(directory: PathBuf) -> Result<Self, String> {
        let about = read_about(&directory)?;
        let open = |name: &str, wanted: u64| {
            let path = directory.join(name);
            // QEMU opens the memory anew, for reading and writing, and then writes to pages of its own.
            let file = File::options().read(true).write(true).open(path);
            let file = file.map_err(|error| format!("{name}: {error}"))?;
            let length = file.metadata().map_err(|error| format!("{name}: {error}"))?.len();
            if length == wanted {
                Ok(file)
            } else {
                Err(format!("{name} has {length} bytes instead of {wanted}"))
            }
        };
        let (memory, state) = (open(MEMORY, about.lengths[0])?, open(STATE, about.lengths[1])?);
        let digest = key::digest_of(&directory.join(STATE)).map_err(|error| format!("{STATE}: {error}"))?;
        if digest != about.state {
            return Err(format!("{STATE} is damaged"));
        }
        Ok(Self { directory, about, memory, state })
    }

    /// Starts a clone.
    ///
    /// # Errors
    /// As [`Machine::boot`], and [`Error::Clone`] where it does not answer.
    fn wake(&self, options: &BootOptions) -> Result<Machine, Error> {
        // When it was last used is when this was last written; that it is not known is no reason to fail.
        let _ = File::open(self.directory.join(ABOUT)).and_then(|file| file.set_modified(SystemTime::now()));
        // Opened anew, so that each clone reads it from the beginning, even if its name is gone by now.
        let state = File::open(format!("/proc/self/fd/{}", self.state.as_raw_fd()));
        let state = state.map_err(|source| Error::System { what: "opening a template", source })?;
        let cpu = (self.about.cpu.as_str(), self.about.shown.as_str());
        Machine::wake(options, cpu, &self.memory, &state)
    }
}
