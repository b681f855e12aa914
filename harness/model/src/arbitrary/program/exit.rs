//! What a program branches by and how it ends.

use crate::bpf::op;

/// A comparison of A, with a constant or X.
#[derive(Clone, Copy, Debug)]
pub(in crate::arbitrary) struct Test {
    pub(in crate::arbitrary) op: u16,
    pub(in crate::arbitrary) x: bool,
    pub(in crate::arbitrary) k: u32,
}

impl Test {
    pub(in crate::arbitrary) const fn equal(k: u32) -> Self {
        Self { op: op::JEQ, x: false, k }
    }
}

/// How a program ends.
#[derive(Clone, Copy, Debug)]
pub(in crate::arbitrary) enum Exit {
    /// `ret #word`.
    Word(u32),
    /// The word comes by way of A.
    Loaded(u32),
    /// The word is the sum of this and what makes it up.
    Added(u32, u32),
    /// The word comes by way of X.
    Copied(u32),
    /// The word comes by way of a scratch word.
    Stored(u32, u32),
    /// `ret a`, whatever A holds.
    Whatever,
}

impl Exit {
    pub(super) fn with_word(self, other: impl Fn(u32) -> u32) -> Self {
        match self {
            Self::Word(word) => Self::Word(other(word)),
            Self::Loaded(word) => Self::Loaded(other(word)),
            Self::Added(word, by) => Self::Added(other(word), by),
            Self::Copied(word) => Self::Copied(other(word)),
            Self::Stored(word, at) => Self::Stored(other(word), at),
            Self::Whatever => Self::Whatever,
        }
    }

    /// The word it always gives, if there is one.
    pub(super) fn word(self) -> Option<u32> {
        match self {
            Self::Word(word) | Self::Loaded(word) | Self::Copied(word) => Some(word),
            Self::Added(word, _) | Self::Stored(word, _) => Some(word),
            Self::Whatever => None,
        }
    }
}
