//! Experiments put together from generated parts.

use atlas_model::abi::{SeccompData, offset};
use atlas_model::bpf::{self, Filter};
use atlas_model::experiment::{Call, Disposition, Experiment, Install, Op, Program, Step, Via, layout};
use atlas_model::policy::Policy;
use atlas_model::{Abi, Action};

/// What the first filter of [`marked`] answers every call with. Kernels cap at 4095.
pub(crate) const MARK: u16 = 0xabc;

/// Steps of task 0.
pub(crate) fn steps(ops: impl IntoIterator<Item = Op>) -> Experiment {
    let steps = ops.into_iter().map(|op| Step { task: 0, op }).collect();
    Experiment { steps, ..Experiment::default() }
}

/// Attaches a filter by `prctl`, which every kernel with filters has.
pub(crate) fn install(filter: Filter) -> Op {
    Op::Install(Install { via: Via::Prctl, program: Program::Filter(filter) })
}

/// Makes SIGSYS seen.
pub(crate) const RECORD: Op = Op::Sigsys(Disposition::Record);

/// `prctl` of the native ABI, by which [`install`] attaches.
const PRCTL: u32 = 157;
/// `rt_sigreturn` of the native ABI, with which a handler returns.
const RT_SIGRETURN: u32 = 15;

/// The filter, behind instructions that let through what the rest of an experiment needs and nothing
/// else: attaching another filter, and returning from a handler. Generated calls may have the same
/// numbers, but neither that pointer nor that address.
pub(crate) fn behind_guard(filter: &Filter) -> Filter {
    let guard = [
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::X86_64.audit_arch(), 0, 8),
        bpf::ld(offset::NR),
        bpf::jeq(PRCTL, 0, 2),
        bpf::ld(offset::arg_low(2)),
        bpf::jeq(layout::FPROG as u32, 3, 4),
        bpf::jeq(RT_SIGRETURN, 0, 3),
        bpf::ld(offset::IP_LOW),
        bpf::jeq(layout::SIGRETURN_IP as u32, 0, 1),
        bpf::ret(Action::Allow),
    ];
    Filter(guard.into_iter().chain(filter.iter().copied()).collect())
}

/// A filter that answers every call with [`MARK`], so that no call runs, save what an experiment needs, as
/// [`behind_guard`]. It begins with an argument: by anything else than number and architecture a kernel
/// knows at once that no number is always allowed (kernel/seccomp.c seccomp_is_const_allow, since 5.11),
/// where it would run the filter for each number, which took a third of a small experiment.
pub(crate) fn marked() -> Filter {
    Filter(vec![
        bpf::ld(offset::arg_low(2)),
        bpf::jeq(layout::FPROG as u32, 0, 2),
        bpf::ld(offset::NR),
        bpf::jeq(PRCTL, 4, 0),
        bpf::ld(offset::IP_LOW),
        bpf::jeq(layout::SIGRETURN_IP as u32, 0, 5),
        bpf::ld(offset::NR),
        bpf::jeq(RT_SIGRETURN, 0, 3),
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::X86_64.audit_arch(), 0, 1),
        bpf::ret(Action::Allow),
        bpf::ret(Action::Errno(MARK)),
    ])
}

/// What a policy says of an experiment's call, as long as it does not look at the instruction pointer.
pub(crate) fn decision(policy: &Policy, call: &Call) -> Action {
    let data = SeccompData {
        nr: call.nr as u32,
        arch: call.abi.audit_arch(),
        args: call.args,
        ..SeccompData::default()
    };
    policy.decide(&data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::bpf::Dialect;

    #[test]
    fn marked_lets_through_what_a_guard_does() {
        let guarded = behind_guard(&Filter(vec![bpf::ret(Action::Errno(MARK))]));
        let mut through = 0;
        for nr in [PRCTL, RT_SIGRETURN, 0, PRCTL | 0x4000_0000] {
            for arch in [Abi::X86_64, Abi::I386].map(Abi::audit_arch) {
                for pointer in [layout::FPROG, 0, u64::from(RT_SIGRETURN)] {
                    for instruction_pointer in [layout::SIGRETURN_IP, layout::SYSCALL_IP] {
                        let args = [0, 0, pointer, 0, 0, 0];
                        let data = SeccompData { nr, arch, instruction_pointer, args };
                        let word = |filter: &Filter| bpf::run(filter, &data, &Dialect::default()).word;
                        assert_eq!(word(&marked()), word(&guarded), "{data:?}");
                        through += usize::from(word(&guarded) == Action::Allow.word());
                    }
                }
            }
        }
        // prctl with the pointer from both places, and sigreturn with each pointer.
        assert_eq!(through, 5);
    }
}
