//! What runs the guests of a test.

use atlas_vm::kernels::{Kernel, Store};
use atlas_vm::{Accel, Accelerator};

/// What runs the guests.
pub(crate) fn find(first: &Kernel) -> Accelerator {
    let memory = Store::open().ok().map(|store| store.root().join("kvm"));
    Accelerator::find(Accel::Auto, &first.path, memory.as_deref()).unwrap_or_else(|_| Accelerator::tcg())
}
