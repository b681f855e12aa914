//! Names in a program's memory: what its calls are given for a path, and what it does not find.

use atlas_model::Call;
use atlas_model::abi::syscalls;
use atlas_wire::program::{MAX_MISSED, MAX_NAME, PAGE};

/// The end of a name that goes on, or of which no more can be read.
const CUT: &str = "…";

/// Names that were not found, each once.
#[derive(Default)]
pub(super) struct Missed(Vec<String>);

impl Missed {
    /// Takes a call of a stopped task that has come back with ENOENT.
    pub(super) fn note(&mut self, tid: i32, call: &Call) {
        if self.0.len() < MAX_MISSED
            && path_of(call).is_some_and(|(_, has_to_be_there)| has_to_be_there)
            && let Some(name) = name_of(tid, call)
            && !self.0.contains(&name)
        {
            self.0.push(name);
        }
    }

    /// The names, in the order in which they were looked for.
    pub(super) fn close(self) -> Vec<String> {
        self.0
    }
}

/// The path that a stopped task's call is given, if it takes one.
pub(super) fn name_of(tid: i32, call: &Call) -> Option<String> {
    let (place, _) = path_of(call)?;
    Some(name_at(tid, call.args[place])).filter(|name| !name.is_empty())
}

/// Which argument of a call is a path, the first one where there are two, and whether it has to be there; where it has not,
/// ENOENT says that a directory is not (the calls' own man pages).
fn path_of(call: &Call) -> Option<(usize, bool)> {
    let of = match syscalls::name(call.abi, call.nr as u32)? {
        "open" | "stat" | "stat64" | "lstat" | "lstat64" | "oldstat" | "oldlstat" | "access" | "readlink"
        | "execve" | "chdir" | "statfs" | "statfs64" | "truncate" | "uselib" => (0, true),
        "creat" | "chroot" | "truncate64" | "mkdir" | "rmdir" | "mknod" | "unlink" | "rename" | "link"
        | "symlink" | "chmod" | "chown" | "chown32" | "lchown" | "lchown32" | "utime" | "utimes"
        | "umount" | "umount2" | "pivot_root" | "swapon" | "swapoff" | "acct" | "setxattr" | "getxattr"
        | "listxattr" | "removexattr" | "lsetxattr" | "lgetxattr" | "llistxattr" | "lremovexattr" => {
            (0, false)
        }
        "openat" | "openat2" | "newfstatat" | "fstatat64" | "statx" | "faccessat" | "faccessat2"
        | "readlinkat" | "execveat" => (1, true),
        "mkdirat" | "mknodat" | "unlinkat" | "renameat" | "renameat2" | "linkat" | "fchmodat"
        | "fchmodat2" | "fchownat" | "futimesat" | "utimensat" | "utimensat_time64" | "mount"
        | "name_to_handle_at" | "inotify_add_watch" | "open_tree" | "open_tree_attr" | "move_mount"
        | "mount_setattr" | "fspick" | "file_getattr" | "file_setattr" | "setxattrat" | "getxattrat"
        | "listxattrat" | "removexattrat" => (1, false),
        _ => return None,
    };
    Some(of)
}

/// A name in a task's memory, as far as it can be read and is kept.
fn name_at(tid: i32, address: u64) -> String {
    let mut bytes = [0; MAX_NAME];
    let read = read(tid, address, &mut bytes);
    let end = bytes[..read].iter().position(|&byte| byte == 0);
    let name = String::from_utf8_lossy(&bytes[..end.unwrap_or(read)]).into_owned();
    // What is no UTF-8 has become longer.
    if name.is_empty() || end.is_some() && name.len() <= MAX_NAME {
        return name;
    }
    let mut cut = name;
    while cut.len() > MAX_NAME - CUT.len() {
        cut.pop();
    }
    cut + CUT
}

/// Reads a task's memory up to the first page that is not there, and says how much that was.
fn read(tid: i32, address: u64, bytes: &mut [u8]) -> usize {
    // A page that is not there fails the whole of an element (process_vm_readv(2)).
    let first = bytes.len().min((PAGE - address % PAGE) as usize);
    let (one, other) = bytes.split_at_mut(first);
    let local = [one, other].map(|it| libc::iovec { iov_base: it.as_mut_ptr().cast(), iov_len: it.len() });
    let remote = [(address, local[0].iov_len), (address.wrapping_add(first as u64), local[1].iov_len)]
        .map(|(base, length)| libc::iovec { iov_base: base as *mut _, iov_len: length });
    // SAFETY: the local elements are parts of `bytes`, which lives until the call returns; the remote ones
    // are another process's, and the kernel looks whether they are there.
    let read = unsafe { libc::process_vm_readv(tid, local.as_ptr(), 2, remote.as_ptr(), 2, 0) };
    usize::try_from(read).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::Abi;

    fn call(name: &str, place: usize, address: *const u8) -> Call {
        let nr = syscalls::number(Abi::X86_64, name).unwrap();
        let mut args = [0; 6];
        args[place] = address as u64;
        Call { abi: Abi::X86_64, nr: nr.into(), args }
    }

    fn missed(calls: &[Call]) -> Vec<String> {
        let mut missed = Missed::default();
        let own = std::process::id() as i32;
        calls.iter().for_each(|call| missed.note(own, call));
        missed.close()
    }

    #[test]
    fn names_are_read_once_each_where_the_call_has_them() {
        let [one, other] = [c"/etc/passwd", c"lib"].map(|name| name.as_ptr().cast());
        let calls = [call("openat", 1, one), call("stat", 0, other), call("access", 0, one)];
        assert_eq!(missed(&calls), ["/etc/passwd", "lib"]);
        // What is to be made is not looked for.
        assert!(missed(&[call("mkdir", 0, one), call("symlink", 0, one)]).is_empty());
        let own = std::process::id() as i32;
        assert_eq!(name_of(own, &call("mkdir", 0, one)).as_deref(), Some("/etc/passwd"));
        // A descriptor is no path, and one path is enough.
        assert!(missed(&[call("fstat", 0, one), call("openat", 0, one), call("link", 1, one)]).is_empty());
        assert!(
            missed(&[call("open", 0, std::ptr::null()), call("open", 0, usize::MAX as *const u8)]).is_empty()
        );
    }

    #[test]
    fn a_name_at_the_end_of_what_is_there_is_read_up_to_it() {
        // SAFETY: two fresh pages, of which the second is made inaccessible; the name ends with the first.
        let name = unsafe {
            let (anonymous, both) =
                (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
            let pages = libc::mmap(std::ptr::null_mut(), 8192, both, anonymous, -1, 0).cast::<u8>();
            assert_eq!(libc::mprotect(pages.add(4096).cast(), 4096, libc::PROT_NONE), 0);
            let name = pages.add(4096 - 5);
            std::ptr::copy_nonoverlapping(b"/there".as_ptr(), name, 5);
            name
        };
        assert_eq!(missed(&[call("open", 0, name)]), ["/ther…"]);
    }

    #[test]
    fn names_are_bounded() {
        let long = [b"\xff".repeat(MAX_NAME * 2), vec![0]].concat();
        let name = &missed(&[call("open", 0, long.as_ptr())])[0];
        assert!(name.len() <= MAX_NAME && name.len() > MAX_NAME - 6 && name.ends_with(CUT), "{}", name.len());
        let many: Vec<String> = (0..MAX_MISSED + 3).map(|index| format!("{index}\0")).collect();
        let calls: Vec<Call> = many.iter().map(|name| call("open", 0, name.as_ptr())).collect();
        assert_eq!(missed(&calls).len(), MAX_MISSED);
    }
}
