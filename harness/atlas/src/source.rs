//! What users bring along: a filter as the kernel takes it, or what compilers make filters of.

use crate::bounded;
use crate::policyfile::{self, PolicyFileError};
use atlas_model::Filter;
use atlas_model::abi::syscalls;
use atlas_model::bpf::{Dialect, check, disassemble};
use atlas_model::policy::{Policy, Rule};
use atlas_policy::Compiler;
use atlas_policy::profile::{self, ProfileError};
use std::path::Path;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 8 << 20;

/// Why a file is none.
#[derive(Debug, thiserror::Error)]
pub enum NoSource {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    /// It is too long to be any of them.
    #[error("{0}: it is longer than {LONGEST} bytes, and no filter or policy is")]
    TooLong(String),
    /// It does not consist of instructions.
    #[error(
        "{0}: {1}. It has to be raw records of struct sock_filter, 8 bytes each, or JSON of a profile or a policy"
    )]
    Records(String, String),
    /// The kernel would not attach it.
    #[error("{file}: it is no filter that the kernel attaches: {why}\n{program}")]
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
    /// The compiler makes nothing of it.
    #[error("{0}: {1}{2}")]
    Compile(String, atlas_policy::Error, String),
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name as it was given.
    pub file: String,
    /// What it is.
    pub what: What,
}

/// A filter, or what is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A filter, which passed the checker.
    Filter(Filter),
    /// A policy.
    Policy {
        /// What it means.
        policy: Policy,
        /// What its notation says that has no meaning in the policy, a sentence each.
        notes: Vec<String>,
        /// Whether it is a container's profile, whose rules are about names and not about numbers of an ABI.
        is_profile: bool,
    },
}

/// A filter that came of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// It.
    pub filter: Filter,
    /// What is to be said of how it was made, a sentence each.
    pub notes: Vec<String>,
    /// Whether it decides as the policy does, where there is one.
    pub is_the_policys: bool,
}

/// Whether libseccomp could be told a policy, and would not mean by it what we do.
fn is_of_meaning(error: &atlas_policy::Error) -> bool {
    use atlas_policy::Limit::{Number, Overlaps, UpperHalf};
    matches!(
        error,
        atlas_policy::Error::Unsupported {
            compiler: Compiler::LibseccompLinear | Compiler::LibseccompTree,
            what: UpperHalf(_) | Number(_) | Overlaps(_),
            ..
        }
    )
}

/// The call whose rule an error is about: rules of a profile are counted by numbers, and not by names.
fn place(error: &atlas_policy::Error, policy: &Policy) -> String {
    use atlas_policy::Error::{Argument, Refused, Unsupported};
    let rule = match error {
        Argument { rule, .. } | Unsupported { rule: Some(rule), .. } | Refused { rule: Some(rule), .. } => {
            policy.rules.get(*rule)
        }
        _ => None,
    };
    let name = |rule: &Rule| {
        syscalls::name(rule.abi, rule.nr).map(|name| format!(" (a rule of {}'s {name})", rule.abi))
    };
    rule.and_then(name).unwrap_or_default()
}

/// Reads a file: raw records, an OCI or Docker profile, or a policy as docs/examples/policy.json has it.
///
/// # Errors
/// [`NoSource`].
pub fn read(path: &Path) -> Result<Source, NoSource> {
    let file = path.display().to_string();
    let bytes = match bounded::read(path, LONGEST) {
        Err(error) => return Err(NoSource::Read(file, error)),
        Ok(None) => return Err(NoSource::TooLong(file)),
        Ok(Some(bytes)) => bytes,
    };
    // No instruction's first byte is a brace: it would store X by an addressing mode that there is not.
    let what = if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        What::Filter(valid(&file, &bytes)?)
    } else {
        let text = String::from_utf8_lossy(&bytes);
        if is_policy(&bytes) {
            let policy = policyfile::parse(&bytes).map_err(|error| NoSource::Policy(file.clone(), error))?;
            What::Policy { policy, notes: vec![], is_profile: false }
        } else {
            let read = profile::read(&text).map_err(|error| NoSource::Profile(file.clone(), error))?;
            What::Policy { policy: read.policy, notes: read.notes, is_profile: true }
        }
    };
    Ok(Source { file, what })
}

impl Source {
    fn is_profile(&self) -> bool {
        matches!(self.what, What::Policy { is_profile: true, .. })
    }

    /// The filter, or what a compiler makes of the policy.
    ///
    /// # Errors
    /// [`NoSource::Compile`].
    pub fn filter(&self, compiler: Compiler) -> Result<Made, NoSource> {
        let (policy, error) = match &self.what {
            What::Filter(filter) => {
                return Ok(Made { filter: filter.clone(), notes: vec![], is_the_policys: true });
            }
            What::Policy { policy, .. } => match compiler.compile(policy) {
                Ok(filter) => return Ok(Made { filter, notes: vec![], is_the_policys: true }),
                Err(error) => (policy, error),
            },
        };
        if self.is_profile()
            && is_of_meaning(&error)
            && let Ok((filter, unknown)) = compiler.compile_by_name(policy)
        {
            let place = place(&error, policy);
            let mut notes = vec![format!(
                "{error}{place}. Its filter is made of the calls' names, as container runtimes do it, and may decide \
                 otherwise than the policy"
            )];
            if !unknown.is_empty() {
                notes.push(format!("{compiler} knows no calls of these names: {}", unknown.join(", ")));
            }
            return Ok(Made { filter, notes, is_the_policys: false });
        }
        let advice = match (compiler, &error) {
            (Compiler::Linear, atlas_policy::Error::TooLong { .. }) => {
                ".\nMake it shorter, or make several filters of it"
            }
            (_, atlas_policy::Error::Argument { .. }) | (Compiler::Linear, _) => "",
            _ => ".\nThe compiler `linear` expresses every policy",
        };
        let place = place(&error, policy);
        Err(NoSource::Compile(self.file.clone(), error, format!("{place}{advice}")))
    }
}

/// Whether an object is of our own notation: profiles have no `abis`.
fn is_policy(bytes: &[u8]) -> bool {
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(value) => value.get("abis").is_some(),
        // What is wrong with it is for the reader to say whose word it has.
        Err(_) => String::from_utf8_lossy(bytes).contains("\"abis\""),
    }
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
    use atlas_model::{Action, bpf};

    fn said(content: &[u8]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine");
        std::fs::write(&path, content).unwrap();
        let error = read(&path).unwrap_err().to_string();
        error.replace(&directory.path().display().to_string(), "")
    }

    #[test]
    fn what_is_neither_is_said_with_the_place() {
        assert!(said(&[1, 2, 3]).contains(": 3 bytes are not a filter"), "{}", said(&[1, 2, 3]));
        let wrong = vec![bpf::ld(0), bpf::jeq(1, 0, 1), bpf::jeq(2, 200, 0), bpf::ret(Action::Allow)];
        let text = said(&Filter(wrong).to_bytes());
        assert!(text.contains("instruction 2: it jumps past the end"), "{text}");
        assert!(text.lines().any(|line| line.starts_with(">  0002: 0x15")), "{text}");
        assert!(said(b" {}").contains("no OCI or Docker seccomp profile: missing field `defaultAction`"));
        assert!(said(br#"{ "abis": [] }"#).contains("it is no policy"));
        assert!(said(&vec![0; LONGEST as usize + 8]).contains("longer than"));
    }

    #[test]
    fn each_kind_gives_a_filter() {
        let example =
            |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(name);
        for name in ["policy.json", "profile.json"] {
            let source = read(&example(name)).unwrap();
            let filter = source.filter(Compiler::Linear).unwrap().filter;
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("records");
            std::fs::write(&path, filter.to_bytes()).unwrap();
            assert_eq!(read(&path).unwrap().what, What::Filter(filter));
        }
        let profile = read(&example("profile.json")).unwrap();
        assert!(matches!(&profile.what, What::Policy { notes, .. } if !notes.is_empty()));
        let refused = profile.filter(Compiler::Seccompiler).unwrap_err().to_string();
        assert!(refused.ends_with("The compiler `linear` expresses every policy"), "{refused}");
        // What the library cannot say is said of the filter that runtimes get from it.
        let made = profile.filter(Compiler::LibseccompLinear).unwrap();
        assert!(
            !made.is_the_policys && made.notes[0].contains("(a rule of x32's socket)"),
            "{:?}",
            made.notes
        );
    }
}
