//! Files in and out.

use crate::bench::results::{Bench, SCHEMA};
use crate::bounded;
use crate::cli::Failure;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How long a file of figures, weights or text may be, in bytes.
const LONGEST: u64 = 64 << 20;

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let cannot = |why: &dyn std::fmt::Display| format!("cannot read {}: {why}", path.display());
    let bytes = bounded::read(path, LONGEST).map_err(|error| cannot(&error))?;
    let bytes = bytes.ok_or_else(|| cannot(&format!("it is longer than {} MiB", LONGEST >> 20)))?;
    Ok(String::from_utf8(bytes).map_err(|error| cannot(&error))?)
}

/// Figures that were written earlier.
pub(super) fn stored(path: &Path) -> Result<Bench, Failure> {
    let bench: Bench = serde_json::from_str(&read(path)?)
        .map_err(|error| format!("{} is no JSON of `atlas bench`: {error}", path.display()))?;
    if bench.schema == SCHEMA {
        Ok(bench)
    } else {
        let version = bench.schema;
        Err(format!("{} is of version {version}, and this is version {SCHEMA}; measure anew", path.display())
            .into())
    }
}

/// The figures of the first file, with the spreads of all.
pub(super) fn together(paths: &[PathBuf]) -> Result<Bench, Failure> {
    let mut all = paths.iter().map(|path| stored(path)).collect::<Result<Vec<_>, _>>()?.into_iter();
    let mut first = all.next().ok_or("no file to show")?;
    all.for_each(|other| first.take_spreads(&other));
    Ok(first)
}

/// The day, in UTC.
pub(super) fn today() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}
