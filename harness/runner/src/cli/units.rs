//! Limits with units: read from flags, and written for people.

use mruby_runner::{Error, Limit, Limits};
use std::time::Duration;

/// Takes what the library takes, and says what that is where it does not.
fn fits<T>(parsed: Result<T, String>, most: T, set: impl Fn(&mut Limits, T)) -> Result<T, String>
where
    T: Copy,
{
    let range = |value: T| {
        let mut limits = Limits::default();
        set(&mut limits, value);
        match limits.check() {
            Err(Error::Limit { range, .. }) => Some(range),
            _ => None,
        }
    };
    match parsed {
        Ok(value) => range(value).map_or(Ok(value), |range| Err(format!("it may be {range}"))),
        Err(why) => Err(match range(most) {
            Some(range) => format!("{why}; it may be {range}"),
            None => why,
        }),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

fn size(text: &str) -> Result<u64, String> {
    let config = parse_size::Config::new().with_binary();
    config.parse_size(text).map_err(|error| error.to_string())
}

fn count(text: &str) -> Result<u64, String> {
    let config = parse_size::Config::new().with_decimal().with_byte_suffix(parse_size::ByteSuffix::Deny);
    config.parse_size(text).map_err(|error| error.to_string())
}

fn word(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

pub(super) fn wall(text: &str) -> Result<Duration, String> {
    fits(time(text), Duration::MAX, |limits, value| limits.wall = value)
}

pub(super) fn cpu(text: &str) -> Result<Duration, String> {
    fits(time(text), Duration::MAX, |limits, value| limits.cpu = value)
}

pub(super) fn memory(text: &str) -> Result<usize, String> {
    fits(size(text).map(word), usize::MAX, |limits, value| limits.memory = value)
}

pub(super) fn output(text: &str) -> Result<usize, String> {
    fits(size(text).map(word), usize::MAX, |limits, value| limits.output = value)
}

pub(super) fn code(text: &str) -> Result<usize, String> {
    fits(size(text).map(word), usize::MAX, |limits, value| limits.code = value)
}

pub(super) fn instructions(text: &str) -> Result<u64, String> {
    fits(count(text), u64::MAX, |limits, value| limits.instructions = value)
}

pub(super) fn depth(text: &str) -> Result<usize, String> {
    fits(count(text).map(word), usize::MAX, |limits, value| limits.depth = value)
}

/// A limit's value as [`mruby_runner::Ending::Limit`] has it, for people.
pub(super) fn written(limit: Limit, value: u64) -> String {
    match limit {
        Limit::Wall | Limit::Cpu => humantime::format_duration(Duration::from_nanos(value)).to_string(),
        Limit::Memory | Limit::Output | Limit::Code => bytes(value),
        Limit::Instructions | Limit::Depth => grouped(value),
    }
}

/// What is whole in a larger unit is said in it; nothing is rounded.
fn bytes(value: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| value != 0 && value.trailing_zeros() >= *shift) {
        Some((shift, unit)) => format!("{} {unit}", value >> shift),
        None if value == 1 => "1 byte".into(),
        None => format!("{} bytes", grouped(value)),
    }
}

fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for (text, bytes) in [("16M", 16 << 20), ("2MiB", 2 << 20), ("3mb", 3 << 20), ("4G", 4 << 30)] {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        assert_eq!(output("0"), Ok(0));
        assert_eq!(code("700"), Ok(700));
        assert_eq!(wall("1s 500ms"), Ok(Duration::from_millis(1500)));
        for (text, number) in
            [("1e9", 1_000_000_000), ("1000000", 1_000_000), ("5_000", 5000), ("2M", 2_000_000)]
        {
            assert_eq!(instructions(text), Ok(number), "{text}");
        }
        assert_eq!(instructions("9223372036854775808"), Ok(1 << 63));
    }

    #[test]
    fn what_is_out_of_range_or_no_number_is_told_the_range() {
        for (refused, range) in [
            (wall("0s").map(drop), "1 ms to 1 h"),
            (wall("2h").map(drop), "1 ms to 1 h"),
            (wall("5").map(drop), "1 ms to 1 h"),
            (cpu("99999999999999999999y").map(drop), "1 ms to 1 h"),
            (memory("1M").map(drop), "2 MiB to 4 GiB"),
            (memory("-1").map(drop), "2 MiB to 4 GiB"),
            (output("99E").map(drop), "0 B to 1 GiB"),
            (code("0").map(drop), "1 B to 64 MiB"),
            (instructions("0").map(drop), "1 to 2^63"),
            (instructions("1e30").map(drop), "1 to 2^63"),
            (instructions("5B").map(drop), "1 to 2^63"),
            (depth("ten").map(drop), "1 to 1000000"),
        ] {
            assert!(refused.clone().is_err_and(|why| why.contains(range)), "{refused:?}, {range}");
        }
    }

    #[test]
    fn units_are_written_and_nothing_is_rounded() {
        for (limit, value, text) in [
            (Limit::Wall, 1_500_000_000, "1s 500ms"),
            (Limit::Memory, 16 << 20, "16 MiB"),
            (Limit::Output, 0, "0 bytes"),
            (Limit::Code, 1, "1 byte"),
            (Limit::Code, (1 << 20) + 1, "1,048,577 bytes"),
            (Limit::Instructions, 1_000_000_000, "1,000,000,000"),
            (Limit::Depth, 100, "100"),
        ] {
            assert_eq!(written(limit, value), text);
        }
    }
}
