//! What a run is to do: which kernels, cases and JIT settings.

use crate::event::KernelInfo;
use crate::guests::Guests;
use crate::results::{CaseInfo, Jit};
use crate::shard::Shard;
use atlas_cases::{Body, Case, facts_text};
use atlas_model::traits::Traits;
use atlas_vm::kernels::Kernel;
use globset::{Glob, GlobSetBuilder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Which JIT settings are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JitChoice {
    /// Compiled filters.
    On,
    /// Interpreted filters.
    Off,
    /// Both, one after the other.
    #[default]
    Both,
}

impl JitChoice {
    /// The settings that it stands for, on a kernel that can or cannot switch.
    #[must_use]
    pub fn settings(self, switchable: bool) -> &'static [Jit] {
        match (switchable, self) {
            (false, _) => &[Jit::Fixed],
            (true, Self::On) => &[Jit::On],
            (true, Self::Off) => &[Jit::Off],
            (true, Self::Both) => &[Jit::On, Jit::Off],
        }
    }
}

/// What a run is to do.
pub struct Plan {
    /// The kernels, oldest first, with unique names.
    pub kernels: Vec<Kernel>,
    /// The cases.
    pub cases: Vec<&'static Case>,
    /// The share of a larger run that these cases are.
    pub shard: Option<Shard>,
    /// The JIT settings.
    pub jit: JitChoice,
    /// Where its guests come from.
    pub guests: Guests,
    /// How many guests run at once.
    pub jobs: usize,
    /// How long one case may take.
    pub limit: Duration,
    /// How often each case is asked.
    pub repeat: u32,
    /// Verdicts that are there already, from an earlier run: kernel, case, ABI, JIT.
    pub done: BTreeSet<(String, String, String, Jit)>,
}

/// A pattern that selects no case, or is none.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// Not a glob.
    #[error("`{pattern}` is not a pattern: {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        problem: String,
    },
    /// Nothing matches.
    #[error("no case matches `{0}`; `atlas run --list` shows them all")]
    Nothing(String),
}

/// The cases that patterns select: globs over `theme::case`; a theme's name alone selects all of it.
///
/// # Errors
/// [`SelectError`], for each pattern on its own: one that selects nothing is a mistake.
pub fn select(patterns: &[String], faults: bool) -> Result<Vec<&'static Case>, SelectError> {
    let mut all = atlas_cases::catalogue();
    if faults {
        all.extend(atlas_cases::faults::CASES);
    }
    if patterns.is_empty() {
        return Ok(all);
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let wrong = |error: globset::Error| SelectError::Pattern {
            pattern: pattern.clone(),
            problem: error.kind().to_string(),
        };
        let whole =
            if pattern.contains("::") { pattern.clone() } else { format!("{{{pattern},{pattern}::*}}") };
        let glob = Glob::new(&whole).map_err(wrong)?;
        let matcher = glob.compile_matcher();
        if !all.iter().any(|case| matcher.is_match(case.name)) {
            return Err(SelectError::Nothing(pattern.clone()));
        }
        set.add(glob);
    }
    let set = set
        .build()
        .map_err(|error| SelectError::Pattern { pattern: patterns.join(" "), problem: error.to_string() })?;
    Ok(all.into_iter().filter(|case| set.is_match(case.name)).collect())
}

impl Plan {
    /// The kernels as the stream of events names them.
    #[must_use]
    pub fn kernel_infos(&self) -> Vec<KernelInfo> {
        let info = |kernel: &Kernel| KernelInfo {
            name: kernel.name.clone(),
            series: kernel.series.to_string(),
            source: kernel.source.clone(),
            sha256: kernel.sha256.clone(),
        };
        self.kernels.iter().map(info).collect()
    }

    /// The cases as reports show them.
    #[must_use]
    pub fn case_infos(&self) -> Vec<CaseInfo> {
        self.cases.iter().map(|case| describe(case)).collect()
    }
}

/// A case as reports show it.
#[must_use]
pub fn describe(case: &Case) -> CaseInfo {
    let experiment = match case.body {
        Body::Experiment(make) => {
            let text = |abi| format!("calls by {abi}\n{}", make(abi).to_text());
            case.abis.iter().map(|&abi| text(abi)).collect::<Vec<_>>().join("\n")
        }
        Body::Given(experiment) => experiment.to_text(),
        Body::Choreography { expect, .. } => {
            let theme = case.name.split("::").next().unwrap_or_default();
            let facts = facts_text(&expect(&Traits::newest()));
            format!("code: cases/src/themes/{theme}.rs\nfacts it must report on the newest kernels:\n{facts}")
        }
    };
    CaseInfo { name: case.name.into(), about: case.about.into(), experiment }
}
