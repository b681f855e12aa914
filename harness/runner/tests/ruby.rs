//! Ordinary Ruby, through the whole way: master, zygote, worker, filter.

use mruby_runner::{Ending, Limits, Outcome, Policy, Request, Sandbox};
use serde_json::json;

fn sandbox() -> Sandbox {
    Sandbox::builder().build().unwrap()
}

fn eval(code: &str) -> Outcome {
    sandbox().eval(code).unwrap()
}

#[test]
fn values_come_as_text_and_as_json() {
    let mut sandbox = sandbox();
    for (code, inspect, json) in [
        ("1 + 1", "2", Some(json!(2))),
        ("nil", "nil", Some(json!(null))),
        ("[1, -2.5, true, nil]", "[1, -2.5, true, nil]", Some(json!([1, -2.5, true, null]))),
        ("{'a' => 1, b: [2]}", r#"{"a"=>1, :b=>[2]}"#, Some(json!({"a": 1, "b": [2]}))),
        ("\"ä\\n\\\"\"", r#""ä\n\"""#, Some(json!("ä\n\""))),
        ("2**40", "1099511627776", Some(json!(1_099_511_627_776_i64))),
        ("2**63 - 1", "9223372036854775807", Some(json!(i64::MAX))),
        ("2**100", "1267650600228229401496703205376", None),
        // A float has all of its bits.
        ("0.1 + 0.2", "0.3", Some(json!(0.1 + 0.2))),
        ("[19.99, 1e-300, -0.0]", "[19.99, 1.0e-300, -0.0]", Some(json!([19.99, 1e-300, -0.0]))),
        (
            "[:a, :\"b c\", :a_name_that_is_long]",
            "[:a, :\"b c\", :a_name_that_is_long]",
            Some(json!(["a", "b c", "a_name_that_is_long"])),
        ),
        ("Object", "Object", None),
        ("{1 => 2}", "{1=>2}", None),
        ("a = []; a << a; a", "[[...]]", None),
        ("[]", "[]", Some(json!([]))),
        ("{}", "{}", Some(json!({}))),
    ] {
        let outcome = sandbox.eval(code).unwrap();
        assert_eq!(outcome.value(), Some(inspect), "{code}: {outcome:?}");
        assert_eq!(outcome.json(), json.as_ref(), "{code}");
    }
}

#[test]
fn output_is_captured() {
    let outcome = eval("puts 'a', [1, [2]], nil; print 3, 4; p; p 5, 'x'; puts [], ''");
    assert_eq!(outcome.text(), "a\n1\n2\n\n345\n\"x\"\n\n\n");
    assert_eq!(outcome.usage.output, outcome.stdout.len() as u64);
}

#[test]
fn exceptions_and_syntax_errors_say_where() {
    let outcome = eval("def half(x)\n  raise ArgumentError, 'odd' if x % 2 == 1\n  x / 2\nend\nhalf(3)");
    let Ending::Exception { class, message, backtrace } = outcome.ending else { panic!("{outcome:?}") };
    assert_eq!((class.as_str(), message.as_str()), ("ArgumentError", "odd"));
    assert!(backtrace[0].starts_with("main.rb:2"), "{backtrace:?}");
    assert!(backtrace[1].starts_with("main.rb:5"), "{backtrace:?}");
    let outcome = eval("1\n2 +* 3\n");
    let Ending::Syntax { line, message, .. } = outcome.ending else { panic!("{outcome:?}") };
    assert_eq!(line, 2);
    assert!(message.contains("syntax error"), "{message}");
}

#[test]
fn what_the_code_generator_refuses_is_an_exception() {
    let mut sandbox = sandbox();
    let deep = format!("{}1{}", "[".repeat(400), "]".repeat(400));
    for code in ["yield", "class A; yield 1; end", "1; begin; yield; end", "eval 'yield'", &deep] {
        let outcome = sandbox.eval(code).unwrap();
        assert!(
            matches!(&outcome.ending, Ending::Exception { class, .. } if class.ends_with("Error")),
            "{code}: {outcome:?}"
        );
    }
    let outcome = sandbox.eval("1000.times { begin; eval 'yield'; rescue ScriptError; end }; 7").unwrap();
    assert_eq!(outcome.value(), Some("7"), "{outcome:?}");
}

#[test]
fn the_input_is_there_and_is_parsed_behind_the_filter() {
    let mut sandbox = sandbox();
    let input = json!({"name": "ä\u{1f600}\"\\\u{1}", "list": [1, 2.5, -3e10, null, true, {"k": []}]});
    let request = Request::new("INPUT").input(&input).unwrap();
    assert_eq!(sandbox.eval(request).unwrap().json(), Some(&input));
    for (text, good) in [
        (r#""\ud83d\ude00\u00e4\/""#, true),
        (r#""\ud83d""#, false),
        ("[1,]", false),
        ("{\"a\" 1}", false),
        ("nul", false),
        ("1 2", false),
        ("\"\u{1}\"", false),
        ("1e999", false),
        ("01", false),
        ("1.", false),
        ("-", false),
        ("1e", false),
        ("-0.5E+2", true),
        ("0", true),
        ("  [ 1 , { \"a\" : 2 } ] ", true),
    ] {
        let outcome = sandbox.eval(Request::new("INPUT").input_text(text)).unwrap();
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(text);
        assert_eq!(parsed.is_ok(), good, "{text}");
        match parsed {
            Ok(parsed) => assert_eq!(outcome.json(), Some(&parsed), "{text}"),
            Err(_) => assert!(
                matches!(&outcome.ending, Ending::Exception { class, .. } if class == "ArgumentError"),
                "{text}: {outcome:?}"
            ),
        }
    }
    for text in [b"\"\xff\"".as_slice(), b"\"a\xc3\"", b"\"\xed\xa0\x80\""] {
        let outcome = sandbox.eval(Request::new("1").input_text(text)).unwrap();
        assert_eq!(outcome.ending.kind(), "exception", "not UTF-8: {text:?}: {outcome:?}");
    }
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let outcome = sandbox.eval(Request::new("INPUT").input_text(deep)).unwrap();
    assert!(matches!(outcome.ending, Ending::Exception { .. }), "{outcome:?}");
}

#[test]
fn equal_seeds_give_equal_numbers_and_others_do_not() {
    let mut sandbox = sandbox();
    let mut draw = |seed| {
        let request = Request::new("[rand(1 << 30), rand(1 << 30)]").seed(seed);
        sandbox.eval(request).unwrap().value().unwrap().to_owned()
    };
    assert_eq!(draw(4), draw(4));
    assert_ne!(draw(4), draw(400));
}

#[test]
fn there_is_no_way_to_the_system() {
    let mut sandbox = sandbox();
    let none = ["NoMethodError", "NotImplementedError"];
    for name in [
        "require 'x'",
        "load 'x'",
        "exit",
        "abort",
        "sleep 1",
        "`ls`",
        "system 'ls'",
        "fork",
        "open 'x'",
        "gets",
    ] {
        let outcome = sandbox.eval(name).unwrap();
        assert!(
            matches!(&outcome.ending, Ending::Exception { class, .. } if none.contains(&class.as_str())),
            "{name}: {outcome:?}"
        );
    }
    for name in ["File", "IO", "Dir", "Socket", "Process", "Time", "ObjectSpace", "ENV", "Kernel::Signal"] {
        let outcome = sandbox.eval(name).unwrap();
        assert!(
            matches!(&outcome.ending, Ending::Exception { class, .. } if class == "NameError"),
            "{name}: {outcome:?}"
        );
    }
}

#[test]
fn every_policy_but_base_evaluates() {
    for policy in Policy::ALL {
        let outcome = Sandbox::builder().policy(policy).build().unwrap().eval("puts 1; 6 * 7").unwrap();
        if policy == Policy::Base {
            assert_eq!(outcome.ending, Ending::Forbidden { call: None });
        } else {
            assert_eq!((outcome.value(), outcome.text().as_str()), (Some("42"), "1\n"), "{policy:?}");
        }
    }
}

#[test]
fn a_session_keeps_its_state_and_an_evaluation_does_not() {
    let mut sandbox = sandbox();
    let mut session = sandbox.session();
    session.eval("x = 1; def f = 10; $g = 100").unwrap();
    assert_eq!(session.eval("x += 1; x + f + $g").unwrap().value(), Some("112"));
    assert!(matches!(session.eval("raise 'x'").unwrap().ending, Ending::Exception { .. }));
    assert!(matches!(session.eval("(").unwrap().ending, Ending::Syntax { .. }));
    assert_eq!(session.eval("x + f + $g").unwrap().value(), Some("112"));
    drop(session);
    assert_eq!(sandbox.eval("$g").unwrap().value(), Some("nil"));
    assert!(matches!(sandbox.eval("f").unwrap().ending, Ending::Exception { .. }));
}

#[test]
fn blocks_of_a_session_see_variables_of_any_evaluation() {
    let mut sandbox = sandbox();
    let mut session = sandbox.session();
    for (code, value) in [
        ("x = 5; f = proc { x += 1 }; f.call", "6"),
        ("a = []; 3.times { |i| a << i + x }; a", "[6, 7, 8]"),
        ("f.call; if false; fresh = 1; end; [x, fresh]", "[7, nil]"),
        ("later = nil; [1].each { later = [x, a.size, fresh] }; later", "[7, 3, nil]"),
        ("(1..40).map { |i| y = i * x; y }.size; f.call", "8"),
        ("if false; a1 = a2 = a3 = 1; end; [a1, a2, a3, [1].map { a3 }]", "[nil, nil, nil, [nil]]"),
    ] {
        let outcome = session.eval(code).unwrap();
        assert_eq!(outcome.value(), Some(value), "{code}: {outcome:?}");
    }
}

#[test]
fn a_session_lets_go_of_its_old_answers() {
    let mut limits = Limits::default();
    (limits.memory, limits.wall) = (4 << 20, std::time::Duration::from_secs(60));
    let mut sandbox = Sandbox::builder().limits(limits).build().unwrap();
    let mut session = sandbox.session();
    // Kept, the answers alone would be four times the memory.
    for n in 0..160 {
        let outcome = session.eval("'x' * 100_000").unwrap();
        assert_eq!(outcome.ending.kind(), "value", "{n}: {:?}", outcome.ending);
    }
    // Small ones, many: what is kept for each counts.
    for n in 0..5000 {
        let outcome = session.eval("[[[[1], 2], 3], 4] * 9").unwrap();
        assert_eq!(outcome.ending.kind(), "value", "{n}: {:?}", outcome.ending);
    }
}

#[test]
fn natives_run_in_the_worker() {
    let mut sandbox = Sandbox::builder().native("add", |of| of.iter().sum()).build().unwrap();
    assert_eq!(sandbox.eval("add(1, 2, 39)").unwrap().value(), Some("42"));
    assert!(matches!(sandbox.eval("add('x')").unwrap().ending, Ending::Exception { .. }));
    assert!(Sandbox::builder().native("Ä", |_| 0).build().is_err());
}

#[test]
fn a_session_outlives_code_with_too_many_local_variables() {
    let mut sandbox = sandbox();
    let mut session = sandbox.session();
    let define = |from: usize, to: usize| {
        (from..to).map(|number| format!("v{number} = {number}")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(session.eval(&define(0, 200)).unwrap().value(), Some("199"));
    for _ in 0..3 {
        let refused = session.eval(&define(200, 300)).unwrap();
        let Ending::Exception { class, message, .. } = &refused.ending else { panic!("{refused:?}") };
        assert!(class == "ScriptError" && message.starts_with("more than 250 local variables"), "{message}");
    }
    assert_eq!(
        session.eval(&format!("{}\nv0 + v199 + v249", define(200, 250))).unwrap().value(),
        Some("448")
    );
    assert_eq!(session.eval("[v249, (1..3).map { |x| x + v1 }]").unwrap().value(), Some("[249, [2, 3, 4]]"));
}
