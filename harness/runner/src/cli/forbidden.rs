//! A forbidden call, and what in the policy forbids it.

use atlas_model::Action;
use atlas_model::abi::SeccompData;
use atlas_model::bpf::{Dialect, disassemble, run};
use mruby_runner::{ForbiddenCall, Policy};

/// The paragraph's first line, without a label, and the lines below it.
pub(super) fn described(call: &ForbiddenCall, policy: Policy) -> (String, Vec<String>) {
    let ForbiddenCall { number, name, abi, arch, args, ip, line } = call;
    let name = name.unwrap_or("a call without a name");
    let place = if *line == 0 { String::new() } else { format!(", at main.rb:{line}") };
    let args: Vec<String> = args.iter().map(|arg| format!("{arg:#x}")).collect();
    let mut lines = vec![
        format!("arguments: {}", args.join(", ")),
        format!("made before the address {ip:#x}, by ABI {abi} (AUDIT_ARCH {arch:#010x})"),
    ];
    lines.extend(decided(call, policy));
    lines.extend(rule(call, policy));
    (format!("{name} (number {number}, {abi}){place}"), lines)
}

/// Which instruction of the policy's program it is.
fn decided(call: &ForbiddenCall, policy: Policy) -> Vec<String> {
    let Ok(Some(filter)) = policy.program() else { return Vec::new() };
    let data = SeccompData {
        nr: call.number as u32,
        arch: call.arch,
        instruction_pointer: call.ip,
        args: call.args,
    };
    let ran = run(&filter, &data, &Dialect::default());
    let action = Action::from_word(ran.word);
    if matches!(action, Action::Allow) {
        return vec![format!(
            "the filter of policy {} allows it: another filter of this process forbids it",
            policy.name()
        )];
    }
    let (at, of) = (ran.decided_at, filter.len());
    let mut lines =
        vec![format!("decided by instruction {at} of the filter's {of}, counted from 0: {action}")];
    // Two lines of heading stand above the first instruction.
    lines.extend(disassemble(&filter).lines().nth(at + 2).map(|line| format!("  {}", line.trim())));
    lines
}

/// The rule that allows the call with other arguments, if there is one.
fn rule(call: &ForbiddenCall, policy: Policy) -> Option<String> {
    let native = call.arch == atlas_model::Abi::X86_64.audit_arch() && call.number & 0x4000_0000 == 0;
    let name = call.name.filter(|_| native)?;
    let rule = policy.rules().iter().find(|rule| rule.call == name && !rule.only.is_empty())?;
    Some(format!("policy {} allows {name} with {} only: {}", policy.name(), rule.only, rule.why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::Abi;

    fn call(number: i32, arch: Abi, name: Option<&'static str>) -> ForbiddenCall {
        let args = [2, 0xdead_beef, 0, 0, 0, 0];
        ForbiddenCall { number, name, abi: arch.name(), arch: arch.audit_arch(), args, ip: 0x1000, line: 7 }
    }

    #[test]
    fn the_instruction_is_the_one_at_which_the_program_ends() {
        let (head, lines) = described(&call(39, Abi::X86_64, Some("getpid")), Policy::Diagnose);
        assert_eq!(head, "getpid (number 39, x86-64), at main.rb:7");
        assert!(lines[0].contains("0xdeadbeef"), "{lines:?}");
        assert!(lines[2].starts_with("decided by instruction "), "{lines:?}");
        let at: usize = lines[2].split(' ').nth(3).unwrap().parse().unwrap();
        assert!(
            lines[3].starts_with(&format!("  {at:04}: 0x06")) && lines[3].ends_with("return TRAP(0)"),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn a_rule_for_other_arguments_is_told_for_the_native_abi_only() {
        let lines = described(&call(1, Abi::X86_64, Some("write")), Policy::Diagnose).1;
        assert!(lines.last().unwrap().contains("fd == 1"), "{lines:?}");
        let lines = described(&call(4, Abi::I386, Some("write")), Policy::Diagnose).1;
        assert!(!lines.last().unwrap().contains("fd == 1"), "{lines:?}");
    }

    #[test]
    fn a_call_that_the_policy_allows_is_blamed_on_another_filter() {
        let mut exit = call(60, Abi::X86_64, Some("exit"));
        exit.args = [0; 6];
        let lines = described(&exit, Policy::Diagnose).1;
        assert!(lines[2].contains("another filter"), "{lines:?}");
    }
}
