//! Policy files: policies as JSON.

use atlas_model::abi::SeccompData;
use atlas_model::policy::{Policy, Rule};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The longest policy file that is read, in bytes.
const LONGEST: u64 = 8 << 20;

/// A file that is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It cannot be read.
    #[error("cannot read the policy: {0}")]
    Read(#[from] std::io::Error),
    /// It is too long.
    #[error("it is longer than {LONGEST} bytes, and a policy is not")]
    TooLong,
    /// It is no JSON of a policy.
    #[error("it is no policy: {0}")]
    Parse(#[from] serde_json::Error),
    /// It says something that a policy has no place for.
    #[error("it says more than a policy does; what was understood is {0}")]
    More(String),
    /// It speaks of no ABI or of one twice, or has a rule that no call can match.
    #[error("{0}")]
    Meaning(String),
}

/// Reads a policy file.
///
/// # Errors
/// [`PolicyFileError`].
pub fn read(path: &Path) -> Result<Policy, PolicyFileError> {
    let mut text = Vec::new();
    // The length that a pipe or a device says it has means nothing.
    if File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)? as u64 > LONGEST {
        return Err(PolicyFileError::TooLong);
    }
    let policy: Policy = serde_json::from_slice(&text)?;
    // A word that is misspelt must not be a rule that is missing.
    let understood = serde_json::to_value(&policy)?;
    if serde_json::from_slice::<serde_json::Value>(&text)? != understood {
        return Err(PolicyFileError::More(understood.to_string()));
    }
    match problem(&policy) {
        Some(problem) => Err(PolicyFileError::Meaning(problem)),
        None => Ok(policy),
    }
}

fn problem(policy: &Policy) -> Option<String> {
    let twice = |&(index, abi): &(usize, _)| policy.abis[..index].contains(abi);
    if policy.abis.is_empty() {
        return Some("it speaks of no ABI".into());
    }
    if let Some((_, abi)) = policy.abis.iter().enumerate().find(twice) {
        return Some(format!("it names {abi:?} twice"));
    }
    policy.rules.iter().enumerate().find_map(|(index, Rule { abi, nr, .. })| {
        let call = SeccompData { nr: *nr, arch: abi.audit_arch(), ..SeccompData::default() };
        if !policy.abis.contains(abi) {
            return Some(format!("rule {index} is about {abi:?}, of which the policy does not speak"));
        }
        // A number of x32 without its bit is the easiest mistake of all.
        (Policy::abi_of(&call) != Some(*abi)).then(|| format!("rule {index}: {nr} is no number of {abi:?}"))
    })
}
