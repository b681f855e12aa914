//! Bad events are nobody's fault.

use super::{HEALTHY, healthy, options, run};
use atlas_rules::{Engine, Error, Options, Tenant};
use serde_json::json;

#[test]
fn bad_lines_are_reported_and_cost_nobody_a_strike() {
    let long = format!("{{\"n\": \"{}\"}}", "x".repeat(300));
    let deep = format!("{{\"n\": {}{}}}", "[".repeat(100), "]".repeat(100));
    let lines: Vec<(&[u8], Option<&str>)> = vec![
        (b"{\"n\": 1}", None),
        (b"nonsense", Some("not-json")),
        (b"{\"n\": 3}\r", None),
        (b"", Some("not-json")),
        (b"{\"n\": 5},{\"n\": 6}", Some("not-json")),
        (b"{\"n\": 6}],[{\"n\": 6}", Some("not-json")),
        (b"  {\"n\": 7} ", None),
        (b"[1]", Some("not-an-object")),
        (long.as_bytes(), Some("too-long")),
        (b"{\"n\": [", Some("not-json")),
        (b"]}", Some("not-json")),
        (b"{\"n\": \"\xff\"}", Some("not-json")),
        (b"{\"n\": 13}", None),
        (deep.as_bytes(), Some("not-json")),
        (b"{\"n\": 01}", Some("not-json")),
        (b"{\"n\": 1\0}", Some("not-json")),
        (b"{\"n\": 17}", None),
    ];
    let text = lines.iter().map(|(line, _)| *line).collect::<Vec<_>>().join(&b'\n');
    for batch in [1, 5, 64] {
        let mut options = options();
        (options.line, options.batch) = (250, batch);
        let (records, summary) = run(&[("a", HEALTHY), ("b", HEALTHY)], &text, options);
        let mut wanted = Vec::new();
        for (seq, (_, bad)) in (1_u64..).zip(&lines) {
            if let Some(why) = bad {
                wanted.push(json!({"seq": seq, "result": "bad-line", "why": why}));
                continue;
            }
            for tenant in ["a", "b"] {
                let mut record = healthy(seq);
                (record["seq"], record["tenant"]) = (json!(seq), json!(tenant));
                wanted.push(record);
            }
        }
        assert_eq!(records, wanted, "batch {batch}");
        assert_eq!((summary.events, summary.bad_lines, summary.strikes()), (17, 12, 0));
    }
}

#[test]
fn a_rule_cannot_call_a_line_bad() {
    let rule = "def decide(event) = raise(ArgumentError, 'the input is no JSON at byte 1')";
    let (records, summary) = run(&[("rule", rule), ("other", HEALTHY)], "{\"n\": 4}\n", options());
    assert_eq!(records[0]["reason"], "exception");
    assert_eq!(records[1]["result"], "accept");
    assert_eq!((summary.bad_lines, summary.strikes()), (0, 1));
}

#[test]
fn no_events_and_the_largest_ones() {
    let (records, summary) = run(&[("a", HEALTHY)], "", options());
    assert_eq!((records.len(), summary.events), (0, 0));
    // More lines of the full size than one request may hold.
    let line = |n: u64| format!("{{\"n\": {n}, \"x\": \"{}\"}}", "y".repeat(60_000));
    let text: String = (1..=40).map(|n| line(n * 4) + "\n").collect();
    let (records, summary) = run(&[("a", HEALTHY)], text, options());
    assert_eq!((summary.events, summary.tenants[0].accepted), (40, 40), "{:?}", records[0]);
}

#[test]
fn wrong_tenants_and_options_are_refused() {
    for (name, code) in [("", "1"), ("a b", "1"), ("a\u{1b}", "1"), ("a", " \n"), ("a", "1\0")] {
        assert!(matches!(Tenant::new(name, code), Err(Error::Tenant { .. })), "{name:?} {code:?}");
    }
    let one = || Tenant::new("a", HEALTHY).unwrap();
    assert!(matches!(Engine::new(vec![], options()), Err(Error::Nobody)));
    assert!(matches!(Engine::new(vec![one(), one()], options()), Err(Error::Tenant { .. })));
    let refused = |change: fn(&mut Options)| {
        let mut options = options();
        change(&mut options);
        Engine::new(vec![one()], options).is_err()
    };
    assert!(!refused(|_| ()));
    assert!(refused(|options| options.strikes = 0));
    assert!(refused(|options| options.batch = 0));
    assert!(refused(|options| options.batch = 5000));
    assert!(refused(|options| options.line = 0));
    assert!(refused(|options| options.line = options.limits.code));
    assert!(refused(|options| options.limits.memory = 1));
}
