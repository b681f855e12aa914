//! QEMU's command line. The machine description of the design: what knows the architecture of
//! guests is here.

use atlas_wire::window;
use std::fs::File;
use std::os::fd::RawFd;
use std::path::Path;
use std::process::Command;

/// The program that runs guests, looked for in `PATH`.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
/// RAM of a guest's kernel in MiB. The window lies above it.
pub(crate) const MEMORY: u64 = window::ADDRESS >> 20;
/// Length of the window in MiB.
pub(crate) const WINDOW: u64 = window::LENGTH >> 20;

/// What a guest's memory is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Memory<'a> {
    /// Pages of its own.
    Own,
    /// A file: what the guest writes is in it. This makes a template.
    File(&'a File),
    /// Pages of a file, and pages of its own for what it writes. It does not boot but waits for a state:
    /// this makes a clone.
    CopyOf(&'a File),
}

/// What a guest is started with.
pub(crate) struct Plan<'a> {
    /// The program that runs it.
    pub(crate) program: &'a Path,
    /// The kernel image.
    pub(crate) kernel: &'a Path,
    /// The words for the kernel.
    pub(crate) command_line: &'a str,
    /// `tcg` or `kvm`.
    pub(crate) accelerator: &'a str,
    /// Whether its clocks count instructions.
    pub(crate) icount: bool,
    /// The CPU model.
    pub(crate) cpu: &'a str,
    /// Its memory.
    pub(crate) memory: Memory<'a>,
}

/// The descriptors that QEMU inherits.
pub(crate) struct Handed {
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
    let Handed { console, frames, initramfs, window, memory, monitor } = handed;
    let mut command = Command::new(plan.program);
    command
        .args(["-machine", "pc", "-accel", plan.accelerator, "-cpu", plan.cpu, "-smp", "1"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(plan.kernel)
        .args(["-initrd", &format!("/proc/self/fd/{initramfs}"), "-append", plan.command_line])
        .args(["-chardev", &format!("socket,id=console,fd={console}"), "-serial", "chardev:console"])
        .args(["-chardev", &format!("socket,id=frames,fd={frames}"), "-serial", "chardev:frames"]);
    if plan.icount {
        // One instruction is one nanosecond of the guest's time, and idle time passes at once.
        command.args(["-icount", "shift=0,sleep=off"]);
    }
    if let Some(monitor) = monitor {
        command.args(["-chardev", &format!("socket,id=monitor,fd={monitor}")]);
        command.args(["-mon", "chardev=monitor,mode=control"]);
    }
    if matches!(plan.memory, Memory::CopyOf(_)) {
        command.args(["-incoming", "defer"]);
    }
    let ram = match (memory, plan.memory) {
        (Some(file), Memory::File(_)) => backend("ram", MEMORY, *file, "on"),
        (Some(file), _) => backend("ram", MEMORY, *file, "off"),
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

/// Memory that lies in a file.
fn backend(name: &str, mebibytes: u64, file: RawFd, share: &str) -> String {
    format!("memory-backend-file,id={name},size={mebibytes}M,mem-path=/proc/self/fd/{file},share={share}")
}

/// The words that keep the window from the guest's kernel and tell PID 1 of it.
pub(crate) fn window_words() -> String {
    format!("memmap={WINDOW}M${MEMORY}M atlas.window=1")
}
