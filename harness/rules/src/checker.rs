//! Which lines are events: a worker says so that runs no tenant's code, so its word can be taken.

use crate::verdict::Bad;
use crate::{Error, Options};
use mruby_runner::{Ending, Error as RunnerError, Limits, Outcome, Policy, Request, Sandbox, Session};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const CODE: &str = include_str!("../ruby/check.rb");

/// A sandbox for the checker. Parsing takes time in proportion to the line, so its clocks are wide: a
/// busy machine must not make a good line bad.
pub(crate) fn sandbox(options: &Options) -> Result<Sandbox, Error> {
    let mut limits = Limits::default();
    limits.wall = Duration::from_secs(60);
    limits.cpu = Duration::from_secs(60);
    limits.code = options.limits.code.max(CODE.len());
    limits.memory = limits.memory.max(limits.code.saturating_mul(32)).min(4 << 30);
    Ok(Sandbox::builder().policy(Policy::Strict).limits(limits).build()?)
}

/// Judges lines, many at once where they are all good.
pub(crate) struct Checker<'a> {
    session: Session<'a>,
    /// Stands between lines. Whoever writes events cannot know it, so no line can close its own
    /// brackets, hold a mark and open the next one's.
    mark: String,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(sandbox: &'a mut Sandbox) -> Self {
        let word = || RandomState::new().hash_one(0_u8);
        Self { session: sandbox.session(), mark: format!("{:016x}{:016x}", word(), word()) }
    }

    /// What is wrong with each line, if anything.
    pub(crate) fn check(&mut self, lines: &[&[u8]]) -> Result<Vec<Option<Bad>>, Error> {
        if lines.len() > 1 && self.all_good(lines)? {
            return Ok(vec![None; lines.len()]);
        }
        lines.iter().map(|line| self.one(line)).collect()
    }

    fn all_good(&mut self, lines: &[&[u8]]) -> Result<bool, Error> {
        let between = format!("]],\"{}\",[[", self.mark);
        let input = [b"[[[", lines.join(between.as_bytes()).as_slice(), b"]]]"].concat();
        let code = format!("INPUT.size == {} && __all_good?(INPUT, '{}')", lines.len() * 2 - 1, self.mark);
        let outcome = self.ask(&code, &input)?;
        Ok(outcome.json() == Some(&serde_json::Value::Bool(true)))
    }

    fn one(&mut self, line: &[u8]) -> Result<Option<Bad>, Error> {
        let input = [b"[[[", line, b"]]]"].concat();
        let outcome = self.ask("__one(INPUT)", &input)?;
        Ok(match (outcome.json().and_then(serde_json::Value::as_str), &outcome.ending) {
            (Some("good"), _) => None,
            (Some("not-an-object"), _) => Some(Bad::NotAnObject),
            (Some("not-json"), _) => Some(Bad::NotJson),
            // The parser's word: nothing else here raises one.
            (_, Ending::Exception { class, .. }) if class == "ArgumentError" => Some(Bad::NotJson),
            _ => Some(Bad::Unreadable),
        })
    }

    /// One question. A zygote that is lost is made anew, once.
    fn ask(&mut self, code: &str, input: &[u8]) -> Result<Outcome, Error> {
        match self.try_ask(code, input) {
            Err(RunnerError::Zygote { .. }) => Ok(self.try_ask(code, input)?),
            asked => Ok(asked?),
        }
    }

    fn try_ask(&mut self, code: &str, input: &[u8]) -> Result<Outcome, RunnerError> {
        if !self.session.is_alive() {
            self.session.eval(CODE)?;
        }
        self.session.eval(Request::new(code).input_text(input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that are no events alone and could pass for some beside others.
    #[test]
    fn no_line_hides_behind_its_neighbours() {
        let mut sandbox = sandbox(&Options::default()).unwrap();
        let mut checker = Checker::new(&mut sandbox);
        let (good, json) = (None, Some(Bad::NotJson));
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(60), "]".repeat(60));
        let deeper = format!("{{\"a\":{}1{}}}", "[".repeat(61), "]".repeat(61));
        for (lines, wanted) in [
            (vec!["{}", "{\"a\":1}"], vec![good, good]),
            (vec!["{},{}", "{}"], vec![json, good]),
            (vec!["{}]],[[{}", "{}"], vec![json, good]),
            (vec!["{}]],\"x\",[[{}", "{}"], vec![json, good]),
            (vec!["{\"a\":[", "]}"], vec![json, json]),
            (vec!["{\"a\":\"", "\"}"], vec![json, json]),
            (vec!["{},{}", "{\"a\":[", "]}"], vec![json, json, json]),
            (vec!["{}],[{}", "{}"], vec![json, good]),
            (vec!["", "{}"], vec![json, good]),
            (vec!["  {} \r", "\t{}"], vec![good, good]),
            (vec!["1", "[]", "null", "{}"], {
                let other = Some(Bad::NotAnObject);
                vec![other, other, other, good]
            }),
            (vec!["{}"], vec![good]),
            (vec!["{}{}"], vec![json]),
            (vec![&deep, &deeper], vec![good, json]),
        ] {
            let bytes: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(checker.check(&bytes).unwrap(), wanted, "{lines:?}");
        }
        // Three lines that make as many arrays as three events would: their marks stand elsewhere.
        let crafted: [&[u8]; 3] = [b"{}]],1,[[{}", b"{\"a\":[[[{}", b"{}]]]}"];
        assert_eq!(checker.check(&crafted).unwrap(), [json, json, json]);
        // Who knew the mark would still have to get by the count.
        let mark = checker.mark.clone();
        let known = format!("{{}}]],\"{mark}\",[[{{}}");
        assert!(!checker.all_good(&[known.as_bytes(), b"{}"]).unwrap());
        assert!(checker.all_good(&[b"{}", b"{}"]).unwrap());
        assert_eq!(checker.check(&[b"{\"a\":\"\xff\"}"]).unwrap(), [json]);
    }
}
