//! What a template is known by: everything that what is kept depends on.

use crate::kernels;
use crate::machine::BootOptions;
use crate::qemu::{self, Plan, Start};
use crate::{digest, initramfs};
use std::fs;
use std::io;
use std::path::Path;

/// How templates are made and kept. It is to be raised where a build makes of the same kernel, guest binary and arguments
/// another guest, by another way into the kernel for one, or keeps something else of it.
const MAKING: u32 = 4;

/// The key of the template of a kernel: a digest of how it is made, of the kernel, of the guest binary, of QEMU's version and of
/// the machine's arguments. A state that was saved under KVM also depends on the host's processor.
pub(super) fn of(kernel: &kernels::Kernel, options: &BootOptions) -> String {
    let arguments = qemu::described(
        &Plan {
            program: &options.qemu,
            start: Start::Boot(qemu::Kernel::Image(Path::new(&kernel.sha256)), None),
            command_line: &options.words(),
            accelerator: options.accelerator.name(),
            icount: options.icount,
            cpu: &options.cpus.join("|"),
        },
        options.window,
    );
    // Without either no guest starts, which then says why.
    let archive = initramfs::get().map(|archive| archive.digest.as_str()).unwrap_or_default();
    let version = crate::version().unwrap_or_default();
    let mut text = format!(
        "making {MAKING}\ninitramfs {archive}\nqemu {version}\nkernel {}\n{arguments}\n",
        kernel.sha256
    );
    if options.accelerator.name() == "kvm" {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let lines =
            processor.lines().filter(|line| line.starts_with("model name") || line.starts_with("flags"));
        text.extend(lines.take(2));
    }
    digest::of(text)[..32].to_owned()
}

/// SHA-256 of a small file.
pub(super) fn digest_of(path: &Path) -> io::Result<String> {
    Ok(digest::of(fs::read(path)?))
}
