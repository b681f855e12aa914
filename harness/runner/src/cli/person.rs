//! What people read on standard error.

use super::{forbidden, units};
use anstyle::{AnsiColor, Style};
use mruby_runner::{Ending, Limit, Limits, Policy};
use std::fmt::Write as _;
use std::io::Write as _;
use unicode_width::UnicodeWidthStr;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const PLACE: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();

/// Lines of a backtrace that are shown.
const FRAMES: usize = 20;
/// Characters of a source line that are shown on either side of the caret.
const AROUND: usize = 60;

/// Writes to standard error, in colour where that is wanted. Nobody can be told that it failed.
pub(super) fn say(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Text of the worker's that a terminal can be shown: what is not text, or reverses text, is escaped.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let harmful = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if harmful || (c.is_control() && !matches!(c, '\n' | '\t')) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Why nothing was run.
pub(super) fn refusal(message: &str) -> String {
    format!("{ERROR}mruby-runner:{ERROR:#} {}\n", plain(message))
}

/// What there is to say of an ending; nothing of a value.
pub(super) fn diagnosis(ending: &Ending, policy: Policy, limits: &Limits, code: &[u8]) -> String {
    match ending {
        Ending::Value { .. } => String::new(),
        Ending::Exception { class, message, backtrace } => exception(class, message, backtrace),
        Ending::Syntax { line, column, message } => syntax(*line, *column, message, code),
        Ending::Forbidden { call: Some(call) } => {
            let (head, lines) = forbidden::described(call, policy);
            let mut text = format!("{ERROR}forbidden call:{ERROR:#} {}\n", plain(&head));
            for line in lines {
                text.push_str(&format!("  {line}\n"));
            }
            text
        }
        Ending::Forbidden { call: None } => format!(
            "{ERROR}forbidden call:{ERROR:#} the kernel ended the worker, and does not say at which call\n  \
             policy {}: {}; --policy diagnose names the call\n",
            policy.name(),
            policy.otherwise()
        ),
        Ending::Limit { limit, value } => reached(*limit, *value, limits),
        Ending::Crashed { signal } => {
            let name = signal_name(*signal);
            format!("{ERROR}crashed:{ERROR:#} the worker was ended by signal {signal}{name}\n")
        }
        Ending::Broken { why } => {
            format!("{ERROR}broken:{ERROR:#} the worker did not keep to the protocol: {}\n", plain(why))
        }
        other => format!("{ERROR}{}{ERROR:#}\n", other.kind()),
    }
}

fn signal_name(signal: i32) -> String {
    let known = nix::sys::signal::Signal::try_from(signal);
    known.map_or_else(|_| String::new(), |signal| format!(" ({signal})"))
}

fn exception(class: &str, message: &str, backtrace: &[String]) -> String {
    // The first two parts of `main.rb:3:in half`.
    let ours = backtrace.iter().find(|frame| frame.starts_with("main.rb:"));
    let place = ours.or(backtrace.first()).map(|first| {
        let parts: Vec<&str> = first.splitn(3, ':').take(2).collect();
        format!("{PLACE}{}:{PLACE:#} ", plain(&parts.join(":")))
    });
    let mut text = place.unwrap_or_default();
    let (message, class) = (plain(message), plain(class));
    let message = if message.is_empty() { "unhandled exception" } else { message.as_str() };
    let _ = writeln!(text, "{message} ({ERROR}{class}{ERROR:#})");
    for frame in backtrace.iter().take(FRAMES) {
        let _ = writeln!(text, "  {FAINT}from {}{FAINT:#}", plain(frame));
    }
    if let Some(more @ 1..) = backtrace.len().checked_sub(FRAMES) {
        let _ = writeln!(text, "  {FAINT}and {more} more; --json has them{FAINT:#}");
    }
    text
}

fn syntax(line: u32, column: u32, message: &str, code: &[u8]) -> String {
    let index = (line as usize).saturating_sub(1);
    let source = code.split(|byte| *byte == b'\n').nth(index).unwrap_or_default();
    // mruby counts bytes, people count characters.
    let (before, after) = source.split_at(source.len().min(column as usize));
    let before: Vec<char> = String::from_utf8_lossy(before).chars().collect();
    let shown = before.len() + 1;
    let mut text = format!("{PLACE}main.rb:{line}:{shown}:{PLACE:#} {ERROR}{}{ERROR:#}\n", plain(message));
    let cut = before.len().saturating_sub(AROUND);
    let before: String = before[cut..].iter().collect();
    let after: String = String::from_utf8_lossy(after).chars().take(AROUND).collect();
    // A tab is as wide as a terminal likes; a space is one.
    let flat = |part: &str| plain(&part.replace(['\t', '\r'], " "));
    let (before, after) = (flat(&before), flat(&after));
    let margin = line.to_string();
    let _ = writeln!(text, " {FAINT}{margin} |{FAINT:#} {before}{}", after.trim_end());
    let (blank, indent) = (" ".repeat(margin.len()), " ".repeat(before.width()));
    let _ = writeln!(text, " {FAINT}{blank} |{FAINT:#} {indent}{ERROR}^{ERROR:#}");
    text
}

fn reached(limit: Limit, value: u64, limits: &Limits) -> String {
    let written = units::written(limit, value);
    let what = match limit {
        Limit::Wall => format!("{written} of wall-clock time"),
        Limit::Cpu => format!("{written} of processor time"),
        Limit::Memory => format!("{written} of memory"),
        Limit::Output => format!("{written} of output"),
        Limit::Code => format!("{written} of code and input together"),
        Limit::Instructions => format!("{written} instructions"),
        Limit::Depth => format!("{written} nested calls, or the machine stack's end"),
    };
    let name = limit.name();
    let most = most(limit, limits).map_or_else(String::new, |range| format!(" ({range})"));
    format!("{ERROR}limit reached:{ERROR:#} {what}\n  --{name} raises it{most}\n")
}

/// A limit's range, as the library says it of a value that is outside.
fn most(limit: Limit, limits: &Limits) -> Option<&'static str> {
    let mut limits = limits.clone();
    match limit {
        Limit::Wall => limits.wall = std::time::Duration::MAX,
        Limit::Cpu => limits.cpu = std::time::Duration::MAX,
        Limit::Memory => limits.memory = usize::MAX,
        Limit::Output => limits.output = usize::MAX,
        Limit::Code => limits.code = usize::MAX,
        Limit::Instructions => limits.instructions = u64::MAX,
        Limit::Depth => limits.depth = usize::MAX,
    }
    match limits.check() {
        Err(mruby_runner::Error::Limit { range, .. }) => Some(range),
        _ => None,
    }
}
