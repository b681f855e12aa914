//! Where the guests of a test come from.

use atlas_vm::kernels::{Kernel, Store};
use atlas_vm::{Accel, Accelerator, BootOptions};
use seccomp_atlas::guests::Guests;

/// Clones, of templates in the store; boots where there can be no templates.
pub(crate) fn find(first: &Kernel) -> Guests {
    let store = Store::open().ok();
    let memory = store.as_ref().map(|store| store.root().join("kvm"));
    let accelerator =
        Accelerator::find(Accel::Auto, &first.path, memory.as_deref()).unwrap_or_else(|_| Accelerator::tcg());
    let options = BootOptions { accelerator, ..BootOptions::default() };
    let warm = store.and_then(|store| Guests::warm(options.clone(), &store).ok());
    warm.unwrap_or_else(|| Guests::cold(options))
}
