//! Plain data between JSON and Ruby, without an allocator of its own: libraries build values of their
//! own on the process's heap, and the worker may not grow that.

use super::value::{self, FALSE, NIL, Shape, TRUE};
use crate::out::Text;
use core::fmt::Write;
use mruby_sys as mrb;
use std::ffi::{c_int, c_void};

/// How deep plain data may be nested.
const DEEPEST: usize = 64;

/// Whether a value is plain data.
pub(super) fn is_plain(state: *mut mrb::mrb_state, value: mrb::mrb_value) -> bool {
    plain(state, value, DEEPEST)
}

fn plain(state: *mut mrb::mrb_state, value: mrb::mrb_value, levels: usize) -> bool {
    match value::shape(state, value) {
        Shape::Nil | Shape::Bool(_) | Shape::Integer(_) => true,
        Shape::Float(float) => float.is_finite(),
        Shape::Symbol(text) | Shape::String(text) => core::str::from_utf8(text).is_ok(),
        Shape::Array(length) => {
            // SAFETY: the value is an array of that length.
            let entry = |index: usize| unsafe { mrb::mrb_ary_entry(value, index as mrb::mrb_int) };
            levels > 0 && (0..length).all(|index| plain(state, entry(index), levels - 1))
        }
        Shape::Hash(hash) => {
            let mut seen = Seen { levels, plain: levels > 0 };
            each(state, hash, &mut seen, |state, key, value, seen| {
                let named = matches!(value::shape(state, key), Shape::Symbol(text) | Shape::String(text)
                    if core::str::from_utf8(text).is_ok());
                seen.plain = seen.plain && named && plain(state, value, seen.levels - 1);
                seen.plain
            });
            seen.plain
        }
        Shape::Other => false,
    }
}

struct Seen {
    levels: usize,
    plain: bool,
}

/// Goes through a hash's pairs until `visit` says no. Runs no Ruby code.
fn each<T>(
    state: *mut mrb::mrb_state,
    hash: *mut mrb::RHash,
    data: &mut T,
    visit: fn(*mut mrb::mrb_state, mrb::mrb_value, mrb::mrb_value, &mut T) -> bool,
) {
    struct Walk<'a, T> {
        data: &'a mut T,
        visit: fn(*mut mrb::mrb_state, mrb::mrb_value, mrb::mrb_value, &mut T) -> bool,
    }
    unsafe extern "C" fn step<T>(
        state: *mut mrb::mrb_state,
        key: mrb::mrb_value,
        value: mrb::mrb_value,
        walk: *mut c_void,
    ) -> c_int {
        // SAFETY: the walk below outlives the call.
        let walk = unsafe { &mut *walk.cast::<Walk<'_, T>>() };
        c_int::from(!(walk.visit)(state, key, value, walk.data))
    }
    let mut walk = Walk { data, visit };
    // SAFETY: the state is open, the hash alive; the visitors change nothing of it.
    unsafe { mrb::mrb_hash_foreach(state, hash, Some(step::<T>), (&raw mut walk).cast()) };
}

/// Writes plain data.
pub(super) fn write(state: *mut mrb::mrb_state, value: mrb::mrb_value, text: &mut Text) {
    // Writing into a `Text` does not fail.
    let _ = match value::shape(state, value) {
        Shape::Nil | Shape::Other => text.write_str("null"),
        Shape::Bool(bool) => write!(text, "{bool}"),
        Shape::Integer(integer) => write!(text, "{integer}"),
        Shape::Float(float) => write!(text, "{float:?}"),
        Shape::Symbol(name) | Shape::String(name) => {
            quote(name, text);
            Ok(())
        }
        Shape::Array(length) => {
            for index in 0..length {
                text.put(if index == 0 { b"[" } else { b"," });
                // SAFETY: the value is an array of that length.
                write(state, unsafe { mrb::mrb_ary_entry(value, index as mrb::mrb_int) }, text);
            }
            text.write_str(if length == 0 { "[]" } else { "]" })
        }
        Shape::Hash(hash) => {
            let mut writer = (text, true);
            each(state, hash, &mut writer, |state, key, value, (text, first)| {
                text.put(if *first { b"{" } else { b"," });
                *first = false;
                write(state, key, text);
                text.put(b":");
                write(state, value, text);
                true
            });
            let (text, empty) = writer;
            text.write_str(if empty { "{}" } else { "}" })
        }
    };
}

fn quote(bytes: &[u8], text: &mut Text) {
    text.put(b"\"");
    for byte in bytes {
        match byte {
            b'"' => text.put(b"\\\""),
            b'\\' => text.put(b"\\\\"),
            0..0x20 => {
                let _ = write!(text, "\\u{byte:04x}");
            }
            _ => text.put(core::slice::from_ref(byte)),
        }
    }
    text.put(b"\"");
}

/// Reads JSON into Ruby values: objects become hashes with string keys. Nothing at all is nil. Raises
/// an ArgumentError for what is no JSON.
///
/// # Safety
/// The state is open; a raise may jump over the caller's frame.
pub(super) unsafe fn read(state: *mut mrb::mrb_state, bytes: &[u8]) -> mrb::mrb_value {
    if bytes.is_empty() {
        return NIL;
    }
    let mut reader = Reader { state, bytes, at: 0 };
    if let Err(error) = core::str::from_utf8(bytes) {
        reader.at = error.valid_up_to();
        return reader.refuse();
    }
    let value = reader.value(DEEPEST);
    reader.space();
    if reader.at < bytes.len() {
        reader.refuse();
    }
    value
}

/// Owns nothing, since a raise jumps over it.
struct Reader<'a> {
    state: *mut mrb::mrb_state,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn refuse(&self) -> mrb::mrb_value {
        // SAFETY: the state is open; the format takes one integer.
        unsafe {
            let class = mrb::mrb_class_get(self.state, c"ArgumentError".as_ptr());
            mrb::mrb_raisef(
                self.state,
                class,
                c"the input is no JSON at byte %i".as_ptr(),
                self.at as mrb::mrb_int,
            );
        }
        NIL
    }

    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn word(&mut self, word: &[u8], value: mrb::mrb_value) -> mrb::mrb_value {
        if !self.bytes[self.at..].starts_with(word) {
            return self.refuse();
        }
        self.at += word.len();
        value
    }

    fn value(&mut self, levels: usize) -> mrb::mrb_value {
        // What is made last stays alive by mruby's arena; it is let go with each finished member.
        match self.peek() {
            Some(b'n') => self.word(b"null", NIL),
            Some(b't') => self.word(b"true", TRUE),
            Some(b'f') => self.word(b"false", FALSE),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            // SAFETY: the state is open and the arguments are values of it.
            Some(b'[') if levels > 0 => unsafe {
                self.at += 1;
                let array = mrb::mrb_ary_new(self.state);
                let alive = (*self.state).gc.arena_idx;
                if self.take(b']') {
                    return array;
                }
                loop {
                    let item = self.value(levels - 1);
                    mrb::mrb_ary_push(self.state, array, item);
                    (*self.state).gc.arena_idx = alive;
                    if self.take(b']') {
                        return array;
                    }
                    if !self.take(b',') {
                        return self.refuse();
                    }
                }
            },
            // SAFETY: the state is open and the arguments are values of it.
            Some(b'{') if levels > 0 => unsafe {
                self.at += 1;
                let hash = mrb::mrb_hash_new(self.state);
                let alive = (*self.state).gc.arena_idx;
                if self.take(b'}') {
                    return hash;
                }
                loop {
                    if self.peek() != Some(b'"') {
                        return self.refuse();
                    }
                    let key = self.string();
                    if !self.take(b':') {
                        return self.refuse();
                    }
                    let item = self.value(levels - 1);
                    mrb::mrb_hash_set(self.state, hash, key, item);
                    (*self.state).gc.arena_idx = alive;
                    if self.take(b'}') {
                        return hash;
                    }
                    if !self.take(b',') {
                        return self.refuse();
                    }
                }
            },
            _ => self.refuse(),
        }
    }

    fn number(&mut self) -> mrb::mrb_value {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
            .count();
        let text = core::str::from_utf8(&rest[..length]).unwrap_or("");
        if !is_number(text) {
            return self.refuse();
        }
        if let Ok(integer) = text.parse::<i64>() {
            self.at += length;
            return value::integer(self.state, integer);
        }
        match text.parse::<f64>() {
            // SAFETY: the state is open.
            Ok(float) if float.is_finite() => unsafe {
                self.at += length;
                mrb::mrb_word_boxing_float_value(self.state, float)
            },
            _ => self.refuse(),
        }
    }

    fn string(&mut self) -> mrb::mrb_value {
        self.at += 1;
        // SAFETY: the state is open; no bytes are read.
        let string = unsafe { mrb::mrb_str_new(self.state, core::ptr::null(), 0) };
        let state = self.state;
        let append = |bytes: &[u8]| {
            // SAFETY: the state is open, the string alive, and the bytes are there.
            unsafe { mrb::mrb_str_cat(state, string, bytes.as_ptr().cast(), bytes.len()) };
        };
        loop {
            let rest = &self.bytes[self.at..];
            let run = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
            append(&rest[..run]);
            self.at += run;
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return string;
                }
                Some(b'\\') => {
                    self.at += 1;
                    let Some(character) = self.escape() else { return self.refuse() };
                    append(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return self.refuse(),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                match first {
                    0xd800..0xdc00 => {
                        self.bytes[self.at..].starts_with(b"\\u").then_some(())?;
                        self.at += 2;
                        let second = self.unit()?;
                        char::decode_utf16([first, second]).next()?.ok()?
                    }
                    _ => char::from_u32(first.into())?,
                }
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u16> {
        let four = core::str::from_utf8(self.bytes.get(self.at..self.at + 4)?).ok()?;
        self.at += 4;
        u16::from_str_radix(four, 16).ok()
    }
}

/// Whether text is a number of JSON's (RFC 8259, section 6); Rust's own parsers take more.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        None => (text, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && digits(fraction) && digits(exponent)
}
