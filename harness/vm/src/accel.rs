//! What runs a guest.

/// What a user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accel {
    /// KVM if a guest really answers under it, else TCG.
    #[default]
    Auto,
    /// Emulation.
    Tcg,
    /// KVM or nothing.
    Kvm,
}

/// What was found to run guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accelerator {
    pub(crate) name: &'static str,
    pub(crate) why: String,
}

impl Accelerator {
    /// Emulation, without asking.
    #[must_use]
    pub fn tcg() -> Self {
        Self { name: "tcg", why: "KVM was not looked for".into() }
    }

    /// `tcg` or `kvm`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the start-up probe found out, in words.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}
