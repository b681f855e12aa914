//! What filters cost, in instructions that a guest executes.
//!
//! A guest under QEMU's `-icount shift=0` has a time-stamp counter that counts instructions. A
//! [`item::Item`] is one thing to count; [`run`] counts all of them on every kernel, with the JIT on and
//! off; [`results`] is the JSON contract, and [`table`] shows it.
//!
//! A figure is published only where the minimum, the 10th, the 50th and the 90th percentile of its rounds
//! are the same whole number: then it is the same in every run. What depends on more than the filter
//! (allocations, the length of a line in the log, who runs next) is published as a spread.

pub mod against;
pub mod changes;
pub mod chart;
pub mod compilers;
pub mod document;
pub mod filters;
pub mod fit;
pub mod given;
pub mod guest;
pub mod item;
pub mod list;
mod measuring;
pub mod mitigations;
pub mod page;
pub mod results;
pub mod ruby;
pub mod run;
pub mod table;
pub mod user;
pub mod weights;

/// What the guests' kernels are told, so that a boot is like every other: no mitigations, whose code
/// depends on the CPU model, and nothing at random places.
pub const COMMAND_LINE: [&str; 4] = ["mitigations=off", "nokaslr", "norandmaps", "syscall.x32=y"];

/// The CPU model, in QEMU's words: all that emulation offers but randomness.
pub const CPUS: [&str; 3] = ["max,-rdrand,-rdseed", "max,-smap,-rdrand,-rdseed", "qemu64"];
