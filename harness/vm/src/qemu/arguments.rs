//! QEMU's command line. The machine description of the design: what knows the architecture of
//! guests is here.

use atlas_wire::window;
use std::os::fd::RawFd;
use std::path::Path;
use std::process::Command;

/// The program that runs guests, looked for in `PATH`.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
/// RAM of a guest's kernel in MiB. The window lies above it.
pub(crate) const MEMORY: u64 = window::ADDRESS >> 20;
/// Length of the window in MiB.
pub(crate) const WINDOW: u64 = window::LENGTH >> 20;

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
}

/// The command for a plan. Files are named by descriptor, so that none has a name to be left behind.
pub(crate) fn command(plan: &Plan<'_>, handed: &Handed) -> Command {
    let Handed { console, frames, initramfs, window } = handed;
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
    match window {
        Some(window) => command
            .args(["-m", &(MEMORY + WINDOW).to_string()])
            .args(["-object", &format!("memory-backend-ram,id=ram,size={MEMORY}M")])
            .arg("-object")
            .arg(format!(
                "memory-backend-file,id=window,size={WINDOW}M,mem-path=/proc/self/fd/{window},share=on"
            ))
            .args(["-numa", "node,memdev=ram", "-numa", "node,memdev=window"]),
        None => command.args(["-m", &MEMORY.to_string()]),
    };
    command
}

/// The words that keep the window from the guest's kernel and tell PID 1 of it.
pub(crate) fn window_words() -> String {
    format!("memmap={WINDOW}M${MEMORY}M atlas.window=1")
}
