//! What a seccomp filter must do, on paper.
//!
//! This crate is the oracle. It holds classic BPF as seccomp accepts it ([`bpf`]), the actions and
//! their precedence ([`action`]), the ABIs and their syscall tables ([`abi`]), what policies mean
//! ([`policy`]), and the experiment language ([`experiment`]) with its paper interpreter
//! ([`mod@expect`]) and the world that its calls change ([`world`]). It speaks of kernels by their
//! [`traits`]: probed features and quirks, never by their release numbers. With the feature `arbitrary`
//! there are generators of all of it for tests by properties; tests can flip a single rule of it
//! ([`mutant`]).
//!
//! It does no I/O, holds no unsafe code and depends on nothing else of the project.
#![forbid(unsafe_code)]

pub mod abi;
pub mod action;
#[cfg(feature = "arbitrary")]
pub mod arbitrary;
pub mod bits;
pub mod bpf;
pub mod expect;
pub mod experiment;
pub mod mutant;
pub mod observation;
pub mod policy;
pub mod sweep;
pub mod traits;
pub mod world;

pub use abi::Abi;
pub use action::Action;
pub use bpf::{Filter, Insn};
pub use experiment::{Call, Experiment, TaskId};
pub use observation::Observation;
pub use traits::{Feature, Quirk, Traits};
