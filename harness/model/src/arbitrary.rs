//! Generators for tests by properties: filters, policies, stacks of filters, and calls.
//!
//! What comes out is biased to where mistakes are: the edges of numbers, jumps of 255, actions that
//! differ in their data only. [`share`] says how much of it is interesting, and a test keeps that.
//! Everything shrinks to a few instructions or rules, and stays what it is while it shrinks.

pub mod broken;
pub mod call;
pub mod cover;
pub mod edge;
pub mod policy;
pub mod program;
pub mod share;
pub mod stack;
