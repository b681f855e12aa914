//! What has to be there before the first request.

use atlas_edge::{memory, resume, sys};
use std::ffi::CString;

/// Mounts what experiments look at and maps what they use. A file system that the kernel does not
/// have is not an error: probes find that out.
pub(crate) fn machine() -> Result<(), String> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys")] {
        let _ = mount(kind, place);
    }
    // Every killed task would leave a line on the console otherwise.
    let _ = std::fs::write("/proc/sys/debug/exception-trace", "0");
    resume::restore_signals();
    sys::take_precedence();
    sys::hold_child_signals();
    memory::map_all().map_err(|errno| format!("the fixed mappings could not be made: errno {}", -errno))
}

/// Mounts a file system that needs no device. Says whether it could.
pub(crate) fn mount(kind: &str, place: &str) -> bool {
    let (kind, place) = (c_string(kind), c_string(place));
    // SAFETY: three C strings that live until the call returns, and no data.
    unsafe { libc::mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) == 0 }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("our own names have no NUL")
}
