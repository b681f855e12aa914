//! What host and guest say to each other. The host asks, the guest answers once, and keeps no
//! state between requests but the files of the program that it was given.

use crate::{Measure, Measured, Part, Trace, Traced};
use atlas_model::sweep::{Sweep, Swept};
use atlas_model::{Experiment, Observation};
use serde::{Deserialize, Serialize};

/// Raised whenever a message changes its meaning or its encoding.
pub const PROTOCOL: u32 = 7;

/// What the host asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Who are you?
    Hello,
    /// Carry these out, in this order.
    Run {
        /// What `net.core.bpf_jit_enable` shall be meanwhile; `None` leaves it alone.
        jit: Option<bool>,
        /// How long one item may take before the guest ends it, in milliseconds.
        limit_ms: u32,
        /// The work.
        items: Vec<Item>,
    },
    /// Sweep a filter over every call.
    Sweep {
        /// As in [`Request::Run`].
        jit: Option<bool>,
        /// How long it may take before the guest gives it up, in milliseconds.
        limit_ms: u32,
        /// The work.
        sweep: Sweep,
    },
    /// Count instructions.
    Measure(Measure),
    /// Take this time and this entropy for yours: to clones, and to booted guests that count, so that they count alike.
    /// Answered as [`Request::Hello`].
    Wake(Wake),
    /// Here is a part of a file of a program's.
    Put(Part),
    /// Run the program, and tell its calls.
    Trace(Trace),
}

/// What a clone must not have in common with its template and other clones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wake {
    /// The wall clock, in nanoseconds since 1970.
    pub unix_ns: u64,
    /// Entropy for the kernel's generator.
    pub seed: [u8; 32],
}

/// One piece of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Item {
    /// Carry out an experiment.
    Experiment(Experiment),
    /// Carry out an experiment whose calls touch neither memory nor descriptors: its first task has
    /// the guest's memory and a copy of its descriptors, which saves half of the time.
    Bare(Experiment),
    /// Call a choreography of the catalogue by name.
    Choreography(String),
}

/// What the guest answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// To [`Request::Hello`] and [`Request::Wake`].
    Hello(Hello),
    /// To [`Request::Run`]: one outcome an item, in the order of the items.
    Ran(Vec<Outcome>),
    /// The request could not be served.
    Refused(String),
    /// To [`Request::Sweep`]: one answer a call.
    Swept(Swept),
    /// To [`Request::Measure`].
    Measured(Measured),
    /// To [`Request::Put`]: the length of the file by now.
    Stored(u64),
    /// To [`Request::Trace`].
    Traced(Traced),
}

/// What a guest says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the guest binary.
    pub protocol: u32,
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// `uname -m`.
    pub machine: String,
    /// The CPU's brand string as the guest sees it, empty when it has none.
    pub cpu: String,
    /// `net.core.bpf_jit_enable` as found, `None` where there is no such file.
    pub jit: Option<String>,
    /// Whether bulk can go through the shared window.
    pub window: bool,
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// An experiment was carried out.
    Observed(Observation),
    /// A choreography ran: named facts in the order they were found.
    Facts(Vec<Fact>),
    /// A choreography's process ended early.
    Died {
        /// Its wait status as a person reads it, such as `killed by signal 31`.
        how: String,
        /// The same as a number: the exit status, or the signal's number plus 1000.
        code: i64,
        /// The facts it had reported by then.
        facts: Vec<Fact>,
    },
    /// The item was ended because its time was over.
    TimedOut {
        /// The facts it had reported by then.
        facts: Vec<Fact>,
    },
    /// The guest could not carry the item out, for this reason.
    Impossible(String),
}

/// One named fact a choreography reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about, such as `errno of the second listener`.
    pub name: String,
    /// What was seen.
    pub value: i64,
}
