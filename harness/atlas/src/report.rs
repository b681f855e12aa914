//! Results shown to people and machines.
//!
//! Every format reads the same [`Report`] and nothing else, so that no two of them can disagree,
//! and equal reports give equal bytes: no clock, no map order, no width of the caller's terminal.
//! [`Renderer`] is the one trait, with one file a format:
//!
//! | format | for | renderer |
//! | --- | --- | --- |
//! | terminal | people at a prompt, 100 columns | [`Terminal`] |
//! | Markdown | a CI job's summary, length-limited | [`Markdown`] |
//! | HTML | people who want the evidence; one self-contained page without script | [`Html`] |
//! | JSON | scripts; the schema is `docs/report.schema.json` | [`Json`] |
//! | JUnit XML | CI systems | [`Junit`] |
//! | KTAP | kernel CI | [`Ktap`] |
//!
//! Text that came from a guest is hostile: each format escapes it, and control and bidirectional
//! formatting characters are made visible rather than obeyed.
//!
//! ```
//! use seccomp_atlas::report::{Format, render, summary};
//! # use seccomp_atlas::results::{Report, SCHEMA, Host};
//! let report = Report {
//!     schema: SCHEMA,
//!     tool: "0.1.0".into(),
//!     catalogue: String::new(),
//!     shard: None,
//!     host: Host::default(),
//!     kernels: vec![],
//!     cases: vec![],
//!     results: vec![],
//!     complete: true,
//!     exit: None,
//! };
//! assert_eq!(summary(&report).headline, "nothing to report: no kernels and no cases");
//! assert!(render(&report, Format::Markdown)?.starts_with("# seccomp-atlas"));
//! # Ok::<(), seccomp_atlas::report::RenderError>(())
//! ```

mod exits;
mod html;
mod json;
mod junit;
mod ktap;
mod lacks;
mod lines;
mod mark;
mod markdown;
mod matrix;
pub(crate) mod safe;
mod summary;
mod terminal;
pub(crate) mod wording;

pub use html::Html;
pub use json::{Json, schema};
pub use junit::Junit;
pub use ktap::Ktap;
pub use markdown::Markdown;
pub use summary::{
    Failure, JitDifference, KernelSummary, QuirkUse, Retired, Summary, Tally, TimelineNote, summary,
};
pub use terminal::{Terminal, TerminalTimeline};

use crate::results::Report;

/// A format that a report can be written in.
pub trait Renderer {
    /// The whole report in this format, ending in a newline. Where it goes, be it a file or
    /// standard output, is the caller's business.
    ///
    /// # Errors
    ///
    /// [`RenderError`] where the format's own library refuses. No content of a report makes it
    /// do so: an error is a fault of the renderer.
    fn render(&self, report: &Report) -> Result<String, RenderError>;
}

/// The formats, with the settings that suit most callers. Others make the renderer themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// [`Terminal`], in colour: to be printed through `anstream`.
    Terminal,
    /// [`Markdown`] that fits a step's summary.
    Markdown,
    /// [`Json`].
    Json,
    /// [`Junit`].
    Junit,
    /// [`Ktap`].
    Ktap,
    /// [`Html`].
    Html,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] =
        [Self::Terminal, Self::Markdown, Self::Json, Self::Junit, Self::Ktap, Self::Html];

    /// The format's renderer.
    #[must_use]
    pub fn renderer(self) -> Box<dyn Renderer> {
        match self {
            Self::Terminal => Box::new(Terminal { color: true }),
            Self::Markdown => Box::new(Markdown::default()),
            Self::Json => Box::new(Json),
            Self::Junit => Box::new(Junit),
            Self::Ktap => Box::new(Ktap),
            Self::Html => Box::new(Html),
        }
    }
}

/// The whole report in a format.
///
/// # Errors
///
/// As [`Renderer::render`].
pub fn render(report: &Report, format: Format) -> Result<String, RenderError> {
    format.renderer().render(report)
}

/// A report that could not be put into a format.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The JSON library refused.
    #[error(
        "the report could not be written as JSON ({0}); this is a fault of seccomp-atlas: please \
         report it"
    )]
    Json(#[from] serde_json::Error),
    /// The JUnit library refused.
    #[error(
        "the report could not be written as JUnit XML ({0}); this is a fault of seccomp-atlas: \
         please report it, with the report as JSON"
    )]
    Junit(#[from] quick_junit::SerializeError),
    /// The page's template is at fault.
    #[error(
        "the HTML page's template could not be filled in ({0:#}); this is a fault of \
         seccomp-atlas: please report it, with the report as JSON"
    )]
    Html(#[from] minijinja::Error),
}
