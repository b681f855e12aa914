//! Policy files: policies as JSON.

use atlas_model::abi::SeccompData;
use atlas_model::policy::{Policy, Rule};

/// A text that is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
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

/// Reads the text of a policy.
///
/// # Errors
/// [`PolicyFileError`].
pub fn parse(text: &[u8]) -> Result<Policy, PolicyFileError> {
    let policy: Policy = serde_json::from_slice(text)?;
    // A word that is misspelt must not be a rule that is missing.
    let understood = serde_json::to_value(&policy)?;
    if serde_json::from_slice::<serde_json::Value>(text)? != understood {
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
