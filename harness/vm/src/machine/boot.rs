//! How a kernel is brought up: the ways that are tried, one after the other.

use super::{BootOptions, Machine};
use crate::error::{Error, Lost, Reason};
use crate::kernels;
use crate::qemu::{self, Kernel, Start, all_were_killed};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// The share of a boot's time that a kernel has which is entered as it is: Linux 4.11 to 4.20 can be entered so under Xen
/// alone (arch/x86/xen/enlighten_pvh.c, `xen_prepare_pvh`) and may hang, and the image is to have all of its time.
const SHARE: u32 = 4;

/// The longest command line of a kernel in bytes: `COMMAND_LINE_SIZE` less its end (arch/x86/include/asm/setup.h).
const LONGEST: usize = 2047;

impl Machine {
    /// Boots a kernel image and waits until its guest has said who it is.
    ///
    /// Its kernel is unpacked by the host and entered as it is, where that can be done and works. Otherwise the image is
    /// booted, and CPU models are tried in turn as long as the kernel gives up on them; an image that hangs, or that QEMU
    /// complains of, is not tried again. [`Machine::cpu`] says what did not work.
    ///
    /// # Errors
    /// [`Error`]; a guest that is lost before it has said who it is is [`Error::Boot`].
    pub fn boot(image: &Path, options: &BootOptions) -> Result<Self, Error> {
        let (mut machine, cpu) = Self::boot_in(image, options, None)?;
        // With entropy getrandom(2) takes two instructions less (seen: 6.1, 6.18), and clones are given it.
        if options.icount {
            machine.awaken().map_err(|lost| not_booted(image, &[&cpu], lost))?;
        }
        Ok(machine)
    }

    /// As [`Machine::boot`], with this file as the guest's memory, and without time or entropy for guests that count. Gives
    /// the CPU model in QEMU's words too.
    pub(crate) fn boot_in(
        image: &Path,
        options: &BootOptions,
        memory: Option<&File>,
    ) -> Result<(Self, String), Error> {
        let length = options.words().len();
        if length > LONGEST {
            return Err(Error::CommandLine { length, most: LONGEST });
        }
        let content =
            std::fs::read(image).map_err(|source| Error::Image { path: image.to_owned(), source })?;
        kernels::release_of(&content, image)?;
        let system = |what| move |source| Error::System { what, source };
        let vmlinux = kernels::vmlinux(&content).map_err(system("making a file for the kernel"))?;
        drop(content);
        let attempt = |kernel: Kernel<'_>, cpu: &str, limit: Duration| {
            memory.map_or(Ok(()), qemu::empty).map_err(system("emptying the memory's file"))?;
            let mut machine = Self::start(Start::Boot(kernel, memory), options, cpu)?;
            let greeted = machine.greet(limit);
            Ok::<_, Error>(greeted.map(|()| machine))
        };
        // Why the unpacked kernel did not come up, which goes with the CPU model that it was tried on.
        let mut unpacked = String::new();
        if let (Some(vmlinux), Some(cpu)) = (vmlinux, options.cpus.first()) {
            match attempt(Kernel::Vmlinux(&vmlinux), cpu, options.limit / SHARE)? {
                Ok(machine) => return Ok((machine, cpu.clone())),
                // The image's own way into its kernel may work, or say better what is wrong; and this QEMU may not
                // know the other one.
                Err(lost) if may_be_the_entry(&lost) && !all_were_killed() => {
                    unpacked = format!(" (unpacked: {})", lost.reason);
                }
                Err(lost) => return Err(not_booted(image, &[cpu], lost)),
            }
        }
        let mut first: Option<Lost> = None;
        let mut tried = Vec::new();
        for cpu in &options.cpus {
            tried.push(format!("{cpu}{}", std::mem::take(&mut unpacked)));
            match (attempt(Kernel::Image(image), cpu, options.limit)?, first.take()) {
                (Ok(mut machine), None) => {
                    machine.cpu.clone_from(&tried[0]);
                    return Ok((machine, cpu.clone()));
                }
                (Ok(mut machine), Some(lost)) => {
                    machine.cpu = format!("{cpu} (on {}: {})", options.cpus[0], lost.reason);
                    return Ok((machine, cpu.clone()));
                }
                (Err(lost), before) => {
                    let another_may_do = gave_up(&lost);
                    let lost = before.unwrap_or(lost);
                    if !another_may_do {
                        return Err(not_booted(image, &tried, lost));
                    }
                    first = Some(lost);
                }
            }
        }
        let none =
            Lost { reason: Reason::QemuExited("no CPU model was named".into()), console: String::new() };
        Err(not_booted(image, &tried, first.unwrap_or(none)))
    }
}

/// Whether the kernel gave up.
fn gave_up(lost: &Lost) -> bool {
    matches!(lost.reason, Reason::Panic(_) | Reason::InitLost(_) | Reason::Reset)
}

/// Whether a kernel that was entered as it is may be lost for that.
fn may_be_the_entry(lost: &Lost) -> bool {
    gave_up(lost) || lost.reason.is_timeout() || matches!(lost.reason, Reason::QemuExited(_))
}

fn not_booted(image: &Path, tried: &[impl AsRef<str>], lost: Lost) -> Error {
    let tried: Vec<&str> = tried.iter().map(AsRef::as_ref).collect();
    Error::Boot { path: image.to_owned(), tried: tried.join(", then "), lost: Box::new(lost) }
}
