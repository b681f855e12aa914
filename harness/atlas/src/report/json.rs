//! JSON for scripts, and its schema.

use super::{RenderError, Renderer};
use crate::results::Report;

/// The report as indented JSON: [`Report`] itself, field by field. The committed schema is
/// `docs/report.schema.json`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Renderer for Json {
    fn render(&self, report: &Report) -> Result<String, RenderError> {
        Ok(serde_json::to_string_pretty(report)? + "\n")
    }
}

/// The JSON Schema of [`Report`], as `docs/report.schema.json` holds it.
///
/// # Errors
///
/// [`RenderError::Json`] where the JSON library refuses, which it has no cause to.
pub fn schema() -> Result<String, RenderError> {
    let schema = schemars::schema_for!(Report);
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}
