//! Text that Markdown takes as it stands.

use crate::report::safe::visible;

/// Text on one line, with nothing that Markdown, HTML or a forge would act upon.
pub(super) fn inline(text: &str) -> String {
    let mut safe = String::new();
    for c in visible(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '|' => safe.push_str("&#124;"),
            // Entities, since a backslash would not keep `@name` from calling somebody, nor `#1`
            // from becoming a link.
            '@' => safe.push_str("&#64;"),
            '#' => safe.push_str("&#35;"),
            '\n' => safe.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '$' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    // Bare addresses become links too.
    safe.replace("://", ":&#47;/").replace("www.", "www&#46;").trim().to_owned()
}

/// A name as code. A name that has characters which code spans cannot carry is left as text.
pub(super) fn code(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-:./+ ".contains(c);
    if !name.is_empty() && name.chars().all(plain) { format!("`{name}`") } else { inline(name) }
}

/// A block of code that opens on a click, indented into its list item.
pub(super) fn folded(title: &str, language: &str, body: &str) -> String {
    // A fence longer than any run of backticks in it cannot be closed from within.
    let longest = body.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let body: String = body.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "\n  <details><summary>{title}</summary>\n\n  {fence}{language}\n{body}  {fence}\n\n  \
         </details>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_acted_upon() {
        assert_eq!(
            inline("a|b <i>*x*</i> @me #1 http://x\n`c`"),
            "a&#124;b &lt;i&gt;\\*x\\*&lt;/i&gt; &#64;me &#35;1 http:&#47;/x \\`c\\`"
        );
        assert_eq!(code("errno::cap_4095"), "`errno::cap_4095`");
        assert_eq!(code("a`b"), "a\\`b");
    }

    #[test]
    fn a_fence_cannot_be_closed_from_within() {
        assert!(folded("t", "text", "```\n</details>").contains("\n  ````text\n"));
    }
}
