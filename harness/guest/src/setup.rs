//! What has to be there before the first request.

use crate::text;
use atlas_edge::{memory, resume, sys};
use std::ffi::CString;

/// Mounts what experiments look at and maps what they use. A file system that the kernel does not
/// have is not an error: probes find that out.
pub(crate) fn machine() -> Result<(), String> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys")] {
        let _ = mount(kind, place, "");
    }
    if told("atlas.huge=").as_deref() == Some("1") {
        text::move_to_huge_pages();
    }
    // Every killed task would leave a line on the console otherwise.
    let _ = std::fs::write("/proc/sys/debug/exception-trace", "0");
    // Who waits for a grace period of RCU would wait for the next ticks (kernel/ksysfs.c rcu_expedited_store);
    // nothing here is about how long that takes.
    let _ = std::fs::write("/sys/kernel/rcu_expedited", "1");
    resume::restore_signals();
    sys::take_precedence();
    sys::hold_child_signals();
    memory::map_all().map_err(|errno| format!("the fixed mappings could not be made: errno {}", -errno))
}

/// What the host has put behind this beginning of a word on the kernel's command line, which has no meaning to the kernel.
/// The last one counts.
pub(crate) fn told(beginning: &str) -> Option<String> {
    let line = sys::read_file("/proc/cmdline")?;
    line.split_whitespace().rev().find_map(|word| word.strip_prefix(beginning)).map(str::to_owned)
}

/// Mounts a file system that needs no device, with options of its own. Says whether it could.
pub(crate) fn mount(kind: &str, place: &str, options: &str) -> bool {
    let (kind, place, options) = (c_string(kind), c_string(place), c_string(options));
    let (name, data) = (kind.as_ptr(), options.as_ptr().cast());
    // SAFETY: C strings that live until the call returns; a string is what these file systems take for data.
    unsafe { libc::mount(name, place.as_ptr(), name, 0, data) == 0 }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("our own names have no NUL")
}
