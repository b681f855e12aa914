//! Filters read back from what is written down for people.

use super::{Filter, Insn, op};

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, found {found}")]
pub struct AssembleError {
    /// The line, counted from 1.
    pub line: usize,
    /// What should stand there.
    pub expected: &'static str,
    /// What stands there, cut short where it is long.
    pub found: String,
}

/// Reads a filter from the table that [`super::disassemble`] writes, or from instructions as
/// [`Insn`]'s `Display` writes them, one a line.
///
/// A row of the table is read from its columns, which hold the whole instruction; the words behind
/// them are not read. So the table gives back exactly the filter it was written from, whatever that
/// is. The notation of `bpf_asm` carries only the fields that an operation uses, and the others become
/// 0. Empty lines and everything from a `;` on are skipped, numbers may be decimal or hexadecimal.
///
/// What [`super::check()`] refuses is read too, as long as it can be written.
///
/// # Errors
/// [`AssembleError`] for the first line that is neither.
///
/// ```
/// use atlas_model::bpf::{self, Filter};
/// let filter = Filter(vec![bpf::ld(4), bpf::jeq(0xc000_003e, 0, 1), bpf::ret_word(0x7fff_0000), bpf::ret_a()]);
/// assert_eq!(bpf::assemble(&bpf::disassemble(&filter)).as_ref(), Ok(&filter));
/// let text = "
///     ld [4]
///     jeq #0xc000003e, 0, 1
///     ret #0x7fff0000
///     ret a
/// ";
/// assert_eq!(bpf::assemble(text), Ok(filter));
/// let error = bpf::assemble("ld [4]\nret").unwrap_err();
/// assert_eq!(error.to_string(), "line 2: expected `a` or a constant such as `#0x1`, found nothing");
/// ```
pub fn assemble(text: &str) -> Result<Filter, AssembleError> {
    let mut insns = Vec::new();
    for (index, whole) in text.lines().enumerate() {
        let line = whole.split(';').next().unwrap_or_default().trim();
        if line.is_empty() || is_heading(line) {
            continue;
        }
        let read = if line.as_bytes()[0].is_ascii_digit() { row(line, insns.len()) } else { notation(line) };
        match read {
            Ok(insn) => insns.push(insn),
            Err(Wrong { expected, found }) => {
                return Err(AssembleError { line: index + 1, expected, found });
            }
        }
    }
    Ok(Filter(insns))
}

fn is_heading(line: &str) -> bool {
    line.bytes().all(|byte| byte == b'=') || line.split_whitespace().eq(["line", "CODE", "JT", "JF", "K"])
}

/// What is wrong with a line.
struct Wrong {
    expected: &'static str,
    found: String,
}

fn wrong<T>(expected: &'static str, found: &str) -> Result<T, Wrong> {
    const SHOWN: usize = 40;
    let found = match found.chars().count() {
        0 => "nothing".to_owned(),
        1..=SHOWN => format!("`{found}`"),
        _ => format!("`{}…`", found.chars().take(SHOWN).collect::<String>()),
    };
    Err(Wrong { expected, found })
}

/// A number of either base, if it is within the type.
fn number<T: TryFrom<u32>>(text: &str, expected: &'static str) -> Result<T, Wrong> {
    let digits = |text: &str, radix| {
        // from_str_radix would take a sign.
        text.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| u32::from_str_radix(text, radix).ok())
    };
    let value = match text.strip_prefix("0x") {
        Some(hex) => digits(hex, 16),
        None => digits(text, 10),
    };
    match value.flatten().and_then(|value| T::try_from(value).ok()) {
        Some(value) => Ok(value),
        None => wrong(expected, text),
    }
}

const CODE: &str = "a code of 16 bits";
const SKIP: &str = "a jump's distance of 8 bits";
const OPERAND: &str = "an operand of 32 bits";

/// A row of the table; `at` is the number it has to carry.
fn row(line: &str, at: usize) -> Result<Insn, Wrong> {
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap_or_default();
    let place = word();
    // As text, so that `1:` and `0001:` are the same and a filter may be of any length.
    if place.strip_suffix(':').and_then(|place| place.parse().ok()) != Some(at) {
        return wrong("the number of this instruction, counted from 0, and a colon", place);
    }
    Ok(Insn {
        code: number(word(), CODE)?,
        jt: number(word(), SKIP)?,
        jf: number(word(), SKIP)?,
        k: number(word(), OPERAND)?,
    })
}

/// One instruction in the notation of `bpf_asm`.
fn notation(line: &str) -> Result<Insn, Wrong> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let operands: Vec<&str> = if rest.is_empty() { vec![] } else { rest.split(',').map(str::trim).collect() };
    let operand = |index: usize| operands.get(index).copied().unwrap_or_default();
    let skips =
        |insn: Insn| Ok(Insn { jt: number(operand(1), SKIP)?, jf: number(operand(2), SKIP)?, ..insn });
    let (insn, takes) = match name {
        ".code" => {
            let [code, k] = [operand(0), operand(3)];
            (skips(Insn { code: number(code, CODE)?, jt: 0, jf: 0, k: number(k, OPERAND)? })?, 4)
        }
        "ld" => (load(operand(0), false)?, 1),
        "ldx" => (load(operand(0), true)?, 1),
        "st" => (with_k(op::ST, scratch(operand(0))?), 1),
        "stx" => (with_k(op::STX, scratch(operand(0))?), 1),
        "neg" => (with_k(op::ALU | op::NEG, 0), 0),
        "tax" => (with_k(op::TAX, 0), 0),
        "txa" => (with_k(op::TXA, 0), 0),
        "ja" => (with_k(op::JA, number(operand(0), "a jump's distance of 32 bits")?), 1),
        "ret" => (ret(operand(0))?, 1),
        _ => match operation(name) {
            Some((class, operation)) => {
                let insn = by_k_or_x(class | operation, operand(0))?;
                if class == op::JMP { (skips(insn)?, 3) } else { (insn, 1) }
            }
            None => return wrong("an instruction, such as `ld [0]` or `jeq #0x1, 0, 1`", name),
        },
    };
    match operands.get(takes) {
        None => Ok(insn),
        Some(more) => wrong("the end of the line", more),
    }
}

fn with_k(code: u16, k: u32) -> Insn {
    Insn { code, jt: 0, jf: 0, k }
}

/// Class and operation of what takes a constant or X.
fn operation(name: &str) -> Option<(u16, u16)> {
    Some(match name {
        "add" => (op::ALU, op::ADD),
        "sub" => (op::ALU, op::SUB),
        "mul" => (op::ALU, op::MUL),
        "div" => (op::ALU, op::DIV),
        "or" => (op::ALU, op::OR),
        "and" => (op::ALU, op::AND),
        "lsh" => (op::ALU, op::LSH),
        "rsh" => (op::ALU, op::RSH),
        "xor" => (op::ALU, op::XOR),
        "jeq" => (op::JMP, op::JEQ),
        "jgt" => (op::JMP, op::JGT),
        "jge" => (op::JMP, op::JGE),
        "jset" => (op::JMP, op::JSET),
        _ => return None,
    })
}

fn constant(text: &str, expected: &'static str) -> Result<u32, Wrong> {
    match text.strip_prefix('#') {
        Some(value) => number(value, expected),
        None => wrong(expected, text),
    }
}

fn by_k_or_x(code: u16, operand: &str) -> Result<Insn, Wrong> {
    match operand {
        "x" => Ok(with_k(code | op::X, 0)),
        _ => Ok(with_k(code, constant(operand, "`x` or a constant such as `#0x1`")?)),
    }
}

fn ret(operand: &str) -> Result<Insn, Wrong> {
    match operand {
        "a" => Ok(with_k(op::RET_A, 0)),
        _ => Ok(with_k(op::RET_K, constant(operand, "`a` or a constant such as `#0x1`")?)),
    }
}

/// What stands between two brackets.
fn within<'a>(text: &'a str, open: &str) -> Option<&'a str> {
    text.strip_prefix(open)?.strip_suffix(']')
}

fn scratch(operand: &str) -> Result<u32, Wrong> {
    const EXPECTED: &str = "a scratch word, such as `M[15]`";
    match within(operand, "M[") {
        Some(word) => number(word, EXPECTED),
        None => wrong(EXPECTED, operand),
    }
}

fn load(operand: &str, x: bool) -> Result<Insn, Wrong> {
    let code = |a: u16, into_x: u16| if x { into_x } else { a };
    if operand == "len" {
        return Ok(with_k(code(op::LD_LEN, op::LDX_LEN), 0));
    }
    if operand.starts_with('M') {
        return Ok(with_k(code(op::LD_MEM, op::LDX_MEM), scratch(operand)?));
    }
    match within(operand, "[") {
        Some(offset) if !x => Ok(with_k(op::LD_ABS, number(offset, "an offset in bytes, such as `[16]`")?)),
        // There is no such load into X.
        _ if x => Ok(with_k(op::LDX_IMM, constant(operand, "`len`, `M[0]` or a constant such as `#0x1`")?)),
        _ => Ok(with_k(op::LD_IMM, constant(operand, "`len`, `[0]`, `M[0]` or a constant such as `#0x1`")?)),
    }
}

#[cfg(test)]
mod tests;
