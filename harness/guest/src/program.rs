//! A user's program: the file that its image is put into, and its run.

use atlas_edge::program;
use atlas_wire::program::MAX_IMAGE;
use atlas_wire::{Trace, Traced};
use std::ffi::CStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// Where the image stands: the root is in memory, and writable.
const PATH: &str = "/.program";
const PATH_TO_EXECUTE: &CStr = c"/.program";

/// Puts a part of an image where the parts before it end, and gives the length of it by now. The file is
/// closed again: one that is open for writing is not executed (execve(2), ETXTBSY).
pub(crate) fn put(offset: u64, bytes: &[u8]) -> Result<u64, String> {
    let wrong = |error| format!("{PATH}: {error}");
    let length = offset.saturating_add(bytes.len() as u64);
    if length > MAX_IMAGE {
        return Err(format!("an image of {length} bytes or more, and {MAX_IMAGE} is the most"));
    }
    if offset == 0 {
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

/// Runs the program and traces it.
pub(crate) fn trace(asked: &Trace, limit: Duration, close: &[i32]) -> Result<Traced, String> {
    if !fs::exists(PATH).unwrap_or(false) {
        return Err("there is no program: its image was not put".into());
    }
    program::carry_out(asked, PATH_TO_EXECUTE, limit, close)
}
