//! Filters as people see them.

use atlas_model::Action;
use atlas_model::abi::{Abi, offset};
use atlas_model::bpf::{self, Insn, op};
use insta::assert_snapshot;

#[test]
fn arch_check_with_a_list_per_abi() {
    let filter = [
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::X86_64.audit_arch(), 3, 0),
        bpf::jeq(Abi::I386.audit_arch(), 0, 7),
        bpf::ld(offset::NR),
        bpf::jeq(64, 6, 7),
        bpf::ld(offset::NR),
        bpf::jge(Abi::X32_BIT, 3, 0),
        bpf::jeq(64, 4, 0),
        bpf::jgt(423, 1, 0),
        bpf::jset(Abi::X32_BIT, 0, 2),
        bpf::ret(Action::KillProcess),
        bpf::ret(Action::Errno(38)),
        bpf::ret(Action::Allow),
    ];
    assert_snapshot!(bpf::disassemble(&filter), @r"
     line  CODE  JT   JF      K
    =================================
     0000: 0x20 0x00 0x00 0x00000004  A = arch
     0001: 0x15 0x03 0x00 0xc000003e  if (A == ARCH_X86_64) goto 0005
     0002: 0x15 0x00 0x07 0x40000003  if (A != ARCH_I386) goto 0010
     0003: 0x20 0x00 0x00 0x00000000  A = sys_number
     0004: 0x15 0x06 0x07 0x00000040  if (A == i386.getppid) goto 0011 else goto 0012
     0005: 0x20 0x00 0x00 0x00000000  A = sys_number
     0006: 0x35 0x03 0x00 0x40000000  if (A >= X32_SYSCALL_BIT) goto 0010
     0007: 0x15 0x04 0x00 0x00000040  if (A == semget) goto 0012
     0008: 0x25 0x01 0x00 0x000001a7  if (A > 0x1a7) goto 0010
     0009: 0x45 0x00 0x02 0x40000000  if (!(A & X32_SYSCALL_BIT)) goto 0012
     0010: 0x06 0x00 0x00 0x80000000  return KILL_PROCESS
     0011: 0x06 0x00 0x00 0x00050026  return ERRNO(38 ENOSYS)
     0012: 0x06 0x00 0x00 0x7fff0000  return ALLOW
    ");
}

#[test]
fn x32_names_and_unknown_numbers() {
    let filter = [
        bpf::ld(offset::NR),
        bpf::jeq(Abi::X32_BIT | 110, 5, 0),
        bpf::jeq(Abi::X32_BIT, 4, 0),
        bpf::jeq(0xffff_ffff, 3, 0),
        bpf::jeq(512, 2, 0),
        bpf::jset(110, 1, 0),
        bpf::ret(Action::Allow),
        bpf::ret(Action::Trap(7)),
    ];
    assert_snapshot!(bpf::disassemble(&filter), @r"
     line  CODE  JT   JF      K
    =================================
     0000: 0x20 0x00 0x00 0x00000000  A = sys_number
     0001: 0x15 0x05 0x00 0x4000006e  if (A == x32.getppid) goto 0007
     0002: 0x15 0x04 0x00 0x40000000  if (A == x32.read) goto 0007
     0003: 0x15 0x03 0x00 0xffffffff  if (A == 0xffffffff) goto 0007
     0004: 0x15 0x02 0x00 0x00000200  if (A == 0x200) goto 0007
     0005: 0x45 0x01 0x00 0x0000006e  if (A & 0x6e) goto 0007
     0006: 0x06 0x00 0x00 0x7fff0000  return ALLOW
     0007: 0x06 0x00 0x00 0x00030007  return TRAP(7)
    ");
}

#[test]
fn names_are_given_where_every_path_agrees() {
    let filter = [
        // A is the number on one path and the arch on the other.
        bpf::ld(offset::NR),
        bpf::jeq(110, 1, 0),
        bpf::ld(offset::ARCH),
        bpf::jeq(110, 1, 0),
        // Masked, it is no longer the number.
        bpf::ld(offset::NR),
        bpf::alu(op::AND, 0xff),
        bpf::jeq(110, 5, 0),
        // Other arches have no names here.
        bpf::ld(offset::ARCH),
        bpf::jeq(0xc000_00b7, 0, 3),
        bpf::ld(offset::NR),
        bpf::jeq(110, 1, 0),
        bpf::ret(Action::Allow),
        bpf::ret(Action::KillThread),
    ];
    assert_snapshot!(bpf::disassemble(&filter), @r"
     line  CODE  JT   JF      K
    =================================
     0000: 0x20 0x00 0x00 0x00000000  A = sys_number
     0001: 0x15 0x01 0x00 0x0000006e  if (A == getppid) goto 0003
     0002: 0x20 0x00 0x00 0x00000004  A = arch
     0003: 0x15 0x01 0x00 0x0000006e  if (A == 0x6e) goto 0005
     0004: 0x20 0x00 0x00 0x00000000  A = sys_number
     0005: 0x54 0x00 0x00 0x000000ff  A &= 0xff
     0006: 0x15 0x05 0x00 0x0000006e  if (A == 0x6e) goto 0012
     0007: 0x20 0x00 0x00 0x00000004  A = arch
     0008: 0x15 0x00 0x03 0xc00000b7  if (A != ARCH_AARCH64) goto 0012
     0009: 0x20 0x00 0x00 0x00000000  A = sys_number
     0010: 0x15 0x01 0x00 0x0000006e  if (A == 0x6e) goto 0012
     0011: 0x06 0x00 0x00 0x7fff0000  return ALLOW
     0012: 0x06 0x00 0x00 0x00000000  return KILL_THREAD
    ");
}

#[test]
fn the_branch_that_an_arch_check_refuses_narrows_too() {
    let filter = [
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::X86_64.audit_arch(), 3, 0),
        bpf::ld(offset::NR),
        bpf::jeq(64, 1, 0),
        bpf::ret(Action::Allow),
        bpf::ret(Action::Log),
    ];
    assert_snapshot!(bpf::disassemble(&filter), @r"
     line  CODE  JT   JF      K
    =================================
     0000: 0x20 0x00 0x00 0x00000004  A = arch
     0001: 0x15 0x03 0x00 0xc000003e  if (A == ARCH_X86_64) goto 0005
     0002: 0x20 0x00 0x00 0x00000000  A = sys_number
     0003: 0x15 0x01 0x00 0x00000040  if (A == i386.getppid) goto 0005
     0004: 0x06 0x00 0x00 0x7fff0000  return ALLOW
     0005: 0x06 0x00 0x00 0x7ffc0000  return LOG
    ");
}

/// Whichever of the two paths comes last must not decide alone.
#[test]
fn arches_meet_in_either_order() {
    let filter = [
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::X86_64.audit_arch(), 1, 0),
        bpf::jeq(Abi::I386.audit_arch(), 0, 3),
        bpf::ld(offset::NR),
        bpf::jeq(110, 0, 1),
        bpf::ret(Action::Log),
        bpf::ret(Action::Allow),
    ];
    let text = bpf::disassemble(&filter);
    assert!(text.contains("if (A != getppid) goto 0006"), "{text}");
}

#[test]
fn arches_that_meet_again_are_both_possible() {
    let filter = [
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::I386.audit_arch(), 1, 0),
        bpf::jeq(Abi::X86_64.audit_arch(), 0, 3),
        bpf::ld(offset::NR),
        bpf::jeq(110, 0, 1),
        bpf::ret(Action::Log),
        bpf::ret(Action::Allow),
    ];
    assert_snapshot!(bpf::disassemble(&filter), @r"
     line  CODE  JT   JF      K
    =================================
     0000: 0x20 0x00 0x00 0x00000004  A = arch
     0001: 0x15 0x01 0x00 0x40000003  if (A == ARCH_I386) goto 0003
     0002: 0x15 0x00 0x03 0xc000003e  if (A != ARCH_X86_64) goto 0006
     0003: 0x20 0x00 0x00 0x00000000  A = sys_number
     0004: 0x15 0x00 0x01 0x0000006e  if (A != getppid) goto 0006
     0005: 0x06 0x00 0x00 0x7ffc0000  return LOG
     0006: 0x06 0x00 0x00 0x7fff0000  return ALLOW
    ");
}

#[test]
fn every_kind_of_instruction() {
    let filter = [
        bpf::ld(offset::IP_LOW),
        bpf::ld(offset::IP_HIGH),
        bpf::ld(offset::arg_low(5)),
        bpf::ld(offset::arg_high(5)),
        bpf::ld_len(),
        bpf::ldx_len(),
        bpf::imm(10),
        bpf::ldx_imm(10),
        bpf::st(0),
        bpf::stx(15),
        bpf::ld_mem(0),
        bpf::ldx_mem(15),
        bpf::alu(op::LSH, 3),
        bpf::alu(op::XOR, 0xffff_ffff),
        bpf::alu_x(op::DIV),
        bpf::neg(),
        bpf::tax(),
        bpf::txa(),
        bpf::jump_x(op::JGE, 0, 1),
        bpf::jump_x(op::JSET, 0, 1),
        bpf::jeq(1, 1, 2),
        bpf::ja(1),
        bpf::ret_word(0x7fff_0001),
        bpf::ret_word(0x0005_ffff),
        bpf::ret_word(0x0003_0005),
        bpf::ret_word(0x1234_5678),
        bpf::ret_a(),
    ];
    assert_snapshot!(bpf::disassemble(&filter), @r"
     line  CODE  JT   JF      K
    =================================
     0000: 0x20 0x00 0x00 0x00000008  A = instruction_pointer
     0001: 0x20 0x00 0x00 0x0000000c  A = instruction_pointer >> 32
     0002: 0x20 0x00 0x00 0x00000038  A = args[5]
     0003: 0x20 0x00 0x00 0x0000003c  A = args[5] >> 32
     0004: 0x80 0x00 0x00 0x00000000  A = sizeof(seccomp_data)
     0005: 0x81 0x00 0x00 0x00000000  X = sizeof(seccomp_data)
     0006: 0x00 0x00 0x00 0x0000000a  A = 0xa
     0007: 0x01 0x00 0x00 0x0000000a  X = 0xa
     0008: 0x02 0x00 0x00 0x00000000  mem[0] = A
     0009: 0x03 0x00 0x00 0x0000000f  mem[15] = X
     0010: 0x60 0x00 0x00 0x00000000  A = mem[0]
     0011: 0x61 0x00 0x00 0x0000000f  X = mem[15]
     0012: 0x64 0x00 0x00 0x00000003  A <<= 0x3
     0013: 0xa4 0x00 0x00 0xffffffff  A ^= 0xffffffff
     0014: 0x3c 0x00 0x00 0x00000000  A /= X
     0015: 0x84 0x00 0x00 0x00000000  A = -A
     0016: 0x07 0x00 0x00 0x00000000  X = A
     0017: 0x87 0x00 0x00 0x00000000  A = X
     0018: 0x3d 0x00 0x01 0x00000000  if (A < X) goto 0020
     0019: 0x4d 0x00 0x01 0x00000000  if (!(A & X)) goto 0021
     0020: 0x15 0x01 0x02 0x00000001  if (A == 0x1) goto 0022 else goto 0023
     0021: 0x05 0x00 0x00 0x00000001  goto 0023
     0022: 0x06 0x00 0x00 0x7fff0001  return ALLOW with data 0x1
     0023: 0x06 0x00 0x00 0x0005ffff  return ERRNO(65535)
     0024: 0x06 0x00 0x00 0x00030005  return TRAP(5)  ; never reached
     0025: 0x06 0x00 0x00 0x12345678  return unknown action 0x12345678  ; never reached
     0026: 0x16 0x00 0x00 0x00000000  return A  ; never reached
    ");
}

#[test]
fn filters_that_no_kernel_accepts() {
    let filter = [
        bpf::alu(op::MOD, 3),
        Insn { code: 0xffff, jt: 255, jf: 255, k: u32::MAX },
        bpf::ld(64),
        bpf::ld(18),
        bpf::ja(u32::MAX),
        bpf::jeq(0, 200, 100),
    ];
    assert_snapshot!(bpf::disassemble(&filter), @r"
     line  CODE  JT   JF      K
    =================================
     0000: 0x94 0x00 0x00 0x00000003  code 0x94, which seccomp refuses
     0001: 0xffff 0xff 0xff 0xffffffff  code 0xffff, which seccomp refuses
     0002: 0x20 0x00 0x00 0x00000040  A = data[0x40], which is out of bounds
     0003: 0x20 0x00 0x00 0x00000012  A = data[0x12], which is out of bounds
     0004: 0x05 0x00 0x00 0xffffffff  goto 4294967300
     0005: 0x15 0xc8 0x64 0x00000000  if (A == 0x0) goto 0206 else goto 0106  ; never reached
    ");
    assert_snapshot!(bpf::disassemble(&[]), @r"
     line  CODE  JT   JF      K
    =================================
    ");
}
