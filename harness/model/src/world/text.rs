//! Changes written down for people.

use super::{Change, File, Kind, Of, Open, Protection, Resource};

impl Change {
    /// The change as one line.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::File { name, before, after } => {
                from_to(&format!("file {name}"), before.as_ref(), after.as_ref(), file)
            }
            Self::Pipe { before, after } => format!("bytes in the pipe: {before}, then {after}"),
            Self::Signal(signal) => format!("signal {signal} is pending for process 1"),
            Self::Hostname(name) => format!("host name: {name}"),
            Self::Task(task, of) => format!("task {task}: {}", of.to_text()),
        }
    }
}

impl Of {
    /// The change as a phrase.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Directory(path) => format!("directory {path}"),
            Self::Umask(umask) => format!("umask {umask:03o}"),
            Self::Descriptor { number, before, after } => {
                from_to(&format!("descriptor {number}"), before.as_ref(), after.as_ref(), open)
            }
            Self::Page { number, before, after } => {
                from_to(&format!("page {number}"), before.as_ref(), after.as_ref(), protection)
            }
            Self::Limit { resource, soft, hard } => {
                let name = match resource {
                    Resource::Stack => "stack",
                    Resource::Files => "open files",
                };
                format!("limit of {name}: {soft}, at most {hard}")
            }
            Self::Nice(nice) => format!("nice {nice}"),
            Self::Personality(personality) => format!("personality {personality:#x}"),
            Self::Users([real, effective, saved]) => format!("users {real}, {effective}, {saved}"),
        }
    }
}

/// Changes as one line.
#[must_use]
pub fn changes_text(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "unchanged".into();
    }
    changes.iter().map(Change::to_text).collect::<Vec<_>>().join("; ")
}

fn from_to<T>(what: &str, before: Option<&T>, after: Option<&T>, text: impl Fn(&T) -> String) -> String {
    match (before, after) {
        (None, Some(after)) => format!("{what} came: {}", text(after)),
        (Some(before), None) => format!("{what} went: {}", text(before)),
        (Some(before), Some(after)) => format!("{what}: {}, then {}", text(before), text(after)),
        (None, None) => what.to_owned(),
    }
}

fn file(file: &File) -> String {
    let kind = match &file.kind {
        Kind::Regular { length } => format!("{length} bytes"),
        Kind::Directory => "directory".into(),
        Kind::Fifo => "fifo".into(),
        Kind::Link { target } => format!("link to {target}"),
        Kind::Other => "something else".into(),
    };
    format!("{kind}, mode {:03o}, owner {}", file.mode, file.owner)
}

fn open(open: &Open) -> String {
    match open {
        Open::Pipe => "pipe".into(),
        Open::Socket => "socket".into(),
        Open::Anonymous(kind) => kind.clone(),
        Open::File(path) => path.clone(),
    }
}

fn protection(allows: &Protection) -> String {
    let bits = [(allows.read, 'r'), (allows.write, 'w'), (allows.execute, 'x')];
    let bits: String = bits.iter().map(|&(set, letter)| if set { letter } else { '-' }).collect();
    format!("{bits}{}", if allows.shared { 's' } else { 'p' })
}
