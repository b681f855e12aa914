//! Events folded into a report. The same code serves a run under way, a finished one, and a stored
//! one that is replayed.

use crate::event::{Event, Sink};
use crate::results::{CaseResult, Host, KernelReport, Report, SCHEMA};
use std::collections::BTreeMap;

/// Where an ABI's name stands in reports.
pub(crate) fn abi_rank(abi: &str) -> usize {
    atlas_model::Abi::ALL.iter().position(|other| other.name() == abi).unwrap_or(usize::MAX)
}

/// Takes events and keeps the report that they make.
#[derive(Clone, Debug)]
pub struct Fold {
    report: Report,
    /// A later verdict on the same question replaces the earlier one.
    results: BTreeMap<(usize, usize, usize, crate::results::Jit), CaseResult>,
}

impl Default for Fold {
    fn default() -> Self {
        let report = Report {
            schema: SCHEMA,
            tool: String::new(),
            catalogue: String::new(),
            shard: None,
            host: Host::default(),
            kernels: Vec::new(),
            cases: Vec::new(),
            results: Vec::new(),
            complete: false,
            exit: None,
        };
        Self { report, results: BTreeMap::new() }
    }
}

impl Fold {
    /// The report of everything taken so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = self.report.clone();
        report.results = self.results.values().cloned().collect();
        report
    }

    /// Keeps a verdict, unless it is of a kernel or case that the run does not have.
    fn keep(&mut self, result: CaseResult) {
        let kernel = self.report.kernels.iter().position(|kernel| kernel.name == result.kernel);
        let case = self.report.cases.iter().position(|case| case.name == result.case);
        if let (Some(kernel), Some(case)) = (kernel, case) {
            self.results.insert((kernel, case, abi_rank(&result.abi), result.jit), result);
        }
    }

    fn kernel(&mut self, name: &str) -> Option<&mut KernelReport> {
        self.report.kernels.iter_mut().find(|kernel| kernel.name == name)
    }
}

impl Sink for Fold {
    fn take(&mut self, event: &Event) {
        match event {
            Event::RunStarted { tool, catalogue, shard, host, cases, kernels, jit: _, wanted: _ } => {
                self.report.tool.clone_from(tool);
                self.report.catalogue.clone_from(catalogue);
                self.report.shard = *shard;
                self.report.host = host.clone();
                self.report.cases.clone_from(cases);
                let fresh = |info: &crate::event::KernelInfo| KernelReport {
                    name: info.name.clone(),
                    release: String::new(),
                    series: info.series.clone(),
                    source: info.source.clone(),
                    sha256: info.sha256.clone(),
                    accelerator: String::new(),
                    cpu: String::new(),
                    jit: String::new(),
                    probes: Vec::new(),
                    faults: Vec::new(),
                    console: String::new(),
                };
                // A resumed run starts again with the same kernels.
                let known = std::mem::take(&mut self.report.kernels);
                let of = |info: &str| known.iter().find(|kernel| kernel.name == info).cloned();
                self.report.kernels =
                    kernels.iter().map(|info| of(&info.name).unwrap_or_else(|| fresh(info))).collect();
                // It may have other cases, and then the places of what is there have changed.
                for result in std::mem::take(&mut self.results).into_values() {
                    self.keep(result);
                }
            }
            Event::KernelBooted { kernel, release, accelerator, cpu } => {
                if let Some(kernel) = self.kernel(kernel) {
                    kernel.release.clone_from(release);
                    kernel.accelerator.clone_from(accelerator);
                    kernel.cpu.clone_from(cpu);
                }
            }
            Event::KernelProbed { kernel, jit, probes, .. } => {
                if let Some(kernel) = self.kernel(kernel) {
                    kernel.jit.clone_from(jit);
                    kernel.probes.clone_from(probes);
                }
            }
            Event::CaseFinished(result) => self.keep((**result).clone()),
            Event::GuestLost { kernel, reason, console } => {
                if let Some(kernel) = self.kernel(kernel) {
                    kernel.faults.push(reason.clone());
                    kernel.console.clone_from(console);
                }
            }
            Event::RunFinished { complete } => self.report.complete = *complete,
            // A guest came all the same.
            Event::TemplateTrouble { .. } => {}
            Event::KernelBooting { .. } | Event::KernelFinished { .. } => {}
        }
    }
}
