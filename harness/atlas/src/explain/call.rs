//! Calls as people write them: `openat`, `i386:open`, `clone(0x7e020000)`, `x86-64:1023`.

use atlas_model::abi::syscalls;
use atlas_model::{Abi, Call};
use std::str::FromStr;

/// A call that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its ABI.
    pub abi: Abi,
    /// Its number; for x32 it carries [`Abi::X32_BIT`].
    pub nr: u32,
    /// Its arguments, those that were not named 0; `None` where they are left open.
    pub args: Option<[u64; 6]>,
}

/// Why a text is no call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACall {
    /// The ABI is none.
    #[error(transparent)]
    Abi(#[from] atlas_model::abi::UnknownAbi),
    /// There is no such name.
    #[error("{abi} has no call `{name}`{}", also(name))]
    Name {
        /// The ABI.
        abi: Abi,
        /// The name.
        name: String,
    },
    /// A number of another ABI.
    #[error("{number:#x} is no number of {abi}: those of x32 are 0x40000000 and up{}", of_x32(*abi, *number))]
    Number {
        /// The ABI.
        abi: Abi,
        /// The number.
        number: u32,
    },
    /// The arguments have no end.
    #[error("`{0}` has an opening parenthesis and does not end with a closing one")]
    Open(String),
    /// An argument that is none.
    #[error("`{0}` is no argument: decimal, or hexadecimal with 0x")]
    Argument(String),
    /// An argument that no register of the ABI can have.
    #[error("i386 has arguments of 32 bits, and {0} has more")]
    Wide(String),
    /// Too many.
    #[error("a call has 6 arguments, and {0} are given")]
    Many(usize),
}

/// Where else there is such a call.
fn also(name: &str) -> String {
    let abis: Vec<&str> =
        Abi::ALL.into_iter().filter(|abi| syscalls::number(*abi, name).is_some()).map(Abi::name).collect();
    if abis.is_empty() {
        String::new()
    } else {
        format!("; {} has: write {}:{name}", abis.join(" and "), abis[0])
    }
}

/// How it is written where it is x32's.
fn of_x32(abi: Abi, number: u32) -> String {
    if abi == Abi::X86_64 { format!("; write x32:{number:#x}") } else { String::new() }
}

/// A number in decimal, or in hexadecimal with 0x, without a sign.
#[must_use]
pub fn parse_number(text: &str) -> Option<u64> {
    // The parsers would take a sign.
    let digits = |digits: &str| digits.starts_with(|c: char| c.is_ascii_hexdigit());
    match text.strip_prefix("0x") {
        Some(hex) => digits(hex).then(|| u64::from_str_radix(hex, 16).ok())?,
        None => digits(text).then(|| text.parse().ok())?,
    }
}

/// An argument, which may be negative.
fn parse_argument(text: &str) -> Option<u64> {
    if text.starts_with('-') {
        text.parse::<i64>().ok().map(|value| value as u64)
    } else {
        parse_number(text)
    }
}

impl Asked {
    /// The call itself, its open arguments 0.
    #[must_use]
    pub fn call(&self) -> Call {
        Call { abi: self.abi, nr: self.nr.into(), args: self.args.unwrap_or_default() }
    }
}

impl FromStr for Asked {
    type Err = NotACall;

    fn from_str(text: &str) -> Result<Self, NotACall> {
        let (abi, rest) = match text.split_once(':') {
            Some((abi, rest)) => (abi.parse()?, rest),
            None => (Abi::X86_64, text),
        };
        let (name, args) = match rest.split_once('(') {
            None => (rest, None),
            Some((name, open)) => {
                let list = open.strip_suffix(')').ok_or_else(|| NotACall::Open(text.into()))?;
                (name, Some(arguments(abi, list)?))
            }
        };
        let nr = match parse_number(name).map(u32::try_from) {
            Some(Ok(nr)) => nr,
            // As people write the number that a tracer skips a call by.
            _ if name == "-1" => u32::MAX,
            _ => syscalls::number(abi, name).ok_or_else(|| NotACall::Name { abi, name: name.into() })?,
        };
        if Abi::of(abi.audit_arch(), nr) != Some(abi) {
            return Err(NotACall::Number { abi, number: nr });
        }
        Ok(Self { abi, nr, args })
    }
}

fn arguments(abi: Abi, list: &str) -> Result<[u64; 6], NotACall> {
    let mut args = [0; 6];
    if list.trim().is_empty() {
        return Ok(args);
    }
    let given: Vec<&str> = list.split(',').map(str::trim).collect();
    if given.len() > args.len() {
        return Err(NotACall::Many(given.len()));
    }
    for (arg, text) in args.iter_mut().zip(&given) {
        let given = parse_argument(text).ok_or_else(|| NotACall::Argument((*text).into()))?;
        *arg = if abi == Abi::I386 {
            lower_half(given).ok_or_else(|| NotACall::Wide((*text).into()))?
        } else {
            given
        };
    }
    Ok(args)
}

/// What a register of i386 has of a value: all of it, where the upper half is empty or the sign's.
fn lower_half(value: u64) -> Option<u64> {
    let fits = u32::try_from(value).is_ok() || i32::try_from(value as i64).is_ok();
    fits.then_some(value & u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        text.parse::<Asked>().unwrap_err().to_string()
    }

    #[test]
    fn names_numbers_abis_and_arguments() {
        let asked = |abi, nr, args| Ok(Asked { abi, nr, args });
        assert_eq!("openat".parse(), asked(Abi::X86_64, 257, None));
        assert_eq!("i386:open".parse(), asked(Abi::I386, 5, None));
        assert_eq!("x32:ptrace".parse(), asked(Abi::X32, 521 | Abi::X32_BIT, None));
        assert_eq!("i386:0x40000005".parse(), asked(Abi::I386, 0x4000_0005, None));
        assert_eq!("1023()".parse(), asked(Abi::X86_64, 1023, Some([0; 6])));
        assert_eq!("0xffffffff".parse(), asked(Abi::X86_64, u32::MAX, None));
        assert_eq!("-1".parse(), asked(Abi::X86_64, u32::MAX, None));
        assert_eq!("X86_64:read".parse(), asked(Abi::X86_64, 0, None));
        assert_eq!("openat(-100)".parse(), asked(Abi::X86_64, 257, Some([u64::MAX - 99, 0, 0, 0, 0, 0])));
        let fd = u64::from(u32::MAX) - 99;
        assert_eq!("i386:openat(-100)".parse(), asked(Abi::I386, 295, Some([fd, 0, 0, 0, 0, 0])));
        assert_eq!("write(1, 0x10)".parse(), asked(Abi::X86_64, 1, Some([1, 16, 0, 0, 0, 0])));
    }

    #[test]
    fn what_is_no_call_is_said() {
        assert_eq!(said("opne"), "x86-64 has no call `opne`");
        assert_eq!(said("socketcall"), "x86-64 has no call `socketcall`; i386 has: write i386:socketcall");
        assert_eq!(said("arm:open"), "`arm` is not an ABI: x86-64, i386 and x32 are");
        assert_eq!(said("x32:1"), "0x1 is no number of x32: those of x32 are 0x40000000 and up");
        assert_eq!(
            said("0x40000001"),
            "0x40000001 is no number of x86-64: those of x32 are 0x40000000 and up; write x32:0x40000001"
        );
        assert_eq!(said("read(1"), "`read(1` has an opening parenthesis and does not end with a closing one");
        assert_eq!(said("read(0x+5)"), "`0x+5` is no argument: decimal, or hexadecimal with 0x");
        assert_eq!(said("read(x)"), "`x` is no argument: decimal, or hexadecimal with 0x");
        assert_eq!(said("read(1,2,3,4,5,6,7)"), "a call has 6 arguments, and 7 are given");
        assert_eq!(said("i386:read(0x100000028)"), "i386 has arguments of 32 bits, and 0x100000028 has more");
        assert_eq!(said("99999999999"), "x86-64 has no call `99999999999`");
    }
}
