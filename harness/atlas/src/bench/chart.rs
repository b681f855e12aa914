//! Charts, as SVG that takes its ink from the page: readable on a light ground and on a dark one.

use super::item::REFERENCE;
use super::list::COMPARES;
use super::results::{Bench, Leg};
use crate::results::Jit;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A chart that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("a chart could not be drawn: {0}")]
pub struct ChartError(String);

/// What is drawn in this colour has the page's: no series has it.
const INK: RGBColor = RGBColor(1, 2, 3);
/// Its name in the SVG.
const INK_TEXT: &str = "#010203";
/// Colours of middling lightness, told apart on either ground.
const COLORS: [RGBColor; 8] = [
    RGBColor(0x4c, 0x8b, 0xf5),
    RGBColor(0xe0, 0x6c, 0x3c),
    RGBColor(0x2f, 0xa3, 0x6b),
    RGBColor(0xb0, 0x6a, 0xd9),
    RGBColor(0xc9, 0x92, 0x1e),
    RGBColor(0x1f, 0xa2, 0xb8),
    RGBColor(0xd6, 0x4f, 0x86),
    RGBColor(0x8a, 0x8f, 0x98),
];
const SIZE: (u32, u32) = (880, 420);

/// One line of a chart: its name and its points.
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

/// A chart with its heading.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// The picture.
    pub svg: String,
}

/// The charts that the figures are enough for.
///
/// # Errors
/// [`ChartError`] where the plotting library refuses.
pub fn charts(bench: &Bench) -> Result<Vec<Chart>, ChartError> {
    let mut charts = Vec::new();
    let by_length = by_length(bench);
    if !by_length.is_empty() {
        let title = "Instructions a call, by compares in the filter (both axes logarithmic)";
        charts.push(Chart { title: title.into(), svg: lines(&by_length, true, &|x| format!("{x:.0}"))? });
    }
    let by_kernel = by_kernel(bench);
    if bench.kernels.len() > 1 && !by_kernel.is_empty() {
        let names: Vec<&str> = bench.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        let label = |x: f64| {
            let whole = (x - x.round()).abs() < 0.01;
            names.get(x.round() as usize).filter(|_| whole).map_or(String::new(), ToString::to_string)
        };
        let title = "Instructions a call, by kernel";
        charts.push(Chart { title: title.into(), svg: lines(&by_kernel, false, &label)? });
    }
    if let Some(kernel) = bench.kernels.last() {
        for leg in &kernel.legs {
            let bars = by_compiler(leg);
            if !bars.is_empty() {
                let jit = leg.jit.name().replace('_', " ");
                let title = format!("A denied call, by policy and compiler: {}, {jit}", kernel.name);
                charts.push(Chart { title, svg: draw_bars(&bars)? });
            }
        }
    }
    Ok(charts)
}

fn by_length(bench: &Bench) -> Vec<Series> {
    // Four kernels at most, the oldest and the newest among them: more lines lie on one another.
    let last = bench.kernels.len().saturating_sub(1);
    let shown: Vec<usize> = (0..=3).map(|part| last * part / 3).collect();
    let kernels = bench.kernels.iter().enumerate().filter(|(index, _)| shown.contains(index));
    let legs = kernels.flat_map(|(_, kernel)| kernel.legs.iter().map(move |leg| (kernel, leg)));
    let series = legs.map(|(kernel, leg)| {
        let point = |count: usize| {
            // A logarithmic axis has no 0.
            let figure = leg.figure(&format!("compares/{count}")).filter(|_| count > 0)?;
            Some((count as f64, figure as f64))
        };
        let name = format!("{} {}", kernel.name, leg.jit.name().replace('_', " "));
        Series { name, points: COMPARES.into_iter().filter_map(point).collect() }
    });
    series.filter(|series| series.points.len() > 1).collect()
}

fn by_kernel(bench: &Bench) -> Vec<Series> {
    let of = |name: &str, row: &str, jit: Jit| {
        let point = |(index, kernel): (usize, &super::results::KernelBench)| {
            let leg = kernel.legs.iter().find(|leg| leg.jit == jit)?;
            Some((index as f64, leg.figure(row)? as f64))
        };
        Series { name: name.into(), points: bench.kernels.iter().enumerate().filter_map(point).collect() }
    };
    let all = [
        of("no filter", REFERENCE, Jit::On),
        of("number only (cached from 5.11 on)", "cache/at work/1000", Jit::On),
        of("1 compare, jit on", "compares/1", Jit::On),
        of("1 compare, jit off", "compares/1", Jit::Off),
        of("100 compares, jit on", "compares/100", Jit::On),
        of("100 compares, jit off", "compares/100", Jit::Off),
    ];
    all.into_iter().filter(|series| series.points.len() > 1).collect()
}

/// Policy and compiler, and what a denied call costs.
fn by_compiler(leg: &Leg) -> Vec<(String, f64)> {
    let bar = |row: &super::results::Row| {
        let name = row.name.strip_prefix("policy/")?.strip_suffix("/denied")?;
        Some((name.replace('/', " "), row.instructions? as f64))
    };
    leg.rows.iter().filter_map(bar).collect()
}

fn lines(all: &[Series], logarithmic: bool, label: &dyn Fn(f64) -> String) -> Result<String, ChartError> {
    let points = || all.iter().flat_map(|series| &series.points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max);
    let (width, height) = (most(|point| point.0).max(1.0), most(|point| point.1));
    draw(|root| {
        let mut builder = ChartBuilder::on(root);
        builder.margin(8).margin_right(250).x_label_area_size(28).y_label_area_size(64);
        // The two kinds of axes are different types.
        macro_rules! axes {
            ($chart:expr) => {{
                let mut chart = $chart?;
                chart
                    .configure_mesh()
                    .disable_mesh()
                    .axis_style(INK)
                    .label_style(("sans-serif", 13).into_font().color(&INK))
                    .x_label_formatter(&|x| label(*x))
                    .y_label_formatter(&|y| format!("{y:.0}"))
                    .draw()?;
                for (index, series) in all.iter().enumerate() {
                    let color = COLORS[index % COLORS.len()].stroke_width(2);
                    chart.draw_series(LineSeries::new(series.points.iter().copied(), color))?;
                }
            }};
        }
        if logarithmic {
            axes!(builder.build_cartesian_2d((1.0..width).log_scale(), (100.0..height).log_scale()));
        } else {
            axes!(builder.build_cartesian_2d(0.0..width, 0.0..height * 1.05));
        }
        for (index, series) in all.iter().enumerate() {
            let y = 14 + 17 * index as i32;
            let x = SIZE.0 as i32 - 240;
            let color = COLORS[index % COLORS.len()];
            root.draw(&PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)))?;
            let style = ("sans-serif", 13).into_font().color(&INK);
            root.draw(&Text::new(series.name.clone(), (x + 24, y - 7), style))?;
        }
        Ok(())
    })
}

fn draw_bars(bars: &[(String, f64)]) -> Result<String, ChartError> {
    let most = bars.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    draw(|root| {
        let style = ("sans-serif", 13).into_font().color(&INK);
        let right = style.clone().pos(Pos::new(HPos::Right, VPos::Center));
        let left = style.pos(Pos::new(HPos::Left, VPos::Center));
        let step = (SIZE.1 as i32 - 20) / bars.len() as i32;
        for (index, (name, value)) in bars.iter().enumerate() {
            let y = 10 + step * index as i32;
            let end = 230 + (value / most * 560.0) as i32;
            let color = COLORS[index % 2].filled();
            root.draw(&Rectangle::new([(230, y + 2), (end, y + step.min(28) - 2)], color))?;
            root.draw(&Text::new(name.clone(), (222, y + step.min(28) / 2), right.clone()))?;
            root.draw(&Text::new(format!("{value:.0}"), (end + 6, y + step.min(28) / 2), left.clone()))?;
        }
        Ok(())
    })
}

type Root<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws on an empty ground, and gives the ink to the page.
fn draw(on: impl FnOnce(&Root<'_>) -> Drawn) -> Result<String, ChartError> {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    on(&root).and_then(|()| Ok(root.present()?)).map_err(|error| ChartError(error.to_string()))?;
    drop(root);
    Ok(svg.replace(INK_TEXT, "currentColor"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::{KernelBench, Row};

    fn bench() -> Bench {
        let row =
            |name: &str, figure| Row { name: name.into(), instructions: Some(figure), ..Row::default() };
        let leg = |jit, each: u64| {
            let mut rows: Vec<Row> = COMPARES
                .iter()
                .map(|&count| row(&format!("compares/{count}"), 400 + each * count as u64))
                .collect();
            rows.push(row(REFERENCE, 300));
            rows.push(row("policy/toy/libseccomp/denied", 500));
            Leg { jit, rows, fit: None, spreads: vec![] }
        };
        let kernel = |name: &str| KernelBench {
            name: name.into(),
            legs: vec![leg(Jit::On, 2), leg(Jit::Off, 13)],
            ..KernelBench::default()
        };
        Bench { kernels: vec![kernel("5.10<&>"), kernel("7.3")], ..Bench::default() }
    }

    #[test]
    fn charts_are_drawn_in_the_ink_of_the_page() {
        let charts = charts(&bench()).unwrap();
        assert_eq!(charts.len(), 4);
        for chart in &charts {
            assert!(chart.svg.contains("currentColor"), "{}", chart.title);
            assert!(!chart.svg.contains(INK_TEXT) && !chart.svg.contains("#FFFFFF"), "{}", chart.title);
        }
        // A name is text, whatever is in it.
        assert!(charts[0].svg.contains("5.10&lt;&amp;&gt;"), "{}", charts[0].svg);
        // Axes and their ticks are thinner, the legend thicker.
        assert_eq!(charts[0].svg.matches("stroke-width=\"2\"").count(), 4);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(charts(&Bench::default()).unwrap().is_empty());
    }
}
