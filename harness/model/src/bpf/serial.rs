//! Filters in files: one instruction a string where people read, records where they do not.

use super::{Filter, Insn, assemble};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_seq(self.0.iter().map(written)) } else { self.0.serialize(to) }
    }
}

/// The notation of `bpf_asm` where it carries the whole instruction, otherwise the instruction's four
/// fields.
fn written(insn: &Insn) -> String {
    let text = insn.to_string();
    match assemble(&text) {
        Ok(read) if read.0 == [*insn] => text,
        _ => format!(".insn {:#06x}, {}, {}, {:#x}", insn.code, insn.jt, insn.jf, insn.k),
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return Vec::deserialize(from).map(Self);
        }
        let lines = Vec::<String>::deserialize(from)?;
        lines.iter().map(|line| read(line).map_err(D::Error::custom)).collect::<Result<_, _>>().map(Self)
    }
}

fn read(line: &str) -> Result<Insn, String> {
    if let Some(fields) = line.strip_prefix(".insn ") {
        return fields_of(fields).ok_or_else(|| format!("`{line}` is not `.insn CODE, JT, JF, K`"));
    }
    match assemble(line) {
        Ok(Filter(insns)) => match insns[..] {
            [insn] => Ok(insn),
            _ => Err(format!("`{line}` is not one instruction")),
        },
        Err(error) => Err(format!("`{line}`: {error}")),
    }
}

fn fields_of(fields: &str) -> Option<Insn> {
    let mut fields = fields.split(',').map(str::trim);
    let mut number = || -> Option<u32> {
        let field = fields.next()?;
        match field.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => field.parse().ok(),
        }
    };
    let insn = Insn {
        code: number()?.try_into().ok()?,
        jt: number()?.try_into().ok()?,
        jf: number()?.try_into().ok()?,
        k: number()?,
    };
    fields.next().is_none().then_some(insn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf;

    #[test]
    fn files_hold_the_notation_and_every_bit() {
        let odd = Insn { code: 0xffff, jt: 1, jf: 2, k: 3 };
        let hidden = Insn { jt: 9, ..bpf::ret_a() };
        let filter = Filter(vec![bpf::ld(4), bpf::jeq(7, 0, 1), bpf::ret_a(), odd, hidden]);
        let text = serde_json::to_string(&filter).unwrap();
        assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), filter);
        assert!(text.starts_with(r##"["ld [4]","jeq #0x7, 0, 1","ret a","##), "{text}");
        assert!(text.contains(".insn 0x0016, 9, 0, 0x0"), "{text}");
    }

    #[test]
    fn what_is_no_instruction_is_refused() {
        for text in [
            r#"["ld"]"#,
            r#"["ld [4]\nret a"]"#,
            r#"[""]"#,
            r#"[".insn 1, 2, 3"]"#,
            r#"[".insn 1, 256, 3, 4"]"#,
        ] {
            assert!(serde_json::from_str::<Filter>(text).is_err(), "{text}");
        }
    }
}
