//! Filters and policies of the user's own, and who makes a filter of a policy, as arguments.

use super::Failure;
use crate::explain::Subject;
use crate::source::{self, What};
use atlas_policy::Compiler;
use clap::ValueEnum;
use std::path::Path;

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

/// Reads a filter, or what a compiler makes one of. What its notation says in vain is said.
pub(super) fn subject(path: &Path, compiler: Option<CompilerChoice>) -> Result<Subject, Failure> {
    let source = source::read(path)?;
    if compiler.is_some() && matches!(source.what, What::Filter(_)) {
        return Err(
            format!("{} is a filter, which nobody compiles: leave --compiler out", source.file).into()
        );
    }
    let subject = Subject::of(source, compiler.unwrap_or_default().into())?;
    for note in &subject.notes {
        eprintln!("{}: {note}", subject.name);
    }
    Ok(subject)
}
