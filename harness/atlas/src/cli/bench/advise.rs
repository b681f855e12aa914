//! `--weights`.

use super::files::read;
use crate::bench::compilers::{self, COMPILERS};
use crate::bench::given::Given;
use crate::bench::weights::{self, Weights};
use crate::cli::Failure;
use std::path::Path;

/// What the filters do for a program's calls, and which order of rules would be cheaper: of the user's own,
/// or else of the samples as libseccomp has them.
pub(super) fn advise(file: &Path, own: &[Given]) -> Result<String, Failure> {
    let weights = Weights::parse(&read(file)?).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut text = String::new();
    for source in own {
        for (compiler, filter) in &source.filters {
            let by = compiler.map(|compiler| format!("/{compiler}")).unwrap_or_default();
            let name = format!("{}{by}", source.name);
            text += &weights::in_words(&name, &weights::advise(filter, &weights));
        }
    }
    if own.is_empty() {
        let (compiler, compile) = COMPILERS[0];
        for sample in compilers::samples() {
            let Ok(filter) = compile(&sample.policy) else { continue };
            let name = format!("{}/{compiler}", sample.name);
            text += &weights::in_words(&name, &weights::advise(&filter, &weights));
        }
    }
    Ok(text)
}
