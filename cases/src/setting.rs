//! Settings of the kernel that are others for a while.

use atlas_edge::sys;

/// A changed setting, which is what it was again once this is dropped.
pub(crate) struct Setting {
    path: &'static str,
    before: String,
}

impl Setting {
    /// Remembers what a file under /proc/sys says and writes another value. Where there is no such file there is
    /// nothing to change, and nothing is.
    pub(crate) fn change(path: &'static str, value: &str) -> Self {
        let before = sys::read_file(path).unwrap_or_default();
        let _ = std::fs::write(path, value);
        Self { path, before }
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = std::fs::write(self.path, self.before.trim());
    }
}
