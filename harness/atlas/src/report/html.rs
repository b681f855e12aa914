//! One self-contained page, in the manner of browser-compatibility tables.

mod evidence;
mod ids;
mod page;
mod tables;
mod timeline;

use super::{RenderError, Renderer};
use crate::results::Report;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};

/// A page that needs no other file, no network and no script: it is read, filtered and opened by
/// HTML and CSS alone, so that a guest's text has nothing to run in.
///
/// Each cell is a link to itself, `#case@kernel` or `#feature@kernel`; being the target opens the
/// evidence below its row. Kernels that saw the same share one text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Html;

const PAGE: &str = include_str!("../../templates/report.html");
const TIMELINE: &str = include_str!("../../templates/timeline.html");
const MACROS: &str = include_str!("../../templates/macros.html");
const STYLE: &str = include_str!("../../templates/report.css");

/// The most lines of one console that the page shows.
const CONSOLE_LINES: usize = 60;
/// The most characters of one line that the page shows.
const COLUMNS: usize = 240;

impl Renderer for Html {
    fn render(&self, report: &Report) -> Result<String, RenderError> {
        let mut environment = Environment::new();
        // Lines that hold nothing but a block leave nothing behind.
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .keep_trailing_newline(true)
                .build()?,
        );
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // The suffix decides: whatever an `.html` template fills in is escaped.
        environment.add_template("report.html", PAGE)?;
        environment.add_template("timeline.html", TIMELINE)?;
        environment.add_template("macros.html", MACROS)?;
        environment.add_template("report.css", STYLE)?;
        let page = Serde(page::PageView::new(report));
        Ok(environment.get_template("report.html")?.render(context! { page })?)
    }
}
