//! The figures as plain data: the JSON contract, whose schema is `docs/bench.schema.json`.

use crate::results::Jit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the JSON. Raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 2;

/// A whole benchmark. Equal inputs give equal bytes of [`Bench::exact`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bench {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of seccomp-atlas.
    pub tool: String,
    /// First line of `qemu-system-* --version`.
    pub qemu: String,
    /// More words on the kernels' command lines.
    pub append: Vec<String>,
    /// The kernels, oldest first.
    pub kernels: Vec<KernelBench>,
}

/// One kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelBench {
    /// Its name.
    pub name: String,
    /// `uname -r`; empty when it did not boot.
    pub release: String,
    /// The CPU model it ran on.
    pub cpu: String,
    /// Why there are no figures, where there are none.
    pub problem: Option<String>,
    /// The figures by setting of the JIT.
    pub legs: Vec<Leg>,
    /// What attaching a filter changes in the mitigations of speculation.
    pub mitigations: Vec<Mitigation>,
}

/// The figures of one kernel with one setting of the JIT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leg {
    /// The setting.
    pub jit: Jit,
    /// Exact figures.
    pub rows: Vec<Row>,
    /// The rows as a sum of parts; absent when they were not all measured.
    pub fit: Option<Fit>,
    /// What is not one figure, and may differ between runs by some instructions. Not there in what
    /// `--json` writes; `--spreads` writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spreads: Vec<Spread>,
}

/// One exact figure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its name, such as `compares/100`.
    pub name: String,
    /// Instructions of the filters together.
    pub length: u32,
    /// How many of them run for this call, as the model says.
    pub steps: u32,
    /// How often it was counted.
    pub rounds: u32,
    /// How many instructions the machine executes, from the one that enters the kernel to the one after
    /// it. Absent where it was not the same in every round but for a tenth, or was not to be had: the note
    /// says why.
    pub instructions: Option<u64>,
    /// How many more that is than the same call takes without a filter; absent where that was not measured.
    pub over: Option<i64>,
    /// Why there is no figure; empty where there is one.
    pub note: String,
}

/// A distribution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// Its name, such as `load/4096`.
    pub name: String,
    /// Instructions of the filter.
    pub length: u32,
    /// How often it was counted.
    pub rounds: u32,
    /// The fewest instructions that a round took.
    pub min: u64,
    /// A tenth of the rounds took this many or fewer.
    pub p10: u64,
    /// Half of them.
    pub p50: u64,
    /// Nine tenths of them.
    pub p90: u64,
    /// Why there are no figures; empty where there are.
    pub note: String,
}

/// The cost of a call behind filters as a sum: `call + entry + filters × (filter + compares × compare)`.
/// Of whole numbers: where a row does not fit, the residual says by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fit {
    /// The call without filters.
    pub call: i64,
    /// For having filters at all.
    pub entry: i64,
    /// For each filter, its load of an argument and its return included.
    pub filter: i64,
    /// For each compare.
    pub compare: i64,
    /// The most by which a row is off.
    pub residual: i64,
}

/// What attaching a filter changed in the mitigations of speculation, on a processor model that the
/// kernel takes for vulnerable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mitigation {
    /// The CPU model.
    pub cpu: String,
    /// Whether the filter was attached with `SECCOMP_FILTER_FLAG_SPEC_ALLOW`.
    pub spec_allow: bool,
    /// What the kernel says of the processor and speculative store bypass.
    pub vulnerability: String,
    /// `PR_GET_SPECULATION_CTRL` of store bypass before and after: the bits, or the errno negated.
    pub store_bypass: [i64; 2],
    /// The same of indirect branches.
    pub indirect_branch: [i64; 2],
    /// `Speculation_Store_Bypass` in `/proc/self/status` before and after.
    pub status: [String; 2],
    /// Why nothing is known; empty where something is.
    pub note: String,
}

impl Leg {
    /// A row's figure.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<u64> {
        self.rows.iter().find(|row| row.name == name)?.instructions
    }
}

impl Bench {
    /// Without what is not the same in every run.
    #[must_use]
    pub fn exact(&self) -> Self {
        self.with_legs(|leg| leg.spreads.clear())
    }

    /// What is not the same in every run, alone.
    #[must_use]
    pub fn spreads(&self) -> Self {
        self.with_legs(|leg| (leg.rows, leg.fit) = (vec![], None))
    }

    fn with_legs(&self, mut change: impl FnMut(&mut Leg)) -> Self {
        let mut bench = self.clone();
        bench.kernels.iter_mut().flat_map(|kernel| &mut kernel.legs).for_each(&mut change);
        bench
    }

    /// Takes in the spreads of another, by kernel and setting of the JIT.
    pub fn take_spreads(&mut self, other: &Self) {
        for kernel in &mut self.kernels {
            let Some(from) = other.kernels.iter().find(|from| from.name == kernel.name) else { continue };
            for leg in &mut kernel.legs {
                let from = from.legs.iter().find(|from| from.jit == leg.jit);
                leg.spreads.extend(from.into_iter().flat_map(|from| from.spreads.clone()));
            }
        }
    }

    /// As indented JSON.
    ///
    /// # Errors
    /// What the JSON library says, which has no cause to.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The JSON Schema, as `docs/bench.schema.json` holds it.
    ///
    /// # Errors
    /// What the JSON library says, which has no cause to.
    pub fn json_schema() -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(&schemars::schema_for!(Self))? + "\n")
    }
}
