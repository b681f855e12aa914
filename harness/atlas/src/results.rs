//! The results of a run as plain data: the JSON contract, and what every renderer reads.

use crate::shard::Shard;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the JSON report. Raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// A whole report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of seccomp-atlas that wrote it.
    pub tool: String,
    /// Digest of the writer's catalogue: names and experiments of its cases, names of its probes. Empty
    /// where an older seccomp-atlas wrote it.
    #[serde(default)]
    pub catalogue: String,
    /// The share of the cases that was asked for, such as `2/4`; null when all were.
    #[serde(default)]
    pub shard: Option<Shard>,
    /// The machine that ran the guests.
    pub host: Host,
    /// The kernels, oldest first.
    pub kernels: Vec<KernelReport>,
    /// The cases that were asked for, in catalogue order.
    pub cases: Vec<CaseInfo>,
    /// The verdicts, ordered by kernel, case, ABI and JIT setting.
    pub results: Vec<CaseResult>,
    /// Whether the run came to its end; false when it was interrupted or is still under way.
    pub complete: bool,
    /// The exit status and what makes it that, in reports that the command writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
}

/// The machine that ran the guests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Architecture, such as `x86_64`.
    pub arch: String,
    /// Number of processors that the run could use.
    pub cpus: u32,
    /// First line of `qemu-system-* --version`.
    pub qemu: String,
    /// What the start-up probe said of KVM, in words.
    pub kvm: String,
}

/// One kernel of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelReport {
    /// Name of the kernel within the report; results refer to it. The series where that is unique.
    pub name: String,
    /// `uname -r` as the guest said, empty when it never booted.
    pub release: String,
    /// `major.minor`, and all three numbers of 2.6.
    pub series: String,
    /// Where the image came from, such as a package and its version, or a file's name.
    pub source: String,
    /// SHA-256 of the image, lower-case hex.
    pub sha256: String,
    /// What really ran the guest, such as `tcg` or `kvm`.
    pub accelerator: String,
    /// The CPU model QEMU was asked for, and why if it is not the first choice.
    pub cpu: String,
    /// Whether the JIT could be switched: `on and off`, or why not.
    pub jit: String,
    /// Everything that was probed, in the order of the catalogue.
    pub probes: Vec<ProbeResult>,
    /// Faults of the guest: boots that failed, guests that were lost, each in one line.
    pub faults: Vec<String>,
    /// The console's last lines, where a fault makes them worth keeping.
    pub console: String,
}

/// One probe's answer on one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeResult {
    /// Stable name of the feature or quirk.
    pub feature: String,
    /// What kind of thing was probed.
    pub kind: ProbeKind,
    /// Whether it is there; absent when the probe could not tell.
    pub present: Option<bool>,
    /// The answer held against the mainline release.
    pub timeline: Timeline,
    /// The mainline release or releases, such as `since 4.14` or `until 5.9`.
    pub mainline: String,
    /// One sentence on what it is.
    pub about: String,
    /// One sentence on what a kernel without it does; empty in reports that do not say.
    #[serde(default)]
    pub instead: String,
    /// One sentence on what to do about it; empty in reports that do not say.
    #[serde(default)]
    pub advice: String,
    /// What the probe saw.
    pub evidence: String,
}

/// What kind of thing a probe asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// Something a kernel can do.
    Feature,
    /// A difference of behaviour that was meant.
    Change,
    /// A fault, fixed since or not.
    Bug,
}

/// A probe's answer held against the mainline release of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Timeline {
    /// As the mainline release of the same series.
    AsMainline,
    /// There (or, for a bug, fixed) though the series is older.
    Backported,
    /// Not there (or, for a bug, still there) though the series is newer.
    Missing,
    /// The probe could not tell.
    Unknown,
}

/// A case of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseInfo {
    /// Full name, `theme::case`.
    pub name: String,
    /// One sentence on what it is for.
    pub about: String,
    /// What it does as a person can read it, one line a step; filters disassembled.
    pub experiment: String,
}

/// A verdict of one case on one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseResult {
    /// [`KernelReport::name`].
    pub kernel: String,
    /// [`CaseInfo::name`].
    pub case: String,
    /// JIT setting.
    pub jit: Jit,
    /// Calling convention, such as `x86-64`.
    pub abi: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What was seen, one line a fact.
    pub observed: String,
    /// What the model says must be seen, one line a fact.
    pub expected: String,
    /// Which filter and instruction decide each step that a filter decides, one line a step.
    pub decided: String,
    /// What explains the verdict: the differing lines, a quirk's name, a missing feature, a reason.
    pub note: String,
    /// The quirks that the expectation leans on, by name.
    pub quirks: Vec<String>,
    /// The console's last lines, for verdicts that they may explain; else empty.
    pub console: String,
    /// How often the case was asked, in a run that repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetitions: Option<Repetitions>,
}

/// What the repetitions of one case came to; see [`crate::repeat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Repetitions {
    /// How often it was to be asked.
    pub wanted: u32,
    /// How often it was: fewer after a repetition that did not answer, 0 where a feature is missing.
    pub asked: u32,
    /// How many repetitions gave the verdict.
    pub alike: u32,
    /// The first that did, from 1.
    pub first: u32,
    /// Whether they saw different things although none fails.
    pub differ: bool,
}

impl CaseResult {
    /// Whether it saw different things from one repetition to the next although none fails. That makes a
    /// run's exit status 1 and leaves the verdict.
    #[must_use]
    pub fn flaky(&self) -> bool {
        self.repetitions.is_some_and(|repetitions| repetitions.differ)
    }
}

/// Setting of `net.core.bpf_jit_enable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Jit {
    /// Filters are compiled.
    On,
    /// Filters are interpreted.
    Off,
    /// The kernel has no such switch, or refuses to turn it.
    Fixed,
}

/// Observation held against expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As the model says.
    Conforms,
    /// As the model says of a kernel with a known bug.
    KnownBug,
    /// A feature the case is about is not there, as its probe said.
    Absent,
    /// Nothing explains what was seen.
    Deviates,
    /// The guest was lost.
    Crashed,
    /// The case did not end in time.
    Hung,
    /// It could not be run; the note says why.
    NotRun,
}

impl Jit {
    /// Its name in reports and test names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "jit_on",
            Self::Off => "jit_off",
            Self::Fixed => "jit_fixed",
        }
    }

    /// How requests ask for it: compiled or not, or as the kernel has it.
    #[must_use]
    pub fn switch(self) -> Option<bool> {
        match self {
            Self::On => Some(true),
            Self::Off => Some(false),
            Self::Fixed => None,
        }
    }
}

impl Verdict {
    /// Every verdict, the good ones first.
    pub const ALL: [Self; 7] = [
        Self::Conforms,
        Self::KnownBug,
        Self::Absent,
        Self::Deviates,
        Self::Crashed,
        Self::Hung,
        Self::NotRun,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Conforms => "conforms",
            Self::KnownBug => "known bug",
            Self::Absent => "absent",
            Self::Deviates => "deviates",
            Self::Crashed => "crashed",
            Self::Hung => "hung",
            Self::NotRun => "not run",
        }
    }

    /// Its sign in tables: never colour alone.
    #[must_use]
    pub fn glyph(self) -> &'static str {
        match self {
            Self::Conforms => "✓",
            Self::KnownBug => "!",
            Self::Absent => "–",
            Self::Deviates => "✗",
            Self::Crashed => "†",
            Self::Hung => "∞",
            Self::NotRun => "?",
        }
    }

    /// How bad it is: of several verdicts on one thing, the one with the highest counts.
    #[must_use]
    pub fn severity(self) -> u8 {
        match self {
            Self::Conforms => 0,
            Self::Absent => 1,
            Self::KnownBug => 2,
            Self::NotRun => 3,
            Self::Hung => 4,
            Self::Crashed => 5,
            Self::Deviates => 6,
        }
    }

    /// Whether the verdict makes a run's exit status 1.
    #[must_use]
    pub fn fails(self) -> bool {
        matches!(self, Self::Deviates | Self::Crashed | Self::Hung | Self::NotRun)
    }
}

/// What names a result: one case on one kernel with one ABI and one JIT setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The kernel's name.
    pub kernel: String,
    /// The case's full name.
    pub case: String,
    /// The calling convention.
    pub abi: String,
    /// The JIT setting.
    pub jit: Jit,
}

/// The exit status of a run, and why it is that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exit {
    /// 0, 1, or 2 where the run was interrupted.
    pub status: u8,
    /// What makes it 1, worst first.
    pub reasons: Vec<Reason>,
    /// What would make it 1, had the baseline not had it.
    pub known: Vec<Reason>,
    /// What failed in the baseline and does not fail now.
    pub fixed: Vec<Row>,
    /// How many rows failed in the baseline and are not in this report.
    pub gone: usize,
    /// Whether there was a baseline.
    pub baseline: bool,
}

/// One thing that makes an exit status 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// What is wrong.
    pub why: Why,
    /// Of which result; absent where it is a whole kernel or the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Row>,
    /// One line on it.
    pub note: String,
}

/// What can be wrong, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The run did not come to its end.
    Incomplete,
    /// A kernel never booted.
    NeverBooted,
    /// The verdict.
    Deviates,
    /// The verdict.
    Crashed,
    /// The verdict.
    Hung,
    /// The verdict.
    NotRun,
    /// What was seen differs between repetitions.
    Differs,
    /// The verdict.
    KnownBug,
    /// The verdict.
    Absent,
}

impl Why {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "not at its end",
            Self::NeverBooted => "never booted",
            Self::Deviates => Verdict::Deviates.name(),
            Self::Crashed => Verdict::Crashed.name(),
            Self::Hung => Verdict::Hung.name(),
            Self::NotRun => Verdict::NotRun.name(),
            Self::Differs => "differs between repetitions",
            Self::KnownBug => Verdict::KnownBug.name(),
            Self::Absent => Verdict::Absent.name(),
        }
    }
}
