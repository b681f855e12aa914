//! Text made safe to show: what came from a guest is hostile, and may be long.

use super::wording::count;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Text with everything that could act on a terminal or turn the reading order made visible:
/// control characters but the line feed become `\x1b`, and bidirectional and other invisible
/// formatting characters become `\u{202e}`. A tab becomes four spaces, a CR LF a line feed.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let acts = |c: char| (c.is_control() && c != '\n') || is_invisible_format(c);
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\t' => safe.push_str("    "),
            c if !acts(c) => safe.push(c),
            // Writing to a String cannot fail.
            c if c.is_ascii() => _ = write!(safe, "\\x{:02x}", u32::from(c)),
            c => _ = write!(safe, "\\u{{{:04x}}}", u32::from(c)),
        }
    }
    Cow::Owned(safe)
}

/// Characters that show nothing and change how others are shown (Unicode Technical Report 36,
/// "Bidirectional Text Spoofing"): bidirectional controls, zero-width characters, separators.
fn is_invisible_format(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// At most `lines` lines of at most `columns` characters each, made [`visible`]; the last line says
/// what was left out. With `tail`, the last lines stay instead of the first.
pub(crate) fn clip(text: &str, lines: usize, columns: usize, tail: bool) -> String {
    let text = visible(text);
    let all: Vec<&str> = text.lines().collect();
    let left_out = all.len().saturating_sub(lines);
    let kept = if tail { &all[left_out..] } else { &all[..all.len() - left_out] };
    let mut out: Vec<Cow<'_, str>> = kept.iter().map(|line| shorten(line, columns)).collect();
    if left_out > 0 {
        let said = Cow::Owned(format!("… {} left out", count(left_out, "line", "lines")));
        out.insert(if tail { 0 } else { out.len() }, said);
    }
    out.join("\n")
}

/// A name in one line of at most `columns` characters, whatever is in it.
pub(crate) fn one_line(name: &str, columns: usize) -> String {
    let name = name.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    shorten(&visible(&name), columns).into_owned()
}

/// A line of at most `columns` characters, ending in `…` where it was longer.
pub(crate) fn shorten(line: &str, columns: usize) -> Cow<'_, str> {
    match line.char_indices().nth(columns) {
        None => Cow::Borrowed(line),
        Some(_) => {
            let kept: String = line.chars().take(columns.saturating_sub(1)).collect();
            Cow::Owned(kept + "…")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_shown_and_not_obeyed() {
        assert_eq!(visible("a\x1b[31mb\u{202e}c\td\r\ne\u{7f}"), "a\\x1b[31mb\\u{202e}c    d\ne\\x7f");
        assert!(matches!(visible("plain\ntext ✓"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(one_line("/x\nfake\r\t\x1b[1m", 99), "/x\\nfake\\r\\t\\x1b[1m");
        assert_eq!(one_line("\n\n\n", 4), "\\n\\…");
    }

    #[test]
    fn clipping_says_what_it_left_out() {
        assert_eq!(clip("a\nb\nc\nd", 2, 9, false), "a\nb\n… 2 lines left out");
        assert_eq!(clip("a\nb\nc\nd", 3, 9, true), "… 1 line left out\nb\nc\nd");
        assert_eq!(clip("äöüäöü", 3, 4, true), "äöü…");
    }
}
