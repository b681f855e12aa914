//! The notation as it is written, field by field. Fields that are not known are errors.

use super::ProfileError;
use serde::Deserialize;

/// A container's configuration, of which only the profile is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Spec {
    pub(super) linux: Option<Linux>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Linux {
    pub(super) seccomp: Option<Seccomp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Seccomp {
    pub(super) default_action: String,
    pub(super) default_errno_ret: Option<u32>,
    pub(super) architectures: Option<Vec<String>>,
    pub(super) arch_map: Option<Vec<Architecture>>,
    pub(super) flags: Option<Vec<String>>,
    pub(super) listener_path: Option<String>,
    pub(super) listener_metadata: Option<String>,
    pub(super) syscalls: Option<Vec<Call>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Architecture {
    pub(super) architecture: String,
    pub(super) sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Call {
    names: Option<Vec<String>>,
    /// Docker's older notation.
    name: Option<String>,
    pub(super) action: String,
    pub(super) errno_ret: Option<u32>,
    pub(super) args: Option<Vec<Arg>>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
    pub(super) includes: Option<Choice>,
    pub(super) excludes: Option<Choice>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Arg {
    pub(super) index: u32,
    pub(super) value: u64,
    pub(super) value_two: Option<u64>,
    pub(super) op: String,
}

/// Docker's `includes` or `excludes`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Choice {
    pub(super) caps: Option<Vec<String>>,
    pub(super) arches: Option<Vec<String>>,
    pub(super) min_kernel: Option<String>,
}

impl Call {
    /// The calls that it is about.
    pub(super) fn names(&self, place: &str) -> Result<Vec<&str>, ProfileError> {
        let name = self.name.iter().filter(|name| !name.is_empty());
        let names: Vec<&str> = self.names.iter().flatten().chain(name.clone()).map(String::as_str).collect();
        if name.count() > 0 && names.len() > 1 {
            return Err(ProfileError::TwiceNamed(place.into()));
        }
        if names.is_empty() { Err(ProfileError::Nameless(place.into())) } else { Ok(names) }
    }
}
