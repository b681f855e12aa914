//! Lines of at most [`WIDTH`] columns, coloured or not.

use crate::report::safe::visible;
use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The most columns a line takes.
pub(super) const WIDTH: usize = 100;

/// Text under construction.
pub(super) struct Page {
    text: String,
    color: bool,
}

impl Page {
    /// An empty page.
    pub(super) fn new(color: bool) -> Self {
        Self { text: String::new(), color }
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.text
    }

    /// An empty line and a heading.
    pub(super) fn heading(&mut self, heading: &str) {
        self.end();
        self.line(heading, Style::new().bold().underline());
    }

    /// A piece of a line.
    pub(super) fn text(&mut self, text: &str, style: Style) {
        if self.color && style != Style::new() {
            self.text.push_str(&format!("{style}{text}{style:#}"));
        } else {
            self.text.push_str(text);
        }
    }

    /// The end of a line, without the blanks before it.
    pub(super) fn end(&mut self) {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
    }

    /// A whole line, cut where it would be too long.
    pub(super) fn line(&mut self, line: &str, style: Style) {
        self.text(&cut(line, WIDTH), style);
        self.end();
    }

    /// A column of a table, cut or filled up to a width, and a blank.
    pub(super) fn cell(&mut self, text: &str, width: usize, style: Style) {
        let text = cut(&visible(text).replace('\n', " "), width);
        self.text(&text, style);
        self.text(&" ".repeat(width - text.width() + 1), Style::new());
    }

    /// A column of a table whose text stands at the right.
    pub(super) fn right(&mut self, text: &str, width: usize, style: Style) {
        let text = cut(text, width);
        self.text(&" ".repeat(width - text.width()), Style::new());
        self.text(&text, style);
    }

    /// A paragraph, broken at blanks; its further lines stand in by two columns more.
    pub(super) fn wrapped(&mut self, indent: &str, paragraph: &str, style: Style) {
        let mut line = indent.to_owned();
        let mut empty = true;
        for word in paragraph.split_whitespace() {
            if !empty && line.width() + 1 + word.width() > WIDTH {
                self.line(&line, style);
                line = format!("{indent}  ");
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        if !empty {
            self.line(&line, style);
        }
    }
}

/// At most `width` columns of a line, ending in `…` where it was longer.
fn cut(line: &str, width: usize) -> String {
    if line.width() <= width {
        return line.to_owned();
    }
    let mut used = 1;
    let fits = line.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= width
    });
    fits.collect::<String>() + "…"
}
