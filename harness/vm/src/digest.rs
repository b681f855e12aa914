//! What files and templates are known by.

use sha2::{Digest, Sha256};

/// SHA-256 in lower-case hex.
pub(crate) fn of(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
