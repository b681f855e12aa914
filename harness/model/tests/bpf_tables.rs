//! The tables of syscalls and errno values against the C headers of the machine that runs the test.
//!
//! The headers may be older than the tables, so every name in them must have our number, and not the
//! other way round.

use atlas_model::abi::{Abi, syscalls};
use atlas_model::action::errno;
use std::fs;
use std::path::Path;

/// A header's text, from where distributions put it.
fn header(name: &str) -> String {
    let places = ["/usr/include/x86_64-linux-gnu", "/usr/include"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    let path = found.unwrap_or_else(|| {
        panic!(
            "no {name} in {places:?}: install the kernel's C headers (linux-libc-dev, kernel-headers) for x86"
        )
    });
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {path:?}: {error}"))
}

/// Name and number of a call, `#define __NR_name number`.
fn call(line: &str) -> Option<(String, u32)> {
    let (name, value) = line.strip_prefix("#define __NR_")?.split_once(char::is_whitespace)?;
    let value = value.trim().trim_matches(['(', ')']);
    let number = match value.strip_prefix("__X32_SYSCALL_BIT + ") {
        Some(number) => number.parse::<u32>().ok()? | Abi::X32_BIT,
        None => value.parse().ok()?,
    };
    Some((name.to_owned(), number))
}

fn agrees(abi: Abi, name: &str) {
    let defined: Vec<_> = header(name).lines().filter_map(call).collect();
    assert!(defined.len() > 300, "{name} defines only {} calls: has its form changed?", defined.len());
    let other: Vec<_> =
        defined.iter().filter(|(name, nr)| syscalls::name(abi, *nr) != Some(name.as_str())).collect();
    assert!(other.is_empty(), "{abi} calls in {name} and not in ours; run ci/syscall-tables: {other:?}");
}

#[test]
fn x86_64() {
    agrees(Abi::X86_64, "asm/unistd_64.h");
}

#[test]
fn i386() {
    agrees(Abi::I386, "asm/unistd_32.h");
}

#[test]
fn x32() {
    agrees(Abi::X32, "asm/unistd_x32.h");
}

/// Name and value of an errno, `#define ENAME number`. Second names for a value have no number.
fn errno_value(line: &str) -> Option<(&str, i64)> {
    let mut words = line.strip_prefix("#define")?.split_whitespace();
    let name = words.next().filter(|name| name.starts_with('E'))?;
    Some((name, words.next()?.parse().ok()?))
}

#[test]
fn errno_values() {
    let text = header("asm-generic/errno-base.h") + &header("asm-generic/errno.h");
    let defined: Vec<_> = text.lines().filter_map(errno_value).collect();
    assert!(defined.len() > 120, "only {} values: have the headers changed?", defined.len());
    for (name, value) in defined {
        assert_eq!(errno::name(value), Some(name), "errno {value}");
    }
}
