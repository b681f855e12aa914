//! The calls a worker makes, as thin as they come.

use atlas_model::bpf::Insn;
use nix::errno::Errno;
use std::ffi::{c_char, c_int, c_void};

/// Ends the process by exit(2), the one way out that every policy leaves open.
pub(crate) fn exit() -> ! {
    loop {
        // SAFETY: no memory is touched; the process has one thread.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

/// Writes all bytes; `false` where the other end is closed.
pub(crate) fn write_all(fd: c_int, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: the bytes are there.
        let wrote = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(wrote) {
            Ok(0) => return false,
            Ok(wrote) => bytes = &bytes[wrote..],
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) => return false,
        }
    }
    true
}

/// Fills the buffer; `false` where the other end is closed before.
pub(crate) fn read_exact(fd: c_int, mut bytes: &mut [u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: the place is there.
        let read = unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) };
        match usize::try_from(read) {
            Ok(0) => return false,
            Ok(read) => bytes = &mut bytes[read..],
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) => return false,
        }
    }
    true
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: c_int) {
    // SAFETY: closing touches no memory; whoever calls owns no descriptor from there on.
    if unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) } == 0 {
        return;
    }
    // Linux before 5.9 has no close_range(2).
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    let most = limit.map_or(1024, |(soft, _)| soft.min(1 << 20)) as c_int;
    for fd in first..most {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

/// prctl(2) with integers.
pub(crate) fn prctl(option: c_int, argument: u64) -> Result<c_int, Errno> {
    // SAFETY: the options used here take integers.
    Errno::result(unsafe { libc::prctl(option, argument, 0_u64, 0_u64, 0_u64) })
}

/// An instruction as the kernel takes it.
pub(crate) fn instruction(of: &Insn) -> libc::sock_filter {
    libc::sock_filter { code: of.code, jt: of.jt, jf: of.jf, k: of.k }
}

/// Loads a filter, as seccomp_load(3) does: by seccomp(2), and by prctl(2) where the kernel has no such
/// call (before Linux 3.17). libseccomp 2.5 would make the program anew each time, which takes longer
/// than all of the rest of it.
pub(crate) fn load(program: &[libc::sock_filter]) -> Result<(), Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the program is there, as long as it says; the kernel copies it and changes nothing.
    let loaded = Errno::result(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    });
    match loaded {
        Err(Errno::ENOSYS) => {
            let mode = u64::from(libc::SECCOMP_MODE_FILTER);
            // SAFETY: as above.
            let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
            Errno::result(set).map(drop)
        }
        loaded => loaded.map(drop),
    }
}

/// Gives up every capability, and root's user and groups where the process is root's.
pub(crate) fn drop_privileges() -> Result<(), Errno> {
    const NOBODY: u32 = 65_534;
    // SAFETY: integers only, and no groups at a null pointer.
    unsafe {
        if libc::geteuid() == 0 {
            Errno::result(libc::setgroups(0, std::ptr::null()))?;
            Errno::result(libc::setresgid(NOBODY, NOBODY, NOBODY))?;
            Errno::result(libc::setresuid(NOBODY, NOBODY, NOBODY))?;
        }
    }
    // `_LINUX_CAPABILITY_VERSION_3` (include/uapi/linux/capability.h): two sets of three words.
    let header = [0x2008_0522_u32, 0];
    let none = [0_u32; 6];
    // SAFETY: both are as large as the version says.
    let dropped = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    Errno::result(dropped).map(drop)
}

/// Has the C library's `stderr` swallow what it is given: mruby's code generator prints its complaints
/// there besides raising them, and behind the filter that would be a forbidden call.
pub(crate) fn swallow_stderr() {
    type Write = unsafe extern "C" fn(*mut c_void, *const c_char, usize) -> isize;
    /// `cookie_io_functions_t` (fopencookie(3)).
    #[repr(C)]
    struct Functions {
        read: Option<Write>,
        write: Option<Write>,
        seek: Option<Write>,
        close: Option<Write>,
    }
    unsafe extern "C" {
        static mut stderr: *mut libc::FILE;
        fn fopencookie(cookie: *mut c_void, mode: *const c_char, functions: Functions) -> *mut libc::FILE;
    }
    unsafe extern "C" fn swallow(_: *mut c_void, _: *const c_char, length: usize) -> isize {
        length as isize
    }
    let functions = Functions { read: None, write: Some(swallow), seek: None, close: None };
    // SAFETY: the zygote has one thread; the stream is never closed. Without a buffer it never asks for
    // memory.
    unsafe {
        let stream = fopencookie(std::ptr::null_mut(), c"w".as_ptr(), functions);
        if !stream.is_null() {
            libc::setvbuf(stream, std::ptr::null_mut(), libc::_IONBF, 0);
            stderr = stream;
        }
    }
}
