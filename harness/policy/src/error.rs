//! Why there is no filter for a policy.

use crate::Compiler;
use atlas_model::{Abi, Action};

/// Why a policy was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody could: a rule asks for an argument that calls do not have.
    #[error("rule {rule} is about argument {arg}, and calls have six, from 0 to 5")]
    Argument {
        /// The rule, counted from 0.
        rule: usize,
        /// The argument it asks for.
        arg: u8,
    },
    /// The compiler has no way of saying it, or is known to say it wrongly.
    #[error("{compiler} cannot express {}: {what}", place(*.rule))]
    Unsupported {
        /// Which compiler.
        compiler: Compiler,
        /// What it is that it cannot say.
        what: Limit,
        /// Where, counted from 0; `None` where it is not about one rule.
        rule: Option<usize>,
    },
    /// The filter is longer than kernels accept (`BPF_MAXINSNS`, include/uapi/linux/bpf_common.h).
    #[error("{compiler} needs {len} instructions, and a filter may have 4096")]
    TooLong {
        /// Which compiler.
        compiler: Compiler,
        /// How many instructions it came to.
        len: usize,
    },
    /// The library refused, for a reason that is none of the known limits.
    #[error("{compiler} refused {}: {why}", place(*.rule))]
    Refused {
        /// Which compiler.
        compiler: Compiler,
        /// What the library said.
        why: String,
        /// The rule it refused, counted from 0; `None` where it was the whole policy.
        rule: Option<usize>,
    },
    /// The filter could not be read back from the library.
    #[error("the filter could not be read back")]
    Export(#[from] std::io::Error),
}

fn place(rule: Option<usize>) -> String {
    rule.map_or_else(|| "the policy".to_owned(), |rule| format!("rule {rule}"))
}

/// What a library cannot express. Each is as narrow as was found possible, and `tests/limits.rs` has
/// for each the smallest policy that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// A policy that speaks of no ABI: libseccomp refuses to generate a filter without architectures
    /// (src/gen_bpf.c gen_bpf_generate, `filter_cnt == 0`), seccompiler always has one.
    #[error("it speaks of no ABI")]
    NoAbi,
    /// An ABI that the library does not know. seccompiler knows x86-64 and takes x32 numbers as
    /// numbers of it (src/backend/mod.rs `TargetArch`).
    #[error("it speaks of {0}, which the library does not know")]
    Abi(Abi),
    /// An action, or its data: libseccomp's and seccompiler's TRAP has no data (libseccomp 0.4
    /// src/action.rs, seccompiler 0.5 src/backend/mod.rs), libseccomp's ERRNO ends at 4094 (src/system.c
    /// sys_chk_seccomp_action, `MAX_ERRNO`), seccompiler has no USER_NOTIF, and nobody has unknown ones.
    #[error("the library has no {0}")]
    Action(Action),
    /// An action that libseccomp refuses as the running kernel does not have it (src/system.c
    /// sys_chk_seccomp_action).
    #[error("the library refuses {0}, for its API level: the running kernel is taken not to have it")]
    ApiLevel(Action),
    /// A rule whose action is the default one. libseccomp answers EACCES (src/api.c
    /// seccomp_rule_add_array), seccompiler `IdenticalActions` (src/backend/filter.rs).
    #[error("its action is the default one")]
    ActionIsDefault,
    /// Two rules with different actions that some call matches both. libseccomp keeps a tree and not
    /// a list, so that nothing says which comes first (src/db.c _db_tree_add).
    #[error("some call matches rule {0} as well, whose action is another one")]
    Overlaps(usize),
    /// Several rules of one number, unless every condition of theirs is [`Comparison::Equal`] or
    /// [`Comparison::Masked`].
    /// libseccomp merges them into one tree, and the tree goes wrong: the filter compares what another
    /// argument left in the accumulator, or the library never returns. See
    /// `docs/findings/libseccomp-rules-of-one-number.md`.
    ///
    /// [`Comparison::Equal`]: atlas_model::policy::Comparison::Equal
    /// [`Comparison::Masked`]: atlas_model::policy::Comparison::Masked
    #[error("it is merged with rule {0} of the same number, and one of them compares by order or by !=")]
    Merged(usize),
    /// More than one action: a filter of seccompiler has one for what matches and one for the rest
    /// (src/backend/filter.rs `SeccompFilter::new`).
    #[error("its action is not that of rule {0}, and the library has one for all rules")]
    OneAction(usize),
    /// Calls by other ABIs die under seccompiler's filters, whatever one asks for
    /// (src/backend/bpf.rs `build_arch_validation_sequence`).
    #[error("other ABIs get {0}, and the library always kills the process")]
    Foreign(Action),
    /// seccompiler has no check for x32 numbers: those without a rule get the default action.
    #[error("x32 and x86-64 get different actions, and the library does not tell them apart")]
    X32,
    /// libseccomp takes one condition an argument and rule (src/db.c db_col_rule_add,
    /// `chain[arg_num].valid`).
    #[error("it has several conditions on argument {0}")]
    SeveralConditions(u8),
    /// libseccomp compares only the lower halves of x32 arguments (src/arch-x32.c `ARCH_SIZE_32`),
    /// and the kernel takes all 64 bits. See `docs/findings/libseccomp-x32-upper-halves.md`.
    #[error("its condition on argument {0} is about the upper half, which the library ignores in x32 calls")]
    UpperHalf(u8),
    /// libseccomp takes numbers of other ABIs by the name of the call, and has no such name
    /// (src/arch.c arch_syscall_translate), or takes it for another number: i386's direct socket and IPC
    /// calls, such as 359, stand for socketcall(2) and ipc(2) too (src/arch-x86.c).
    #[error("the library has no name that means number {0} alone")]
    Number(u32),
    /// libseccomp before 2.5.0 has no binary tree (`SCMP_FLTATR_CTL_OPTIMIZE`).
    #[error("the linked library has no binary tree")]
    Tree,
    /// More conditions than libseccomp before 2.6.1 can be given without danger: its instruction count
    /// is kept in 16 bits, and wraps (advisory GHSA-2hqh-5c36-grrm; src/gen_bpf.c _bpf_append_blk).
    #[error("it has {0} rules and conditions, more than the library can be trusted with")]
    Size(usize),
}
