//! What a task has, as `/proc` shows it (proc_pid_*(5)).

use super::link;
use crate::sys;
use atlas_model::experiment::layout;
use atlas_model::world::{Holdings, Open, Place, Protection, Resource};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What the task of a thread id has; `None` where it is gone.
pub(super) fn holdings(tid: i32) -> Option<Holdings> {
    let root = PathBuf::from(format!("/proc/{tid}"));
    let read = |name: &str| sys::read_file(&format!("/proc/{tid}/{name}"));
    let status = read("status")?;
    Some(Holdings {
        place: Place { directory: link(&root.join("cwd")).unwrap_or_default(), umask: umask(&status) },
        descriptors: descriptors(&root.join("fd")),
        pages: pages(&read("maps").unwrap_or_default()),
        limits: limits(tid),
        nice: sys::nice(tid),
        personality: u32::from_str_radix(read("personality").unwrap_or_default().trim(), 16)
            .unwrap_or_default(),
        users: users(&status),
    })
}

fn line<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

fn umask(status: &str) -> Option<u32> {
    u32::from_str_radix(line(status, "Umask:")?.trim(), 8).ok()
}

/// Real, effective and saved user; a fourth is the one for file systems.
fn users(status: &str) -> [u32; 3] {
    let mut ids = line(status, "Uid:").unwrap_or_default().split_whitespace();
    [(); 3].map(|()| ids.next().and_then(|id| id.parse().ok()).unwrap_or(u32::MAX))
}

fn descriptors(directory: &Path) -> BTreeMap<u32, Open> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, open(&link(&entry.path())?)))
    };
    fs::read_dir(directory).into_iter().flatten().filter_map(entry).collect()
}

/// A descriptor's link without the inode's number.
fn open(target: &str) -> Open {
    if target.starts_with("pipe:[") {
        Open::Pipe
    } else if target.starts_with("socket:[") {
        Open::Socket
    } else if let Some(kind) = target.strip_prefix("anon_inode:") {
        Open::Anonymous(kind.trim_matches(['[', ']']).to_owned())
    } else {
        Open::File(target.to_owned())
    }
}

/// The mapped pages of the window. Neighbours are one line of the list, so each page is named.
fn pages(maps: &str) -> BTreeMap<u32, Protection> {
    let mut pages = BTreeMap::new();
    for line in maps.lines() {
        let Some((range, rest)) = line.split_once(' ') else { continue };
        let Some((from, to)) = range.split_once('-') else { continue };
        let number = |text| u64::from_str_radix(text, 16).unwrap_or_default();
        let (from, to) = (number(from), number(to));
        let has = |letter: char| rest.chars().take(4).any(|other| other == letter);
        let allows = Protection { read: has('r'), write: has('w'), execute: has('x'), shared: has('s') };
        for page in 0..layout::WINDOW_PAGES {
            let address = layout::WINDOW + page * layout::PAGE;
            if (from..to).contains(&address) {
                pages.insert(page as u32, allows);
            }
        }
    }
    pages
}

/// Soft and hard limits, and none of a task that is gone.
fn limits(tid: i32) -> BTreeMap<Resource, (u64, u64)> {
    let names = [(Resource::Stack, libc::RLIMIT_STACK), (Resource::Files, libc::RLIMIT_NOFILE)];
    names.into_iter().filter_map(|(resource, which)| Some((resource, sys::limit(tid, which)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_pages_are_told_apart_from_the_rest() {
        let maps = "57fff000-58002000 rw-p 00000000 00:00 0\n58004000-58005000 r--s 00000000 00:01 5 /x y";
        let seen = pages(maps);
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [0, 1, 4]);
        assert!(seen[&0].write && !seen[&4].write && seen[&4].shared && !seen[&0].shared);
    }

    #[test]
    fn limits_and_niceness_are_those_of_proc() {
        let me = std::process::id() as i32;
        let text = fs::read_to_string("/proc/self/limits").unwrap();
        let line = line(&text, "Max open files").unwrap();
        let (soft, hard) = limits(me)[&Resource::Files];
        let shown = |limit: u64| if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() };
        let shown = format!("{} {}", shown(soft), shown(hard));
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>().join(" "), shown);
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let fields = stat.rsplit_once(')').unwrap().1;
        assert_eq!(fields.split_whitespace().nth(16).unwrap(), sys::nice(me).to_string());
    }

    #[test]
    fn fields_are_found_in_the_texts_of_proc() {
        let status = "Name:\tx\nUmask:\t0077\nUid:\t1\t2\t3\t4\n";
        assert_eq!((umask(status), users(status)), (Some(0o077), [1, 2, 3]));
        assert_eq!(umask("Name:\tx\n"), None);
    }

    #[test]
    fn descriptors_are_named_without_their_inodes() {
        assert_eq!(open("pipe:[12]"), Open::Pipe);
        assert_eq!(open("anon_inode:[eventfd]"), Open::Anonymous("eventfd".into()));
        assert_eq!(open("anon_inode:inotify"), Open::Anonymous("inotify".into()));
        assert_eq!(open("/world/opened"), Open::File("/world/opened".into()));
    }
}
