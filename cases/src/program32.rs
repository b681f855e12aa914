//! A 32-bit program: what it takes to enter the kernel as one, which 64-bit code cannot.
//!
//! The fast entries return to a place in the 32-bit vDSO (arch/x86/entry/vdso/vdso32/system_call.S,
//! `int80_landing_pad`), which a 64-bit process does not have. So the program is an image of its own,
//! written to a file and executed.

use crate::attached::attach;
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, sys};
use atlas_model::Abi;
use atlas_model::bpf::Insn;
use atlas_model::traits::Feature;

/// Where the program is loaded, a page for all of it.
pub(crate) const BASE: u32 = 0x0804_8000;
const HEADERS: u32 = 52 + 32;
const PATH: &std::ffi::CStr = c"/.program32";

/// How the program makes its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// `int $0x80`, which every processor has.
    Int80,
    /// `sysenter`, Intel's; AMD's processors refuse it while the kernel is a 64-bit one.
    Sysenter,
    /// `sysenter` with a stack pointer to nowhere.
    SysenterNowhere,
    /// `syscall`, AMD's; Intel's refuse it in 32-bit code.
    Syscall,
}

impl Entry {
    /// What must be there for it.
    pub(crate) const fn needs(self) -> Feature {
        match self {
            Self::Int80 => Feature::AbiI386,
            Self::Sysenter | Self::SysenterNowhere => Feature::EntrySysenter,
            Self::Syscall => Feature::EntrySyscall32,
        }
    }

    /// A function that makes the call in `eax`. The fast ones leave on the stack what the vDSO takes
    /// from it, and carry the stack pointer or the second argument in `ebp`.
    const fn code(self) -> &'static [u8] {
        match self {
            // int $0x80; ret
            Self::Int80 => &[0xcd, 0x80, 0xc3],
            // push ecx; push edx; push ebp; mov ebp, esp; sysenter
            Self::Sysenter => &[0x51, 0x52, 0x55, 0x89, 0xe5, 0x0f, 0x34],
            // xor ebp, ebp; sysenter
            Self::SysenterNowhere => &[0x31, 0xed, 0x0f, 0x34],
            // push ecx; push edx; push ebp; mov ebp, ecx; syscall
            Self::Syscall => &[0x51, 0x52, 0x55, 0x89, 0xcd, 0x0f, 0x05],
        }
    }
}

/// What stands in the register of the sixth argument when the program makes its call.
pub(crate) const SIXTH: u32 = 0x5349_5854;

/// The image: a call without arguments by an entry, then exit with the result negated, by `int $0x80`.
fn image(entry: Entry, nr: u32) -> Vec<u8> {
    let [low, high, ..] = nr.to_le_bytes();
    let [a, b, c, d] = SIXTH.to_le_bytes();
    let mut code = vec![
        // mov eax, nr; mov ebp, SIXTH; call over the end
        0xb8, low, high, 0, 0, 0xbd, a, b, c, d, 0xe8, 11, 0, 0, 0,
        // mov ebx, eax; neg ebx; mov eax, 1 (exit); int $0x80
        0x89, 0xc3, 0xf7, 0xdb, 0xb8, 1, 0, 0, 0, 0xcd, 0x80,
    ];
    code.extend_from_slice(entry.code());
    let size = HEADERS + code.len() as u32;
    let mut image = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |bytes: &[u8]| image.extend_from_slice(bytes);
    // Elf32_Ehdr: an executable, for the 80386; its entry, and one program header behind this one.
    put(&2_u16.to_le_bytes());
    put(&3_u16.to_le_bytes());
    [1, BASE + HEADERS, 52, 0, 0].iter().for_each(|word: &u32| put(&word.to_le_bytes()));
    [52, 32, 1, 40, 0, 0].iter().for_each(|half: &u16| put(&half.to_le_bytes()));
    // Elf32_Phdr: PT_LOAD of the whole file, to read and execute.
    [1, 0, BASE, BASE, size, size, 5, 0x1000].iter().for_each(|word: &u32| put(&word.to_le_bytes()));
    put(&code);
    image
}

/// Runs the program behind a filter and gives its end: the errno that its call came back with, or the
/// signal that ended it.
pub(crate) fn run(stage: &Stage, entry: Entry, filter: Option<Vec<Insn>>) -> i64 {
    run_as(stage, &image(entry, call()), 0o755, || {
        if let Some(filter) = filter {
            attach(filter);
        }
    })
}

/// Runs a program that makes this call, after some preparation, from a file with these permissions. Gives the low
/// eight bits of the result negated, or the signal that ended it.
pub(crate) fn exit_with(stage: &Stage, call: &str, mode: u32, before: impl FnOnce()) -> i64 {
    run_as(stage, &image(Entry::Int80, crate::script::number(Abi::I386, call)), mode, before)
}

fn run_as(stage: &Stage, image: &[u8], mode: u32, before: impl FnOnce()) -> i64 {
    use std::os::unix::fs::PermissionsExt;
    let path = PATH.to_str().unwrap_or_default();
    let written = std::fs::write(path, image)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)));
    if written.is_err() {
        return -1;
    }
    let end = stage.child(|_| {
        before();
        let list = [PATH.as_ptr() as u64, 0];
        // SAFETY: path and list live until the call returns, which it does only where it fails.
        unsafe {
            let _ = sys::raw(libc::SYS_execve, [list[0], list.as_ptr() as u64, 0, 0, 0, 0]);
        }
        sys::exit(99)
    });
    let _ = std::fs::remove_file(path);
    end_code(end)
}

/// The number of the program's call.
pub(crate) fn call() -> u32 {
    crate::script::number(Abi::I386, "getuid")
}

/// The probe of the entries.
pub(crate) fn observe_entries(stage: &Stage) {
    stage.fact("sysenter", run(stage, Entry::Sysenter, None));
    stage.fact("syscall", run(stage, Entry::Syscall, None));
}
