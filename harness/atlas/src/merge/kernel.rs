//! One kernel of two reports.

use super::MergeError;
use crate::results::{KernelReport, ProbeResult};
use std::collections::HashMap;

/// Adds what another report says of a kernel.
pub(super) fn join(
    known: &mut KernelReport,
    from: &str,
    other: &KernelReport,
    leg: &str,
) -> Result<(), MergeError> {
    let differ = |what, of: fn(&KernelReport) -> &String| {
        let (one, two) = (of(known), of(other));
        // Nothing is said of a kernel that did not boot.
        if one == two || one.is_empty() || two.is_empty() {
            return Ok(());
        }
        let legs = Box::new([(from.to_owned(), one.clone()), (leg.to_owned(), two.clone())]);
        Err(MergeError::Kernel { kernel: other.name.clone(), what, legs })
    };
    differ("image", |kernel| &kernel.sha256)?;
    differ("series", |kernel| &kernel.series)?;
    differ("release", |kernel| &kernel.release)?;
    differ("accelerator", |kernel| &kernel.accelerator)?;
    differ("CPU", |kernel| &kernel.cpu)?;
    let booted = |kernel: &KernelReport| !kernel.release.is_empty();
    match (booted(known) && !known.probes.is_empty(), booted(other) && !other.probes.is_empty()) {
        (true, true) => {
            same_traits(known, from, other, leg)?;
            if known.jit != other.jit {
                known.jit = format!("{} / {}", known.jit, other.jit);
            }
        }
        (false, true) => {
            known.jit.clone_from(&other.jit);
            known.probes.clone_from(&other.probes);
        }
        (_, false) => {}
    }
    for (mine, theirs) in [
        (&mut known.release, &other.release),
        (&mut known.accelerator, &other.accelerator),
        (&mut known.cpu, &other.cpu),
        (&mut known.jit, &other.jit),
    ] {
        if mine.is_empty() {
            mine.clone_from(theirs);
        }
    }
    known.faults.extend(other.faults.iter().cloned());
    if !other.console.is_empty() {
        known.console.clone_from(&other.console);
    }
    Ok(())
}

/// What the model was told of a kernel must be the same for all its results.
fn same_traits(one: &KernelReport, from: &str, other: &KernelReport, leg: &str) -> Result<(), MergeError> {
    let answers = |kernel: &KernelReport| -> HashMap<String, &'static str> {
        kernel.probes.iter().map(|probe| (probe.feature.clone(), answer(probe))).collect()
    };
    let (mine, theirs) = (answers(one), answers(other));
    for probe in one.probes.iter().chain(&other.probes) {
        let name = &probe.feature;
        let of = |answers: &HashMap<String, &'static str>| answers.get(name).copied().unwrap_or("not probed");
        if of(&mine) != of(&theirs) {
            let legs = Box::new([(from.to_owned(), of(&mine)), (leg.to_owned(), of(&theirs))]);
            return Err(MergeError::Trait { kernel: one.name.clone(), name: name.clone(), legs });
        }
    }
    Ok(())
}

fn answer(probe: &ProbeResult) -> &'static str {
    match probe.present {
        Some(true) => "there",
        Some(false) => "not there",
        None => "not known",
    }
}
