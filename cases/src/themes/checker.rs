//! What the checker accepts and refuses. Each case attaches one filter after the other to the same
//! task; a refused one leaves nothing behind, an accepted one allows everything.

use crate::case::case;
use crate::{Case, Script};
use atlas_model::bpf::{self, Insn, op};
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action, Experiment};

const NEEDS: &[Feature] = &[Feature::ModeFilter];
const ALLOW: Insn = bpf::ret(Action::Allow);

const fn insn(code: u16, k: u32) -> Insn {
    Insn { code, jt: 0, jf: 0, k }
}

/// Attaches each program in turn.
fn each(programs: &[&[Insn]]) -> Experiment {
    programs
        .iter()
        .fold(Script::new(Abi::X86_64).no_new_privs(), |script, program| script.filter(program.to_vec()))
        .call("getppid", [])
        .done()
}

/// Attaches each instruction, followed by a return that allows.
fn each_before_return(insns: &[Insn]) -> Experiment {
    let programs: Vec<Vec<Insn>> = insns.iter().map(|insn| vec![*insn, ALLOW]).collect();
    each(&programs.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

pub(crate) const CASES: &[Case] = &[
    case("checker::loads", "Loads that seccomp accepts.", NEEDS, |_| {
        each_before_return(&[
            bpf::ld(0),
            bpf::ld(60),
            insn(op::LD_LEN, 0),
            insn(op::LDX_LEN, 0),
            bpf::imm(1),
            bpf::ldx_imm(1),
        ])
    }),
    case(
        "checker::data_offsets",
        "Loads beyond seccomp_data or between its words are refused.",
        NEEDS,
        |_| {
            each_before_return(&[
                bpf::ld(64),
                bpf::ld(61),
                bpf::ld(2),
                bpf::ld(3),
                bpf::ld(0x8000_0000),
                bpf::ld(0xffff_fffc),
            ])
        },
    ),
    case(
        "checker::socket_loads",
        "Loads that sockets accept and seccomp refuses: bytes, halves, indirect, the header length, ancillary data.",
        NEEDS,
        |_| {
            let ancillary = 0xffff_f000;
            each_before_return(&[
                insn(0x30, 0),
                insn(0x28, 0),
                insn(0x40, 0),
                insn(0x48, 0),
                insn(0x50, 0),
                insn(0xb1, 0),
                bpf::ld(ancillary),
                bpf::ld(ancillary + 4),
                bpf::ld(ancillary + 36),
            ])
        },
    ),
    case("checker::arithmetic", "Every arithmetic operation by constant and by X.", NEEDS, |_| {
        let operations = [op::ADD, op::SUB, op::MUL, op::DIV, op::OR, op::AND, op::LSH, op::RSH];
        let by_k = operations.iter().map(|&operation| bpf::alu(operation, 1));
        let by_x = operations.iter().map(|&operation| bpf::alu_x(operation));
        each_before_return(&by_k.chain(by_x).chain([bpf::alu(op::NEG, 0)]).collect::<Vec<_>>())
    }),
    case("checker::modulo", "Modulo is accepted for sockets and refused for seccomp.", NEEDS, |_| {
        each_before_return(&[bpf::alu(op::MOD, 2), bpf::alu_x(op::MOD)])
    }),
    case("checker::xor", "XOR, which seccomp accepts since 3.10.", NEEDS, |_| {
        each_before_return(&[bpf::alu(op::XOR, 1), bpf::alu_x(op::XOR)])
    }),
    case("checker::division_by_zero", "Division by the constant 0 is refused.", NEEDS, |_| {
        each_before_return(&[bpf::alu(op::DIV, 0), bpf::alu(op::DIV, 1)])
    }),
    case("checker::wide_shifts", "Shifts by 32 and more, refused since 4.5.", NEEDS, |_| {
        each_before_return(&[
            bpf::alu(op::LSH, 31),
            bpf::alu(op::LSH, 32),
            bpf::alu(op::RSH, 31),
            bpf::alu(op::RSH, 32),
            bpf::alu(op::RSH, 0xffff_ffff),
        ])
    }),
    case("checker::unknown_codes", "Codes with unused bits set are refused.", NEEDS, |_| {
        each_before_return(&[
            insn(0x100, 0),
            insn(0x8020, 0),
            insn(0xffff, 0),
            insn(0x08, 0),
            insn(0x17, 0),
            insn(0x8c, 0),
            insn(0x0d, 0),
        ])
    }),
    case("checker::returns", "A filter returns a constant or A; returning X is refused.", NEEDS, |_| {
        each(&[&[ALLOW], &[bpf::imm(0x7fff_0000), bpf::ret_a()], &[bpf::ldx_imm(0x7fff_0000), insn(0x0e, 0)]])
    }),
    case("checker::last_instruction", "The last instruction must be a return.", NEEDS, |_| {
        each(&[
            &[bpf::ld(0)],
            &[ALLOW, bpf::ld(0)],
            &[bpf::ja(0)],
            &[bpf::jeq(0, 0, 0)],
            &[bpf::ja(1), ALLOW, ALLOW],
        ])
    }),
    case("checker::jumps", "Jumps stay within the program, to its last instruction at most.", NEEDS, |_| {
        each(&[
            &[bpf::ja(0), ALLOW],
            &[bpf::ja(1), ALLOW],
            &[bpf::ja(0xffff_ffff), ALLOW],
            &[bpf::jeq(0, 0, 0), ALLOW],
            &[bpf::jeq(0, 1, 0), ALLOW],
            &[bpf::jeq(0, 0, 1), ALLOW],
            &[bpf::jset(0, 255, 0), ALLOW],
            &[bpf::jgt(0, 1, 0), ALLOW, ALLOW],
        ])
    }),
    case(
        "checker::longest_jumps",
        "A conditional jump over 255 instructions, and one that would go one further.",
        NEEDS,
        |_| {
            let program = |fill: usize| {
                let mut program = vec![bpf::jeq(0x5555, 255, 0)];
                program.extend(std::iter::repeat_n(ALLOW, fill));
                program
            };
            each(&[&program(256), &program(255)])
        },
    ),
    case("checker::memory_range", "There are 16 scratch words.", NEEDS, |_| {
        each_before_return(&[
            bpf::st(0),
            bpf::st(15),
            bpf::st(16),
            bpf::stx(15),
            bpf::stx(16),
            bpf::ld_mem(16),
            bpf::ldx_mem(0xffff_ffff),
        ])
    }),
    case("checker::memory_unset", "A scratch word must be stored before it is loaded.", NEEDS, |_| {
        each(&[
            &[bpf::ld_mem(0), ALLOW],
            &[bpf::st(1), bpf::ld_mem(0), ALLOW],
            &[bpf::st(0), bpf::ld_mem(0), ALLOW],
            &[bpf::stx(3), bpf::ldx_mem(3), ALLOW],
        ])
    }),
    case(
        "checker::memory_on_every_path",
        "It must be stored on every path that leads to the load.",
        NEEDS,
        |_| {
            each(&[
                &[bpf::jeq(0, 1, 0), bpf::st(0), bpf::ld_mem(0), ALLOW],
                &[bpf::jeq(0, 1, 0), bpf::st(0), ALLOW],
                &[bpf::jeq(0, 2, 0), bpf::st(0), bpf::ja(1), bpf::st(0), bpf::ld_mem(0), ALLOW],
            ])
        },
    ),
    case("checker::unreachable_code", "Code that nothing reaches is checked all the same.", NEEDS, |_| {
        each(&[&[ALLOW, bpf::ld(64), ALLOW], &[ALLOW, bpf::ld(0), ALLOW], &[ALLOW, ALLOW]])
    }),
];
