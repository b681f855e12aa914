//! A user's program: the root directory that its files are put into, and its run.

use crate::setup;
use atlas_edge::program;
use atlas_wire::program::{Kind, MAX_BYTES, MAX_PATH};
use atlas_wire::{Part, Trace, Traced};
use std::ffi::CStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The program's root directory: a file system of its own, which has more room than the guest's root, a tmpfs of
/// half of the memory (init/do_mounts.c init_rootfs, tmpfs(5)).
const ROOT: &str = "/.program";
const ROOT_TO_ENTER: &CStr = c"/.program";
/// How many bytes the program has to write files of its own.
const OWN: u64 = 8 << 20;

/// Puts a part of a file where the parts before it end, and gives the length of the file by now; a directory has
/// none. The file is closed again: a file that is open for writing is not executed (execve(2), ETXTBSY).
pub(crate) fn put(part: &Part) -> Result<u64, String> {
    let Part { path, kind, offset, bytes } = part;
    let wrong = |error| format!("{path}: {error}");
    let place = inside(path)?;
    let length = offset.saturating_add(bytes.len() as u64);
    if length > MAX_BYTES {
        return Err(format!("{path}: a file of {length} bytes or more, and {MAX_BYTES} is the most"));
    }
    if *kind == Kind::Directory {
        return make_root().and_then(|()| fs::create_dir_all(place).map_err(wrong)).map(|()| 0);
    }
    if *offset == 0 {
        make_root()?;
        place.parent().map_or(Ok(()), fs::create_dir_all).map_err(wrong)?;
        // The program before may have made anything of it.
        let _ = fs::remove_file(&place);
    } else {
        let there = fs::metadata(&place).map_err(wrong)?.len();
        if there != *offset {
            return Err(format!("{path}: a part for byte {offset} of a file that has {there} bytes"));
        }
    }
    let mode = if *kind == Kind::Executable { 0o755 } else { 0o644 };
    let file = OpenOptions::new().append(true).create(*offset == 0).mode(mode).open(&place);
    file.and_then(|mut file| file.write_all(bytes)).map_err(wrong)?;
    Ok(length)
}

/// Where a path of the program's is for us.
fn inside(path: &str) -> Result<PathBuf, String> {
    let mut components = Path::new(path).components();
    let absolute = components.next() == Some(Component::RootDir);
    if !absolute || path.len() > MAX_PATH || !components.all(|it| matches!(it, Component::Normal(_))) {
        return Err(format!("{path}: not an absolute path without `..` of at most {MAX_PATH} bytes"));
    }
    Ok(PathBuf::from(format!("{ROOT}{path}")))
}

/// Sees to it that the root directory is there, with what programs expect in one.
fn make_root() -> Result<(), String> {
    match fs::create_dir(ROOT) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(format!("{ROOT}: {error}")),
    }
    if !setup::mount("tmpfs", ROOT, &format!("size={},mode=755", MAX_BYTES + OWN)) {
        let error = std::io::Error::last_os_error();
        let _ = fs::remove_dir(ROOT);
        return Err(format!("no tmpfs for the program: {error}"));
    }
    for (kind, place) in [("proc", "proc"), ("sysfs", "sys"), ("devtmpfs", "dev")] {
        let place = format!("{ROOT}/{place}");
        // What the kernel does not have the program does not find.
        let _ = fs::create_dir(&place).map(|()| setup::mount(kind, &place, ""));
    }
    for (link, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        let _ = symlink(format!("/proc/self/{target}"), format!("{ROOT}/dev/{link}"));
    }
    for place in ["tmp", "dev/shm"] {
        let place = format!("{ROOT}/{place}");
        let made =
            fs::create_dir(&place).and_then(|()| fs::set_permissions(&place, Permissions::from_mode(0o1777)));
        made.map_err(|error| format!("{place}: {error}"))?;
    }
    Ok(())
}

/// Runs the program and traces it.
pub(crate) fn trace(asked: &Trace, limit: Duration, close: &[i32]) -> Result<Traced, String> {
    if !fs::exists(ROOT).unwrap_or(false) {
        return Err("there is no program: no file of it was put".into());
    }
    let directory = inside(&asked.directory)?;
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", asked.directory))?;
    program::carry_out(asked, ROOT_TO_ENTER, limit, close)
}
