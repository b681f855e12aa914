use super::*;
use crate::bpf;

const ALLOW: Insn = bpf::ret_word(0x7fff_0000);

fn verdict(insns: &[Insn]) -> Result<(), (usize, Rule)> {
    check(insns, &Dialect::default()).map_err(|rejection| (rejection.at, rejection.rule))
}

/// The verdict on one instruction before a return.
fn one(insn: Insn) -> Result<(), Rule> {
    verdict(&[insn, ALLOW]).map_err(|(_, rule)| rule)
}

#[test]
fn all_codes() {
    // Written out from the case labels of seccomp_check_filter and the table of chk_code_allowed.
    const SECCOMP: &[u16] = &[
        0x20, 0x80, 0x81, 0x06, 0x16, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x54, 0x5c, 0x44, 0x4c,
        0xa4, 0xac, 0x64, 0x6c, 0x74, 0x7c, 0x84, 0x00, 0x01, 0x07, 0x87, 0x60, 0x61, 0x02, 0x03, 0x05, 0x15,
        0x1d, 0x35, 0x3d, 0x25, 0x2d, 0x45, 0x4d,
    ];
    const SOCKETS_ONLY: &[u16] = &[0x28, 0x30, 0x40, 0x48, 0x50, 0xb1, 0x94, 0x9c];
    for code in 0..=u16::MAX {
        // k = 4 is in order for every code; the store makes scratch loads valid.
        let insn = Insn { code, jt: 0, jf: 0, k: 4 };
        let seen = verdict(&[bpf::st(4), insn, ALLOW, ALLOW, ALLOW, ALLOW, ALLOW]);
        let expected = match code {
            _ if SECCOMP.contains(&code) => Ok(()),
            _ if SOCKETS_ONLY.contains(&code) => Err((1, Rule::SocketsOnly)),
            _ => Err((1, Rule::Code)),
        };
        assert_eq!(seen, expected, "code {code:#06x}");
    }
}

#[test]
fn length() {
    assert_eq!(verdict(&[]), Err((0, Rule::Length)));
    assert_eq!(verdict(&[ALLOW; 4096]), Ok(()));
    assert_eq!(verdict(&[ALLOW; 4097]), Err((4096, Rule::Length)));
}

#[test]
fn operands() {
    assert_eq!(one(bpf::alu(op::DIV, 0)), Err(Rule::DivisionByZero));
    assert_eq!(one(bpf::alu(op::MOD, 0)), Err(Rule::DivisionByZero));
    assert_eq!(one(bpf::alu_x(op::DIV)), Ok(()));
    assert_eq!(one(bpf::alu(op::LSH, 31)), Ok(()));
    assert_eq!(one(bpf::alu(op::LSH, 32)), Err(Rule::Shift));
    assert_eq!(one(bpf::alu(op::RSH, u32::MAX)), Err(Rule::Shift));
    assert_eq!(one(bpf::st(15)), Ok(()));
    assert_eq!(one(bpf::stx(16)), Err(Rule::MemoryRange));
    assert_eq!(one(bpf::ld_mem(16)), Err(Rule::MemoryRange));
    assert_eq!(one(bpf::ldx_mem(u32::MAX)), Err(Rule::MemoryRange));
}

#[test]
fn data_offsets() {
    for k in 0..80 {
        let expected = if k < 64 && k % 4 == 0 { Ok(()) } else { Err(Rule::DataOffset) };
        assert_eq!(one(bpf::ld(k)), expected, "offset {k}");
    }
    for k in [0xffff_f000, 0xffff_f004, 0xffff_f001, 0xffff_f040, 0xffff_fffc, 0x8000_0000] {
        assert_eq!(one(bpf::ld(k)), Err(Rule::DataOffset), "offset {k:#x}");
    }
}

#[test]
fn jumps() {
    assert_eq!(one(bpf::ja(0)), Ok(()));
    assert_eq!(one(bpf::ja(1)), Err(Rule::Jump));
    assert_eq!(one(bpf::ja(u32::MAX)), Err(Rule::Jump));
    assert_eq!(one(bpf::jeq(0, 0, 0)), Ok(()));
    assert_eq!(one(bpf::jeq(0, 1, 0)), Err(Rule::Jump));
    assert_eq!(one(bpf::jset(0, 0, 1)), Err(Rule::Jump));
    assert_eq!(verdict(&[bpf::jgt(0, 1, 0), ALLOW, ALLOW]), Ok(()));
    // Fields that a code has no use for are not looked at.
    assert_eq!(one(Insn { jt: 9, jf: 9, ..bpf::ja(0) }), Ok(()));
    assert_eq!(one(Insn { jt: 9, jf: 9, k: 99, ..bpf::txa() }), Ok(()));
}

#[test]
fn the_end() {
    assert_eq!(verdict(&[bpf::ret_a()]), Ok(()));
    assert_eq!(verdict(&[ALLOW, bpf::ld(0)]), Err((1, Rule::NoReturn)));
    assert_eq!(verdict(&[bpf::ja(0)]), Err((0, Rule::Jump)), "there is nothing to jump to");
}

#[test]
fn scratch_words_on_every_path() {
    let (st, ld) = (bpf::st(0), bpf::ld_mem(0));
    let jump = |jt, jf| bpf::jeq(0, jt, jf);
    let unset = |at| Err((at, Rule::MemoryUnset));
    assert_eq!(verdict(&[ld, ALLOW]), unset(0));
    assert_eq!(verdict(&[st, ld, ALLOW]), Ok(()));
    assert_eq!(verdict(&[bpf::stx(0), bpf::ldx_mem(0), ALLOW]), Ok(()));
    assert_eq!(verdict(&[bpf::st(1), ld, ALLOW]), unset(1));
    // One arm stores, the other does not.
    assert_eq!(verdict(&[jump(1, 0), st, ld, ALLOW]), unset(2));
    assert_eq!(verdict(&[jump(0, 1), st, ld, ALLOW]), unset(2));
    assert_eq!(verdict(&[jump(0, 1), bpf::ja(1), st, ld, ALLOW]), unset(3));
    // Both arms store.
    assert_eq!(verdict(&[jump(2, 0), st, bpf::ja(1), st, ld, ALLOW]), Ok(()));
    // A load that nothing reaches: behind a jump everything counts as stored,
    assert_eq!(verdict(&[bpf::ja(1), ld, ALLOW]), Ok(()));
    // behind a return nothing new does.
    assert_eq!(verdict(&[ALLOW, ld, ALLOW]), unset(1));
}

#[test]
fn the_general_pass_comes_first() {
    // seccomp's pass would refuse instruction 0, but the general one finds instruction 1 before that.
    assert_eq!(verdict(&[bpf::ld(64), bpf::alu(op::DIV, 0), ALLOW]), Err((1, Rule::DivisionByZero)));
    assert_eq!(verdict(&[bpf::ld(64), bpf::imm(0)]), Err((1, Rule::NoReturn)));
    assert_eq!(verdict(&[bpf::ld(64), bpf::ld_mem(0), ALLOW]), Err((1, Rule::MemoryUnset)));
    assert_eq!(verdict(&[bpf::ld(64), bpf::alu_x(op::MOD), ALLOW]), Err((0, Rule::DataOffset)));
    // A socket extension that exists passes the general pass, one that does not fails there.
    assert_eq!(verdict(&[bpf::ld(0xffff_f000), bpf::imm(0)]), Err((1, Rule::NoReturn)));
    assert_eq!(verdict(&[bpf::ld(0xffff_ff00), bpf::imm(0)]), Err((0, Rule::DataOffset)));
    assert_eq!(verdict(&[bpf::ld(0xffff_f001), bpf::imm(0)]), Err((0, Rule::DataOffset)));
}

#[test]
fn dialects() {
    let old = Dialect { xor: false, wide_shift: true, ..Dialect::default() };
    for insn in [bpf::alu(op::XOR, 1), bpf::alu_x(op::XOR)] {
        assert!(check(&[insn, ALLOW], &Dialect::default()).is_ok());
        let rejection = Rejection { at: 0, rule: Rule::SocketsOnly };
        assert_eq!(check(&[insn, ALLOW], &old), Err(rejection));
    }
    for insn in [bpf::alu(op::LSH, 32), bpf::alu(op::RSH, u32::MAX)] {
        assert!(check(&[insn, ALLOW], &old).is_ok());
    }
}

#[test]
fn rejections_in_words() {
    let rejection = check(&[bpf::ld(0), bpf::alu(op::DIV, 0), ALLOW], &Dialect::default());
    assert_eq!(rejection.unwrap_err().to_string(), "instruction 1: it divides by the constant 0");
}
