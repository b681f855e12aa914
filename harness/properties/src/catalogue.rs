//! Every property, by name.

use crate::trial::{Isolation, Property, Trial};
use crate::{
    attach, chain, checker, compilers, data, forbidden, inherit, interpreter, stacking, strict, traced, ways,
};
use proptest::prelude::*;

/// What holds for every experiment, generated or not: the kernel does what the model says. For
/// experiments of earlier findings; it generates nothing.
pub const REPLAY: Property = Property {
    name: "regressions",
    about: "What was found once does not come back.",
    isolation: Isolation::Furnished,
    share: 0,
    strategy: || Just(Trial::from(Vec::new())).boxed(),
    statement: |_, _| Vec::new(),
};

/// Every property.
#[must_use]
pub fn all() -> &'static [Property] {
    &[
        checker::CHECKER,
        interpreter::INTERPRETER,
        ways::WAYS,
        data::DATA,
        stacking::STACKING,
        inherit::INHERIT,
        forbidden::FORBIDDEN,
        attach::ATTACH,
        chain::CHAIN,
        compilers::COMPILERS,
        strict::STRICT,
        traced::TRACED,
    ]
}

/// A property by its name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Property> {
    all().iter().find(|property| property.name == name)
}
