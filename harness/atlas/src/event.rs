//! The one stream of events that leaves a run.

use crate::plan::JitChoice;
use crate::results::{CaseInfo, CaseResult, Host, ProbeResult};
use crate::shard::Shard;
use serde::{Deserialize, Serialize};

/// What the guests of a run are to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// More words for the kernels' command lines.
    pub append: Vec<String>,
    /// CPU models, in QEMU's words, in the order they are tried.
    pub cpus: Vec<String>,
}

/// What happens in a run, in the order in which it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run begins.
    RunStarted {
        /// Version of seccomp-atlas.
        tool: String,
        /// [`Report::catalogue`](crate::results::Report::catalogue).
        #[serde(default)]
        catalogue: String,
        /// The share of the cases, where the run has not all.
        #[serde(default)]
        shard: Option<Shard>,
        /// The JIT settings that were asked for.
        #[serde(default)]
        jit: Option<JitChoice>,
        /// What the guests were to be.
        #[serde(default)]
        wanted: Option<Wanted>,
        /// The machine.
        host: Host,
        /// What is asked of each kernel.
        cases: Vec<CaseInfo>,
        /// The kernels, oldest first.
        kernels: Vec<KernelInfo>,
    },
    /// A kernel is being booted.
    KernelBooting {
        /// Its name in the run.
        kernel: String,
    },
    /// A guest is up.
    KernelBooted {
        /// Its name in the run.
        kernel: String,
        /// `uname -r`.
        release: String,
        /// What really runs it.
        accelerator: String,
        /// The CPU model.
        cpu: String,
    },
    /// Its probes are done.
    KernelProbed {
        /// Its name in the run.
        kernel: String,
        /// Whether the JIT can be switched, in words.
        jit: String,
        /// How many verdicts will follow.
        total: usize,
        /// The answers.
        probes: Vec<ProbeResult>,
    },
    /// A verdict.
    CaseFinished(Box<CaseResult>),
    /// Something is wrong with the template of a kernel: it was thrown away, or none could be made.
    TemplateTrouble {
        /// Its name in the run.
        kernel: String,
        /// What, in a line.
        trouble: String,
    },
    /// A guest was lost.
    GuestLost {
        /// Its name in the run.
        kernel: String,
        /// Why, and at what.
        reason: String,
        /// The console's last lines.
        console: String,
    },
    /// Nothing more will come of a kernel.
    KernelFinished {
        /// Its name in the run.
        kernel: String,
    },
    /// The run is over.
    RunFinished {
        /// False when it was interrupted.
        complete: bool,
    },
}

/// A kernel of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelInfo {
    /// Its name in the run, unique.
    pub name: String,
    /// `major.minor`, and all three numbers of 2.6.
    pub series: String,
    /// Where the image came from.
    pub source: String,
    /// SHA-256 of the image.
    pub sha256: String,
}

/// Takes events as they come.
pub trait Sink {
    /// Takes one.
    fn take(&mut self, event: &Event);
}

impl<F: FnMut(&Event)> Sink for F {
    fn take(&mut self, event: &Event) {
        self(event);
    }
}
