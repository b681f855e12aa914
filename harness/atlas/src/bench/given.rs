//! Files of the user's own: a filter, or a policy that every compiler makes a filter of.

use super::compilers::COMPILERS;
use crate::source::{self, NoSource, What};
use atlas_model::policy::Policy;
use atlas_model::{Abi, Filter};
use atlas_policy::{Compiler, Error, Limit};
use std::path::Path;

/// Why there is nothing to measure in a file.
#[derive(Debug, thiserror::Error)]
pub enum NotGiven {
    /// It is no filter and no policy.
    #[error(transparent)]
    Source(#[from] NoSource),
    /// No compiler makes anything of it.
    #[error("{0}: no compiler makes a filter of it:{1}")]
    NoCompiler(String, String),
}

/// What a file gives to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its name: the file's, without directories.
    pub name: String,
    /// Its filters, by compiler where there is one.
    pub filters: Vec<(Option<&'static str>, Filter)>,
    /// What was left out, and which compilers make nothing of it, a sentence each.
    pub notes: Vec<String>,
}

/// Reads a file as [`source::read`] does, and compiles what is to be compiled.
///
/// # Errors
/// [`NotGiven`].
pub fn read(path: &Path) -> Result<Given, NotGiven> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let source = source::read(path)?;
    let (policy, mut notes) = match source.what {
        What::Filter(filter) => return Ok(Given { name, filters: vec![(None, filter)], notes: vec![] }),
        What::Policy { policy, notes, .. } => (policy, notes),
    };
    let filters = compiled(&policy, &mut notes);
    if filters.is_empty() {
        let why: String = notes.iter().map(|note| format!("\n  {note}")).collect();
        return Err(NotGiven::NoCompiler(source.file, why));
    }
    Ok(Given { name, filters, notes })
}

/// By every compiler that makes something of it.
fn compiled(policy: &Policy, notes: &mut Vec<String>) -> Vec<(Option<&'static str>, Filter)> {
    let mut filters = Vec::new();
    for (name, _) in COMPILERS {
        let Some(compiler) = Compiler::ALL.into_iter().find(|compiler| compiler.name() == name) else {
            continue;
        };
        match compiler.compile(policy) {
            Ok(filter) => filters.push((Some(name), filter)),
            // What it cannot say of the other ABIs is no part of a native call's way through the filter.
            Err(Error::Unsupported { what: what @ (Limit::UpperHalf(_) | Limit::Number(_)), .. }) => {
                match compiler.compile(&native(policy)) {
                    Ok(filter) => {
                        notes.push(format!(
                            "{name}: {what}; what is measured is its filter of the x86-64 rules alone"
                        ));
                        filters.push((Some(name), filter));
                    }
                    Err(error) => notes.push(error.to_string()),
                }
            }
            Err(error) => notes.push(error.to_string()),
        }
    }
    filters
}

/// What a policy says of the native ABI.
fn native(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.abis.retain(|abi| *abi == Abi::X86_64);
    policy.rules.retain(|rule| rule.abi == Abi::X86_64);
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(name: &str) -> Given {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(name);
        read(&path).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_profile_is_compiled_and_nothing_is_left_out_without_a_word() {
        let source = example("profile.json");
        let names: Vec<&str> = source.filters.iter().filter_map(|(name, _)| *name).collect();
        assert_eq!(names, ["libseccomp", "libseccomp-tree", "linear"], "{source:?}");
        let notes = source.notes.join("\n");
        assert!(notes.contains("arm_fadvise64_64, raed"), "{notes}");
        assert!(notes.contains("what is measured is its filter of the x86-64 rules alone"), "{notes}");
        for (compiler, _) in COMPILERS {
            assert!(names.contains(&compiler) || notes.contains(compiler), "{compiler}: {notes}");
        }
    }

    #[test]
    fn a_policy_is_compiled() {
        let source = example("policy.json");
        assert_eq!(source.filters.len(), COMPILERS.len(), "{:?}", source.notes);
    }
}
