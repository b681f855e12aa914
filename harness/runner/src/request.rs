//! What is to be evaluated.

use crate::Error;
use std::hash::{BuildHasher, Hasher};

/// Code, the input it finds in `INPUT`, and the seed of its `Random`.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub(crate) code: &'a [u8],
    pub(crate) input: Vec<u8>,
    pub(crate) seed: u64,
}

impl<'a> Request<'a> {
    /// Code alone: `INPUT` is nil, the seed is random.
    #[must_use]
    pub fn new(code: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        let seed = std::hash::RandomState::new().build_hasher().finish();
        Self { code: code.as_ref(), input: Vec::new(), seed }
    }

    /// An input value. Objects become hashes with string keys.
    ///
    /// # Errors
    /// [`Error::Input`] for a value that JSON cannot express.
    pub fn input(mut self, value: &impl serde::Serialize) -> Result<Self, Error> {
        self.input = serde_json::to_vec(value).map_err(Error::Input)?;
        Ok(self)
    }

    /// An input as JSON text that nobody has parsed: the worker does, behind the filter. What is no
    /// JSON comes back as an exception, an ArgumentError.
    #[must_use]
    pub fn input_text(mut self, json: impl Into<Vec<u8>>) -> Self {
        self.input = json.into();
        self
    }

    /// Equal seeds give equal random numbers; the upper 62 bits count.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What can be seen to be no code without an interpreter.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.code.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::Empty);
        }
        if let Some(offset) = self.code.iter().position(|byte| *byte == 0) {
            return Err(Error::Nul(offset));
        }
        match std::str::from_utf8(self.code) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::NotUtf8(error.valid_up_to())),
        }
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Request<'a> {
    fn from(code: &'a T) -> Self {
        Self::new(code)
    }
}
