//! What a template is known by: everything that what is kept depends on.

use crate::kernels::Kernel;
use crate::machine::BootOptions;
use crate::qemu::{self, Memory, Plan};
use crate::{guest_binary, initramfs};
use atlas_wire::window;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

/// The initramfs, which has the guest binary in it, and QEMU's version, once a process.
static COMMON: LazyLock<String> = LazyLock::new(|| {
    let archive = initramfs::build(guest_binary(), window::ADDRESS as usize).unwrap_or_default();
    let version = crate::version().unwrap_or_default();
    format!("initramfs {}\nqemu {version}\n", hex(&Sha256::digest(archive)))
});

/// The key of the template of a kernel: a digest of the kernel, of the guest binary, of QEMU's version and of
/// the machine's arguments. A state that was saved under KVM also depends on the host's processor.
pub(super) fn of(kernel: &Kernel, options: &BootOptions) -> String {
    let arguments = qemu::described(
        &Plan {
            program: &options.qemu,
            kernel: Path::new(&kernel.sha256),
            command_line: &options.words(),
            accelerator: options.accelerator.name(),
            icount: options.icount,
            cpu: &options.cpus.join("|"),
            memory: Memory::Own,
        },
        options.window,
    );
    let mut text = format!("{}kernel {}\n{arguments}\n", *COMMON, kernel.sha256);
    if options.accelerator.name() == "kvm" {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let lines =
            processor.lines().filter(|line| line.starts_with("model name") || line.starts_with("flags"));
        text.extend(lines.take(2));
    }
    hex(&Sha256::digest(text))[..32].to_owned()
}

/// SHA-256 of a small file.
pub(super) fn digest_of(path: &Path) -> io::Result<String> {
    Ok(hex(&Sha256::digest(fs::read(path)?)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
