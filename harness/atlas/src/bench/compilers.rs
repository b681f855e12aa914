//! The same policies, made into filters by different compilers.
//!
//! A [`Policy`] says what is wanted, a [`Compiler`] makes a filter of it.

use super::item::{native, seen};
use atlas_model::abi::syscalls;
use atlas_model::bpf::{Dialect, run};
use atlas_model::policy::{Comparison, Condition, Policy, Rule};
use atlas_model::{Abi, Action, Filter};
use atlas_policy::Compiler;

/// Makes a filter of a policy, or says why not.
pub type Compile = fn(&Policy) -> Result<Filter, String>;

/// The compilers, by name.
pub const COMPILERS: [(&str, Compile); 4] = [
    (Compiler::LibseccompLinear.name(), |policy| compile(Compiler::LibseccompLinear, policy)),
    (Compiler::LibseccompTree.name(), |policy| compile(Compiler::LibseccompTree, policy)),
    (Compiler::Seccompiler.name(), |policy| compile(Compiler::Seccompiler, policy)),
    (Compiler::Linear.name(), |policy| compile(Compiler::Linear, policy)),
];

fn compile(compiler: Compiler, policy: &Policy) -> Result<Filter, String> {
    compiler.compile(policy).map_err(|error| error.to_string())
}

/// A policy, and calls that are worth measuring behind it.
pub struct Sample {
    /// Its name.
    pub name: &'static str,
    /// What it allows.
    pub policy: Policy,
    /// An allowed call that a list has near its beginning, by name; all arguments are zero.
    pub hot: &'static str,
    /// An allowed call that a list has near its end.
    pub cold: &'static str,
    /// A call that is answered by an errno.
    pub denied: &'static str,
}

/// Calls that a container runtime's default profile denies, by the beginnings of their names.
const NOT_IN_CONTAINERS: [&str; 38] = [
    "acct",
    "add_key",
    "bpf",
    "clock_adjtime",
    "clock_settime",
    "create_module",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_kernel_syms",
    "init_module",
    "ioperm",
    "iopl",
    "kexec",
    "keyctl",
    "lookup_dcookie",
    "mbind",
    "mount",
    "move_mount",
    "move_pages",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "query_module",
    "quotactl",
    "reboot",
    "request_key",
    "set",
    "swap",
    "sysfs",
    "umount",
    "unshare",
    "userfaultfd",
];

/// What a renderer of web pages needs.
const RENDERER: [&str; 30] = [
    "read",
    "write",
    "close",
    "fstat",
    "lseek",
    "mmap",
    "mprotect",
    "munmap",
    "brk",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "ioctl",
    "pread64",
    "pwrite64",
    "readv",
    "writev",
    "madvise",
    "recvmsg",
    "sendmsg",
    "shutdown",
    "gettimeofday",
    "getppid",
    "futex",
    "epoll_wait",
    "clock_gettime",
    "exit",
    "exit_group",
    "restart_syscall",
    "getrandom",
];

/// The policies.
#[must_use]
pub fn samples() -> Vec<Sample> {
    let denied = Action::Errno(libc_eperm());
    let policy = |rules: Vec<Rule>| Policy {
        // x32 without rules, so that its calls get the default action: seccompiler does not tell them apart.
        abis: vec![Abi::X86_64, Abi::X32],
        foreign: Action::KillProcess,
        default: denied,
        rules,
    };
    let allow = |name: &str| Rule {
        abi: Abi::X86_64,
        nr: syscalls::number(Abi::X86_64, name).unwrap_or_default(),
        conditions: vec![],
        action: Action::Allow,
    };
    let all = (0..1024).filter_map(|nr| syscalls::name(Abi::X86_64, nr));
    let container = all.filter(|name| !NOT_IN_CONTAINERS.iter().any(|denied| name.starts_with(denied)));
    let toy =
        ["read", "write", "close", "mmap", "munmap", "brk", "getppid", "exit", "exit_group", "getrandom"];
    let fd = |name: &str, fd: u64| Rule {
        conditions: vec![Condition { arg: 0, comparison: Comparison::Equal, value: fd }],
        ..allow(name)
    };
    let runner = vec![fd("read", 0), fd("write", 1), allow("exit"), allow("getppid")];
    vec![
        Sample {
            name: "toy",
            policy: policy(toy.map(allow).to_vec()),
            hot: "getppid",
            cold: "getrandom",
            denied: "getuid",
        },
        Sample {
            name: "renderer",
            policy: policy(RENDERER.map(allow).to_vec()),
            hot: "getppid",
            cold: "getrandom",
            denied: "getuid",
        },
        Sample {
            name: "container",
            policy: policy(container.map(allow).collect()),
            hot: "getppid",
            cold: "getrandom",
            denied: "acct",
        },
        Sample { name: "runner", policy: policy(runner), hot: "getppid", cold: "getppid", denied: "getuid" },
    ]
}

/// Whether a filter allows a call of the native ABI whose arguments are zero.
#[must_use]
pub fn allows(filter: &Filter, call: &str) -> bool {
    native(call, 0).is_some_and(|call| {
        Action::from_word(run(filter, &seen(&call), &Dialect::default()).word) == Action::Allow
    })
}

/// EPERM.
fn libc_eperm() -> u16 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::abi::SeccompData;

    #[test]
    fn every_compiler_makes_what_the_policy_means() {
        for sample in samples() {
            for (name, compiler) in COMPILERS {
                let filter =
                    compiler(&sample.policy).unwrap_or_else(|why| panic!("{name} {}: {why}", sample.name));
                for nr in 0..600 {
                    for first in [0, 1, 7] {
                        let data = SeccompData {
                            nr,
                            arch: Abi::X86_64.audit_arch(),
                            args: [first, 0, 0, 0, 0, 0],
                            ..SeccompData::default()
                        };
                        let word = run(&filter, &data, &Dialect::default()).word;
                        let wanted = sample.policy.decide(&data);
                        assert_eq!(Action::from_word(word), wanted, "{name} {} {nr} {first}", sample.name);
                    }
                }
            }
        }
    }

    #[test]
    fn policies_speak_of_calls_that_there_are() {
        for sample in samples() {
            let decide = |name| {
                let nr = syscalls::number(Abi::X86_64, name).unwrap();
                sample.policy.decide(&SeccompData {
                    nr,
                    arch: Abi::X86_64.audit_arch(),
                    ..SeccompData::default()
                })
            };
            assert_eq!(decide(sample.hot), Action::Allow, "{}", sample.name);
            assert_eq!(decide(sample.cold), Action::Allow, "{}", sample.name);
            assert_eq!(decide(sample.denied), Action::Errno(1), "{}", sample.name);
            // Names that are not in the table would all be number 0.
            let mut numbers: Vec<u32> = sample.policy.rules.iter().map(|rule| rule.nr).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), sample.policy.rules.len(), "{}", sample.name);
        }
        assert!((300..400).contains(&samples()[2].policy.rules.len()), "{}", samples()[2].policy.rules.len());
    }
}
