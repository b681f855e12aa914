//! What comes out: decisions, strikes, bad lines. What a worker says is hostile until it is one of these.

use mruby_runner::{Ending, Limit};
use serde::Serialize;
use serde_json::Value;

/// Bytes of a tag.
const TAG: usize = 64;
/// Characters of an exception's class, message and place, and of what else is quoted.
const QUOTE: usize = 256;

/// One line of the engine's output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record<'a> {
    /// The line of the event, from 1; bad lines count.
    pub seq: u64,
    /// Whose verdict; none for a bad line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<&'a str>,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: &'a Verdict,
}

/// What became of an event, for one tenant.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Verdict {
    /// The rule accepts.
    Accept,
    /// The rule rejects.
    Reject,
    /// The rule puts a tag on the event.
    Tag {
        /// 1 to 64 bytes, without control characters.
        tag: String,
    },
    /// The rule changes the event.
    Change {
        /// The event as it shall be: an object, no longer than a line may be.
        event: Value,
    },
    /// The rule did wrong: no decision.
    Strike(Strike),
    /// The tenant is quarantined: its rule was not asked.
    Quarantined,
    /// The line is no event, for no tenant.
    BadLine {
        /// Why.
        why: Bad,
    },
}

/// What a rule did wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Strike {
    /// In what way.
    #[serde(flatten)]
    pub reason: Reason,
    /// Whether it was the loading of the rule, not the decision.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub loading: bool,
    /// The tenant's strikes, with this one.
    pub strikes: u32,
    /// Whether this one was the last: the tenant is quarantined from the next event on.
    pub quarantined: bool,
}

/// In what way a rule did wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// It raised. The texts are the rule's own words, cut to 256 characters.
    Exception {
        /// The exception's class.
        class: String,
        /// Its message.
        message: String,
        /// Where it came from, such as `main.rb:3:in decide`; empty where that is not known.
        at: String,
    },
    /// It is not Ruby.
    Syntax {
        /// The line.
        line: u32,
        /// What mruby says.
        message: String,
    },
    /// It reached a limit.
    Limit {
        /// Which one.
        limit: Limit,
    },
    /// It made a system call that the filter forbids.
    Forbidden {
        /// Which one, where the policy tells.
        #[serde(skip_serializing_if = "Option::is_none")]
        call: Option<String>,
    },
    /// It crashed the worker.
    Crashed {
        /// By this signal.
        signal: i32,
    },
    /// It made the worker break the protocol.
    Broken {
        /// In what way.
        why: String,
    },
    /// It decided what is no decision.
    Decision {
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Why a line is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bad {
    /// It is longer than a line may be.
    TooLong,
    /// It is not JSON, or is nested deeper than 61 levels.
    NotJson,
    /// It is JSON, but no object.
    NotAnObject,
    /// The checker could not parse it within its limits.
    Unreadable,
}

/// Cuts a hostile text to a length.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(QUOTE).collect()
}

const UNKNOWN: Reason =
    Reason::Decision { why: "it is none of :accept, :reject, [:tag, name] and {change: event}" };

impl Verdict {
    pub(crate) const fn bad(why: &Bad) -> Self {
        Self::BadLine { why: *why }
    }

    /// A decision, out of what a rule returned.
    pub(crate) fn of(value: Value, most: usize) -> Result<Self, Reason> {
        let wrong = |why| Err(Reason::Decision { why });
        match value {
            Value::String(word) if word == "accept" => Ok(Self::Accept),
            Value::String(word) if word == "reject" => Ok(Self::Reject),
            Value::Array(items) => match <[Value; 2]>::try_from(items) {
                Ok([Value::String(word), Value::String(tag)]) if word == "tag" => {
                    if tag.is_empty() || tag.len() > TAG || tag.chars().any(char::is_control) {
                        return wrong("a tag is 1 to 64 bytes without control characters");
                    }
                    Ok(Self::Tag { tag })
                }
                _ => Err(UNKNOWN),
            },
            Value::Object(mut fields) if fields.len() == 1 => match fields.remove("change") {
                Some(event @ Value::Object(_)) => {
                    if event.to_string().len() > most {
                        return wrong("the changed event is longer than a line may be");
                    }
                    Ok(Self::Change { event })
                }
                Some(_) => wrong("the changed event is no object"),
                None => Err(UNKNOWN),
            },
            _ => Err(UNKNOWN),
        }
    }
}

/// What the worker says of one event: `[decision]`, or `[class, message, place]`. `None` for neither.
pub(crate) fn said(value: Value, most: usize) -> Option<Result<Verdict, Reason>> {
    let Value::Array(mut items) = value else { return None };
    match (items.len(), items.pop()) {
        (1, Some(decision)) => Some(Verdict::of(decision, most)),
        (3, Some(at)) => {
            let text = |value: Option<&Value>| cut(value.and_then(Value::as_str).unwrap_or_default());
            let (class, message) = (text(items.first()), text(items.get(1)));
            Some(Err(Reason::Exception { class, message, at: text(Some(&at)) }))
        }
        _ => None,
    }
}

impl Reason {
    /// The reason in an ending that brought no decision.
    pub(crate) fn of(ending: &Ending) -> Self {
        match ending {
            Ending::Value { .. } => Self::Decision { why: "it is not plain data" },
            Ending::Exception { class, message, backtrace } => Self::Exception {
                class: cut(class),
                message: cut(message),
                at: cut(backtrace.first().map_or("", String::as_str)),
            },
            Ending::Syntax { line, message, .. } => Self::Syntax { line: *line, message: cut(message) },
            Ending::Limit { limit, .. } => Self::Limit { limit: *limit },
            Ending::Forbidden { call } => Self::Forbidden {
                call: call.as_ref().map(|call| call.name.map_or(call.number.to_string(), str::to_owned)),
            },
            Ending::Crashed { signal } => Self::Crashed { signal: *signal },
            Ending::Broken { why } => Self::Broken { why: cut(why) },
            other => Self::Broken { why: other.kind().to_owned() },
        }
    }
}
