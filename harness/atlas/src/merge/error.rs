//! Why reports do not go together.

use crate::read::ReadError;
use crate::shard::Shard;

/// Reports that do not go together, or that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is none.
    #[error("there are no reports to merge")]
    Nothing,
    /// One cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It does not say of which catalogue it is.
    #[error("{leg} does not say of which catalogue it is: an older seccomp-atlas wrote it")]
    NoCatalogue {
        /// The report.
        leg: String,
    },
    /// Two builds wrote them.
    #[error("{} is of another {what} than {}: {} and {}", legs[1].0, legs[0].0, legs[1].1, legs[0].1)]
    Version {
        /// What differs.
        what: &'static str,
        /// The reports, and what each says.
        legs: Box<[(String, String); 2]>,
    },
    /// One case's name stands for two experiments.
    #[error("{case} is another experiment in {} than in {}", legs[1], legs[0])]
    Case {
        /// The case.
        case: String,
        /// The reports.
        legs: [String; 2],
    },
    /// One kernel's name stands for two kernels, or two ways to run one.
    #[error("{kernel} has another {what} in {} than in {}: {} and {}", legs[1].0, legs[0].0, legs[1].1, legs[0].1)]
    Kernel {
        /// The kernel.
        kernel: String,
        /// What differs.
        what: &'static str,
        /// The reports, and what each says.
        legs: Box<[(String, String); 2]>,
    },
    /// A probe answered in two ways, so that the verdicts rest on different traits.
    #[error("the trait {name} of {kernel} is {} in {} and {} in {}", legs[0].1, legs[0].0, legs[1].1, legs[1].0)]
    Trait {
        /// The kernel.
        kernel: String,
        /// The feature or quirk.
        name: String,
        /// The reports, and what each says.
        legs: Box<[(String, &'static str); 2]>,
    },
    /// One question was answered twice.
    #[error("{result} is in {} and in {}", legs[0], legs[1])]
    Twice {
        /// Kernel, case, ABI and JIT setting.
        result: String,
        /// The reports.
        legs: [String; 2],
    },
    /// A result that no table could show.
    #[error("{leg} has a result of a kernel or case that it does not list: {result}")]
    Stray {
        /// The report.
        leg: String,
        /// Kernel, case, ABI and JIT setting.
        result: String,
    },
    /// Shards of two partitions.
    #[error(
        "{kernel} has shard {} from {} and shard {} from {}: they are parts of different wholes",
        legs[0].1, legs[0].0, legs[1].1, legs[1].0
    )]
    Shards {
        /// The kernel.
        kernel: String,
        /// The reports, and their shards.
        legs: Box<[(String, Shard); 2]>,
    },
}
