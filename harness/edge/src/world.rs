//! The watched world as the supervisor reads it, from outside the tasks.

mod process;

use crate::{memory, sys};
use atlas_model::experiment::{TaskId, layout};
use atlas_model::world::{Change, File, Kind, MAX_NAME, World, changes};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// The signals that process 1 blocks while it watches: those that experiments may send it. The
/// kernel keeps blocked signals for process 1 too (kernel/signal.c sig_ignored).
const SIGNALS: u64 = sys::signal_set(&[10, 12, 34, 35, 36, 37, 38, 39, 40]);

/// What the first task sees before its first step, which is the same for every experiment: the directory is as
/// it was made, and the task is furnished for each. Looking takes a fifth of a small experiment.
static FURNISHED: OnceLock<World> = OnceLock::new();

/// Whether the directory stands as it was made. Making it takes a tenth of a small experiment, so what an experiment
/// did to it is undone instead.
static STANDING: AtomicBool = AtomicBool::new(false);

/// Everybody may make files in the watched directory.
const ROOT_MODE: u32 = 0o777;

/// Descriptors that watched experiments have open, and the files in the watched directory that they are of.
const OPEN: [(u64, &str); 3] = [
    (layout::FD_FCHMOD, layout::FCHMOD),
    (layout::FD_FTRUNCATE, layout::FTRUNCATE),
    (layout::FD_PWRITE, layout::PWRITE),
];
/// Room for the path of one.
const PATH: usize = 64;
const _: () = {
    let mut at = 0;
    while at < OPEN.len() {
        assert!(layout::WORLD.len() + OPEN[at].1.len() + 2 <= PATH);
        at += 1;
    }
};

/// What is in the watched directory, by name.
type Files = BTreeMap<String, File>;

/// A world that is being watched.
pub(crate) struct Watch {
    /// The pipe that experiments write to, held open so that its bytes stay though tasks end.
    pipe: Option<fs::File>,
    hostname: String,
    /// The directory is as it was made: nothing was seen to have changed in it, or that was undone.
    standing: bool,
}

impl Watch {
    /// Makes the watched directory, or takes the one that stands.
    pub(crate) fn begin() -> Result<Self, String> {
        if !STANDING.swap(false, SeqCst) {
            make(Path::new(layout::WORLD))
                .map_err(|error| format!("the watched directory could not be made: {error}"))?;
        }
        Ok(Self { pipe: None, hostname: sys::hostname(), standing: false })
    }

    /// Opens the pipe, and looks at the world if nobody has yet, task 0 being ready and before its first step.
    pub(crate) fn before(&mut self, tid: i32) {
        let pipe = format!("/proc/{tid}/fd/{}", layout::FD_WRITE + 10);
        self.pipe = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(pipe).ok();
        sys::block_signals(SIGNALS, true);
        FURNISHED.get_or_init(|| self.look(std::iter::once((0, tid))));
    }

    /// What has changed since, these tasks living with these thread ids. Undoes what is not a task's.
    pub(crate) fn after(mut self, tasks: impl Iterator<Item = (TaskId, i32)>) -> Vec<Change> {
        let after = self.look(tasks);
        let Some(before) = FURNISHED.get() else { return Vec::new() };
        self.standing = mend(Path::new(layout::WORLD), &before.files, &after.files).is_ok();
        changes(before, &after)
    }

    fn look(&self, tasks: impl Iterator<Item = (TaskId, i32)>) -> World {
        let pending = sys::pending_signals();
        World {
            files: files(Path::new(layout::WORLD)),
            pipe: self.pipe.as_ref().map_or(0, sys::waiting_bytes),
            pending: (1..=64).filter(|signal| pending & SIGNALS & sys::signal_set(&[*signal]) != 0).collect(),
            hostname: sys::hostname(),
            tasks: tasks.filter_map(|(task, tid)| Some((task, process::holdings(tid)?))).collect(),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        sys::drop_signals(SIGNALS);
        sys::block_signals(SIGNALS, false);
        if sys::hostname() != self.hostname {
            sys::set_hostname(&self.hostname);
        }
        STANDING.store(self.standing, SeqCst);
        if !self.standing {
            clear(Path::new(layout::WORLD));
        }
    }
}

/// Makes the watched directory.
fn make(root: &Path) -> std::io::Result<()> {
    clear(root);
    fs::create_dir(root)?;
    mode(root, ROOT_MODE)?;
    layout::SEED_FILES.iter().chain(&layout::SEED_DIRECTORIES).try_for_each(|name| plant(root, name))
}

/// Makes one of the things that are in the watched directory from the beginning.
fn plant(root: &Path, name: &str) -> std::io::Result<()> {
    let path = root.join(name);
    if layout::SEED_DIRECTORIES.contains(&name) {
        fs::create_dir(&path)?;
        return mode(&path, 0o755);
    }
    fs::write(&path, [b's'; layout::SEED_LENGTH as usize])?;
    mode(&path, layout::SEED_MODE)
}

/// Undoes what was done to the watched directory: removes what is new or another, and makes anew what is missing.
/// It is an error where that is not enough: another mode, or something within what was there. Contents are
/// no part of what anybody sees of the world, and are left.
fn mend(root: &Path, before: &Files, after: &Files) -> std::io::Result<()> {
    let seen = fs::symlink_metadata(root)?;
    if !seen.is_dir() || seen.mode() & 0o7777 != ROOT_MODE {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    if before == after {
        return Ok(());
    }
    // Directories that look the same go too, if they are empty.
    let stays = |name: &str| before.get(name) == after.get(name) && !layout::SEED_DIRECTORIES.contains(&name);
    for (name, file) in after.iter().filter(|(name, _)| !stays(name)) {
        let path = root.join(name);
        match file.kind {
            Kind::Directory if before.get(name) == Some(file) => fs::remove_dir(path)?,
            Kind::Directory => fs::remove_dir_all(path)?,
            _ => fs::remove_file(path)?,
        }
    }
    before.keys().filter(|name| !stays(name)).try_for_each(|name| plant(root, name))
}

/// Removes a watched directory that stands yet: an experiment that is not watched has none.
pub(crate) fn put_away() {
    if STANDING.swap(false, SeqCst) {
        clear(Path::new(layout::WORLD));
    }
}

/// Gives the first task what watched experiments refer to, and nothing else. Allocates nothing.
pub(crate) fn furnish() {
    let close = |number: u64| sys::number(libc::SYS_close, [number, 0, 0, 0, 0, 0]);
    // Linux before 5.9 has no close_range(2).
    if sys::number(libc::SYS_close_range, [layout::FD_FREE, layout::FD_READ - 1, 0, 0, 0, 0]) != 0 {
        for number in layout::FD_FREE..layout::FD_READ {
            let _ = close(number);
        }
    }
    let move_to = |from: u64, to: u64| sys::number(libc::SYS_dup2, [from, to, 0, 0, 0, 0]);
    let _ = move_to(layout::FD_READ, layout::FD_CLOSE);
    for (number, name) in OPEN {
        let mut path = [0; PATH];
        let written = write!(&mut path[..], "{}/{name}\0", layout::WORLD);
        let (Ok(()), Ok(path)) = (written, CStr::from_bytes_until_nul(&path)) else { continue };
        if let Ok(file) = sys::ok(sys::open(path, libc::O_RDWR)) {
            let _ = move_to(file as u64, number);
            let _ = close(file as u64);
        }
    }
    let _ = sys::number(libc::SYS_umask, [layout::UMASK.into(), 0, 0, 0, 0, 0]);
    memory::map_window();
}

fn mode(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Removes a directory and all in it; what is not there is no error.
fn clear(path: &Path) {
    let _ = fs::remove_dir_all(path);
}

fn files(root: &Path) -> Files {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let name = short(entry.file_name().to_string_lossy().into_owned());
        Some((name, file(&entry.path())?))
    };
    fs::read_dir(root).into_iter().flatten().filter_map(entry).collect()
}

fn file(path: &Path) -> Option<File> {
    let seen = fs::symlink_metadata(path).ok()?;
    let kind = match seen.mode() & libc::S_IFMT {
        libc::S_IFREG => Kind::Regular { length: seen.len() },
        libc::S_IFDIR => Kind::Directory,
        libc::S_IFIFO => Kind::Fifo,
        libc::S_IFLNK => Kind::Link { target: link(path)? },
        _ => Kind::Other,
    };
    Some(File { kind, mode: seen.mode() & 0o7777, owner: seen.uid() })
}

/// Where a symbolic link points to.
fn link(path: &Path) -> Option<String> {
    Some(short(fs::read_link(path).ok()?.to_string_lossy().into_owned()))
}

fn short(mut name: String) -> String {
    let end = (0..=MAX_NAME.min(name.len())).rev().find(|&end| name.is_char_boundary(end));
    name.truncate(end.unwrap_or(0));
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_was_done_to_the_directory_is_undone() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("world");
        make(&root).unwrap();
        let before = files(&root);
        assert_eq!(before.len(), layout::SEED_FILES.len() + layout::SEED_DIRECTORIES.len());
        let [first, second, third, fourth, ..] = layout::SEED_FILES.map(|name| root.join(name));
        fs::remove_file(&first).unwrap();
        fs::write(&second, "longer than it was").unwrap();
        mode(&third, 0o600).unwrap();
        fs::rename(&fourth, root.join("new")).unwrap();
        symlink("nowhere", root.join("link")).unwrap();
        fs::create_dir(root.join("made")).unwrap();
        fs::remove_dir(root.join(layout::SEED_DIRECTORIES[0])).unwrap();
        fs::create_dir(&first).unwrap();
        let after = files(&root);
        assert_ne!(after, before);
        mend(&root, &before, &after).unwrap();
        assert_eq!(files(&root), before);
    }

    #[test]
    fn what_cannot_be_undone_is_said() {
        let spoil: [fn(&Path); 3] = [
            |root| mode(root, 0o700).unwrap(),
            // Behind what changed visibly something was put into a directory that looks the same.
            |root| {
                fs::remove_file(root.join(layout::SEED_FILES[0])).unwrap();
                fs::write(root.join(layout::SEED_DIRECTORIES[1]).join("within"), "").unwrap();
            },
            |root| {
                fs::remove_dir_all(root).unwrap();
                fs::write(root, "").unwrap();
            },
        ];
        for (which, spoil) in spoil.into_iter().enumerate() {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path().join("world");
            make(&root).unwrap();
            let before = files(&root);
            spoil(&root);
            assert!(mend(&root, &before, &files(&root)).is_err(), "{which}");
        }
    }
}
