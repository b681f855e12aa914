//! Who makes a filter of a policy, as an argument.

use atlas_policy::Compiler;
use clap::ValueEnum;

/// Who makes a filter of a policy.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum CompilerChoice {
    /// A list of numbers, which expresses every policy
    #[default]
    Linear,
    /// The linked libseccomp, its rules in a list
    Libseccomp,
    /// The same, its numbers in a binary tree
    LibseccompTree,
    /// seccompiler of rust-vmm
    Seccompiler,
}

impl From<CompilerChoice> for Compiler {
    fn from(choice: CompilerChoice) -> Self {
        match choice {
            CompilerChoice::Linear => Self::Linear,
            CompilerChoice::Libseccomp => Self::LibseccompLinear,
            CompilerChoice::LibseccompTree => Self::LibseccompTree,
            CompilerChoice::Seccompiler => Self::Seccompiler,
        }
    }
}
