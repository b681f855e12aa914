//! Files of the user's own: a filter, or a policy that compilers make filters of.

use super::compilers::COMPILERS;
use crate::policyfile::{self, PolicyFileError};
use atlas_model::bpf::{Dialect, check, disassemble};
use atlas_model::policy::Policy;
use atlas_model::{Abi, Filter};
use atlas_policy::profile::{self, ProfileError};
use atlas_policy::{Compiler, Error, Limit};
use std::path::Path;

/// Why a file is none.
#[derive(Debug, thiserror::Error)]
pub enum NoSource {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    /// It does not consist of instructions.
    #[error(
        "{0} is not a filter: {1}. It has to be raw records of struct sock_filter, 8 bytes each, or JSON of a profile or a policy"
    )]
    Records(String, String),
    /// The kernel would not attach it.
    #[error("{file} is not a filter that the kernel attaches: {why}\n{program}")]
    Invalid {
        /// The file.
        file: String,
        /// The instruction at fault and what is wrong with it.
        why: String,
        /// That part of the program.
        program: String,
    },
    /// It is no profile.
    #[error("{0}: {1}")]
    Profile(String, ProfileError),
    /// It is no policy.
    #[error("{0}: {1}")]
    Policy(String, PolicyFileError),
    /// No compiler makes anything of it.
    #[error("{0}: no compiler makes a filter of it:{1}")]
    NoCompiler(String, String),
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name: the file's, without directories.
    pub name: String,
    /// Its filters, by compiler where there is one.
    pub filters: Vec<(Option<&'static str>, Filter)>,
    /// What was left out, and which compilers make nothing of it, a sentence each.
    pub notes: Vec<String>,
}

/// Reads a file: raw records, an OCI or Docker profile, or a policy as `atlas sweep --policy` takes it.
///
/// # Errors
/// [`NoSource`].
pub fn read(path: &Path) -> Result<Source, NoSource> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| NoSource::Read(file.clone(), error))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // No instruction's first byte is a brace: it would store X by an addressing mode that there is not.
    let json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if !json {
        let filter = valid(&file, &bytes)?;
        return Ok(Source { name, filters: vec![(None, filter)], notes: vec![] });
    }
    let text = String::from_utf8_lossy(&bytes);
    let (policy, mut notes) = if text.contains("\"abis\"") {
        let policy = policyfile::read(path).map_err(|error| NoSource::Policy(file.clone(), error))?;
        (policy, vec![])
    } else {
        let read = profile::read(&text).map_err(|error| NoSource::Profile(file.clone(), error))?;
        (read.policy, read.notes)
    };
    let filters = compiled(&policy, &mut notes);
    if filters.is_empty() {
        let why: String = notes.iter().map(|note| format!("\n  {note}")).collect();
        return Err(NoSource::NoCompiler(file, why));
    }
    Ok(Source { name, filters, notes })
}

fn valid(file: &str, bytes: &[u8]) -> Result<Filter, NoSource> {
    let filter =
        Filter::from_bytes(bytes).map_err(|error| NoSource::Records(file.into(), error.to_string()))?;
    check(&filter, &Dialect::default()).map_err(|wrong| NoSource::Invalid {
        file: file.into(),
        why: wrong.to_string(),
        program: around(&filter, wrong.at),
    })?;
    Ok(filter)
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

/// The lines of a program around an instruction.
#[must_use]
pub fn around(filter: &Filter, at: usize) -> String {
    let text = disassemble(filter);
    // Two lines are the head of the columns.
    let lines = text.lines().skip(2).enumerate().skip(at.saturating_sub(2)).take(at.min(2) + 2);
    let mark = |(index, line): (usize, &str)| format!("{} {line}\n", if index == at { ">" } else { " " });
    lines.map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::filters;

    fn example(name: &str) -> Source {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(name);
        read(&path).unwrap_or_else(|error| panic!("{error}"))
    }

    fn said(content: &[u8]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine");
        std::fs::write(&path, content).unwrap();
        let error = read(&path).unwrap_err().to_string();
        error.replace(&directory.path().display().to_string(), "")
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

    #[test]
    fn what_is_neither_is_said_with_the_place() {
        assert!(said(&[1, 2, 3]).contains("3 bytes are not a filter"), "{}", said(&[1, 2, 3]));
        let mut wrong = filters::compares(3);
        wrong.0[2].jt = 200;
        let text = said(&wrong.to_bytes());
        assert!(text.contains("instruction 2: it jumps past the end"), "{text}");
        assert!(text.lines().any(|line| line.starts_with(">  0002: 0x15")), "{text}");
        assert!(said(b" {}").contains("no OCI or Docker seccomp profile: missing field `defaultAction`"));
        assert!(said(br#"{ "abis": [] }"#).contains("it is no policy"));
    }
}
