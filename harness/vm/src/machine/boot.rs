//! How a kernel is brought up: the ways that are tried, one after the other.

use super::{BootOptions, Machine};
use crate::error::{Error, Lost, Reason};
use crate::kernels;
use crate::qemu::{self, Kernel, Start, all_were_killed};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// What part of a boot's time a kernel has that is entered as it is: some hang there, for Linux 4.11 to 4.20 can be
/// entered in this way under Xen alone (arch/x86/xen/enlighten_pvh.c), and an image needs its time after that.
const PART: u32 = 4;

impl Machine {
    /// Boots a kernel image and waits until its guest has said who it is.
    ///
    /// Its kernel is unpacked by the host and entered as it is, where that can be done and works. Otherwise the image is
    /// booted, and CPU models are tried in turn as long as the kernel gives up on them; an image that hangs, or that QEMU
    /// complains of, is not tried again.
    ///
    /// # Errors
    /// [`Error`]; a guest that is lost before it has said who it is is [`Error::Boot`].
    pub fn boot(image: &Path, options: &BootOptions) -> Result<Self, Error> {
        Self::boot_in(image, options, None).map(|(machine, _)| machine)
    }

    /// As [`Machine::boot`], with this file as the guest's memory. Gives the CPU model in QEMU's words too.
    pub(crate) fn boot_in(
        image: &Path,
        options: &BootOptions,
        memory: Option<&File>,
    ) -> Result<(Self, String), Error> {
        let content =
            std::fs::read(image).map_err(|source| Error::Image { path: image.to_owned(), source })?;
        kernels::release_of(&content, image)?;
        let system = |what| move |source| Error::System { what, source };
        let vmlinux = kernels::vmlinux(&content).map(|kernel| qemu::unnamed(&kernel)).transpose();
        let vmlinux = vmlinux.map_err(system("a file for the kernel"))?;
        drop(content);
        let try_it = |kernel: Kernel<'_>, cpu: &str, limit: Duration| -> Result<Result<Self, Lost>, Error> {
            memory.map_or(Ok(()), qemu::empty).map_err(system("the memory's file"))?;
            let mut machine = Self::start(Start::Boot(kernel, memory), options, cpu)?;
            let mut greeted = machine.greet(limit);
            // With entropy getrandom(2) takes two instructions less (seen: 6.1, 6.18), and clones have it.
            if greeted.is_ok() && options.icount {
                greeted = machine.awaken();
            }
            Ok(greeted.map(|()| machine))
        };
        if let (Some(vmlinux), Some(cpu)) = (&vmlinux, options.cpus.first()) {
            match try_it(Kernel::Vmlinux(vmlinux), cpu, options.limit / PART)? {
                Ok(machine) => return Ok((machine, cpu.clone())),
                Err(lost) if all_were_killed() => return Err(not_booted(image, &[cpu], lost)),
                // The image's own way into its kernel may work, or say better what is wrong; and this QEMU may not
                // know the other one.
                Err(_) => {}
            }
        }
        let mut first: Option<Lost> = None;
        let mut tried = Vec::new();
        for cpu in &options.cpus {
            tried.push(cpu.as_str());
            match (try_it(Kernel::Image(image), cpu, options.limit)?, first.take()) {
                (Ok(machine), None) => return Ok((machine, cpu.clone())),
                (Ok(mut machine), Some(lost)) => {
                    machine.cpu = format!("{cpu} (on {}: {})", tried[0], lost.reason);
                    return Ok((machine, cpu.clone()));
                }
                (Err(lost), before) => {
                    let another_may_do =
                        matches!(lost.reason, Reason::Panic(_) | Reason::InitLost(_) | Reason::Reset);
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

fn not_booted(image: &Path, tried: &[&str], lost: Lost) -> Error {
    Error::Boot { path: image.to_owned(), tried: tried.join(", then "), lost: Box::new(lost) }
}
