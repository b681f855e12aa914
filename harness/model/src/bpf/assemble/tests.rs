use super::*;
use crate::bpf::{self, disassemble};

fn error(text: &str) -> String {
    assemble(text).unwrap_err().to_string()
}

#[test]
fn every_code_by_both_notations() {
    for code in 0..=u16::MAX {
        let insn = Insn { code, jt: 1, jf: 254, k: 0x8000_0003 };
        let table = assemble(&disassemble(&[insn]));
        assert_eq!(table, Ok(Filter(vec![insn])), "{code:#x}");
        let read = assemble(&insn.to_string()).unwrap();
        let unused = |used: bool, field: u32| if used { field } else { 0 };
        let (jumps, takes_k) = match op::kind(code) {
            None => (true, true),
            Some(op::Kind::Branch { x, .. }) => (true, !x),
            Some(op::Kind::Alu { op, x }) => (false, !x && op != op::NEG),
            Some(op::Kind::Load { .. }) => (false, !op::is_length(code)),
            Some(op::Kind::Copy { .. } | op::Kind::Return { a: true }) => (false, false),
            Some(_) => (false, true),
        };
        let written = Insn {
            code,
            jt: unused(jumps, 1) as u8,
            jf: unused(jumps, 254) as u8,
            k: unused(takes_k, insn.k),
        };
        assert_eq!(read, Filter(vec![written]), "{code:#x}");
    }
}

#[test]
fn both_notations_in_one_text_with_comments() {
    let text = "
        ; numbers in either base
        0: 32 0x0 0 0x0  A = sys_number
        jeq #110,0,1 ; getppid
        2: 0x06 0x00 0x00 0x00050001  return ERRNO(1 EPERM)  ; never reached

        ret a
    ";
    let filter = vec![bpf::ld(0), bpf::jeq(110, 0, 1), bpf::ret_word(0x0005_0001), bpf::ret_a()];
    assert_eq!(assemble(text), Ok(Filter(filter)));
    assert_eq!(assemble(""), Ok(Filter(vec![])));
}

#[test]
fn the_words_of_a_row_are_not_read() {
    assert_eq!(assemble("0000: 0x16 0x00 0x00 0x00000000  return B"), Ok(Filter(vec![bpf::ret_a()])));
}

#[test]
fn texts_that_are_no_filter() {
    for (text, message) in [
        ("ret a\nfly", "line 2: expected an instruction, such as `ld [0]` or `jeq #0x1, 0, 1`, found `fly`"),
        ("mod #0x3", "line 1: expected an instruction, such as `ld [0]` or `jeq #0x1, 0, 1`, found `mod`"),
        ("jeq #1, 0", "line 1: expected a jump's distance of 8 bits, found nothing"),
        ("jeq #1, 0, 256", "line 1: expected a jump's distance of 8 bits, found `256`"),
        ("jeq #1, 0, 1, 2", "line 1: expected the end of the line, found `2`"),
        ("neg x", "line 1: expected the end of the line, found `x`"),
        ("ld 4", "line 1: expected `len`, `[0]`, `M[0]` or a constant such as `#0x1`, found `4`"),
        ("ldx [4]", "line 1: expected `len`, `M[0]` or a constant such as `#0x1`, found `[4]`"),
        ("st 4", "line 1: expected a scratch word, such as `M[15]`, found `4`"),
        ("ld M[x]", "line 1: expected a scratch word, such as `M[15]`, found `x`"),
        ("ja 0x100000000", "line 1: expected a jump's distance of 32 bits, found `0x100000000`"),
        ("add #+1", "line 1: expected `x` or a constant such as `#0x1`, found `+1`"),
        ("add #", "line 1: expected `x` or a constant such as `#0x1`, found nothing"),
        (".code 0x10000, 0, 0, 0", "line 1: expected a code of 16 bits, found `0x10000`"),
        (".code 0x94, 0, 0", "line 1: expected an operand of 32 bits, found nothing"),
        (
            "0001: 0x06 0x00 0x00 0x00000000",
            "line 1: expected the number of this instruction, counted from 0, and a colon, found `0001:`",
        ),
        ("0000: 0x06 0x00 0x100 0x00000000", "line 1: expected a jump's distance of 8 bits, found `0x100`"),
        ("0000: 0x06 0x00 0x00", "line 1: expected an operand of 32 bits, found nothing"),
    ] {
        assert_eq!(error(text), message);
    }
    assert!(error(&"ä".repeat(100)).ends_with(&format!("found `{}…`", "ä".repeat(40))));
}
