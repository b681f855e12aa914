//! Going on with a run that was interrupted.

use super::Failure;
use super::place::kernels;
use crate::event::{Event, KernelInfo, Wanted};
use crate::plan::{JitChoice, select};
use crate::results::{Jit, Verdict};
use crate::shard::Shard;
use crate::store;
use atlas_cases::Case;
use atlas_vm::kernels::{Kernel, Store};
use std::collections::BTreeSet;
use std::path::Path;

/// Questions that are answered: kernel, case, ABI, JIT setting.
type Done = BTreeSet<(String, String, String, Jit)>;

/// What an interrupted run has left in its directory.
pub(super) struct Earlier {
    /// What it answered. Questions at which a guest was lost or that were not run are asked again.
    pub(super) done: Done,
    pub(super) events: Vec<Event>,
    cases: BTreeSet<String>,
    kernels: Vec<KernelInfo>,
    /// The share of the cases that it was.
    pub(super) shard: Option<Shard>,
    /// `None` in directories of older versions.
    jit: Option<JitChoice>,
    /// As `jit`.
    wanted: Option<Wanted>,
    directory: String,
}

impl Earlier {
    /// Reads it. Its cases must have been asked as often as is wanted now: one report says one thing of all.
    pub(super) fn read(directory: &Path, repeat: u32) -> Result<Self, Failure> {
        let mut events = Vec::new();
        store::replay(directory, &mut |event: &Event| events.push(event.clone()))?;
        let wanted = |event: &Event| match event {
            Event::CaseFinished(result) => Some(result.repetitions.map_or(1, |counts| counts.wanted)),
            _ => None,
        };
        let directory = directory.display().to_string();
        if let Some(asked) = events.iter().filter_map(wanted).find(|&asked| asked != repeat) {
            return Err(format!(
                "the run in {directory} was to ask each case {asked} times, and this one {repeat}: go on with \
                 --repeat {asked}, or give this one a directory of its own with --out"
            )
            .into());
        }
        let started = events.iter().find_map(|event| match event {
            Event::RunStarted { cases, kernels, shard, jit, .. } => {
                Some((cases.clone(), kernels.clone(), *shard, *jit))
            }
            _ => None,
        });
        // An older version that began it did not say.
        let wanted = events.iter().find_map(|event| match event {
            Event::RunStarted { wanted, .. } => wanted.clone(),
            _ => None,
        });
        let (cases, kernels, shard, jit) = started.ok_or_else(|| {
            format!("the run in {directory} never began: leave --resume out and it begins anew")
        })?;
        let settled = |verdict| !matches!(verdict, Verdict::Crashed | Verdict::Hung | Verdict::NotRun);
        let done = events.iter().filter_map(|event| match event {
            Event::CaseFinished(result) if settled(result.verdict) => {
                Some((result.kernel.clone(), result.case.clone(), result.abi.clone(), result.jit))
            }
            _ => None,
        });
        let done = done.collect();
        let cases = cases.into_iter().map(|case| case.name).collect();
        Ok(Self { done, events, cases, kernels, shard, jit, wanted, directory })
    }

    /// The cases that it was to ask.
    pub(super) fn cases(&self) -> Result<Vec<&'static Case>, Failure> {
        let mut all = select(&[], true)?;
        all.retain(|case| self.cases.contains(case.name));
        self.same_cases(&all, "give --experiment as it was given then")?;
        Ok(all)
    }

    /// Makes sure that these are the cases that it was to ask; else there is something to `do_instead`.
    pub(super) fn same_cases(&self, cases: &[&Case], do_instead: &str) -> Result<(), Failure> {
        let these = cases.iter().map(|case| case.name).collect();
        self.same("cases", &these, &self.cases.iter().map(String::as_str).collect(), do_instead)
    }

    /// The kernels that it was to ask, by their names; an image from elsewhere has to be named again.
    pub(super) fn kernels(&self, store: &Store) -> Result<Vec<Kernel>, Failure> {
        let again = "give --kernel as it was given then";
        let names: Vec<String> = self.kernels.iter().map(|kernel| kernel.name.clone()).collect();
        let found =
            kernels(store, &names).map_err(|why| format!("{why}; to go on with that run, {again}"))?;
        self.same_kernels(&found, again)?;
        Ok(found)
    }

    /// Makes sure that these are the kernels that it was to ask, and the same images.
    pub(super) fn same_kernels(&self, kernels: &[Kernel], do_instead: &str) -> Result<(), Failure> {
        let these = kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        let those = self.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        self.same("kernels", &these, &those, do_instead)?;
        // Both are in the order of `place::kernels`.
        let is_another = |(now, then): &(&Kernel, &KernelInfo)| now.sha256 != then.sha256;
        match kernels.iter().zip(&self.kernels).find(is_another) {
            Some((kernel, _)) => Err(self.another(&format!("another image of {}", kernel.name), do_instead)),
            None => Ok(()),
        }
    }

    /// Makes sure that what is asked now is what it was to ask.
    fn same(
        &self,
        what: &str,
        these: &BTreeSet<&str>,
        those: &BTreeSet<&str>,
        do_instead: &str,
    ) -> Result<(), Failure> {
        let Some(odd) = these.symmetric_difference(those).next() else { return Ok(()) };
        let whose = if these.contains(odd) { "this one asks" } else { "it asks" };
        let how = format!("{} {what}, this one {}; {whose} {odd}", those.len(), these.len());
        Err(self.another(&how, do_instead))
    }

    /// The JIT settings that it was to ask under; those that are given must be these.
    pub(super) fn jit(&self, given: Option<JitChoice>) -> Result<JitChoice, Failure> {
        match (self.jit, given) {
            (Some(was), Some(now)) if was != now => {
                Err(self.another("other JIT settings", "leave --jit out to go on with it"))
            }
            (was, now) => Ok(was.or(now).unwrap_or_default()),
        }
    }

    /// What its guests were to be; words and CPU models that are given must be these.
    pub(super) fn wanted(&self, given: Wanted) -> Result<Wanted, Failure> {
        let Some(was) = &self.wanted else { return Ok(given) };
        if ![&[][..], &was.append].contains(&&given.append[..]) {
            return Err(self.another("other words for the kernels", "leave --append out to go on with it"));
        }
        if ![&[][..], &was.cpus].contains(&&given.cpus[..]) {
            return Err(self.another("another CPU model", "leave --cpu out to go on with it"));
        }
        Ok(was.clone())
    }

    fn another(&self, how: &str, do_instead: &str) -> Failure {
        let directory = &self.directory;
        format!(
            "the run in {directory} is another one, of {how}: {do_instead}, or give this one a directory of its own with \
             --out"
        )
        .into()
    }
}
