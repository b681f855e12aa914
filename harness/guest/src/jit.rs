//! The switch of the BPF JIT, held open: it is looked at before every request that names a setting.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Where the JIT is switched (Documentation/admin-guide/sysctl/net.rst).
pub(crate) const PATH: &str = "/proc/sys/net/core/bpf_jit_enable";

/// The switch.
pub(crate) struct Switch(std::io::Result<File>);

impl Switch {
    /// Opens it. A kernel without one is found out when it is turned.
    pub(crate) fn open() -> Self {
        Self(OpenOptions::new().read(true).write(true).open(PATH))
    }

    /// Its descriptor, which no experiment with descriptors of its own shall have.
    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.0.as_ref().ok().map(AsRawFd::as_raw_fd)
    }

    /// Turns it, unless it stands so.
    pub(crate) fn turn(&self, on: bool) -> Result<(), String> {
        let wanted = if on { b"1" } else { b"0" };
        let file = self.0.as_ref().map_err(|error| format!("{PATH}: {error}"))?;
        let mut now = [0; 8];
        let length = file.read_at(&mut now, 0).map_err(|error| format!("{PATH}: {error}"))?;
        if now[..length].trim_ascii() == wanted {
            return Ok(());
        }
        match file.write_at(wanted, 0) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{PATH} refuses {}: {error}", u8::from(on))),
        }
    }
}
