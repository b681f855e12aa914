//! A user's program: the file that its image is put into, and its run.

use crate::setup;
use atlas_edge::program;
use atlas_wire::program::MAX_IMAGE;
use atlas_wire::{Trace, Traced};
use std::ffi::CStr;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// What the image stands in: a file system of its own, because the root is a tmpfs, which takes no more
/// than half of the memory (init/do_mounts.c init_rootfs, tmpfs(5)).
const DIRECTORY: &str = "/.program";
/// Where the image stands.
const PATH: &str = "/.program/image";
const PATH_TO_EXECUTE: &CStr = c"/.program/image";

/// Puts a part of an image where the parts before it end, and gives the length of it by now. The file is
/// closed again: one that is open for writing is not executed (execve(2), ETXTBSY).
pub(crate) fn put(offset: u64, bytes: &[u8]) -> Result<u64, String> {
    let wrong = |error| format!("{PATH}: {error}");
    let length = offset.saturating_add(bytes.len() as u64);
    if length > MAX_IMAGE {
        return Err(format!("an image of {length} bytes or more, and {MAX_IMAGE} is the most"));
    }
    if offset == 0 {
        make_room()?;
        // The program before may have made anything of it.
        let _ = fs::remove_file(PATH);
    } else {
        let there = fs::metadata(PATH).map_err(wrong)?.len();
        if there != offset {
            return Err(format!("a part for byte {offset} of an image that has {there} bytes"));
        }
    }
    let file = OpenOptions::new().append(true).create(offset == 0).mode(0o755).open(PATH);
    file.and_then(|mut file| file.write_all(bytes)).map_err(wrong)?;
    Ok(length)
}

/// Sees to it that the directory is there.
fn make_room() -> Result<(), String> {
    match fs::create_dir(DIRECTORY) {
        Ok(()) if setup::mount("ramfs", DIRECTORY) => Ok(()),
        Ok(()) => {
            let error = std::io::Error::last_os_error();
            let _ = fs::remove_dir(DIRECTORY);
            Err(format!("no ramfs for the program: {error}"))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(format!("{DIRECTORY}: {error}")),
    }
}

/// Runs the program and traces it.
pub(crate) fn trace(asked: &Trace, limit: Duration, close: &[i32]) -> Result<Traced, String> {
    if !fs::exists(PATH).unwrap_or(false) {
        return Err("there is no program: its image was not put".into());
    }
    program::carry_out(asked, PATH_TO_EXECUTE, limit, close)
}
