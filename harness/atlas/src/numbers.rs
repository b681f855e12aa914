//! Calls and their numbers as people read them.

use atlas_model::abi::syscalls;
use atlas_model::{Abi, Call};

/// How wide lines are at most.
const WIDTH: usize = 100;

/// A number as it is known: small ones in decimal.
#[must_use]
pub fn number(nr: u32) -> String {
    if nr < Abi::X32_BIT - 1 { nr.to_string() } else { format!("{nr:#x}") }
}

/// A call as a person reads it: its ABI, number, and name where it has one.
#[must_use]
pub fn call_text(call: &Call) -> String {
    let nr = call.nr as u32;
    let name = syscalls::name(call.abi, nr).map(|name| format!(" {name}"));
    format!("{} {}{}", call.abi, number(nr), name.unwrap_or_default())
}

/// Numbers as words: those with names by their names, then the others as ranges.
#[must_use]
pub fn words(abi: Abi, numbers: &[u32]) -> Vec<String> {
    let name = |nr: u32| syscalls::name(abi, nr);
    let mut words: Vec<String> = numbers.iter().filter_map(|&nr| name(nr)).map(str::to_owned).collect();
    let nameless: Vec<u32> = numbers.iter().copied().filter(|&nr| name(nr).is_none()).collect();
    words.extend(ranges(&nameless).into_iter().map(|(first, last)| {
        if first == last { number(first) } else { format!("{}-{}", number(first), number(last)) }
    }));
    words
}

/// Runs of consecutive numbers: first and last of each.
#[must_use]
pub fn ranges(numbers: &[u32]) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &nr in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(nr) => *last = nr,
            _ => ranges.push((nr, nr)),
        }
    }
    ranges
}

/// Words behind a head, on as many lines as they need.
#[must_use]
pub fn wrapped(head: &str, words: &[String]) -> String {
    let indent = head.len().min(WIDTH / 2);
    let (mut text, mut line) = (String::new(), head.to_owned());
    for word in words {
        if line.len() + 1 + word.len() > WIDTH && line.len() > indent {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(indent);
        }
        line.push_str(word);
        line.push(' ');
    }
    text + line.trim_end() + "\n"
}

/// A text behind a head, broken at its spaces.
#[must_use]
pub fn paragraph(head: &str, text: &str) -> String {
    wrapped(head, &text.split(' ').map(str::to_owned).collect::<Vec<_>>())
}

/// The first ones of a list, and how many more there are.
#[must_use]
pub fn few<T: AsRef<str>>(all: &[T], most: usize) -> String {
    let named: Vec<&str> = all.iter().take(most).map(AsRef::as_ref).collect();
    let named = named.join(", ");
    match all.len().saturating_sub(most) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(few(&["a", "b"], 2), "a, b");
        assert_eq!(few(&["a", "b", "c"], 1), "a and 2 more");
    }

    #[test]
    fn ranges_end_at_gaps_and_at_the_last_number() {
        assert_eq!(ranges(&[]), []);
        assert_eq!(ranges(&[0, 1, 2, 5, u32::MAX - 1, u32::MAX]), [(0, 2), (5, 5), (u32::MAX - 1, u32::MAX)]);
    }

    #[test]
    fn names_come_before_numbers_that_have_none() {
        assert_eq!(
            words(Abi::X86_64, &[0, 1, 900, 901, 902, u32::MAX]),
            ["read", "write", "900-902", "0xffffffff"]
        );
    }
}
