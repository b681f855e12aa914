//! Where something is to be done: on which kernels, and how their guests are got.

use super::{Failure, interrupt, run};
use crate::guests::Guests;
use crate::plan::JitChoice;
use atlas_vm::kernels::{Kernel, Store};
use atlas_vm::{Accelerator, BootOptions};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
    accel: run::AccelChoice,
    /// Boot every guest, instead of cloning templates, which are made where there are none
    #[arg(long)]
    cold: bool,
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
        let kernels = run::kernels(&store, &self.kernel)?;
        let stop = interrupt::watch()?;
        let accelerator = accelerator(self.accel, &store, &kernels)?;
        let options = BootOptions { accelerator, ..BootOptions::default() };
        Ok(Ready { kernels, guests: run::guests(&store, self.cold, options)?, stop })
    }
}

/// What runs the guests of these kernels. What was found out about KVM is kept in the store.
pub(super) fn accelerator(
    choice: run::AccelChoice,
    store: &Store,
    kernels: &[Kernel],
) -> Result<Accelerator, Failure> {
    let probed = store.root().join("kvm");
    Ok(Accelerator::find(choice.into(), &kernels[0].path, Some(&probed))?)
}
