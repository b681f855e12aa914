//! KVM where it is shown to work, TCG otherwise.

use crate::accel::{Accel, Accelerator};
use crate::error::{Error, Reason};
use crate::machine::{BootOptions, Machine};
use crate::qemu::all_were_killed;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// How long a guest under KVM may take to answer. One that works needs a fraction of it; one that
/// does not hangs before its first line, with the device node there and willing.
const PROOF: Duration = Duration::from_secs(6);

/// The probe's answer where KVM is what it should be.
const WORKS: &str = "a guest answers under KVM";

impl Accelerator {
    /// Finds out what runs guests, by booting this image where the device node alone does not
    /// settle it: opening it, and creating a VM, both succeed on hosts where every guest hangs.
    /// `memory` is a file that keeps the probe's answer for the life of the host's boot and QEMU.
    ///
    /// # Errors
    /// [`Error::NoKvm`] when KVM was demanded and a guest does not answer under it.
    pub fn find(wish: Accel, image: &Path, memory: Option<&Path>) -> Result<Self, Error> {
        if wish == Accel::Tcg {
            return Ok(Self { name: "tcg", why: "asked for".into() });
        }
        let answer = remembered(memory).unwrap_or_else(|| {
            let answer = probe(image);
            // A guest that was ended by Ctrl-C says nothing of KVM.
            if !all_were_killed() {
                remember(memory, &answer);
            }
            answer
        });
        match answer.as_str() {
            WORKS => Ok(Self { name: "kvm", why: answer }),
            _ if wish == Accel::Kvm => Err(Error::NoKvm(answer)),
            _ => Ok(Self { name: "tcg", why: answer }),
        }
    }
}

fn probe(image: &Path) -> String {
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return format!("/dev/kvm cannot be opened: {error}");
    }
    let accelerator = Accelerator { name: "kvm", why: String::new() };
    let cpus = vec!["max".to_owned()];
    let options = BootOptions { accelerator, limit: PROOF, cpus, ..BootOptions::default() };
    match Machine::boot(image, &options) {
        Ok(_) => WORKS.into(),
        Err(Error::Boot { lost, .. }) => match lost.reason {
            // A kernel that gets as far as giving up has run.
            Reason::Panic(_) | Reason::InitLost(_) => WORKS.into(),
            reason => {
                // QEMU's complaint may go on for lines; the first tells what it is about.
                let reason = reason.to_string();
                format!(
                    "/dev/kvm opens, but a guest under it is lost: {}",
                    reason.lines().next().unwrap_or_default()
                )
            }
        },
        Err(error) => format!("/dev/kvm opens, but a guest under it does not start: {error}"),
    }
}

/// The answer holds for one boot of the host and one QEMU.
fn key() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("{} {}", boot.trim(), crate::version().ok()?))
}

fn remembered(memory: Option<&Path>) -> Option<String> {
    let text = std::fs::read_to_string(memory?).ok()?;
    let (kept, answer) = text.split_once('\n')?;
    (kept == key()?).then(|| answer.trim().to_owned())
}

/// Writes the answer aside and renames it, so that no other run reads half of it. Losing it costs a
/// probe, so a failure here is nobody's business.
fn remember(memory: Option<&Path>, answer: &str) {
    let (Some(file), Some(key)) = (memory, key()) else { return };
    let Some(directory) = file.parent() else { return };
    if let Ok(mut aside) = tempfile::NamedTempFile::new_in(directory)
        && write!(aside, "{key}\n{answer}\n").is_ok()
    {
        let _ = aside.persist(file);
    }
}
