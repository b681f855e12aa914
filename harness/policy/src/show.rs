//! Policies for people.

use atlas_model::abi::syscalls;
use atlas_model::policy::{Policy, Rule};
use std::fmt;

/// A policy as a list: a line for the ABIs, a line a rule.
pub(crate) struct Shown<'a>(pub(crate) &'a Policy);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy { abis, foreign, default, rules } = self.0;
        let abis: Vec<_> = abis.iter().map(|abi| abi.name()).collect();
        writeln!(f, "policy for {}, other ABIs {foreign}", abis.join(", "))?;
        for (index, Rule { abi, nr, conditions, action }) in rules.iter().enumerate() {
            write!(f, "  {index}: {abi} ")?;
            match syscalls::name(*abi, *nr) {
                Some(name) => f.write_str(name)?,
                None => write!(f, "{nr:#x}")?,
            }
            for (at, condition) in conditions.iter().enumerate() {
                write!(f, " {} {condition}", if at == 0 { "if" } else { "and" })?;
            }
            writeln!(f, ": {action}")?;
        }
        writeln!(f, "  otherwise {default}")
    }
}
