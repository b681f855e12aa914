//! Policies in, filters out.
#![forbid(unsafe_code)]

mod agree;
mod calls;
mod compiler;
mod error;
mod linear;
mod live;
mod show;
mod solve;
mod with_libseccomp;
mod with_seccompiler;

pub use agree::{Disagreement, agrees, agrees_as, agrees_by};
pub use calls::{calls_mixed, calls_near, values_near};
pub use compiler::Compiler;
pub use error::{Error, Limit};
pub use solve::arguments;
