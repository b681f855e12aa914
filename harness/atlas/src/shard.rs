//! A share of a run's cases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Part `number` of `of`, written `2/4`. It has every kernel of the run, and of the chosen cases, in
/// catalogue order, every `of`-th from the `number`-th on. So the shards of one choice are a partition
/// of it, the same in every run, and cases of one theme, which take alike long, are spread evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9]+/[0-9]+$"))]
pub struct Shard {
    of: usize,
    number: usize,
}

/// Text that names no shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// It is not two numbers.
    #[error("a shard is written K/N, such as 2/4")]
    Form,
    /// There is no such part.
    #[error("there is no part {number} of {of}: K goes from 1 to N")]
    Number {
        /// K.
        number: usize,
        /// N.
        of: usize,
    },
    /// Nothing would be in it.
    #[error("shard {shard} of {} is empty: N may be {cases} at most", counted(*cases))]
    Empty {
        /// The shard.
        shard: Shard,
        /// How many cases were chosen.
        cases: usize,
    },
}

fn counted(cases: usize) -> String {
    if cases == 1 { "1 case".into() } else { format!("{cases} cases") }
}

impl Shard {
    /// K, from 1.
    #[must_use]
    pub fn number(self) -> usize {
        self.number
    }

    /// N.
    #[must_use]
    pub fn of(self) -> usize {
        self.of
    }

    /// Where the case at a place of the shard's list stands in the list of all.
    #[must_use]
    pub fn place(self, at: usize) -> usize {
        at.saturating_mul(self.of).saturating_add(self.number - 1)
    }

    /// Its share.
    ///
    /// # Errors
    /// [`ShardError::Empty`]: a leg that tests nothing would pass.
    pub fn take<T>(self, all: Vec<T>) -> Result<Vec<T>, ShardError> {
        let cases = all.len();
        let share: Vec<T> = all.into_iter().skip(self.number - 1).step_by(self.of).collect();
        if share.is_empty() { Err(ShardError::Empty { shard: self, cases }) } else { Ok(share) }
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (number, of) = text.split_once('/').ok_or(ShardError::Form)?;
        // `+1` would be read as a number, too.
        let read = |part: &str| match part.bytes().all(|byte| byte.is_ascii_digit()) {
            true => part.parse().map_err(|_| ShardError::Form),
            false => Err(ShardError::Form),
        };
        let (number, of) = (read(number)?, read(of)?);
        if number < 1 || number > of {
            return Err(ShardError::Number { number, of });
        }
        Ok(Self { of, number })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.number, self.of)
    }
}

impl TryFrom<String> for Shard {
    type Error = ShardError;

    fn try_from(text: String) -> Result<Self, ShardError> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_a_partition() {
        for count in 1..40 {
            for of in 1..=count {
                let mut places = Vec::new();
                for number in 1..=of {
                    let shard: Shard = format!("{number}/{of}").parse().unwrap();
                    let share = shard.take((0..count).collect()).unwrap();
                    assert!(share.len() == count / of || share.len() == count / of + 1);
                    assert!(share.iter().enumerate().all(|(at, &case)| shard.place(at) == case));
                    places.extend(share);
                }
                places.sort_unstable();
                assert_eq!(places, (0..count).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let error = |text: &str| text.parse::<Shard>().unwrap_err();
        for text in
            ["", "1", "/", "1/", "/2", "a/b", "1/2/3", "-1/2", "+1/2", " 1/2", "1/99999999999999999999"]
        {
            assert_eq!(error(text), ShardError::Form, "{text}");
        }
        for (text, number, of) in [("0/3", 0, 3), ("4/3", 4, 3), ("1/0", 1, 0), ("0/0", 0, 0)] {
            assert_eq!(error(text), ShardError::Number { number, of });
        }
        let shard: Shard = "3/3".parse().unwrap();
        assert_eq!(shard.take(vec![1, 2]), Err(ShardError::Empty { shard, cases: 2 }));
        assert!(serde_json::from_str::<Shard>("\"4/3\"").is_err());
        assert_eq!(serde_json::to_string(&shard).unwrap(), "\"3/3\"");
    }
}
