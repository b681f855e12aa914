//! The files that a program finds in its guest, which has no other.

use super::{elf, loader};
use crate::bounded;
use atlas_wire::program::{Kind, MAX_BYTES, MAX_FILES, MAX_PATH, PAGE};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// What loaders look into for libraries that are not in their usual places: glibc's (ld.so(8)), musl's.
const LISTS: [&str; 2] = ["/etc/ld.so.cache", "/etc/ld-musl-x86_64.path"];
/// What guests have of their own.
pub(super) const OWN: [&str; 3] = ["/dev", "/proc", "/sys"];

/// A file or directory, and where the program finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// An absolute path without `..`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Files, of no more bytes than guests have room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    all: Vec<File>,
    /// Where each path is among them.
    places: BTreeMap<String, usize>,
    /// What was in directories and is not among them.
    left_out: Vec<String>,
}

/// Why there are no files to run a program with.
#[derive(Debug, thiserror::Error)]
pub enum NoFiles {
    /// One cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    /// There is no room.
    #[error(
        "{0}: with it the program's files have more than {mib} MiB, for which guests have no room: strip it, or leave files out",
        mib = MAX_BYTES >> 20
    )]
    Large(String),
    /// There are too many.
    #[error("{0}: with it the program has more than {MAX_FILES} files: leave some out")]
    Many(String),
    /// It has no length, or none that means something.
    #[error("{0} is no regular file: say where its content is to be, as {0}=/PLACE")]
    Irregular(String),
    /// It cannot be where it is to be.
    #[error("{0}: {1}")]
    Place(String, String),
    /// It is nowhere.
    #[error("there is no {0} in any directory of PATH; for one in this directory say ./{0}")]
    Nowhere(String),
    /// It is no program.
    #[error("{0} is no program: {1}. It has to be an ELF executable for x86-64")]
    Elf(String, String),
    /// What it is loaded with is not known.
    #[error("{0} is linked dynamically, and {1}. Link it with -static, or see that this machine can run it")]
    Dynamic(String, String),
}

impl Files {
    /// A program as this machine would find it, with what it is loaded with in an environment, everything
    /// where it is here. Gives its path as well: where links lead, which is what loaders go by.
    ///
    /// # Errors
    /// [`NoFiles`].
    pub fn of_program(name: &str, environment: &[String]) -> Result<(String, Self), NoFiles> {
        let path = if name.contains('/') { PathBuf::from(name) } else { in_path(name)? };
        let path = path.canonicalize().map_err(|error| NoFiles::Read(name.to_owned(), error))?;
        let mut files = Self::default();
        let place = lexical(&path)?;
        files.read(&path, place.clone(), Kind::Executable)?;
        let image = &files.all[0].bytes;
        let loader = match elf::interpreter(image) {
            Err(why) => return Err(NoFiles::Elf(name.to_owned(), why)),
            Ok(None) => return Ok((place, files)),
            Ok(Some(loader)) => loader,
        };
        let libraries = loader::libraries(&loader, &path, environment)
            .map_err(|why| NoFiles::Dynamic(name.to_owned(), why))?;
        let list = LISTS[usize::from(loader.contains("musl"))];
        let list = Path::new(list).exists().then(|| list.to_owned());
        for path in std::iter::once(loader).chain(libraries).chain(list) {
            files.add(Path::new(&path), None)?;
        }
        Ok((place, files))
    }

    /// Adds a file, or all of a directory but links that lead nowhere or up again and what is no file, where it is here or in another place, from `/`
    /// on; one that ends in `/` is the directory that it goes into. It takes the place of what was to be there before.
    ///
    /// # Errors
    /// [`NoFiles`].
    pub fn add(&mut self, path: &Path, other: Option<&str>) -> Result<(), NoFiles> {
        let place = match other {
            None => lexical(path)?,
            Some(into) if into.ends_with('/') => {
                let name = path.file_name().unwrap_or_default();
                lexical(&Path::new(into).join(name))?
            }
            Some(other) => lexical(Path::new(other))?,
        };
        let there = metadata(path)?;
        if !there.is_dir() {
            if !there.is_file() && other.is_none() {
                return Err(NoFiles::Irregular(path.display().to_string()));
            }
            return self.read(path, place, kind_of(&there));
        }
        for entry in walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.loop_ancestor().is_some() || error.path().is_some_and(leads_nowhere) => {
                    self.left_out.extend(error.path().map(|path| path.display().to_string()));
                    continue;
                }
                Err(error) => return Err(NoFiles::Read(path.display().to_string(), error.into())),
            };
            let there = metadata(entry.path())?;
            let below = entry.path().strip_prefix(path).unwrap_or(entry.path());
            let place = lexical(&Path::new(&place).join(below))?;
            if there.is_dir() {
                self.put(File { path: place, kind: Kind::Directory, bytes: vec![] })?;
            } else if there.is_file() {
                self.read(entry.path(), place, kind_of(&there))?;
            } else {
                self.left_out.push(entry.path().display().to_string());
            }
        }
        Ok(())
    }

    fn read(&mut self, from: &Path, path: String, kind: Kind) -> Result<(), NoFiles> {
        let taken = |file: &File| (file.bytes.len() as u64).next_multiple_of(PAGE);
        let taken: u64 = self.all.iter().filter(|file| file.path != path).map(taken).sum();
        let read = bounded::read(from, MAX_BYTES - taken);
        let bytes = read.map_err(|error| NoFiles::Read(from.display().to_string(), error))?;
        let bytes = bytes.ok_or_else(|| NoFiles::Large(path.clone()))?;
        self.put(File { path, kind, bytes })
    }

    /// Sees to it that a file can be where it is to be, and takes it.
    fn put(&mut self, new: File) -> Result<(), NoFiles> {
        let cannot = |why: &str| Err(NoFiles::Place(new.path.clone(), why.into()));
        let is_directory = new.kind == Kind::Directory;
        if new.path == "/" && !is_directory {
            return cannot(
                "a file cannot take the place of the root directory: name the file, as PATH=/PLACE",
            );
        }
        if OWN.iter().any(|own| Path::new(&new.path).starts_with(own)) {
            return cannot("guests have their own /dev, /proc and /sys: say another place, as PATH=/PLACE");
        }
        if new.path.len() > MAX_PATH || new.path.split('/').any(|name| name.len() > 255) {
            return cannot("the path is too long");
        }
        let both = |file: &str, other: &str| cannot(&format!("{file} is to be a file, and {other} in it"));
        let above = Path::new(&new.path).ancestors().skip(1);
        let mut above = above.filter_map(|path| self.at(path.to_str()?));
        if let Some(File { path: file, .. }) = above.find(|there| there.kind != Kind::Directory) {
            return both(file, &new.path);
        }
        let below = format!("{}/", new.path);
        let first_below = self.places.range(below.clone()..).next();
        if let Some((other, _)) = first_below.filter(|(path, _)| !is_directory && path.starts_with(&below)) {
            return both(&new.path, other);
        }
        match self.places.get(&new.path).copied() {
            Some(there) if is_directory != (self.all[there].kind == Kind::Directory) => {
                return cannot("a file and a directory cannot have one place");
            }
            Some(there) => self.all[there] = new,
            None if self.all.len() == MAX_FILES => return Err(NoFiles::Many(new.path)),
            None => {
                self.places.insert(new.path.clone(), self.all.len());
                self.all.push(new);
            }
        }
        Ok(())
    }

    fn at(&self, path: &str) -> Option<&File> {
        self.places.get(path).map(|&place| &self.all[place])
    }

    /// What of directories was left out: links that lead nowhere or up again, and what is no file.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// All of them, the program first.
    #[must_use]
    pub fn all(&self) -> &[File] {
        &self.all
    }
}

/// The directory that a program is to be run in: the one of this process.
///
/// # Errors
/// [`NoFiles`], where guests cannot have such a one.
pub fn directory() -> Result<String, NoFiles> {
    let here = std::env::current_dir().map_err(|error| NoFiles::Read(".".into(), error))?;
    let here = lexical(&here)?;
    if OWN.iter().any(|own| Path::new(&here).starts_with(own)) {
        let why = "the program cannot be run in a directory of this name, which guests have of their own: go elsewhere";
        return Err(NoFiles::Place(here, why.into()));
    }
    Ok(here)
}

fn metadata(path: &Path) -> Result<Metadata, NoFiles> {
    std::fs::metadata(path).map_err(|error| NoFiles::Read(path.display().to_string(), error))
}

fn leads_nowhere(path: &Path) -> bool {
    path.is_symlink()
        && std::fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn kind_of(there: &Metadata) -> Kind {
    if there.permissions().mode() & 0o111 == 0 { Kind::File } else { Kind::Executable }
}

/// The path of a program that is named without one.
fn in_path(name: &str) -> Result<PathBuf, NoFiles> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |path: &PathBuf| {
        path.metadata().is_ok_and(|there| there.is_file() && kind_of(&there) == Kind::Executable)
    };
    let found = std::env::split_paths(&path).map(|directory| directory.join(name)).find(is_there);
    found.ok_or_else(|| NoFiles::Nowhere(name.to_owned()))
}

/// The absolute path without `.` and `..` that a path leads to where no part of it is a link, as in guests.
fn lexical(path: &Path) -> Result<String, NoFiles> {
    let absolute =
        std::path::absolute(path).map_err(|error| NoFiles::Read(path.display().to_string(), error))?;
    let mut place = PathBuf::from("/");
    for component in absolute.components() {
        match component {
            Component::Normal(name) => place.push(name),
            Component::ParentDir => _ = place.pop(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let no_text = |path: std::ffi::OsString| {
        NoFiles::Place(path.to_string_lossy().into_owned(), "the path is no UTF-8: name another".into())
    };
    place.into_os_string().into_string().map_err(no_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir, write};

    #[test]
    fn places_are_absolute_and_go_nowhere_up() {
        for (path, there) in [
            ("/a/b/../c//d/.", "/a/c/d"),
            ("/../a", "/a"),
            ("/", "/"),
            ("/opt/bin/../lib/x.so", "/opt/lib/x.so"),
        ] {
            assert_eq!(lexical(Path::new(path)).unwrap(), there);
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(lexical(Path::new("./x")).unwrap(), here.join("x").to_str().unwrap());
    }

    #[test]
    fn a_dynamic_program_comes_with_its_loader_and_libraries() {
        let (path, files) = Files::of_program("env", &[]).unwrap();
        assert_eq!((files.all()[0].path.as_str(), path.ends_with("/env")), (path.as_str(), true));
        let is_there = |end: &str| files.all().iter().any(|file| file.path.ends_with(end));
        assert!(is_there("/ld-linux-x86-64.so.2") && is_there("/libc.so.6"));
        assert!(
            files.all()[0].kind == Kind::Executable && files.all().iter().all(|file| !file.bytes.is_empty())
        );
        // By whatever link.
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(Files::of_program(link.to_str().unwrap(), &[]).unwrap(), (path, files));
    }

    /// A directory with `in/one`, `in/empty/`, `two` that can be executed, and `three` that leads there.
    fn tree() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        create_dir(path("in")).unwrap();
        create_dir(path("in/empty")).unwrap();
        write(path("in/one"), "1").unwrap();
        write(path("two"), "2").unwrap();
        std::os::unix::fs::symlink("two", path("three")).unwrap();
        std::os::unix::fs::symlink("nowhere", path("in/dangling")).unwrap();
        std::fs::set_permissions(path("two"), std::fs::Permissions::from_mode(0o700)).unwrap();
        directory
    }

    #[test]
    fn a_directory_comes_whole_and_a_file_goes_where_it_is_told() {
        let directory = tree();
        let two = directory.path().join("two");
        let mut files = Files::default();
        files.add(directory.path(), Some("/there/../at")).unwrap();
        for place in [None, Some("/into/"), Some("/at/in/one")] {
            files.add(&two, place).unwrap();
        }
        let told: Vec<_> =
            files.all().iter().map(|file| (file.path.as_str(), file.kind, &file.bytes[..])).collect();
        let (file, program, directories) = (Kind::File, Kind::Executable, Kind::Directory);
        let expected: [(&str, Kind, &[u8]); 8] = [
            ("/at", directories, b""),
            ("/at/in", directories, b""),
            ("/at/in/empty", directories, b""),
            // It was another file before.
            ("/at/in/one", program, b"2"),
            ("/at/three", program, b"2"),
            ("/at/two", program, b"2"),
            (two.to_str().unwrap(), program, b"2"),
            ("/into/two", program, b"2"),
        ];
        assert_eq!(told, expected);
        let one = directory.path().join("in/one");
        files.add(&one, Some("/at/two")).unwrap();
        assert_eq!(files.all()[5], File { path: "/at/two".into(), kind: file, bytes: b"1".to_vec() });
        // A link that leads up again never ends.
        std::os::unix::fs::symlink(".", directory.path().join("in/loop")).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        let mut again = Files::default();
        again.add(directory.path(), Some("/at")).unwrap();
        assert_eq!(again.all().len(), 6);
        let left_out = ["in/dangling", "in/loop", "socket"].map(|name| directory.path().join(name));
        assert_eq!(again.left_out(), left_out.map(|path| path.display().to_string()));
    }

    #[test]
    fn what_cannot_be_where_it_is_to_be_is_refused() {
        let directory = tree();
        let two = directory.path().join("two");
        let mut files = Files::default();
        files.add(directory.path(), Some("/at")).unwrap();
        let long = format!("/{}", "n".repeat(256));
        for place in ["/.", "/proc/x", "/dev/null", "/at/two/x", "/at/in", "/at", &long, &"/long".repeat(900)]
        {
            let refused = files.add(&two, Some(place));
            assert!(matches!(refused, Err(NoFiles::Place(..))), "{place}: {refused:?}");
        }
        assert!(matches!(files.add(&directory.path().join("in"), Some("/at/two")), Err(NoFiles::Place(..))));
        assert!(matches!(files.add(Path::new("/dev/null"), None), Err(NoFiles::Irregular(_))));
        files.add(Path::new("/dev/null"), Some("/null")).unwrap();
    }

    #[test]
    fn files_are_bounded_all_together() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large");
        write(&path, vec![0; MAX_BYTES as usize - PAGE as usize]).unwrap();
        let small = directory.path().join("small");
        write(&small, "1").unwrap();
        let mut files = Files::default();
        files.add(&path, None).unwrap();
        for _ in 0..2 {
            files.add(&small, Some("/one")).unwrap();
        }
        let error = files.add(&small, Some("/two")).unwrap_err();
        assert!(matches!(&error, NoFiles::Large(path) if path == "/two"), "{error}");
        assert!(matches!(Files::default().add(Path::new("/dev/zero"), Some("/z")), Err(NoFiles::Large(_))));
        assert!(matches!(Files::of_program("no-such-program-anywhere", &[]), Err(NoFiles::Nowhere(_))));
    }
}
