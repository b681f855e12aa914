//! Which catalogue a report is of.

use crate::plan::describe;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// The digest of this build's catalogue: SHA-256, lower-case hex, over every case's name, ABIs and
/// experiment as reports show it, and over the names of what is probed. Reports of one digest can be
/// laid beside each other; what a choreography does is code and not in it.
#[must_use]
pub fn digest() -> &'static str {
    static DIGEST: LazyLock<String> = LazyLock::new(|| {
        let mut hash = Sha256::new();
        // Each part ends in a byte that none contains.
        let mut add = |part: &str| {
            hash.update(part.as_bytes());
            hash.update([0xff]);
        };
        for case in atlas_cases::catalogue() {
            add(case.name);
            case.abis.iter().for_each(|abi| add(abi.name()));
            add(&describe(case).experiment);
        }
        atlas_cases::probes::all().iter().for_each(|probe| add(probe.subject.name()));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    });
    &DIGEST
}

/// Where a case of this build's catalogue stands in it.
#[must_use]
pub fn place(name: &str) -> Option<usize> {
    atlas_cases::catalogue().iter().position(|case| case.name == name)
}
