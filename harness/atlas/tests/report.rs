//! Every format of one fixed report, and what must hold of each.

#[path = "report/sample.rs"]
mod sample;

use sample::{HOSTILE, large, sample};
use seccomp_atlas::report::{
    Format, Html, Json, Junit, Markdown, Renderer as _, Terminal, render, schema, summary,
};
use seccomp_atlas::results::{Report, Verdict};
use std::collections::HashSet;

fn html(report: &Report) -> String {
    Html.render(report).unwrap()
}

/// The report without anything that fails, differs or is missing.
fn flawless() -> Report {
    let mut report = sample();
    report.kernels.retain(|kernel| kernel.name != "6.11");
    report.cases.retain(|case| ["errno::zero", "abi::int80"].contains(&case.name.as_str()));
    let names: Vec<String> = report.cases.iter().map(|case| case.name.clone()).collect();
    report.results.retain(|result| result.kernel != "6.11" && names.contains(&result.case));
    for result in &mut report.results {
        result.verdict = Verdict::Conforms;
    }
    report.complete = true;
    report
}

#[test]
fn terminal() {
    insta::assert_snapshot!(Terminal { color: false }.render(&sample()).unwrap());
}

#[test]
fn terminal_fits_and_is_not_taken_over() {
    let mut wide = large();
    wide.kernels[3].name = "a-kernel-with-a-long-name".into();
    wide.results.truncate(7);
    for report in [sample(), wide, flawless()] {
        let plain = Terminal { color: false }.render(&report).unwrap();
        for line in plain.lines() {
            assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
        }
        assert!(!plain.contains(|c: char| c.is_control() && c != '\n'));
        let color = Terminal { color: true }.render(&report).unwrap();
        assert_eq!(anstream::adapter::strip_str(&color).to_string(), plain);
        assert_ne!(color, plain);
    }
}

#[test]
fn markdown() {
    insta::assert_snapshot!(Markdown::default().render(&sample()).unwrap());
}

#[test]
fn markdown_keeps_to_its_limit() {
    for limit in [1000, 2000, 5000, 10_000] {
        let text = Markdown { limit }.render(&large()).unwrap();
        assert!(text.len() <= limit, "{} bytes of {limit}", text.len());
        assert!(text.ends_with("The HTML report has them all._\n"), "{text}");
    }
    assert!(!Markdown::default().render(&sample()).unwrap().contains("Left out"));
}

#[test]
fn junit() {
    insta::assert_snapshot!(Junit.render(&sample()).unwrap());
}

#[test]
fn junit_can_be_read_back() {
    let xml = Junit.render(&sample()).unwrap();
    let read = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    let cases = read.test_suites.iter().flat_map(|suite| &suite.test_cases);
    let names: HashSet<String> = cases.map(|case| format!("{:?} {:?}", case.classname, case.name)).collect();
    // Two of the sample's results are missing: they are one error.
    assert_eq!(names.len(), sample().results.len() + 1);
}

#[test]
fn json() {
    let text = Json.render(&sample()).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), sample());
    // The whole is long: one kernel and the results of one case show the shape.
    let mut report = sample();
    report.kernels.truncate(1);
    report.cases.truncate(1);
    report.results.truncate(1);
    insta::assert_snapshot!(Json.render(&report).unwrap());
}

/// The committed schema.
fn committed() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/report.schema.json")
}

#[test]
fn schema_is_fresh() {
    let schema = schema().unwrap();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(committed(), &schema).unwrap();
    }
    assert!(
        std::fs::read_to_string(committed()).unwrap_or_default() == schema,
        "docs/report.schema.json is stale: run `UPDATE_SCHEMA=1 cargo test -p seccomp-atlas --test \
         report` and commit it"
    );
}

#[test]
fn reports_validate_against_the_schema() {
    let schema = serde_json::from_str(&std::fs::read_to_string(committed()).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut report = serde_json::to_value(sample()).unwrap();
    let errors: Vec<String> = validator.iter_errors(&report).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    report["results"][0]["verdict"] = "perfect".into();
    assert!(!validator.is_valid(&report));
}

#[test]
fn equal_reports_give_equal_bytes() {
    for format in Format::ALL {
        assert_eq!(render(&sample(), format).unwrap(), render(&sample(), format).unwrap());
    }
}

#[test]
fn headlines() {
    let headline = |report: &Report| summary(report).headline;
    assert_eq!(headline(&flawless()), "all 2 cases conform on all 4 kernels");
    let mut report = flawless();
    for result in report.results.iter_mut().filter(|result| result.case == "errno::zero") {
        if ["6.12", "7.3"].contains(&result.kernel.as_str()) {
            result.verdict = Verdict::Deviates;
        }
    }
    assert_eq!(headline(&report), "1 of 2 cases conforms on all 4 kernels; 1 deviates, from 6.12");
    report.kernels.truncate(1);
    assert_eq!(headline(&report), "all 2 cases conform on 5.10");
    assert_eq!(summary(&report).strays, 12);
    report.cases.clear();
    report.complete = false;
    assert_eq!(headline(&report), "nothing to report: no cases; the run did not come to its end");
    insta::assert_snapshot!(headline(&sample()));
}

#[test]
fn what_failed_alike_is_told_once() {
    let summary = summary(&sample());
    let told: Vec<String> = summary
        .failures
        .iter()
        .map(|failure| {
            let (cases, settings) = (failure.cases.join(" "), failure.settings.join(" "));
            let note = failure.note.chars().take(20).collect::<String>();
            format!("{:?} {cases} [{settings}] {}: {note}", failure.verdict, failure.span)
        })
        .collect();
    insta::assert_debug_snapshot!(told);
}

#[test]
fn html_is_one_file_without_script() {
    let page = html(&sample());
    let lower = page.to_lowercase();
    assert!(!lower.contains("<script") && !lower.contains("javascript:"));
    for outside in ["http:", "https:", "src=", "@import", "url(", "<link", "<iframe", "<base"] {
        assert!(!lower.contains(outside), "{outside}");
    }
    for handler in [" onclick", " onload", " onerror", " onmouseover"] {
        assert!(!lower.contains(handler), "{handler}");
    }
}

#[test]
fn html_escapes_what_guests_say() {
    let page = html(&sample());
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(page.contains("{{ page }}") && !page.contains(HOSTILE));
    assert!(page.contains("\\x1b]0;owned\\x07") && page.contains("\\u{202e}txt.exe"));
    assert!(!page.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'));
    // As many cells as there should be: no text closed one early.
    let cells = page.matches("<td id=").count();
    assert_eq!(cells, 5 * (9 + 6));
}

#[test]
fn html_links_lead_somewhere() {
    let page = html(&sample());
    let ids: Vec<&str> = between(&page, " id=\"");
    let unique: HashSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "an id stands twice");
    let links = between(&page, "href=\"#");
    assert!(links.len() > 100);
    for link in links {
        assert!(unique.contains(link), "nothing is at #{link}");
    }
    for permalink in ["errno::cap_4095@7.3", "wait-killable@6.1", "notify::order", "6.12"] {
        assert!(unique.contains(permalink), "{permalink}");
    }
}

fn between<'a>(page: &'a str, before: &str) -> Vec<&'a str> {
    page.split(before).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn html_splits_a_cell_where_settings_differ() {
    let page = html(&sample());
    let cell = page.split("<td id=\"errno::cap_4095@7.3\"").nth(1).unwrap();
    let cell = cell.split("</td>").next().unwrap();
    assert!(cell.starts_with(" class=\"jit\""), "{cell}");
    assert_eq!(cell.matches("<b class=").count(), 3, "{cell}");
    assert!(cell.contains("<b class=\"bad\">✗<small>i386 JIT off</small></b>"), "{cell}");
    let whole = page.split("<td id=\"errno::cap_4095@6.1\"").nth(1).unwrap();
    assert!(whole.starts_with("><a"), "{}", &whole[..80]);
}

#[test]
fn html_shows_one_text_once() {
    let page = html(&sample());
    // The same panic stands beside two cases and the kernel; the second case links to the first.
    assert_eq!(page.matches("end Kernel panic").count(), 2);
    assert_eq!(page.matches("the same text as shown there").count(), 1);
    // Four kernels and two settings saw the same.
    let row = page.split("<tr id=\"errno::zero\"").nth(1).unwrap();
    let row = row.split("<tr id=").next().unwrap();
    assert_eq!(row.matches("<section class=\"g ").count(), 2, "the kernels that ran, and 6.11");
}

#[test]
fn html_marks_the_lines_that_differ() {
    let page = html(&sample());
    let marked = |place: &str| {
        let group = page.split(place).nth(1).unwrap().split("</section>").next().unwrap();
        (group.contains("table class=\"pairs faulty\""), group.matches("<tr class=\"d\">").count())
    };
    assert_eq!(marked("on 7.3, i386 JIT off</span></h4>"), (true, 2));
    // What conforms in another wording is set apart, but not as a fault.
    let row = page.split("<tr id=\"limits::deep_chain\"").nth(1).unwrap();
    assert!(row.contains("table class=\"pairs\"") && row.contains("4000 kB or more"));
}

#[test]
fn html_is_accessible() {
    let page = html(&sample());
    assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"), "{}", &page[..80]);
    assert!(page.contains("<title>seccomp-atlas: "));
    assert_eq!(
        page.matches("<th").count() - page.matches("<thead").count(),
        page.matches("<th scope=").count()
    );
    // Every cell can be reached by keyboard and says in words what its glyph shows.
    for cell in page.split("<td id=\"").skip(1) {
        let (id, rest) = cell.split_once('"').unwrap();
        assert!(rest.contains(&format!("><a href=\"#{id}\" title=\"")), "{id}");
        assert!(rest.split_once("</td>").unwrap().0.contains(" aria-label=\""), "{id}");
    }
}

#[test]
fn html_tells_what_each_kernel_lacks() {
    let page = html(&sample());
    let section = page.split("<section id=\"timeline\">").nth(1).unwrap().split("</section>").next().unwrap();
    let row = |name: &str| {
        // What comes before the first row names features too.
        let mut rows = section.split("<tr class=").skip(1);
        rows.find(|row| row.contains(&format!("<code>{name}</code>"))).unwrap().to_owned()
    };
    let killable = row("wait-killable");
    assert!(killable.starts_with("\"\""), "5.10 lacks it, and 6.1 has it early: {killable}");
    assert_eq!(killable.matches("backported</small>").count(), 1);
    assert!(killable.contains("A kernel without wait-killable &lt;does&gt; | otherwise."));
    assert!(killable.contains("Do not rely on wait-killable."));
    assert_eq!(row("x32").matches("missing</small>").count(), 3);
    // 6.11, which never booted, was not probed.
    assert!(row("filter").starts_with("\"none\"") && row("filter").contains("not probed</small>"));
    let lists: Vec<&str> = section.split("<details class=\"lacks\">").skip(1).collect();
    assert_eq!(lists.len(), 4);
    assert!(lists[0].contains("4 things to know of") && lists[0].contains("Bugs that it has"));
    assert!(lists[0].contains("A refused TSYNC leaks a filter.") && !lists[1].contains("tsync-leak"));
    assert!(lists[3].contains("What its probes could not tell") && lists[3].contains("x32"));
    assert_eq!(
        section.matches("<th").count() - section.matches("<thead").count(),
        section.matches("<th scope=").count()
    );
}

#[test]
fn quirks_that_nothing_shows_are_told_by_kind() {
    let retired = |report: &Report| summary(report).retired;
    assert_eq!(retired(&sample()).changes, ["errno-uncapped"]);
    let mut report = sample();
    let probes = |report: &mut Report, name: &str, present: Option<bool>, mainline: Option<&str>| {
        for probe in report.kernels.iter_mut().flat_map(|kernel| &mut kernel.probes) {
            if probe.feature == name {
                probe.present = present;
                probe.mainline = mainline.unwrap_or(&probe.mainline).to_owned();
            }
        }
    };
    probes(&mut report, "tsync-leak", Some(false), None);
    probes(&mut report, "notify-newest-first", Some(false), Some("since 6.14"));
    let told = retired(&report);
    assert_eq!((told.bugs, told.coming), (vec!["tsync-leak".into()], vec!["notify-newest-first".into()]));
    // A kernel that could not tell may have it.
    report.kernels[0].probes[5].present = None;
    assert!(retired(&report).bugs.is_empty());
}

#[test]
fn reports_of_before_can_be_read() {
    let mut old = serde_json::to_value(sample()).unwrap();
    for kernel in old["kernels"].as_array_mut().unwrap() {
        for probe in kernel["probes"].as_array_mut().unwrap() {
            let probe = probe.as_object_mut().unwrap();
            assert!(probe.remove("instead").is_some() && probe.remove("advice").is_some());
        }
    }
    let old: Report = serde_json::from_value(old).unwrap();
    assert!(old.exit.is_none() && old.results[0].repetitions.is_none());
    for format in Format::ALL {
        assert!(!render(&old, format).unwrap().is_empty());
    }
}

#[test]
fn html_of_a_full_run_stays_small() {
    let size = html(&large()).len();
    assert!(size < 5_000_000, "{size} bytes");
}
