//! Strikes, quarantine, and what becomes of a rule's state.

use super::{HEALTHY, assert_whole, numbered, of, options, run};
use serde_json::{Value, json};

#[test]
fn after_exactly_n_strikes_of_any_kind() {
    for deed in ["raise 'x'", "loop {}", ":none", "Object.new"] {
        for (strikes, batch) in [(1, 64), (2, 64), (3, 1), (5, 64), (5, 3)] {
            let rule = format!("def decide(event) = event['n'] % 3 == 0 ? ({deed}) : :accept");
            let mut options = options();
            (options.strikes, options.batch) = (strikes, batch);
            options.limits.instructions = 100_000;
            let (records, summary) = run(&[("rule", &rule), ("other", HEALTHY)], numbered(40), options);
            assert_whole(&records, "other", 40);
            let last = u64::from(strikes) * 3;
            for (n, verdict) in of(&records, "rule") {
                let case = format!("{deed}, {strikes} strikes, batch {batch}, event {n}: {verdict}");
                if n > last {
                    assert_eq!(verdict, json!({"result": "quarantined"}), "{case}");
                } else if n % 3 == 0 {
                    assert_eq!(verdict["result"], "strike", "{case}");
                    assert_eq!(verdict["strikes"], n / 3, "{case}");
                    assert_eq!(verdict["quarantined"], n == last, "{case}");
                } else {
                    assert_eq!(verdict["result"], "accept", "{case}");
                }
            }
            let tally = &summary.tenants[0];
            assert_eq!(tally.quarantined_at, Some(last));
            assert_eq!((tally.strikes, tally.passed_over), (strikes.into(), 40 - last));
        }
    }
}

#[test]
fn a_rule_that_does_not_load_is_struck_at_each_event() {
    for (rule, reason) in [
        ("def decide(event", "syntax"),
        ("raise 'at load'", "exception"),
        ("loop {}", "limit"),
        ("@x = 1; nosuch", "exception"),
    ] {
        let mut options = options();
        options.limits.instructions = 100_000;
        let (records, _) = run(&[("rule", rule), ("other", HEALTHY)], numbered(5), options);
        assert_whole(&records, "other", 5);
        let its = of(&records, "rule");
        for (n, verdict) in &its[..3] {
            assert_eq!((&verdict["reason"], &verdict["loading"]), (&json!(reason), &json!(true)), "{rule}");
            assert_eq!(verdict["strikes"], *n, "{rule}");
        }
        assert!(its[3..].iter().all(|(_, verdict)| verdict["result"] == "quarantined"), "{rule}");
    }
    let (records, _) = run(&[("rule", "def judge(event) = :accept")], numbered(1), options());
    assert_eq!(records[0]["class"], "NoMethodError", "no decide: {}", records[0]);
    assert_eq!(records[0].get("loading"), None);
}

/// What a counting rule counted, event by event; a strike shows as -1.
fn counts(rule: &str, batch: usize) -> Vec<i64> {
    let mut options = options();
    options.batch = batch;
    options.limits.instructions = 100_000;
    let rule = format!("$n = 0\ndef decide(event)\n  $n += 1\n  {rule}\n  {{change: {{n: $n}}}}\nend");
    let (records, _) = run(&[("rule", &rule)], numbered(6), options);
    records.iter().map(|record: &Value| record["event"]["n"].as_i64().unwrap_or(-1)).collect()
}

#[test]
fn state_lasts_until_a_strike_ends_the_worker() {
    for batch in [1, 2, 64] {
        assert_eq!(counts("", batch), [1, 2, 3, 4, 5, 6]);
        assert_eq!(counts("raise 'x' if event['n'] == 3", batch), [1, 2, -1, 4, 5, 6], "it goes on");
        assert_eq!(counts("loop {} if event['n'] == 3", batch), [1, 2, -1, 1, 2, 3], "it is loaded again");
        // The whole batch comes again, to a rule that has seen none of it: nothing is counted twice.
        let again = counts("return Object.new if event['n'] == 3", batch);
        assert_eq!(again, if batch == 2 { [1, 2, -1, 2, 3, 4] } else { [1, 2, -1, 4, 5, 6] });
        assert_eq!(counts("return 1 if event['n'] == 3", batch), [1, 2, -1, 4, 5, 6], "it goes on");
    }
}

#[test]
fn who_fails_in_batches_only_gets_none_any_more() {
    // It sees that it is in a batch, and wastes the limit there.
    let rule = "def decide(event) = INPUT.size > 1 ? loop {} : :accept";
    let mut options = options();
    options.batch = 4;
    options.limits.instructions = 40_000_000;
    let began = std::time::Instant::now();
    let (records, summary) = run(&[("rule", rule)], numbered(12), options);
    assert_eq!((summary.decisions(), summary.strikes()), (12, 0), "{records:?}");
    // Once, not with each of the three batches.
    let once = began.elapsed();
    let mut options = super::options();
    options.batch = 4;
    options.limits.instructions = 40_000_000;
    let began = std::time::Instant::now();
    run(&[("rule", rule)], numbered(80), options);
    assert!(began.elapsed() < once * 4, "{:?} for 20 batches, {once:?} for 3", began.elapsed());
}

#[test]
fn a_slow_rule_has_its_limit_for_each_event() {
    let rule = "def decide(event) = (10_000.times {}; :accept)";
    let mut options = options();
    options.limits.instructions = 200_000;
    let (_, summary) = run(&[("rule", rule)], numbered(50), options);
    assert_eq!((summary.decisions(), summary.strikes()), (50, 0));
}
