//! The kernel's switch for the BPF JIT (Documentation/admin-guide/sysctl/net.rst, `bpf_jit_enable`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the switch is.
pub const SWITCH: &str = "/proc/sys/net/core/bpf_jit_enable";

/// The switch in another position, for as long as this lives. A process apart holds what to put back, and
/// does so when this one ends, however it ends.
#[derive(Debug)]
pub struct Switched {
    keeper: Child,
    path: PathBuf,
    before: String,
}

/// The position that the switch is in.
///
/// # Errors
/// Where it cannot be read.
pub fn position(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map(|text| text.trim().to_owned())
}

impl Switched {
    /// Switches.
    ///
    /// # Errors
    /// Where the kernel does not let it be: not root, or built with `CONFIG_BPF_JIT_ALWAYS_ON`, which takes
    /// nothing but 1 (net/core/sysctl_net_core.c).
    pub fn to(path: &Path, wanted: &str) -> io::Result<Self> {
        let before = position(path)?;
        // The keeper is there before the switch is touched; it is not to end by the same Ctrl-C.
        let keeper = Command::new("sh")
            .args(["-c", r#"trap "" INT TERM HUP; cat; echo "$1" > "$0""#])
            .arg(path)
            .arg(&before)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let switched = Self { keeper, path: path.to_owned(), before };
        fs::write(path, wanted)?;
        match position(path)? {
            now if now == wanted => Ok(switched),
            now => Err(io::Error::other(format!("it stays at {now}"))),
        }
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        if position(&self.path).ok().as_ref() != Some(&self.before) {
            eprintln!("{} could not be put back to {}", self.path.display(), self.before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::write(&path, "1\n").unwrap();
        path
    }

    #[test]
    fn the_switch_is_put_back_after_a_panic_too() {
        let path = switch("jit-panic");
        let switched = Switched::to(&path, "0").unwrap();
        assert_eq!(position(&path).unwrap(), "0");
        drop(switched);
        assert_eq!(position(&path).unwrap(), "1");
        let panicked = std::panic::catch_unwind(|| {
            let _switched = Switched::to(&path, "0").unwrap();
            panic!("{}", position(&path).unwrap());
        });
        assert_eq!(panicked.unwrap_err().downcast_ref::<String>().unwrap(), "0");
        assert_eq!(position(&path).unwrap(), "1");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_switch_that_cannot_be_set_is_an_error() {
        assert!(Switched::to(Path::new("/proc/version"), "0").is_err());
        assert!(Switched::to(Path::new("/no/such/switch"), "0").is_err());
    }
}
