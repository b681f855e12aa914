//! The files that a program finds in its guest, which has no other.

use super::{elf, loader};
use crate::bounded;
use atlas_wire::program::{MAX_BYTES, MAX_FILES, PAGE};
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// Where glibc's loader looks first for what is not in its usual places (ld.so(8)).
const CACHE: &str = "/etc/ld.so.cache";

/// A file, and where the program finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// An absolute path without `..`.
    pub path: String,
    /// Whether it can be executed.
    pub executable: bool,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Files, of no more bytes than guests have room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    all: Vec<File>,
    room_taken: u64,
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
    #[error("{0}: with it the program has more than {MAX_FILES} files")]
    Many(String),
    /// Its path is not text.
    #[error("{0}: the path is no UTF-8")]
    Path(String),
    /// It is nowhere.
    #[error("there is no {0} in any directory of PATH")]
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
    /// where it is here. Gives its path as well.
    ///
    /// # Errors
    /// [`NoFiles`].
    pub fn of_program(name: &str, environment: &[String]) -> Result<(String, Self), NoFiles> {
        let path = if name.contains('/') { PathBuf::from(name) } else { in_path(name)? };
        let mut files = Self::default();
        let place = lexical(&path)?;
        files.add_file(&path, place.clone(), true)?;
        let image = &files.all[0].bytes;
        let loader = match elf::interpreter(image) {
            Err(why) => return Err(NoFiles::Elf(name.to_owned(), why)),
            Ok(None) => return Ok((place, files)),
            Ok(Some(loader)) => loader,
        };
        let libraries = loader::libraries(&loader, &path, environment)
            .map_err(|why| NoFiles::Dynamic(name.to_owned(), why))?;
        let cache = (loader.contains("ld-linux") && Path::new(CACHE).exists()).then(|| CACHE.to_owned());
        for path in std::iter::once(loader).chain(libraries).chain(cache) {
            files.add(Path::new(&path), None)?;
        }
        Ok((place, files))
    }

    /// Adds a file, or all of a directory, where it is here or in another place. What is there already stays.
    ///
    /// # Errors
    /// [`NoFiles`].
    pub fn add(&mut self, path: &Path, other: Option<&str>) -> Result<(), NoFiles> {
        let place = other.map_or_else(|| lexical(path), |other| lexical(Path::new(other)))?;
        let there = metadata(path)?;
        if !there.is_dir() {
            return self.add_file(path, place, is_executable(&there));
        }
        for entry in walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name() {
            let entry = entry.map_err(|error| NoFiles::Read(path.display().to_string(), error.into()))?;
            let there = metadata(entry.path())?;
            if there.is_file() {
                let below = entry.path().strip_prefix(path).unwrap_or(entry.path());
                let place = lexical(&Path::new(&place).join(below))?;
                self.add_file(entry.path(), place, is_executable(&there))?;
            }
        }
        Ok(())
    }

    fn add_file(&mut self, from: &Path, path: String, executable: bool) -> Result<(), NoFiles> {
        if self.all.iter().any(|file| file.path == path) {
            return Ok(());
        }
        if self.all.len() == MAX_FILES {
            return Err(NoFiles::Many(path));
        }
        let read = bounded::read(from, MAX_BYTES - self.room_taken);
        let bytes = read.map_err(|error| NoFiles::Read(from.display().to_string(), error))?;
        let bytes = bytes.ok_or_else(|| NoFiles::Large(path.clone()))?;
        // The last page may be one more than there is room for.
        self.room_taken = (self.room_taken + (bytes.len() as u64).next_multiple_of(PAGE)).min(MAX_BYTES);
        self.all.push(File { path, executable, bytes });
        Ok(())
    }

    /// All of them, the program first.
    #[must_use]
    pub fn all(&self) -> &[File] {
        &self.all
    }
}

fn metadata(path: &Path) -> Result<Metadata, NoFiles> {
    std::fs::metadata(path).map_err(|error| NoFiles::Read(path.display().to_string(), error))
}

fn is_executable(there: &Metadata) -> bool {
    there.permissions().mode() & 0o111 != 0
}

/// The path of a program that is named without one.
fn in_path(name: &str) -> Result<PathBuf, NoFiles> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |path: &PathBuf| path.metadata().is_ok_and(|there| there.is_file() && is_executable(&there));
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
    place.into_os_string().into_string().map_err(|path| NoFiles::Path(path.to_string_lossy().into_owned()))
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
        assert!(files.all()[0].executable && files.all().iter().all(|file| !file.bytes.is_empty()));
    }

    #[test]
    fn a_directory_comes_whole_and_a_file_goes_where_it_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        create_dir(path("in")).unwrap();
        write(path("in/one"), "1").unwrap();
        write(path("two"), "2").unwrap();
        std::os::unix::fs::symlink("two", path("three")).unwrap();
        std::fs::set_permissions(path("two"), std::fs::Permissions::from_mode(0o700)).unwrap();
        let mut files = Files::default();
        files.add(directory.path(), Some("/there/../at")).unwrap();
        files.add(&path("two"), Some("/at/in/one")).unwrap();
        files.add(&path("two"), None).unwrap();
        let told: Vec<_> =
            files.all().iter().map(|file| (file.path.as_str(), file.executable, &file.bytes[..])).collect();
        let own = path("two");
        let expected: [(&str, bool, &[u8]); 4] = [
            ("/at/in/one", false, b"1"),
            ("/at/three", true, b"2"),
            ("/at/two", true, b"2"),
            (own.to_str().unwrap(), true, b"2"),
        ];
        assert_eq!(told, expected);
        // A link that leads up again never ends.
        std::os::unix::fs::symlink(".", path("in/loop")).unwrap();
        assert!(matches!(Files::default().add(directory.path(), None), Err(NoFiles::Read(..))));
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
        files.add(&small, Some("/one")).unwrap();
        let error = files.add(&small, Some("/two")).unwrap_err();
        assert!(matches!(&error, NoFiles::Large(path) if path == "/two"), "{error}");
        assert!(matches!(Files::default().add(Path::new("/dev/zero"), None), Err(NoFiles::Large(_))));
        assert!(matches!(Files::of_program("no-such-program-anywhere", &[]), Err(NoFiles::Nowhere(_))));
    }
}
