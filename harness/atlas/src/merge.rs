//! Reports of several runs put together into one.
//!
//! The legs of a CI matrix each run some kernels, or a [`Shard`] of the cases. What they found is one
//! report if they ran the same catalogue, each question was asked once, and shards of one kernel found
//! the same traits in it. The merged shards of a run are, but for what differs from run to run anyway,
//! the report of the whole run.

mod error;
mod kernel;

pub use error::MergeError;

use crate::catalogue;
use crate::fold::abi_rank;
use crate::read::read;
use crate::results::{CaseInfo, CaseResult, Host, KernelReport, Report, SCHEMA};
use crate::shard::Shard;
use atlas_model::traits::Series;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// A report to be merged, and what to call it.
#[derive(Clone, Debug)]
pub struct Leg {
    /// Where it came from, for errors.
    pub name: String,
    /// The report.
    pub report: Report,
}

/// Several reports as one.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The report. It is not complete where a leg is not or where something is missing.
    pub report: Report,
    /// What is missing, a sentence each.
    pub missing: Vec<String>,
}

impl Leg {
    /// Reads a JSON report, or the results that a directory keeps.
    ///
    /// # Errors
    /// [`MergeError`], where there is no report, or one of another schema.
    pub fn read(path: &Path) -> Result<Self, MergeError> {
        Ok(Self { name: path.display().to_string(), report: read(path)? })
    }
}

/// Makes one report of several. Their order does not matter.
///
/// # Errors
/// [`MergeError`], where they do not belong together.
pub fn merge(mut legs: Vec<Leg>) -> Result<Merged, MergeError> {
    legs.sort_by(|one, other| {
        let key = |leg: &Leg| leg.report.shard.map(Shard::number);
        key(one).cmp(&key(other)).then_with(|| one.name.cmp(&other.name))
    });
    let Some(first) = legs.first() else { return Err(MergeError::Nothing) };
    for leg in &legs[1..] {
        same_catalogue(first, leg)?;
    }
    let kernels = kernels(&legs)?;
    let cases = cases(&legs)?;
    let results = results(&legs, &kernels, &cases)?;
    let shard = first.report.shard.filter(|_| legs.iter().all(|leg| leg.report.shard == first.report.shard));
    let missing = if shard.is_some() { Vec::new() } else { missing(&legs, &kernels)? };
    let report = Report {
        schema: SCHEMA,
        tool: first.report.tool.clone(),
        catalogue: first.report.catalogue.clone(),
        shard,
        host: host(&legs),
        kernels,
        cases,
        results,
        complete: missing.is_empty() && legs.iter().all(|leg| leg.report.complete),
        exit: None,
    };
    Ok(Merged { report, missing })
}

/// Whether two legs were run by one build, as far as reports show.
fn same_catalogue(one: &Leg, other: &Leg) -> Result<(), MergeError> {
    let what = |what, of: fn(&Report) -> &String| MergeError::Version {
        what,
        legs: Box::new([one, other].map(|leg| (leg.name.clone(), of(&leg.report).clone()))),
    };
    if let Some(leg) = [one, other].into_iter().find(|leg| leg.report.catalogue.is_empty()) {
        return Err(MergeError::NoCatalogue { leg: leg.name.clone() });
    }
    if one.report.tool != other.report.tool {
        return Err(what("version of seccomp-atlas", |report| &report.tool));
    }
    if one.report.catalogue != other.report.catalogue {
        return Err(what("catalogue", |report| &report.catalogue));
    }
    Ok(())
}

/// The kernels, oldest first, as a run orders them.
fn kernels(legs: &[Leg]) -> Result<Vec<KernelReport>, MergeError> {
    let mut kernels: Vec<(&Leg, KernelReport)> = Vec::new();
    for leg in legs {
        for kernel in &leg.report.kernels {
            match kernels.iter_mut().find(|(_, known)| known.name == kernel.name) {
                Some((from, known)) => kernel::join(known, &from.name, kernel, &leg.name)?,
                None => kernels.push((leg, kernel.clone())),
            }
        }
    }
    let mut kernels: Vec<KernelReport> = kernels.into_iter().map(|(_, kernel)| kernel).collect();
    // A series that is none comes last.
    kernels.sort_by_cached_key(|kernel| {
        let series = kernel.series.parse::<Series>();
        (series.is_err(), series.ok(), kernel.name.clone())
    });
    Ok(kernels)
}

/// The cases in the order of the catalogue, or, where they are not of this build's, as shards and legs
/// order them.
fn cases(legs: &[Leg]) -> Result<Vec<CaseInfo>, MergeError> {
    let ours = legs.iter().all(|leg| leg.report.catalogue == catalogue::digest());
    let mut known: HashMap<&str, (&Leg, &CaseInfo)> = HashMap::new();
    let mut cases = Vec::new();
    for leg in legs {
        for (at, case) in leg.report.cases.iter().enumerate() {
            if let Some((from, other)) = known.insert(&case.name, (leg, case)) {
                if other != case {
                    let legs = [from.name.clone(), leg.name.clone()];
                    return Err(MergeError::Case { case: case.name.clone(), legs });
                }
                continue;
            }
            let place = if ours { catalogue::place(&case.name) } else { None };
            let at = leg.report.shard.map_or(at, |shard| shard.place(at));
            cases.push((place.unwrap_or(usize::MAX), at, case));
        }
    }
    cases.sort_by_key(|&(place, at, _)| (place, at));
    Ok(cases.into_iter().map(|(_, _, case)| case.clone()).collect())
}

/// The verdicts, ordered as [`Report::results`] says.
fn results(
    legs: &[Leg],
    kernels: &[KernelReport],
    cases: &[CaseInfo],
) -> Result<Vec<CaseResult>, MergeError> {
    let kernel: HashMap<&str, usize> =
        kernels.iter().zip(0..).map(|(kernel, at)| (&*kernel.name, at)).collect();
    let case: HashMap<&str, usize> = cases.iter().zip(0..).map(|(case, at)| (&*case.name, at)).collect();
    let mut results: BTreeMap<_, (&Leg, &CaseResult)> = BTreeMap::new();
    for leg in legs {
        for result in &leg.report.results {
            let what = || format!("{} {} {} {}", result.kernel, result.case, result.abi, result.jit.name());
            let (Some(&kernel), Some(&case)) = (kernel.get(&*result.kernel), case.get(&*result.case)) else {
                return Err(MergeError::Stray { leg: leg.name.clone(), result: what() });
            };
            let key = (kernel, case, abi_rank(&result.abi), &*result.abi, result.jit);
            if let Some((other, _)) = results.insert(key, (leg, result)) {
                return Err(MergeError::Twice {
                    result: what(),
                    legs: [other.name.clone(), leg.name.clone()],
                });
            }
        }
    }
    Ok(results.into_values().map(|(_, result)| result.clone()).collect())
}

/// Which shards of a kernel's cases nobody brought.
fn missing(legs: &[Leg], kernels: &[KernelReport]) -> Result<Vec<String>, MergeError> {
    let mut missing = Vec::new();
    for kernel in kernels {
        let mut shards: Vec<(&Leg, Shard)> = Vec::new();
        for leg in legs.iter().filter(|leg| leg.report.kernels.iter().any(|known| known.name == kernel.name))
        {
            shards.extend(leg.report.shard.map(|shard| (leg, shard)));
        }
        let Some(&(first, shard)) = shards.first() else { continue };
        if let Some((other, otherwise)) = shards.iter().find(|(_, other)| other.of() != shard.of()) {
            return Err(MergeError::Shards {
                kernel: kernel.name.clone(),
                legs: Box::new([(first.name.clone(), shard), (other.name.clone(), *otherwise)]),
            });
        }
        let there: BTreeSet<usize> = shards.iter().map(|(_, shard)| shard.number()).collect();
        for number in (1..=shard.of()).filter(|number| !there.contains(number)) {
            missing.push(format!("shard {number}/{} of {} is missing", shard.of(), kernel.name));
        }
    }
    Ok(missing)
}

/// The machines that ran the legs: where they differ, each once.
fn host(legs: &[Leg]) -> Host {
    let words = |of: fn(&Host) -> &String| {
        let mut words: Vec<&str> = Vec::new();
        for leg in legs {
            let word = of(&leg.report.host).as_str();
            if !words.contains(&word) {
                words.push(word);
            }
        }
        words.join(" / ")
    };
    Host {
        arch: words(|host| &host.arch),
        cpus: legs.iter().map(|leg| leg.report.host.cpus).max().unwrap_or_default(),
        qemu: words(|host| &host.qemu),
        kvm: words(|host| &host.kvm),
    }
}
