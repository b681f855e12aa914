//! Thin wrappers for the calls that the guest itself and choreographies make. Each returns the raw
//! result: the value, or the errno negated.

use atlas_model::Filter;
use atlas_model::experiment::layout;
use atlas_model::observation::End;
use core::sync::atomic::{AtomicI32, AtomicU32};
use std::ffi::CStr;
use std::io::Read;
use std::time::Duration;

/// Makes a call by the `syscall` instruction.
///
/// # Safety
/// Pointers among the arguments must be ones the kernel may use as the call does.
#[must_use]
pub unsafe fn raw(nr: i64, args: [u64; 6]) -> i64 {
    let result: i64;
    // SAFETY: passed on to the caller; the kernel clobbers rcx and r11 only.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") nr => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

/// Makes a call none of whose arguments is a pointer.
#[must_use]
pub fn number(nr: i64, args: [u64; 6]) -> i64 {
    // SAFETY: the caller vouches that no argument is a pointer; calls that unmap or reprotect
    // memory are wrapped on their own below.
    unsafe { raw(nr, args) }
}

/// Turns a raw result into a `Result` with the negated errno.
///
/// # Errors
/// The negated errno, for results from -4095 to -1.
pub fn ok(result: i64) -> Result<i64, i64> {
    if (-4095..0).contains(&result) { Err(result) } else { Ok(result) }
}

/// mmap(2).
#[must_use]
pub fn mmap(address: u64, length: u64, protection: i32, flags: i32, fd: i32, offset: u64) -> i64 {
    let args = [address, length, protection as u64, flags as u64, fd as u64, offset];
    // SAFETY: callers map where the kernel chooses, in the ranges of `layout`, which no Rust object lives in, or what
    // lies there already.
    unsafe { raw(libc::SYS_mmap, args) }
}

/// mprotect(2) on a range of `layout`.
#[must_use]
pub fn mprotect(address: u64, length: u64, protection: i32) -> i64 {
    // SAFETY: see `mmap`.
    unsafe { raw(libc::SYS_mprotect, [address, length, protection as u64, 0, 0, 0]) }
}

/// Executes RDTSC.
#[inline]
pub fn rdtsc() -> u64 {
    // SAFETY: reads a counter; where it is forbidden the process gets SIGSEGV, which callers want.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// clone(2) without a new stack and without shared memory: a fork with flags. The word takes the
/// thread id.
#[must_use]
pub fn fork_with(flags: u64, tid_word: u64) -> i64 {
    // SAFETY: without CLONE_VM the child has its own copy of everything; the word is on the board.
    unsafe { raw(libc::SYS_clone, [flags, 0, tid_word, tid_word, 0, 0]) }
}

/// prctl(2) with plain numbers.
#[must_use]
pub fn prctl(option: i32, args: [u64; 4]) -> i64 {
    number(libc::SYS_prctl, [option as u64, args[0], args[1], args[2], args[3], 0])
}

/// `prctl(PR_SET_DUMPABLE)`: whether this process's memory may be dumped.
pub fn set_dumpable(may: bool) {
    let _ = prctl(libc::PR_SET_DUMPABLE, [u64::from(may), 0, 0, 0]);
}

/// `prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)`.
#[must_use]
pub fn no_new_privs() -> i64 {
    prctl(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0])
}

/// seccomp(2) with `SECCOMP_SET_MODE_FILTER`.
#[must_use]
pub fn install(filter: &Filter, flags: u32) -> i64 {
    let records = filter.to_bytes();
    let fprog = libc::sock_fprog { len: filter.0.len() as u16, filter: records.as_ptr().cast_mut().cast() };
    let operation = u64::from(libc::SECCOMP_SET_MODE_FILTER);
    // SAFETY: the program lives until the call returns, and its length is the true one.
    unsafe { raw(libc::SYS_seccomp, [operation, u64::from(flags), (&raw const fprog) as u64, 0, 0, 0]) }
}

/// prctl(2) with `PR_SET_SECCOMP` and `SECCOMP_MODE_FILTER`.
#[must_use]
pub fn install_by_prctl(filter: &Filter) -> i64 {
    let records = filter.to_bytes();
    let fprog = libc::sock_fprog { len: filter.0.len() as u16, filter: records.as_ptr().cast_mut().cast() };
    let mode = u64::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: as in `install`.
    unsafe { raw(libc::SYS_prctl, [libc::PR_SET_SECCOMP as u64, mode, (&raw const fprog) as u64, 0, 0, 0]) }
}

/// ioctl(2) with a buffer that the kernel reads and writes as far as the request says.
#[must_use]
pub fn ioctl(fd: i32, request: u64, buffer: &mut [u8]) -> i64 {
    let size = (request >> 16) as usize & 0x3fff;
    assert!(buffer.len() >= size, "an ioctl of {size} bytes on a buffer of {}", buffer.len());
    // SAFETY: the request's own size field bounds what the kernel touches, and the buffer has it.
    unsafe { raw(libc::SYS_ioctl, [fd as u64, request, buffer.as_mut_ptr() as u64, 0, 0, 0]) }
}

/// open(2) by path.
#[must_use]
pub fn open(path: &CStr, flags: i32) -> i64 {
    // SAFETY: the path is a C string that lives until the call returns.
    unsafe { raw(libc::SYS_open, [path.as_ptr() as u64, flags as u64, 0o600, 0, 0, 0]) }
}

/// close(2).
pub fn close(fd: i32) {
    let _ = number(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
}

/// A whole small file as text, `None` where it cannot be read. It is not asked for its size first, as a file by
/// itself would be: those of /proc do not know it.
#[must_use]
pub fn read_file(path: &str) -> Option<String> {
    let mut text = Vec::with_capacity(4096);
    std::fs::File::open(path).ok()?.take(u64::MAX).read_to_end(&mut text).ok()?;
    String::from_utf8(text).ok()
}

/// futex(2), `FUTEX_WAIT`: sleeps while a word that processes share has this value, at most so long.
/// May wake for nothing. A kernel without futexes has the caller yield instead.
pub fn sleep_while(word: &'static AtomicU32, value: u32, limit: Option<Duration>) {
    let span = limit.map(|limit| [limit.as_secs(), u64::from(limit.subsec_nanos())]);
    let pointer = span.as_ref().map_or(0, |span| span.as_ptr() as u64);
    let wait = libc::FUTEX_WAIT as u64;
    // SAFETY: the word lives for ever, and the time until the call returns.
    let result = unsafe { raw(libc::SYS_futex, [word.as_ptr() as u64, wait, value.into(), pointer, 0, 0]) };
    if result == -i64::from(libc::ENOSYS) {
        pause();
    }
}

/// futex(2), `FUTEX_WAKE`: wakes who sleeps on a word.
pub fn wake(word: &'static AtomicU32) {
    let all = i32::MAX as u64;
    // SAFETY: the word lives for ever.
    let _ = unsafe { raw(libc::SYS_futex, [word.as_ptr() as u64, libc::FUTEX_WAKE as u64, all, 0, 0, 0]) };
}

/// Gives this process precedence over those that it makes: it looks at them while they spin, and would
/// wait a time slice for each look. They themselves start with nobody's precedence (sched(7), the
/// reset-on-fork flag).
pub fn take_precedence() {
    const RESET_ON_FORK: u64 = 0x4000_0000;
    let _ = number(libc::SYS_setpriority, [libc::PRIO_PROCESS as u64, 0, -20_i64 as u64, 0, 0, 0]);
    let priority = 0_i32;
    // SAFETY: the structure is one `int`, which lives until the call returns.
    let _ = unsafe {
        let pointer = (&raw const priority) as u64;
        raw(libc::SYS_sched_setscheduler, [0, libc::SCHED_OTHER as u64 | RESET_ON_FORK, pointer, 0, 0, 0])
    };
}

/// sched_yield(2).
pub fn pause() {
    let _ = number(libc::SYS_sched_yield, [0; 6]);
}

/// Makes the calling thread's word the one that the kernel clears when it ends, and gives its
/// thread id (set_tid_address(2)).
#[must_use]
pub fn clear_at_end(word: &'static AtomicI32) -> i32 {
    // SAFETY: the word lives for ever, and the kernel writes it as one word.
    unsafe { raw(libc::SYS_set_tid_address, [word.as_ptr() as u64, 0, 0, 0, 0, 0]) as i32 }
}

/// Ends the process at once.
pub fn exit(status: i32) -> ! {
    loop {
        let _ = number(libc::SYS_exit_group, [status as u64, 0, 0, 0, 0, 0]);
        // SAFETY: a filter may have answered the call; a fault ends the process all the same.
        unsafe { core::arch::asm!("ud2") }
    }
}

/// A signal set as the kernel takes it.
pub(crate) const fn signal_set(signals: &[u32]) -> u64 {
    let mut set = 0;
    let mut index = 0;
    while index < signals.len() {
        set |= 1 << (signals[index] - 1);
        index += 1;
    }
    set
}

/// Blocks or unblocks signals.
pub(crate) fn block_signals(set: u64, block: bool) {
    let how = if block { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    // SAFETY: the set lives until the call returns and has the kernel's eight bytes.
    let _ = unsafe { raw(libc::SYS_rt_sigprocmask, [how as u64, (&raw const set) as u64, 0, 8, 0, 0]) };
}

/// The blocked signals that wait for this thread or its process.
pub(crate) fn pending_signals() -> u64 {
    let mut set = 0_u64;
    // SAFETY: the set lives until the call returns and has the kernel's eight bytes.
    let _ = unsafe { raw(libc::SYS_rt_sigpending, [(&raw mut set) as u64, 8, 0, 0, 0, 0]) };
    set
}

/// Takes the blocked signals of a set that wait, and forgets them.
pub(crate) fn drop_signals(set: u64) {
    let at_once = [0_u64; 2];
    // SAFETY: both live until the call returns; no siginfo is asked for.
    while unsafe {
        raw(libc::SYS_rt_sigtimedwait, [(&raw const set) as u64, 0, at_once.as_ptr() as u64, 8, 0, 0])
    } > 0
    {}
}

/// The host name.
pub(crate) fn hostname() -> String {
    // SAFETY: all-zero is a valid utsname, and uname fills it with NUL-terminated strings.
    let name = unsafe {
        let mut names: libc::utsname = core::mem::zeroed();
        libc::uname(&raw mut names);
        names.nodename
    };
    let bytes: Vec<u8> = name.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// sethostname(2).
pub(crate) fn set_hostname(name: &str) {
    // SAFETY: the name lives until the call returns, and its length is the true one.
    let _ = unsafe { raw(libc::SYS_sethostname, [name.as_ptr() as u64, name.len() as u64, 0, 0, 0, 0]) };
}

/// How many bytes wait in a pipe.
pub(crate) fn waiting_bytes(pipe: &std::fs::File) -> u32 {
    let mut bytes = 0_i32;
    let fd = std::os::fd::AsRawFd::as_raw_fd(pipe);
    // SAFETY: the word lives until the call returns.
    let _ = unsafe { raw(libc::SYS_ioctl, [fd as u64, libc::FIONREAD, (&raw mut bytes) as u64, 0, 0, 0]) };
    bytes.max(0) as u32
}

/// A process's soft and hard limit of a resource (prlimit(2)).
pub(crate) fn limit(pid: i32, resource: libc::__rlimit_resource_t) -> Option<(u64, u64)> {
    let mut limit = [0_u64; 2];
    let [resource, room] = [u64::from(resource), (&raw mut limit) as u64];
    // SAFETY: the two words live until the call returns.
    let result = unsafe { raw(libc::SYS_prlimit64, [pid as u64, resource, 0, room, 0, 0]) };
    (result == 0).then_some(limit.into())
}

/// A task's niceness; the raw call gives 20 less it, so that no value is taken for an error (getpriority(2)).
pub(crate) fn nice(tid: i32) -> i32 {
    20 - number(libc::SYS_getpriority, [u64::from(libc::PRIO_PROCESS), tid as u64, 0, 0, 0, 0]) as i32
}

/// Blocks SIGCHLD, so that [`wait_for_child_signal`] does not miss one.
pub fn hold_child_signals() {
    let set: u64 = 1 << (libc::SIGCHLD - 1);
    // SAFETY: the set lives until the call returns and has the kernel's eight bytes.
    let _ = unsafe {
        raw(libc::SYS_rt_sigprocmask, [libc::SIG_BLOCK as u64, (&raw const set) as u64, 0, 8, 0, 0])
    };
}

/// Waits until a child has changed its state, or this long.
pub fn wait_for_child_signal(limit: Duration) {
    let set: u64 = 1 << (libc::SIGCHLD - 1);
    let span = [limit.as_secs(), u64::from(limit.subsec_nanos())];
    // SAFETY: both live until the call returns; no siginfo is asked for.
    let _ = unsafe {
        raw(libc::SYS_rt_sigtimedwait, [(&raw const set) as u64, 0, span.as_ptr() as u64, 8, 0, 0])
    };
}

/// Reaps one child that has ended, if there is one.
#[must_use]
pub fn reap() -> Option<(i32, End)> {
    news().map(|(pid, status)| (pid, end_of(status)))
}

/// The raw wait status of one child that has ended (or, when traced, stopped), if there is one.
#[must_use]
pub fn news() -> Option<(i32, i32)> {
    match look_at_children() {
        Children::News(pid, status) => Some((pid, status)),
        Children::Nothing | Children::Nobody => None,
    }
}

/// What wait4(2) has to say of the children.
pub(crate) enum Children {
    /// One has ended or stopped: its raw wait status.
    News(i32, i32),
    /// There are some, and nothing new of them.
    Nothing,
    /// There are none.
    Nobody,
}

/// Looks for a child that has ended (or, when traced, stopped).
pub(crate) fn look_at_children() -> Children {
    let mut status = 0_i32;
    let (word, options) = ((&raw mut status) as u64, (libc::WNOHANG | libc::__WALL) as u64);
    // SAFETY: the status word lives until the call returns.
    match unsafe { raw(libc::SYS_wait4, [u64::MAX, word, options, 0, 0, 0]) } {
        0 => Children::Nothing,
        pid @ 1.. => Children::News(pid as i32, status),
        _ => Children::Nobody,
    }
}

/// Waits for one child to end (or, when traced, to stop) and gives its raw wait status, or the
/// errno negated.
#[must_use]
pub fn wait_for(pid: i32, options: i32) -> i64 {
    let mut status = 0_i32;
    // SAFETY: the status word lives until the call returns.
    let result =
        unsafe { raw(libc::SYS_wait4, [pid as u64, (&raw mut status) as u64, options as u64, 0, 0, 0]) };
    if result < 0 { result } else { i64::from(status) }
}

/// A wait status as an end.
#[must_use]
pub fn end_of(status: i32) -> End {
    if libc::WIFSIGNALED(status) {
        End::Signaled { signal: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
    } else {
        End::Exited(libc::WEXITSTATUS(status))
    }
}

/// kill(2).
pub fn kill(pid: i32, signal: i32) -> i64 {
    number(libc::SYS_kill, [pid as u64, signal as u64, 0, 0, 0, 0])
}

/// Kills and reaps these processes, and where we are PID 1 all that they leave behind.
pub fn kill_everything(pids: impl Iterator<Item = i32>) {
    let mut killed = 0;
    for pid in pids.filter(|&pid| pid > 1) {
        kill(pid, libc::SIGKILL);
        killed += 1;
    }
    // Whoever they leave is PID 1's child by then (kernel/exit.c forget_original_parent). To see that there is
    // nobody costs less than a signal to every process there is, the kernel's own included.
    let mut waits = killed.min(2);
    for _ in 0..2 * killed + 8 {
        match look_at_children() {
            Children::Nobody => return,
            Children::News(..) => {}
            Children::Nothing if waits > 0 => {
                waits -= 1;
                wait_for_child_signal(Duration::from_millis(1));
            }
            Children::Nothing => break,
        }
    }
    // Anywhere but in a guest of our own this would end the user's session.
    if std::process::id() == 1 {
        kill(-1, libc::SIGKILL);
    }
    while wait_for(-1, libc::__WALL) >= 0 {}
}

/// Gives the calling process the descriptors that experiments refer to, and closes others.
pub fn prepare_descriptors(close: &[i32]) {
    let shut = |fd: i32| {
        let _ = number(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
    };
    close.iter().copied().for_each(shut);
    let place = |fd: i32, number_wanted: u64| {
        let _ = number(libc::SYS_dup2, [fd as u64, number_wanted, 0, 0, 0, 0]);
        shut(fd);
    };
    // The far ends stay open beside them: a pipe without a reader raises SIGPIPE, one without a
    // writer reads as ended.
    let [reader, writer] = pipe();
    let bytes = [b'x'; layout::PIPE_BYTES as usize];
    // SAFETY: the bytes live until the call returns.
    let _ =
        unsafe { raw(libc::SYS_write, [writer as u64, bytes.as_ptr() as u64, layout::PIPE_BYTES, 0, 0, 0]) };
    place(reader, layout::FD_READ);
    place(writer, layout::FD_READ + 10);
    let [reader, writer] = pipe();
    place(writer, layout::FD_WRITE);
    place(reader, layout::FD_WRITE + 10);
}

/// pipe(2): read end, write end; both -1 when it fails.
#[must_use]
pub fn pipe() -> [i32; 2] {
    let mut ends = [-1_i32; 2];
    // SAFETY: the array has room for the two descriptors.
    let _ = unsafe { raw(libc::SYS_pipe, [ends.as_mut_ptr() as u64, 0, 0, 0, 0, 0]) };
    ends
}
