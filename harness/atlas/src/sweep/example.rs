//! Filters to sweep without having one.

use atlas_model::abi::{offset, syscalls};
use atlas_model::bpf::{self, Filter, Insn};
use atlas_model::{Abi, Action};

/// A built-in filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Example {
    /// A few rules of every kind for x86-64; other ABIs end the process
    Toy,
    /// The filter that mruby-runner's workers run behind
    Runner,
    /// Denies a few calls by their x86-64 numbers and forgets that there are other ABIs
    Forgetful,
}

impl Example {
    /// The filter.
    ///
    /// # Errors
    /// Where libseccomp cannot make the runner's.
    pub fn filter(self) -> Result<Filter, mruby_runner::Error> {
        match self {
            Self::Toy => Ok(toy()),
            // Of the runner's policies only strict mode has no program of its own.
            Self::Runner => Ok(mruby_runner::Policy::Strict.program()?.unwrap_or_default()),
            Self::Forgetful => Ok(forgetful()),
        }
    }
}

fn number(name: &str) -> u32 {
    syscalls::number(Abi::X86_64, name).unwrap_or_else(|| panic!("{name} is in the table"))
}

/// `jeq` on a name's x86-64 number, and the action where it is that.
fn rule(name: &str, action: Action) -> [Insn; 2] {
    [bpf::jeq(number(name), 0, 1), bpf::ret(action)]
}

fn toy() -> Filter {
    let mut filter = vec![
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::X86_64.audit_arch(), 1, 0),
        bpf::ret(Action::KillProcess),
        bpf::ld(offset::NR),
        bpf::jge(Abi::X32_BIT, 0, 1),
        bpf::ret(Action::KillProcess),
    ];
    for (name, action) in [
        ("read", Action::Allow),
        ("write", Action::Allow),
        ("exit_group", Action::Allow),
        ("rt_sigreturn", Action::Allow),
        ("getpid", Action::Log),
        ("openat", Action::Errno(13)),
        ("socket", Action::Trap(7)),
        ("ptrace", Action::KillThread),
        ("mount", Action::KillProcess),
    ] {
        filter.extend(rule(name, action));
    }
    filter.push(bpf::ret(Action::Errno(1)));
    filter.into()
}

fn forgetful() -> Filter {
    let mut filter = vec![bpf::ld(offset::NR)];
    for name in
        ["ptrace", "mount", "umount2", "reboot", "kexec_load", "init_module", "delete_module", "bpf", "setns"]
    {
        filter.extend(rule(name, Action::Errno(1)));
    }
    filter.push(bpf::ret(Action::Allow));
    filter.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn kernels_take_them() {
        for example in Example::value_variants() {
            let filter = example.filter().unwrap();
            assert!(!filter.is_empty());
            assert_eq!(bpf::check(&filter, &bpf::Dialect::default()), Ok(()), "{example:?}");
        }
    }
}
