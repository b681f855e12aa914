//! Text that never grows beyond a limit, and says what it left out.

use crate::report::wording::{list, thousands};

/// What the closing line may take.
const RESERVE: usize = 400;

/// Text under construction.
pub(super) struct Budget {
    text: String,
    limit: usize,
    left_out: Vec<String>,
}

impl Budget {
    /// An empty text that may grow to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { text: String::new(), limit: limit.saturating_sub(RESERVE), left_out: Vec::new() }
    }

    /// Text that must be there, cut where even that is too long.
    pub(super) fn always(&mut self, text: &str) {
        let mut end = text.len().min(self.limit.saturating_sub(self.text.len()));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&text[..end]);
        if end < text.len() {
            self.text.push('\n');
            self.left_out.push("the end of the first paragraph".into());
        }
    }

    /// A heading, and as many of the items as fit, in order. Nothing where there are no
    /// items. `what` names the items in the closing line.
    pub(super) fn section(&mut self, what: &str, head: &str, items: impl Iterator<Item = String>) {
        let mut left_out = 0;
        let mut begun = false;
        for item in items {
            let head = if begun { "" } else { head };
            let grown = self.text.len() + head.len() + item.len();
            // Once one is left out the rest is too: a table with a gap would mislead.
            if left_out > 0 || grown > self.limit {
                left_out += 1;
                continue;
            }
            self.text.push_str(head);
            self.text.push_str(&item);
            begun = true;
        }
        if left_out > 0 {
            self.left_out.push(format!("{what} ({})", thousands(left_out)));
        }
    }

    /// The whole text, with a last line on what was left out.
    pub(super) fn finish(mut self) -> String {
        if !self.left_out.is_empty() {
            let left_out = list(&self.left_out);
            let line = format!("\n_Left out for length: {left_out}. The HTML report has them all._\n");
            self.text.push_str(&line);
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let mut text = Budget::new(RESERVE + 20);
        text.section(
            "rows",
            "head\n",
            ["12345\n", "67890\n", "abcde\n", "f\n"].map(String::from).into_iter(),
        );
        text.section("notes", "more\n", ["long enough\n"].map(String::from).into_iter());
        assert_eq!(
            text.finish(),
            "head\n12345\n67890\n\n_Left out for length: rows (2) and notes (1). \
             The HTML report has them all._\n"
        );
    }

    #[test]
    fn the_limit_holds() {
        let mut text = Budget::new(1000);
        text.always(&"ä".repeat(2000));
        text.section("rows", "head\n", std::iter::once("row\n".to_owned()));
        assert!(text.finish().len() <= 1000);
    }
}
