//! QEMU's command line. The machine description of the design: what knows the architecture of
//! guests is here.

use atlas_wire::window;
use std::fs::File;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that runs guests, looked for in `PATH`.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
/// RAM of a guest's kernel in MiB. The window lies above it.
pub(crate) const MEMORY: u64 = window::ADDRESS >> 20;
/// Length of the window in MiB.
pub(crate) const WINDOW: u64 = window::LENGTH >> 20;

/// A kernel that is to be booted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kernel<'a> {
    /// A bzImage, which unpacks itself.
    Image(&'a Path),
    /// An ELF file, which is entered as it is.
    Vmlinux(&'a File),
}

/// What a guest begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a> {
    /// A boot, in pages of its own or in this file, which what the guest writes is in. The latter makes a template.
    Boot(Kernel<'a>, Option<&'a File>),
    /// A state that it waits for, with the pages of this file, and pages of its own for what it writes. This makes a
    /// clone, whose kernel is in its memory already.
    Clone(&'a File),
}

/// What a guest is started with.
pub(crate) struct Plan<'a> {
    /// The program that runs it.
    pub(crate) program: &'a Path,
    /// What it begins with.
    pub(crate) start: Start<'a>,
    /// The words for the kernel.
    pub(crate) command_line: &'a str,
    /// `tcg` or `kvm`.
    pub(crate) accelerator: &'a str,
    /// Whether its clocks count instructions.
    pub(crate) icount: bool,
    /// The CPU model.
    pub(crate) cpu: &'a str,
}

impl<'a> Plan<'a> {
    /// The image, where one is booted.
    pub(crate) fn image(&self) -> Option<&'a Path> {
        match self.start {
            Start::Boot(Kernel::Image(path), _) => Some(path),
            Start::Boot(Kernel::Vmlinux(_), _) | Start::Clone(_) => None,
        }
    }

    /// The unpacked kernel, where one is booted.
    pub(crate) fn vmlinux(&self) -> Option<&'a File> {
        match self.start {
            Start::Boot(Kernel::Vmlinux(file), _) => Some(file),
            Start::Boot(Kernel::Image(_), _) | Start::Clone(_) => None,
        }
    }

    /// The file of the memory, where it is in one.
    pub(crate) fn memory(&self) -> Option<&'a File> {
        match self.start {
            Start::Boot(_, memory) => memory,
            Start::Clone(memory) => Some(memory),
        }
    }
}

/// The descriptors that QEMU inherits, and the file of what it boots.
pub(crate) struct Handed {
    /// The image, or the unpacked kernel as a descriptor of its own; `None` for a clone.
    pub(crate) kernel: Option<PathBuf>,
    /// The far end of the console's socket pair.
    pub(crate) console: RawFd,
    /// The far end of the frame line's.
    pub(crate) frames: RawFd,
    /// The initramfs.
    pub(crate) initramfs: RawFd,
    /// The window's file, where there is one.
    pub(crate) window: Option<RawFd>,
    /// The memory's file, where it is one.
    pub(crate) memory: Option<RawFd>,
    /// The far end of the monitor's socket pair, where there is a monitor.
    pub(crate) monitor: Option<RawFd>,
}

/// The command for a plan. Files are named by descriptor, so that none has a name to be left behind.
pub(crate) fn command(plan: &Plan<'_>, handed: &Handed) -> Command {
    let Handed { kernel, console, frames, initramfs, window, memory, monitor } = handed;
    let mut command = Command::new(plan.program);
    command
        .args(["-machine", "pc", "-accel", plan.accelerator, "-cpu", plan.cpu, "-smp", "1"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-chardev", &format!("socket,id=console,fd={console}"), "-serial", "chardev:console"])
        .args(["-chardev", &format!("socket,id=frames,fd={frames}"), "-serial", "chardev:frames"]);
    match kernel {
        Some(kernel) => {
            command.arg("-kernel").arg(kernel);
            command.args(["-initrd", &named(*initramfs), "-append", plan.command_line])
        }
        None => command.args(["-incoming", "defer"]),
    };
    if plan.icount {
        // One instruction is one nanosecond of the guest's time, and idle time passes at once.
        command.args(["-icount", "shift=0,sleep=off"]);
    }
    if let Some(monitor) = monitor {
        command.args(["-chardev", &format!("socket,id=monitor,fd={monitor}")]);
        command.args(["-mon", "chardev=monitor,mode=control"]);
    }
    let ram = match (memory, plan.start) {
        (Some(file), Start::Boot(..)) => backend("ram", MEMORY, *file, "on"),
        (Some(file), Start::Clone(_)) => backend("ram", MEMORY, *file, "off"),
        (None, _) => format!("memory-backend-ram,id=ram,size={MEMORY}M"),
    };
    let total = if window.is_some() { MEMORY + WINDOW } else { MEMORY };
    command.args(["-m", &total.to_string(), "-object", &ram, "-numa", "node,memdev=ram"]);
    if let Some(window) = window {
        command.args(["-object", &backend("window", WINDOW, *window, "on")]);
        command.args(["-numa", "node,memdev=window"]);
    }
    command
}

/// The command line of a plan in one line, but for descriptors: part of what a template is known by.
pub(crate) fn described(plan: &Plan<'_>, window: bool) -> String {
    let any = 0;
    let handed = Handed {
        kernel: plan.image().map(Path::to_owned),
        console: any,
        frames: any,
        initramfs: any,
        window: window.then_some(any),
        memory: Some(any),
        monitor: Some(any),
    };
    let command = command(plan, &handed);
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// A descriptor of QEMU's as the name of a file.
pub(crate) fn named(descriptor: RawFd) -> String {
    format!("/proc/self/fd/{descriptor}")
}

/// Memory that lies in a file.
fn backend(name: &str, mebibytes: u64, file: RawFd, share: &str) -> String {
    format!("memory-backend-file,id={name},size={mebibytes}M,mem-path={},share={share}", named(file))
}

/// The words that keep the window from the guest's kernel and tell PID 1 of it.
pub(crate) fn window_words() -> String {
    format!("memmap={WINDOW}M${MEMORY}M atlas.window=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_boots_has_a_kernel_and_a_clone_has_none() {
        let (image, memory) = (Path::new("vmlinuz"), File::open("/dev/null").unwrap());
        let words = |start| {
            let command_line = "quiet";
            let plan =
                Plan { program: image, start, command_line, accelerator: "tcg", icount: false, cpu: "max" };
            described(&plan, true)
        };
        let boot = words(Start::Boot(Kernel::Image(image), None));
        assert!(boot.contains(" -kernel vmlinuz -initrd /proc/self/fd/0 -append quiet "), "{boot}");
        assert!(!boot.contains("-incoming"), "{boot}");
        let clone = words(Start::Clone(&memory));
        assert!(clone.contains(" -incoming defer "), "{clone}");
        assert!(!["-kernel", "-initrd", "-append"].iter().any(|word| clone.contains(word)), "{clone}");
    }
}
