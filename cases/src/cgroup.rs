//! Control groups (cgroups(7), version 2).

use atlas_edge::sys;
use std::path::{Path, PathBuf};

/// A control group of our own, in a hierarchy mounted for it.
pub(crate) struct Group {
    mount: &'static Path,
    path: PathBuf,
}

impl Group {
    /// Makes one whose files are those of the core and of these controllers, such as `+memory`; `None` where that
    /// cannot be.
    pub(crate) fn make(controllers: &str) -> Option<Self> {
        let mount = Path::new("/.cgroup");
        let _ = std::fs::create_dir(mount);
        let text = c"/.cgroup".as_ptr() as u64;
        let kind = c"cgroup2".as_ptr() as u64;
        // SAFETY: the strings are of static life.
        let mounted = unsafe { sys::raw(libc::SYS_mount, [kind, text, kind, 0, 0, 0]) };
        let group = Self { mount, path: mount.join("case") };
        let made = mounted == 0
            && std::fs::write(mount.join("cgroup.subtree_control"), controllers).is_ok()
            && std::fs::create_dir(&group.path).is_ok();
        made.then_some(group)
    }

    /// The calling process joins.
    pub(crate) fn join(&self) {
        let _ = self.write("cgroup.procs", "0");
    }

    /// Writes to one of its files, and says whether that was taken.
    pub(crate) fn write(&self, file: &str, text: &str) -> bool {
        std::fs::write(self.path.join(file), text).is_ok()
    }

    /// One of its files; empty where there is none.
    pub(crate) fn read(&self, file: &str) -> String {
        sys::read_file(&self.path.join(file).to_string_lossy()).unwrap_or_default()
    }

    /// The number in one of its files; -1 where there is none.
    pub(crate) fn number(&self, file: &str) -> i64 {
        self.read(file).trim().parse().unwrap_or(-1)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.path);
        // SAFETY: the string is of static life; whoever is still in there keeps it.
        let _ = unsafe {
            sys::raw(libc::SYS_umount2, [c"/.cgroup".as_ptr() as u64, libc::MNT_DETACH as u64, 0, 0, 0, 0])
        };
        let _ = std::fs::remove_dir(self.mount);
    }
}
