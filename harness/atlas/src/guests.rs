//! Where guests come from: clones of templates where there are templates, boots elsewhere.

use atlas_vm::kernels::{Kernel, Store};
use atlas_vm::templates::{ROOM, Templates};
use atlas_vm::{BootOptions, Error, Machine};
use std::path::PathBuf;

/// How a run gets its guests.
#[derive(Clone, Debug)]
pub struct Guests {
    /// How kernels are booted.
    pub options: BootOptions,
    /// Where templates are kept; `None` where every guest is to be booted.
    pub templates: Option<Templates>,
}

impl Guests {
    /// Guests that are booted, every one.
    #[must_use]
    pub fn cold(options: BootOptions) -> Self {
        Self { options, templates: None }
    }

    /// Guests that are clones, of templates in the store.
    ///
    /// # Errors
    /// [`Error::System`], where there can be no directory for them.
    pub fn warm(options: BootOptions, store: &Store) -> Result<Self, Error> {
        Ok(Self { options, templates: Some(templates(store)?) })
    }

    /// A guest. `tell` hears, a line each, what went wrong with templates.
    ///
    /// # Errors
    /// As [`Machine::boot`].
    pub fn take(&self, kernel: &Kernel, tell: &mut dyn FnMut(String)) -> Result<Machine, Error> {
        match &self.templates {
            Some(templates) => templates.guest(kernel, &self.options, tell).map(|(machine, _)| machine),
            None => Machine::boot(&kernel.path, &self.options),
        }
    }

    /// Drops the template of this kernel, so that its next guest is booted.
    pub fn forget(&self, kernel: &Kernel) {
        if let Some(templates) = &self.templates {
            templates.forget(kernel, &self.options);
        }
    }

    /// Whether one guest more costs next to nothing.
    #[must_use]
    pub fn are_cheap(&self) -> bool {
        self.templates.is_some()
    }

    /// Where what guests of this kernel answered may be kept: it goes with the template, which is one of
    /// this very kernel, guest binary, QEMU and machine.
    #[must_use]
    pub fn beside(&self, kernel: &Kernel) -> Option<PathBuf> {
        Some(self.templates.as_ref()?.place(kernel, &self.options))
    }
}

/// The templates in the store.
///
/// # Errors
/// [`Error::System`].
pub fn templates(store: &Store) -> Result<Templates, Error> {
    Templates::at(store.root().join("templates"), ROOM)
}
