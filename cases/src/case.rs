//! What a case is.

use atlas_edge::stage::Observe;
use atlas_model::traits::{Feature, Traits};
use atlas_model::{Abi, Experiment};
use std::borrow::Cow;

/// A named experiment with a sentence on what it is for.
pub struct Case {
    /// `theme::case`, unique.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// Features without which there is nothing to see.
    pub needs: &'static [Feature],
    /// The ABIs in which it makes its calls.
    pub abis: &'static [Abi],
    /// What it does.
    pub body: Body,
    /// Whether it may take a kernel down, or leaves one changed, and so gets a guest of its own each time that it is
    /// asked, where guests are clones.
    pub alone: bool,
}

impl Case {
    /// The same case in a guest of its own.
    pub(crate) const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }
}

/// What a case does.
pub enum Body {
    /// An experiment, made for an ABI. The model says what must be seen.
    Experiment(fn(Abi) -> Experiment),
    /// An experiment as it stands, from a file. Its calls name their ABIs themselves.
    Given(&'static Experiment),
    /// Code for the guest, and what it must report on a kernel with given traits.
    Choreography {
        /// Runs in the guest, in a process of its own.
        observe: Observe,
        /// The facts that must come, in this order.
        expect: fn(&Traits) -> Vec<Fact>,
    },
}

/// One fact that a choreography must report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its value.
    pub want: Want,
}

/// What a fact's value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// This.
    Is(i64),
    /// One of these.
    OneOf(&'static [i64]),
    /// This or more.
    AtLeast(i64),
    /// 1: the name says it all.
    Said,
}

impl Want {
    /// Whether a value is what is wanted.
    #[must_use]
    pub fn takes(&self, value: i64) -> bool {
        match self {
            Self::Is(want) => value == *want,
            Self::OneOf(wants) => wants.contains(&value),
            Self::AtLeast(least) => value >= *least,
            Self::Said => value == 1,
        }
    }
}

/// A fact with one value.
pub(crate) const fn is(name: &'static str, value: i64) -> Fact {
    Fact { name: Cow::Borrowed(name), want: Want::Is(value) }
}

/// A fact with one value and a name that is made up.
pub(crate) fn named(name: String, value: i64) -> Fact {
    Fact { name: Cow::Owned(name), want: Want::Is(value) }
}

/// A fact whose name says it all; [`Stage::says`](atlas_edge::Stage::says) reports it.
pub(crate) fn says(name: String) -> Fact {
    Fact { name: Cow::Owned(name), want: Want::Said }
}

/// Facts as lines for people.
#[must_use]
pub fn facts_text(facts: &[Fact]) -> String {
    let line = |fact: &Fact| match &fact.want {
        Want::Is(value) => format!("{}: {value}", fact.name),
        Want::OneOf(values) => format!("{}: one of {values:?}", fact.name),
        Want::AtLeast(least) => format!("{}: {least} or more", fact.name),
        Want::Said => fact.name.to_string(),
    };
    facts.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The native ABI alone.
pub(crate) const NATIVE: &[Abi] = &[Abi::X86_64];
/// Every ABI a 64-bit task can call by.
pub(crate) const NATIVE_AND_I386: &[Abi] = &[Abi::X86_64, Abi::I386];

/// A case whose calls go by the native ABI.
pub(crate) const fn case(
    name: &'static str,
    about: &'static str,
    needs: &'static [Feature],
    make: fn(Abi) -> Experiment,
) -> Case {
    Case { name, about, needs, abis: NATIVE, body: Body::Experiment(make), alone: false }
}

/// A case that runs once by the native and once by the i386 ABI.
pub(crate) const fn both(
    name: &'static str,
    about: &'static str,
    needs: &'static [Feature],
    make: fn(Abi) -> Experiment,
) -> Case {
    Case { name, about, needs, abis: NATIVE_AND_I386, body: Body::Experiment(make), alone: false }
}

/// A case that is code.
pub(crate) const fn staged(
    name: &'static str,
    about: &'static str,
    needs: &'static [Feature],
    observe: Observe,
    expect: fn(&Traits) -> Vec<Fact>,
) -> Case {
    Case { name, about, needs, abis: NATIVE, body: Body::Choreography { observe, expect }, alone: false }
}
