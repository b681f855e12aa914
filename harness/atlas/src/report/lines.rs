//! What was expected and what was observed, laid side by side line by line.

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// One row of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    /// The expected line; `None` where more was observed than expected.
    pub(crate) expected: Option<&'a str>,
    /// The observed line; `None` where less was observed than expected.
    pub(crate) observed: Option<&'a str>,
}

impl Pair<'_> {
    /// Whether both sides say the same.
    pub(crate) fn same(&self) -> bool {
        self.expected == self.observed
    }
}

/// Lays two texts side by side so that equal lines stand beside each other.
pub(crate) fn align<'a>(expected: &'a str, observed: &'a str) -> Vec<Pair<'a>> {
    let expected: Vec<&str> = expected.lines().collect();
    let observed: Vec<&str> = observed.lines().collect();
    let mut pairs = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &expected, &observed) {
        let (old, new) = match op {
            DiffOp::Equal { old_index, new_index, len } => {
                (old_index..old_index + len, new_index..new_index + len)
            }
            DiffOp::Delete { old_index, old_len, new_index } => {
                (old_index..old_index + old_len, new_index..new_index)
            }
            DiffOp::Insert { old_index, new_index, new_len } => {
                (old_index..old_index, new_index..new_index + new_len)
            }
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                (old_index..old_index + old_len, new_index..new_index + new_len)
            }
        };
        let (old, new) = (&expected[old], &observed[new]);
        pairs.extend(
            (0..old.len().max(new.len()))
                .map(|at| Pair { expected: old.get(at).copied(), observed: new.get(at).copied() }),
        );
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_stand_beside_each_other() {
        let pair = |expected, observed| Pair { expected, observed };
        assert_eq!(
            align("a\nb\nc\nd", "a\nx\nc\nd\ne"),
            [
                pair(Some("a"), Some("a")),
                pair(Some("b"), Some("x")),
                pair(Some("c"), Some("c")),
                pair(Some("d"), Some("d")),
                pair(None, Some("e")),
            ]
        );
        assert_eq!(align("a\nb", "b"), [pair(Some("a"), None), pair(Some("b"), Some("b"))]);
        assert_eq!(align("", ""), []);
    }
}
