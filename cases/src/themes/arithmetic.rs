//! Arithmetic and jumps, seen through RET_A: what a program computes comes back as an errno.

use crate::case::case;
use crate::{Case, Script};
use atlas_model::abi::offset;
use atlas_model::bpf::{self, Insn, op};
use atlas_model::traits::Feature;
use atlas_model::{Abi, Action, Experiment};

const NEEDS: &[Feature] = &[Feature::ModeFilter];

/// Computes from the first argument, and returns bits 0 to 11 of the result as an errno in one
/// process, bits 12 to 23 in the second and bits 24 to 31 in the third.
fn computed(body: &[Insn], arguments: &[u64]) -> Experiment {
    let abi = Abi::X86_64;
    let script = Script::new(abi).no_new_privs().fork(1).fork(2);
    let window = |script: Script, task: u8| {
        let mut program = vec![bpf::ld(offset::arg_low(0))];
        program.extend_from_slice(body);
        program.extend([
            bpf::alu(op::RSH, u32::from(task) * 12),
            bpf::alu(op::AND, 0xfff),
            bpf::alu(op::OR, Action::Errno(0).word()),
        ]);
        let script = script.task(task).filter(Script::computing(abi, &program));
        arguments.iter().fold(script, |script, argument| script.call("getppid", [*argument]))
    };
    (0..3).fold(script, window).done()
}

const EDGES: &[u64] = &[0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1234_5678];

pub(crate) const CASES: &[Case] = &[
    case("arithmetic::add", "Addition wraps at 32 bits.", NEEDS, |_| {
        computed(&[bpf::alu(op::ADD, 0x8000_0001)], EDGES)
    }),
    case("arithmetic::subtract", "Subtraction wraps below 0.", NEEDS, |_| {
        computed(&[bpf::alu(op::SUB, 2)], EDGES)
    }),
    case("arithmetic::multiply", "Multiplication keeps the lower 32 bits.", NEEDS, |_| {
        computed(&[bpf::alu(op::MUL, 0x1_0001)], EDGES)
    }),
    case("arithmetic::divide", "Division is unsigned.", NEEDS, |_| computed(&[bpf::alu(op::DIV, 3)], EDGES)),
    case(
        "arithmetic::divide_by_one",
        "Division by 1 changes nothing; by a reciprocal, before 3.13, it gave 0.",
        NEEDS,
        |_| computed(&[bpf::alu(op::DIV, 1)], EDGES),
    ),
    case("arithmetic::bits", "OR, AND and negation.", NEEDS, |_| {
        computed(&[bpf::alu(op::OR, 0xf0), bpf::alu(op::AND, 0xffff_fff0), bpf::alu(op::NEG, 0)], EDGES)
    }),
    case("arithmetic::xor", "XOR.", NEEDS, |_| computed(&[bpf::alu(op::XOR, 0xaaaa_5555)], EDGES)),
    case("arithmetic::shift", "Shifts are logical.", NEEDS, |_| {
        computed(&[bpf::alu(op::LSH, 3), bpf::alu(op::RSH, 1)], EDGES)
    }),
    case("arithmetic::shift_by_x", "A shift by X takes X modulo 32.", NEEDS, |_| {
        computed(
            &[bpf::tax(), bpf::imm(0x0012_3457), bpf::alu_x(op::LSH)],
            &[0, 1, 31, 32, 33, 63, 0xffff_ffff],
        )
    }),
    case("arithmetic::by_x", "Every operation with X as its operand.", NEEDS, |_| {
        computed(
            &[
                bpf::ldx_imm(5),
                bpf::alu_x(op::ADD),
                bpf::alu_x(op::MUL),
                bpf::alu_x(op::SUB),
                bpf::alu_x(op::DIV),
                bpf::alu_x(op::OR),
                bpf::ldx_imm(0xffff_0fff),
                bpf::alu_x(op::AND),
            ],
            EDGES,
        )
    }),
    case(
        "arithmetic::divide_by_x_of_zero",
        "Division by an X of 0 ends the program with 0: the thread is killed.",
        NEEDS,
        |abi| {
            let program = [
                bpf::ld(offset::arg_low(0)),
                bpf::tax(),
                bpf::imm(0x0005_0000),
                bpf::alu_x(op::DIV),
                bpf::imm(0x0005_0007),
            ];
            Script::new(abi)
                .no_new_privs()
                .filter(Script::computing(abi, &program))
                .call("getppid", [2])
                .call("getppid", [0])
                .done()
        },
    ),
    case("arithmetic::memory", "The 16 scratch words keep what is stored.", NEEDS, |_| {
        let mut body = vec![bpf::tax()];
        for word in 0..16 {
            body.extend([bpf::txa(), bpf::alu(op::ADD, word), bpf::st(word)]);
        }
        body.push(bpf::imm(0));
        for word in 0..16 {
            body.extend([bpf::ldx_mem(word), bpf::alu_x(op::ADD)]);
        }
        computed(&body, EDGES)
    }),
    case("arithmetic::registers_start_at_zero", "A and X are 0 at the start.", NEEDS, |abi| {
        let filter = vec![
            bpf::alu_x(op::ADD),
            bpf::jeq(0, 0, 1),
            bpf::ret(Action::Allow),
            bpf::ret(Action::KillThread),
        ];
        Script::new(abi).no_new_privs().filter(filter).call("getppid", []).done()
    }),
    case("arithmetic::length_is_64", "BPF_LEN loads the length of seccomp_data.", NEEDS, |_| {
        computed(&[Insn { code: op::LD_LEN, jt: 0, jf: 0, k: 0 }], &[0])
    }),
    case("arithmetic::comparisons", "JEQ, JGT, JGE and JSET, unsigned, around each operand.", NEEDS, |_| {
        let mut body = vec![bpf::tax(), bpf::imm(0), bpf::st(0)];
        let operands = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
        let jumps = [op::JEQ, op::JGT, op::JGE, op::JSET];
        for (index, (jump, operand)) in
            jumps.iter().flat_map(|jump| operands.iter().map(move |operand| (*jump, *operand))).enumerate()
        {
            body.extend([
                bpf::txa(),
                bpf::jump(jump, operand, 0, 3),
                bpf::ld_mem(0),
                bpf::alu(op::OR, 1 << index),
                bpf::st(0),
            ]);
        }
        body.push(bpf::ld_mem(0));
        computed(&body, EDGES)
    }),
    case("arithmetic::comparisons_with_x", "The same with X as the operand.", NEEDS, |_| {
        let mut body = vec![bpf::st(1), bpf::imm(0), bpf::st(0)];
        for (index, jump) in [op::JEQ, op::JGT, op::JGE, op::JSET].into_iter().enumerate() {
            body.extend([
                bpf::ldx_imm(0x8000_0000),
                bpf::ld_mem(1),
                Insn { code: op::JMP | jump | op::X, jt: 0, jf: 3, k: 0 },
                bpf::ld_mem(0),
                bpf::alu(op::OR, 1 << index),
                bpf::st(0),
            ]);
        }
        body.push(bpf::ld_mem(0));
        computed(&body, EDGES)
    }),
];
