//! A root directory of a process's own.

use crate::sys;
use std::ffi::CStr;

/// Makes a mount the root directory of this process, in mounts of its own, and goes to a directory there.
///
/// The mount is moved over the root that was, and not only taken for one: a process that is in a chroot(2) is
/// refused user namespaces (kernel/user_namespace.c create_user_ns, current_chrooted), and programs would fail that
/// fail nowhere else.
///
/// # Errors
/// The errno negated.
pub(super) fn enter(root: &CStr, directory: &CStr) -> Result<(), i64> {
    sys::ok(sys::number(libc::SYS_unshare, [libc::CLONE_NEWNS as u64, 0, 0, 0, 0, 0]))?;
    go_to(root)?;
    let [here, top] = [c".", c"/"].map(|path| path.as_ptr() as u64);
    // SAFETY: the paths live until the calls return, and moving takes neither type nor data (mount(2)).
    unsafe {
        sys::ok(sys::raw(libc::SYS_mount, [here, top, 0, libc::MS_MOVE, 0, 0]))?;
        sys::ok(sys::raw(libc::SYS_chroot, [here, 0, 0, 0, 0, 0]))?;
    }
    go_to(directory)
}

fn go_to(directory: &CStr) -> Result<(), i64> {
    // SAFETY: the path lives until the call returns.
    sys::ok(unsafe { sys::raw(libc::SYS_chdir, [directory.as_ptr() as u64, 0, 0, 0, 0, 0]) }).map(drop)
}
