//! One self-contained page: charts, and the table.

use super::chart::{ChartError, charts};
use super::results::Bench;
use super::table::table;
use minijinja::{Environment, context};

const PAGE: &str = include_str!("../../templates/bench.html");

/// A page that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// A chart is at fault.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// The page's template is at fault.
    #[error("the page's template could not be filled in: {0:#}")]
    Template(#[from] minijinja::Error),
}

/// The page.
///
/// # Errors
/// [`PageError`]; no figures make it one.
pub fn page(bench: &Bench) -> Result<String, PageError> {
    let charts: Vec<_> =
        charts(bench)?.into_iter().map(|chart| context! { title => chart.title, svg => chart.svg }).collect();
    let mut environment = Environment::new();
    // The suffix decides: whatever an `.html` template fills in is escaped.
    environment.add_template("bench.html", PAGE)?;
    let qemu = &bench.qemu;
    let page = environment.get_template("bench.html")?;
    Ok(page.render(context! { bench => context! { qemu }, charts, table => table(bench) })? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::KernelBench;

    #[test]
    fn text_of_guests_is_text() {
        let problem = Some("<script>alert(1)</script>".into());
        let kernel = KernelBench { name: "6.12".into(), problem, ..KernelBench::default() };
        let page = page(&Bench { kernels: vec![kernel], ..Bench::default() }).unwrap();
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    }
}
