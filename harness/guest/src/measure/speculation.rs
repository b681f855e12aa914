//! What attaching a filter does to the mitigations of speculation.

use super::sheet::Sheet;
use super::{fault, fork};
use atlas_edge::sys;
use atlas_model::action::Action;
use atlas_model::{Filter, bpf};
use atlas_wire::measure::{MAX_TEXT, Speculation};
use atlas_wire::{Measured, decode, encode};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;

const VULNERABILITY: &str = "/sys/devices/system/cpu/vulnerabilities/spec_store_bypass";
/// `PR_SPEC_STORE_BYPASS` and `PR_SPEC_INDIRECT_BRANCH`.
const KINDS: [u64; 2] = [0, 1];

/// Looks, in a process that attaches a filter which allows everything.
pub(super) fn look(flags: u32, sheet: &Sheet) -> Result<Measured, Measured> {
    let [reader, writer] = sys::pipe();
    if reader < 0 {
        return Err(Measured::Impossible("no pipe".into()));
    }
    // SAFETY: both descriptors were made just now and belong to nobody else.
    let (mut reader, mut writer) = unsafe { (File::from_raw_fd(reader), File::from_raw_fd(writer)) };
    let pid = fork(0);
    if pid == 0 {
        let _ = sys::no_new_privs();
        let mut seen = Speculation {
            store_bypass: text(VULNERABILITY, ""),
            before: controls(),
            status_before: text("/proc/self/status", "Speculation_Store_Bypass:"),
            ..Speculation::default()
        };
        let result = sys::install(&Filter(vec![bpf::ret(Action::Allow)]), flags);
        if result < 0 {
            sheet.refuse(0, result);
            fault()
        }
        seen.after = controls();
        seen.status_after = text("/proc/self/status", "Speculation_Store_Bypass:");
        let _ = writer.write_all(&encode(&seen).unwrap_or_default());
        fault()
    }
    drop(writer);
    let mut bytes = Vec::new();
    let _ = reader.read_to_end(&mut bytes);
    if let Some((filter, errno)) = sheet.not_attached() {
        return Err(Measured::NotAttached { filter, errno });
    }
    match decode(&bytes) {
        Ok(seen) => Ok(Measured::Speculation(seen)),
        Err(error) => Err(Measured::Ended(error.to_string())),
    }
}

fn controls() -> [i64; 2] {
    KINDS.map(|kind| sys::prctl(libc::PR_GET_SPECULATION_CTRL, [kind, 0, 0, 0]))
}

/// What follows a word at the beginning of one of a file's lines.
fn text(path: &str, word: &str) -> String {
    let content = sys::read_file(path).unwrap_or_default();
    let line = content.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_default();
    line.trim().chars().filter(char::is_ascii).take(MAX_TEXT).collect()
}
