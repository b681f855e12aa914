//! Answers that the kernel makes something else of, and calls that it makes of others by itself.

use super::{Map, lets_through, places};
use crate::explain::call::Asked;
use atlas_model::abi::syscalls;
use atlas_model::action::errno;
use atlas_model::{Abi, Action};
use std::collections::{BTreeMap, BTreeSet};

/// The kernel's own codes for restarts, which it looks for in the result register where a signal is delivered
/// (arch/x86/kernel/signal.c `handle_signal`). The cases `restart::…` show it on each kernel.
const RESTART_CODES: [u16; 4] = [512, 513, 514, 516];
/// The number that is such a code when RET_TRAP puts it back into the register (docs/findings/number-as-errno.md).
const TRAPPED_FOR_EVER: i32 = -513;
/// Calls that go on as restart_syscall when they were interrupted by a stop: kernel/time/hrtimer.c, fs/select.c and
/// kernel/futex, by `set_restart_fn`. The cases `signals::…` and `ptrace::restart_syscall_is_traced` show it.
const RESTARTED: [&str; 4] = ["nanosleep", "clock_nanosleep", "poll", "futex"];

/// The remarks on answers.
pub(super) fn of(map: &Map) -> Vec<String> {
    let calls = [trapped_for_ever(map), restart_syscall(map), sigreturn(map)];
    errnos(map).into_iter().chain(calls.into_iter().flatten()).collect()
}

fn errnos(map: &Map) -> Vec<String> {
    let mut at: BTreeMap<u16, BTreeSet<usize>> = BTreeMap::new();
    for way in &map.explored.ways {
        if let (Action::Errno(data), Some(&place)) = (Action::from_word(way.ran.word), way.steps.last()) {
            at.entry(data).or_default().insert(place);
        }
    }
    let said = |(data, places_of): (u16, BTreeSet<usize>)| {
        let (answer, at) = (Action::Errno(data), places(places_of));
        if RESTART_CODES.contains(&data) {
            Some(format!(
                "{answer} at {at} is no errno but the kernel's own code for restarts: where a signal is delivered it \
                 becomes EINTR, or the call is made again."
            ))
        } else {
            let beyond = i64::from(data) > errno::MAX;
            beyond.then(|| {
                format!("{answer} at {at} comes back as {}, the highest errno there is.", errno::MAX)
            })
        }
    };
    at.into_iter().filter_map(said).collect()
}

fn trapped_for_ever(map: &Map) -> Option<String> {
    let asked = Asked { abi: Abi::X86_64, nr: TRAPPED_FOR_EVER as u32, args: None };
    let kinds = map.kinds_for(&asked);
    let trapped = map.ways(&kinds).any(|way| matches!(Action::from_word(way.ran.word), Action::Trap(_)));
    trapped.then(|| {
        format!(
            "Number {TRAPPED_FOR_EVER} is trapped: since 5.14 the kernel makes that call again and again, its handler in \
             between (number-as-errno). Answer negative numbers by ERRNO(38 ENOSYS)."
        )
    })
}

/// The words that an x86-64 call can come to, where all of them deny it; for the calls' names.
fn denied(map: &Map, name: &str) -> Option<Action> {
    let words = map.given(Abi::X86_64, syscalls::number(Abi::X86_64, name)?);
    let denies = !words.iter().any(|word| lets_through(*word));
    words.first().filter(|_| denies).map(|word| Action::from_word(*word))
}

fn allowed(map: &Map, name: &str) -> bool {
    syscalls::number(Abi::X86_64, name)
        .is_some_and(|nr| map.given(Abi::X86_64, nr).iter().any(|word| lets_through(*word)))
}

fn restart_syscall(map: &Map) -> Option<String> {
    let answer = denied(map, "restart_syscall")?;
    let names: Vec<&str> = RESTARTED.into_iter().filter(|name| allowed(map, name)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "restart_syscall gets {answer}: after a stop, by SIGSTOP or a debugger, an interrupted {} goes on by that call, and \
             comes to that.",
            names.join(", ")
        )
    })
}

fn sigreturn(map: &Map) -> Option<String> {
    let answer = denied(map, "rt_sigreturn")?;
    allowed(map, "rt_sigaction").then(|| {
        format!(
            "rt_sigreturn gets {answer} though rt_sigaction goes through: no handler of a signal can return."
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::explain::Subject;
    use atlas_model::abi::offset;
    use atlas_model::{Action, Filter, Insn, bpf};

    fn remarks(insns: &[Insn]) -> String {
        let filter = Filter(insns.to_vec());
        let subject = Subject { name: String::new(), filter, compiler: None, policy: None, notes: vec![] };
        super::of(&subject.map()).join("\n")
    }

    /// Answers one number.
    fn on(nr: u32, action: Action, others: Action) -> String {
        remarks(&[bpf::ld(offset::NR), bpf::jeq(nr, 0, 1), bpf::ret(action), bpf::ret(others)])
    }

    #[test]
    fn codes_for_restarts_are_no_errnos_and_4096_is_none_either() {
        for code in [512, 513, 514, 516] {
            let said = on(39, Action::Errno(code), Action::Allow);
            assert!(said.contains(" at 0002 is no errno"), "{code}: {said}");
        }
        for errno in [511, 515, 517, 4095] {
            assert_eq!(on(39, Action::Errno(errno), Action::Allow), "", "{errno}");
        }
        assert!(on(39, Action::Errno(4096), Action::Allow).contains("comes back as 4095"));
    }

    #[test]
    fn a_trap_for_whatever_is_left_traps_a_number_for_ever() {
        assert!(on(39, Action::Allow, Action::Trap(0)).contains("Number -513 is trapped"));
        assert_eq!(on(39, Action::Trap(0), Action::Allow), "");
        let negative_first = [
            bpf::ld(offset::NR),
            bpf::jge(0x8000_0000, 0, 1),
            bpf::ret(Action::Errno(38)),
            bpf::ret(Action::Trap(0)),
        ];
        assert_eq!(remarks(&negative_first), "");
    }

    #[test]
    fn calls_that_the_kernel_makes_of_others_are_not_to_be_forgotten() {
        let stopped = on(219, Action::Errno(1), Action::Allow);
        assert!(
            stopped.contains("an interrupted nanosleep, clock_nanosleep, poll, futex goes on by that call"),
            "{stopped}"
        );
        let returning = on(15, Action::KillProcess, Action::Allow);
        assert!(returning.contains("rt_sigreturn gets KILL_PROCESS though"), "{returning}");
        // Nobody sleeps and nobody handles.
        assert_eq!(on(39, Action::Allow, Action::KillProcess), "");
    }
}
