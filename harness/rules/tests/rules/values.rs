//! What a rule returns.

use super::{HEALTHY, assert_whole, numbered, of, options, run};
use serde_json::{Value, json};

/// The verdict on `{"n": 2}` of a rule that returns `value`, in a batch and alone.
fn returns(value: &str) -> Value {
    let mut both = Vec::new();
    for batch in [64, 1] {
        let rule = format!("def decide(event)\n  return :accept if event['n'] != 2\n  {value}\nend");
        let mut options = options();
        (options.batch, options.line) = (batch, 1000);
        let (records, _) = run(&[("rule", &rule), ("other", HEALTHY)], numbered(3), options);
        assert_whole(&records, "other", 3);
        let its = of(&records, "rule");
        assert_eq!(its[0].1["result"], "accept", "{value}");
        assert_eq!(its[2].1["result"], "accept", "{value}");
        both.push(its[1].1.clone());
    }
    assert_eq!(both[0], both[1], "{value}");
    both.remove(0)
}

#[test]
fn decisions_by_symbol_or_string() {
    for (value, wanted) in [
        (":accept", json!({"result": "accept"})),
        ("'reject'", json!({"result": "reject"})),
        ("[:tag, 'ä b']", json!({"result": "tag", "tag": "ä b"})),
        ("['tag', :x]", json!({"result": "tag", "tag": "x"})),
        ("[:tag, 'x' * 64]", json!({"result": "tag", "tag": "x".repeat(64)})),
        ("{change: {}}", json!({"result": "change", "event": {}})),
        (
            "{'change' => event.merge(a: [1, nil])}",
            json!({"result": "change", "event": {"n": 2, "a": [1, null]}}),
        ),
    ] {
        assert_eq!(returns(value), wanted, "{value}");
    }
}

#[test]
fn what_is_no_decision_is_a_strike() {
    let known = "it is none of :accept, :reject, [:tag, name] and {change: event}";
    let tag = "a tag is 1 to 64 bytes without control characters";
    let plain = "it is not plain data";
    for (value, why) in [
        ("nil", known),
        ("7", known),
        (":maybe", known),
        ("[]", known),
        ("[:accept]", known),
        ("[:tag]", known),
        ("[:tag, 1]", known),
        ("[:tag, 'a', 'b']", known),
        ("[:tug, 'a']", known),
        ("{}", known),
        ("{change: event, more: 1}", known),
        ("{chance: event}", known),
        ("[:tag, '']", tag),
        ("[:tag, 'x' * 65]", tag),
        ("[:tag, \"a\\e[31m\"]", tag),
        ("[:tag, \"a\\u0085\"]", tag),
        ("{change: 7}", "the changed event is no object"),
        ("{change: [event]}", "the changed event is no object"),
        ("{change: {'a' => 'x' * 1000}}", "the changed event is longer than a line may be"),
        ("Object.new", plain),
        ("{change: {1 => 2}}", plain),
        ("[:tag, \"\\xff\"]", plain),
        ("{change: {'a' => 0.0 / 0.0}}", plain),
        ("a = []; a << a; a", plain),
        ("h = {}; 200.times { h = {'a' => h} }; {change: h}", plain),
    ] {
        let wanted =
            json!({"result": "strike", "reason": "decision", "why": why, "strikes": 1, "quarantined": false});
        assert_eq!(returns(value), wanted, "{value}");
    }
}

#[test]
fn a_value_that_fights_back_when_it_is_shown() {
    let value = "o = Object.new; def o.inspect = raise('no'); o";
    assert_eq!(returns(value)["reason"], "exception");
    let value = "o = Object.new; def o.inspect = loop {}; o";
    assert_eq!(returns(value)["limit"], "instructions");
}
