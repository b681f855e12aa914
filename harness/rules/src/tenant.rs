//! Who decides.

use crate::Error;

/// A tenant: a name and the Ruby code of its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub(crate) name: String,
    pub(crate) code: String,
}

impl Tenant {
    /// A tenant. The name is 1 to 64 of `a-z A-Z 0-9 _ . -`. The code is not looked at any closer: that
    /// it is no Ruby shows at the first event, and is a strike.
    ///
    /// # Errors
    /// [`Error::Tenant`] for another name, and for code that is blank or has a NUL byte.
    pub fn new(name: impl Into<String>, code: impl Into<String>) -> Result<Self, Error> {
        let (name, code) = (name.into(), code.into());
        let fail = |why| Err(Error::Tenant { name: name.escape_debug().to_string(), why });
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return fail("a name is 1 to 64 letters, digits, `_`, `.` and `-`");
        }
        if code.trim().is_empty() {
            return fail("the rule is empty");
        }
        if code.contains('\0') {
            return fail("the rule has a NUL byte");
        }
        Ok(Self { name, code })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
