//! What each kernel lacks, and what a cell of the timeline says.

use super::wording::timeline;
use crate::results::{KernelReport, ProbeKind, ProbeResult, Timeline};

/// What one kernel lacks or does otherwise than the newest.
pub(crate) struct Lacks<'a> {
    /// Its place in the report.
    pub(crate) kernel: usize,
    /// One group a kind; none that is empty.
    pub(crate) groups: Vec<Group<'a>>,
}

/// What one kernel lacks of one kind.
pub(crate) struct Group<'a> {
    /// Such as `lacks`.
    pub(crate) title: &'static str,
    /// The answers, in the order of the probes.
    pub(crate) probes: Vec<&'a ProbeResult>,
}

/// What every kernel that was probed lacks, the kernels in the report's order.
pub(crate) fn lacks(kernels: &[KernelReport]) -> Vec<Lacks<'_>> {
    const KINDS: [(ProbeKind, &str); 3] = [
        (ProbeKind::Feature, "Features that it lacks"),
        (ProbeKind::Bug, "Bugs that it has"),
        (ProbeKind::Change, "Changes that it shows"),
    ];
    let mut found = Vec::new();
    for (at, kernel) in kernels.iter().enumerate().filter(|(_, kernel)| !kernel.probes.is_empty()) {
        let mut groups = Vec::new();
        for (kind, title) in KINDS {
            let of_kind = |probe: &&ProbeResult| probe.kind == kind && lacking(probe);
            let probes: Vec<&ProbeResult> = kernel.probes.iter().filter(of_kind).collect();
            if !probes.is_empty() {
                groups.push(Group { title, probes });
            }
        }
        let probes: Vec<&ProbeResult> =
            kernel.probes.iter().filter(|probe| probe.present.is_none()).collect();
        if !probes.is_empty() {
            groups.push(Group { title: "What its probes could not tell", probes });
        }
        found.push(Lacks { kernel: at, groups });
    }
    found
}

/// Whether the answer is one that somebody who ships a sandbox has to know of: a feature is not there, or a
/// quirk is.
pub(crate) fn lacking(probe: &ProbeResult) -> bool {
    probe.present == Some(probe.kind != ProbeKind::Feature)
}

/// What the kernel does, that lacks a feature or has a quirk.
pub(crate) fn does(probe: &ProbeResult) -> &str {
    if probe.kind == ProbeKind::Feature && !probe.instead.is_empty() { &probe.instead } else { &probe.about }
}

/// The answer held against mainline, in a word; empty where it is as mainline.
pub(crate) fn word(answer: Option<&ProbeResult>) -> &'static str {
    match answer {
        None => "not probed",
        Some(probe) if probe.timeline == Timeline::AsMainline => "",
        Some(probe) => timeline(probe.timeline),
    }
}
