//! Programs nobody wrote: from a grammar, from valid ones changed, and from bytes. Whatever they are,
//! a typed outcome comes out; the worker never crashes, breaks the protocol, or calls what it must not.

use mruby_runner::{Ending, Error, Limits, Outcome, Request, Sandbox};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::time::Duration;

fn small() -> Limits {
    let mut limits = Limits::default();
    limits.wall = Duration::from_secs(5);
    limits.cpu = Duration::from_millis(500);
    limits.memory = 2 << 20;
    limits.output = 2000;
    limits.code = 4000;
    limits.instructions = 20_000;
    limits.depth = 200;
    limits
}

/// Small expressions, and what can be made of them. Every one is Ruby.
fn expression() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let leaf = prop_oneof![
        name.clone().prop_map(str::to_owned),
        any::<i64>().prop_map(|number| format!("({number})")),
        (-3..100_i64).prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("a literal", |number| number.is_finite())
            .prop_map(|number| format!("({number:e})")),
        prop::sample::select(vec![
            "nil",
            "true",
            "self",
            "''",
            "'äx'",
            "\"\\0\\xff\"",
            ":sym",
            "[]",
            "{}",
            "(1..9)",
            "Object",
            "INPUT",
            "1r",
            "2i",
            "Float::NAN",
            "2**70",
            "/x/",
            "Struct.new(:a)",
            "rand",
            "__method__",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        let binary = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "**", "<<", ">>", "==", "<=>", "<", "&", "|", "^", "&&", "||", "=~",
            "...",
        ]);
        let method = prop::sample::select(vec![
            "to_s",
            "inspect",
            "size",
            "hash",
            "class",
            "dup",
            "freeze",
            "reverse",
            "sort",
            "sum",
            "flatten",
            "to_a",
            "to_i",
            "to_f",
            "first",
            "keys",
            "uniq",
            "succ",
            "lazy",
            "each_slice(2)",
            "chars",
            "bytes",
            "to_sym",
            "methods",
            "instance_variables",
            "permutation",
            "pack('C*')",
            "unpack('w*U*')",
            "abs",
            "each_cons(3).to_a",
            "cycle",
            "product([1,2])",
            "transpose",
            "ancestors",
            "to_enum",
            "next",
            "clear",
            "rotate(-1)",
            "combination(2).to_a",
            "object_id",
            "undump",
            "dump",
            "singleton_class",
            "chr",
        ]);
        let with_block = prop::sample::select(vec![
            "map",
            "each",
            "select",
            "times",
            "inject",
            "sort_by",
            "group_by",
            "each_with_index",
            "upto(9)",
            "then",
            "tap",
            "instance_exec",
            "define_method(:m)",
            "each_char",
            "gsub('x')",
            "reject!",
            "loop",
        ]);
        let block = (with_block, inner.clone(), inner.clone());
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (inner.clone(), method).prop_map(|(of, method)| format!("({of}).{method}")),
            block.prop_map(|(method, of, body)| format!("({of}).{method} {{ |x, y| a = x; {body} }}")),
            (name.clone(), inner.clone()).prop_map(|(name, value)| format!("({name} = {value})")),
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(|pairs| {
                let pairs: Vec<String> =
                    pairs.iter().map(|(key, value)| format!("{key} => {value}")).collect();
                format!("{{{}}}", pairs.join(", "))
            }),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("begin; {a}; {b}; rescue => e; {c}; ensure; b = 1; end")),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| format!("(def m(x = {a}, *y, &z) = {b}; m({a}))")),
            inner.clone().prop_map(|a| format!("Fiber.new {{ |x| Fiber.yield({a}); m(x) }}.resume({a})")),
            inner.clone().prop_map(|a| format!("catch(:t) {{ throw :t, {a} }}")),
            inner.clone().prop_map(|a| format!("(puts({a}); p({a}))")),
            inner.clone().prop_map(|a| format!("\"x#{{{a}}}%s\" % [{a}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("eval({a}.to_s + '; ' + {b}.inspect)")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}).send(({b}).to_s, {b})")),
            (inner.clone(), inner)
                .prop_map(|(a, b)| format!("(while (c = {a}); {b}; break if rand(4) == 0; end)")),
        ]
    })
}

fn program() -> impl Strategy<Value = String> {
    prop::collection::vec(expression(), 1..4)
        .prop_map(|lines| format!("a = 1; b = 'x'; c = [3]\n{}", lines.join("\n")))
}

/// A program with pieces cut out, doubled, swapped or overwritten; most with one alone, for few are programs after more.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u8, 1..=127_u8);
    let changes = prop_oneof![
        3 => prop::collection::vec(change.clone(), 1),
        1 => prop::collection::vec(change, 2..6),
    ];
    (program(), changes).prop_map(|(code, changes)| {
        let mut code = code.into_bytes();
        for (from, to, what, byte) in changes {
            if code.is_empty() {
                break;
            }
            let (from, to) = (from.index(code.len()), to.index(code.len()));
            let piece = from.min(to)..from.max(to).min(from.min(to) + 20);
            match what {
                0 => drop(code.drain(piece)),
                1 => drop(code.splice(to..to, code[piece].to_vec()).count()),
                2 => code.swap(from, to),
                _ => code[from] = byte,
            }
        }
        code
    })
}

/// Words of the language in any order.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "def", "end", "class", "module", "if", "unless", "while", "do", "begin", "rescue", "ensure", "case",
        "when", "in", "yield", "super", "return", "break", "next", "redo", "retry", "self", "nil", "(", ")",
        "[", "]", "{", "}", "|", "&", "*", "**", "=>", "->", "::", "..", ",", ";", "\n", "=", "+", "x", "X",
        "@x", "@@x", "$x", ":x", "x:", "1", "1.5", "\"#{", "}\"", "'", "%w[", "<<~A\n", "A\n", "?", "!",
        "__END__", "alias", "undef", "BEGIN", "not", "and", "=begin\n", "\\", "`", "&.", "defined?",
    ]);
    prop::collection::vec(word, 1..40).prop_map(|words| words.join(" "))
}

#[derive(Debug, Default)]
struct Tally {
    value: u32,
    exception: u32,
    syntax: u32,
    limit: u32,
    refused: u32,
}

fn judge(result: Result<Outcome, Error>, limits: &Limits, tally: &mut Tally) -> Result<(), TestCaseError> {
    let outcome = match result {
        // What is seen to be no code without an interpreter.
        Err(Error::Empty | Error::Nul(_) | Error::NotUtf8(_)) => {
            tally.refused += 1;
            return Ok(());
        }
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
        Ok(outcome) => outcome,
    };
    match &outcome.ending {
        Ending::Value { inspect, .. } => {
            tally.value += 1;
            prop_assert!(inspect.len() <= 4096 * 3, "the value is {} bytes", inspect.len());
        }
        Ending::Exception { message, .. } => {
            tally.exception += 1;
            prop_assert!(message.len() <= 4096 * 3, "the message is {} bytes", message.len());
        }
        Ending::Syntax { .. } => tally.syntax += 1,
        Ending::Limit { limit, value } => {
            tally.limit += 1;
            prop_assert_eq!(*value, limits.value(*limit));
        }
        _ => return Err(TestCaseError::fail(format!("{outcome:?}"))),
    }
    let usage = &outcome.usage;
    prop_assert!(outcome.stdout.len() <= limits.output);
    prop_assert!(usage.instructions <= limits.instructions, "{:?}", usage);
    prop_assert!(usage.memory <= limits.memory as u64, "{:?}", usage);
    prop_assert!(usage.wall < limits.wall * 2 && usage.cpu < limits.cpu * 2, "{:?}", usage);
    Ok(())
}

/// Runs programs of one kind, in fresh workers or in sessions of ten.
fn run<S>(cases: u32, programs: S, session: bool) -> Tally
where
    S: Strategy,
    S::Value: AsRef<[u8]>,
{
    let limits = small();
    let tally = RefCell::new(Tally::default());
    let sandbox = RefCell::new(Sandbox::builder().limits(limits.clone()).build().unwrap());
    let (size, cases) = if session { (10, cases / 10) } else { (1, cases) };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let done = TestRunner::new(config).run(&prop::collection::vec(programs, size), |codes| {
        let (mut sandbox, mut tally) = (sandbox.borrow_mut(), tally.borrow_mut());
        if session {
            let mut session = sandbox.session();
            codes
                .iter()
                .try_for_each(|code| judge(session.eval(Request::new(code).seed(7)), &limits, &mut tally))
        } else {
            let request = |code| Request::new(code).seed(7).input_text("[1, 2]");
            codes.iter().try_for_each(|code| judge(sandbox.eval(request(code)), &limits, &mut tally))
        }
    });
    if let Err(failure) = done {
        panic!("{failure}");
    }
    let outcome = sandbox.borrow_mut().eval("1 + 1").unwrap();
    assert_eq!(outcome.value(), Some("2"));
    tally.into_inner()
}

#[test]
fn programs_of_a_grammar() {
    let tally = run(cases(700), program(), false);
    // The grammar is worth its name: all that can come of a program does.
    assert!(tally.value > 20 && tally.exception > 100 && tally.limit > 0, "{tally:?}");
}

#[test]
fn programs_of_a_grammar_in_sessions() {
    let tally = run(cases(500), program(), true);
    assert!(tally.value > 20 && tally.exception > 100, "{tally:?}");
}

#[test]
fn mutated_programs() {
    let tally = run(cases(400), mutated(), false);
    assert!(tally.syntax > 50 && tally.value + tally.exception > 20, "{tally:?}");
}

#[test]
fn words_in_any_order() {
    let tally = run(cases(200), words(), false);
    assert!(tally.syntax > 100, "{tally:?}");
}

#[test]
fn soup_of_bytes() {
    let tally = run(cases(200), prop::collection::vec(any::<u8>(), 0..200), false);
    assert!(tally.refused > 100, "{tally:?}");
    let tally = run(cases(200), "\\PC{1,80}", false);
    assert!(tally.syntax > 50, "{tally:?}");
}

/// More than usual: `FUZZ=20` runs twenty times as many.
fn cases(usual: u32) -> u32 {
    let factor = std::env::var("FUZZ").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    usual * factor
}
