//! Policies in, filters out.
//!
//! What a policy means is defined in [`atlas_model::policy`]: `Policy::decide` looks at a call and
//! gives the action. This crate makes filters of policies, by four compilers, and holds the filters to
//! that definition.
//!
//! | [`Compiler`] | who | expresses |
//! | --- | --- | --- |
//! | `Linear` | this crate | every policy, up to 4096 instructions |
//! | `LibseccompLinear` | the linked libseccomp | one action an overlap, `==` where a number has several rules |
//! | `LibseccompTree` | the same, with its numbers in a binary tree | the same |
//! | `Seccompiler` | rust-vmm's seccompiler | x86-64 and x32, one action for all rules, others killed |
//!
//! # Compile
//!
//! ```
//! use atlas_model::policy::{Comparison, Condition, Policy, Rule};
//! use atlas_model::{Abi, Action};
//! use atlas_policy::{Compiler, Error, Limit};
//! let below = |value| Rule {
//!     abi: Abi::X86_64,
//!     nr: 9,
//!     conditions: vec![Condition { arg: 0, comparison: Comparison::Less, value }],
//!     action: Action::Errno(1),
//! };
//! let policy = Policy {
//!     abis: vec![Abi::X86_64],
//!     foreign: Action::KillProcess,
//!     default: Action::Allow,
//!     rules: vec![below(0x1000), below(0x1_0000_0000)],
//! };
//! let filter = Compiler::Linear.compile(&policy)?;
//! // libseccomp would make a filter with a hole of these two rules, so it is not asked.
//! let error = Compiler::LibseccompLinear.compile(&policy).unwrap_err();
//! assert!(matches!(error, Error::Unsupported { what: Limit::Merged(0), rule: Some(1), .. }));
//! # Ok::<(), Error>(())
//! ```
//!
//! # Compare
//!
//! [`agrees`] runs a filter on calls and compares it with the policy; the [`Disagreement`] it may come
//! back with prints the call, the policy, and the program with the deciding instruction marked.
//! [`agrees_as`] makes allowance for the one call that libseccomp decides otherwise on purpose
//! ([`Compiler::decide`]), [`agrees_by`] takes any way of running filters. Calls worth trying come from
//! [`calls_near`], which knows where conditions go wrong, and from [`calls_mixed`].
//!
//! [`Compiler::compile_as_is`] gives what a library makes of a policy without this crate's own
//! refusals. It is for finding faults, and not for use: libseccomp 2.5.4 gives filters with holes for
//! some policies, and for others [never returns](Limit::Merged).
//!
//! # Import
//!
//! [`profile::read`] takes the notations of OCI runtimes and of Docker.
//!
//! # Limits
//!
//! What a library cannot express is an [`Error::Unsupported`] with a [`Limit`], each of which names its
//! source and has its smallest policy in `tests/compilers/limits.rs`. Refused before the library sees
//! them are those that it would take and get wrong; `docs/findings` has the stories.
#![forbid(unsafe_code)]

mod agree;
mod calls;
mod compiler;
mod error;
mod linear;
mod live;
pub mod profile;
mod show;
mod solve;
mod with_libseccomp;
mod with_seccompiler;

pub use agree::{Disagreement, agrees, agrees_as, agrees_by};
pub use calls::{calls_mixed, calls_near, values_near};
pub use compiler::Compiler;
pub use error::{Error, Limit};
pub use solve::arguments;
