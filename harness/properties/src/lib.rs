//! What must hold for every filter.
//!
//! A [`Property`] generates [`Trial`]s: experiments that belong together. Whoever has a kernel lets
//! it carry them out and hands the observations to [`Property::judge`], which holds them against the
//! model and against the property's own statement. Nothing here boots or runs anything, so the same
//! properties serve `cargo test`, `atlas fuzz` and the mutants of the model.
#![forbid(unsafe_code)]

mod attach;
mod catalogue;
mod chain;
mod checker;
mod compilers;
mod data;
mod forbidden;
mod inherit;
mod interpreter;
mod judge;
mod script;
mod stacking;
mod strict;
mod traced;
mod trial;
mod ways;

pub use catalogue::{REPLAY, all, named};
pub use judge::{Broken, Judged};
pub use trial::{Isolation, Property, Trial, tree};
