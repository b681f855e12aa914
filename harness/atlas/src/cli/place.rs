//! Where something is to be done: on which kernels, and how their guests are got.

use super::{Failure, interrupt};
use crate::guests::Guests;
use crate::plan::JitChoice;
use atlas_vm::kernels::{Kernel, Proof, Store, Stored};
use atlas_vm::{Accel, Accelerator, BootOptions};
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Memory that one guest is counted with, in MiB: its RAM, the window and QEMU itself.
const GUEST_MEMORY: u64 = 320;

/// Kernels, JIT settings and guests, as arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// A kernel: series, release, name in the store, or path to an image [default: all default ones]
    #[arg(long, value_name = "S|PATH")]
    kernel: Vec<String>,
    /// JIT settings
    #[arg(long, value_enum, default_value_t)]
    pub(super) jit: JitChoice,
    /// What runs the guests
    #[arg(long, value_enum, default_value_t)]
    accel: AccelChoice,
    /// Boot every guest, instead of cloning templates, which are made where there are none
    #[arg(long)]
    cold: bool,
}

/// What runs the guests.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum AccelChoice {
    /// KVM if a guest really answers under it, else TCG
    #[default]
    Auto,
    /// Emulation
    Tcg,
    /// KVM or nothing
    Kvm,
}

impl From<AccelChoice> for Accel {
    fn from(choice: AccelChoice) -> Self {
        match choice {
            AccelChoice::Auto => Self::Auto,
            AccelChoice::Tcg => Self::Tcg,
            AccelChoice::Kvm => Self::Kvm,
        }
    }
}

/// What is there to begin with.
pub(super) struct Ready {
    /// The kernels, oldest first.
    pub(super) kernels: Vec<Kernel>,
    /// Where their guests come from.
    pub(super) guests: Guests,
    /// Raised by Ctrl-C.
    pub(super) stop: Arc<AtomicBool>,
}

impl Place {
    /// Finds the kernels, and what runs guests. Signals are taken from now on.
    pub(super) fn ready(&self) -> Result<Ready, Failure> {
        atlas_vm::version()?;
        let store = Store::open()?;
        let kernels = kernels(&store, &self.kernel)?;
        let stop = interrupt::watch()?;
        let accelerator = accelerator(self.accel, &store, &kernels)?;
        let options = BootOptions { accelerator, ..BootOptions::default() };
        Ok(Ready { kernels, guests: guests(&store, self.cold, options)?, stop })
    }
}

/// What runs the guests of these kernels. What was found out about KVM is kept in the store.
pub(super) fn accelerator(
    choice: AccelChoice,
    store: &Store,
    kernels: &[Kernel],
) -> Result<Accelerator, Failure> {
    let probed = store.root().join("kvm");
    Ok(Accelerator::find(choice.into(), &kernels[0].path, Some(&probed))?)
}

/// Guests by clones, or by boots.
pub(super) fn guests(store: &Store, cold: bool, options: BootOptions) -> Result<Guests, Failure> {
    if cold { Ok(Guests::cold(options)) } else { Ok(Guests::warm(options, store)?) }
}

/// The kernels that are wanted, oldest first, with unique names; the default ones where none is.
pub(super) fn kernels(store: &Store, wanted: &[String]) -> Result<Vec<Kernel>, Failure> {
    let mut kernels = if wanted.is_empty() {
        default_kernels(store)?
    } else {
        wanted.iter().map(|name| store.resolve(name)).collect::<Result<Vec<_>, _>>()?
    };
    kernels.sort_by_key(|kernel| (kernel.series, kernel.name.clone()));
    kernels.dedup_by(|one, other| one.name == other.name && one.sha256 == other.sha256);
    // Reports and results name kernels, so two images of one name are told apart by their digest.
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for kernel in &mut kernels {
        let count = seen.entry(kernel.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            kernel.name = format!("{}@{}", kernel.name, &kernel.sha256[..8]);
        }
    }
    Ok(kernels)
}

/// The default kernels: all that were fetched, or none where one of them does not count as usable.
fn default_kernels(store: &Store) -> Result<Vec<Kernel>, Failure> {
    let (default, added): (Vec<_>, Vec<_>) = store.list()?.into_iter().partition(|stored| stored.default);
    let is_usable = |stored: &&Stored| matches!(stored.proof, Proof::Booted { .. });
    if default.is_empty() {
        let names: Vec<String> =
            added.iter().filter(is_usable).map(|stored| format!("--kernel {}", stored.name)).collect();
        return Err(match &names[..] {
            [] => "no kernels on this machine yet: `atlas kernels fetch` fetches the default ones".into(),
            names => format!(
                "none of the default kernels is on this machine: say {}, or fetch them with `atlas kernels fetch`",
                names.join(" ")
            )
            .into(),
        });
    }
    let left_out = |stored: &Stored| match &stored.proof {
        Proof::Booted { .. } => None,
        Proof::NotYet => Some(format!("{}, whose first boot was cut short", stored.name)),
        Proof::Failed { reason } => {
            let reason = reason.lines().next().unwrap_or_default();
            Some(format!("{}, which did not boot here ({reason})", stored.name))
        }
    };
    let left_out: Vec<String> = default.iter().filter_map(left_out).collect();
    if !left_out.is_empty() {
        return Err(format!(
            "not every default kernel counts as usable: {}. `atlas kernels fetch` boots it again, `atlas kernels remove` \
             leaves it out; or name others with --kernel",
            left_out.join("; ")
        )
        .into());
    }
    Ok(store.default_kernels()?)
}

/// A guest a processor, as far as memory goes: two on one keep each other's code out of its caches.
pub(super) fn default_jobs() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let available = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:").map(str::to_owned))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    let fit = available.map_or(processors, |kib| (kib / 1024 / GUEST_MEMORY) as usize);
    processors.min(fit).max(1)
}
