//! What attaching a filter changes in the mitigations of speculation.

use super::guest::{BOOT, Guest};
use super::results::Mitigation;

use crate::results::Jit;
use atlas_vm::kernels::Kernel;
use atlas_vm::{BootOptions, Machine};
use atlas_wire::Measured;
use atlas_wire::measure::{Speculation, Subject};

/// A CPU model that kernels take for vulnerable to speculative store bypass, and whose switch emulation
/// accepts: family 17h has it in a register of its own (arch/x86/kernel/cpu/amd.c, MSR_AMD64_LS_CFG).
const VULNERABLE: &str = "EPYC";
/// One that kernels take for safe.
const SAFE: &str = "max";
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`.
const SPEC_ALLOW: u32 = 4;

/// Looks, in guests with the kernel's own settings: with a vulnerable processor and with one that is not.
pub(super) fn look(kernel: &Kernel, append: &[String]) -> Vec<Mitigation> {
    [VULNERABLE, SAFE].into_iter().flat_map(|cpu| on(cpu, kernel, append)).collect()
}

fn on(cpu: &str, kernel: &Kernel, append: &[String]) -> Vec<Mitigation> {
    let none =
        |spec_allow, note: String| Mitigation { cpu: cpu.into(), spec_allow, note, ..Mitigation::default() };
    let options = BootOptions {
        append: append.to_vec(),
        cpus: vec![cpu.into()],
        limit: BOOT,
        ..BootOptions::default()
    };
    let mut guest = match Machine::boot(&kernel.path, &options) {
        Ok(machine) => Guest::of(machine),
        Err(error) => return vec![none(false, format!("no boot: {error}"))],
    };
    let mut ask = |spec_allow| {
        let flags = if spec_allow { SPEC_ALLOW } else { 0 };
        match guest.measure(&Subject::Speculation { flags }, 1, Jit::Fixed) {
            Ok(Measured::Speculation(seen)) => seen_as(none(spec_allow, String::new()), seen),
            Ok(other) => none(spec_allow, format!("{other:?}")),
            Err(lost) => none(spec_allow, lost.reason.to_string()),
        }
    };
    vec![ask(false), ask(true)]
}

fn seen_as(of: Mitigation, seen: Speculation) -> Mitigation {
    Mitigation {
        vulnerability: seen.store_bypass,
        store_bypass: [seen.before[0], seen.after[0]],
        indirect_branch: [seen.before[1], seen.after[1]],
        status: [seen.status_before, seen.status_after],
        ..of
    }
}

/// What was seen, in a few words.
#[must_use]
pub fn in_words(seen: &Mitigation) -> String {
    let changed = |pair: &[i64; 2]| {
        if pair[0] == pair[1] { pair[0].to_string() } else { format!("{} -> {}", pair[0], pair[1]) }
    };
    // include/uapi/linux/prctl.h PR_SPEC_NOT_AFFECTED.
    if seen.note.is_empty() && (seen.vulnerability == "Not affected" || seen.store_bypass == [0, 0]) {
        return format!("not vulnerable, so there is nothing to switch ({})", seen.vulnerability);
    }
    if seen.note.starts_with("no boot") {
        // The whole of it has paths of this machine and lines of the console.
        return "no boot: the JSON says why".into();
    }
    if !seen.note.is_empty() {
        return seen.note.clone();
    }
    let control = format!(
        "store bypass {}, indirect branches {}",
        changed(&seen.store_bypass),
        changed(&seen.indirect_branch)
    );
    if seen.status[0] == seen.status[1] && seen.store_bypass[0] == seen.store_bypass[1] {
        format!("nothing: {} ({control})", seen.status[0])
    } else {
        format!("{} -> {} ({control})", seen.status[0], seen.status[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_in_words() {
        let status = |before: &str, after: &str| [before.to_owned(), after.to_owned()];
        let on = Mitigation {
            store_bypass: [3, 9],
            indirect_branch: [2, 2],
            status: status("thread vulnerable", "thread force mitigated"),
            ..Mitigation::default()
        };
        assert_eq!(
            in_words(&on),
            "thread vulnerable -> thread force mitigated (store bypass 3 -> 9, indirect branches 2)"
        );
        let off = Mitigation { store_bypass: [3, 3], status: status("a", "a"), ..on.clone() };
        assert_eq!(in_words(&off), "nothing: a (store bypass 3, indirect branches 2)");
        let safe = Mitigation {
            vulnerability: "Not affected".into(),
            store_bypass: [0, 0],
            status: status("not vulnerable", "not vulnerable"),
            ..on
        };
        assert!(in_words(&safe).starts_with("not vulnerable"), "{}", in_words(&safe));
    }
}
