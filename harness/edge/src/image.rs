//! What a task hands to `execve` to execute the guest binary again.

use atlas_model::experiment::layout;

/// The word after `/init` that makes the guest binary go on with the task that follows.
pub const ARGUMENT: &str = "--resume";

/// Writes what `execve` points to: path, arguments, an empty environment.
pub(crate) fn prepare(task: u8) {
    const WORD: u64 = layout::EXEC_ENVP + 8;
    const TASK: u64 = WORD + 16;
    let digits = [b'0' + task / 10, b'0' + task % 10, 0];
    let pointers = [layout::EXEC_PATH, WORD, TASK, 0];
    put(layout::EXEC_PATH, b"/init\0");
    put(WORD, ARGUMENT.as_bytes());
    put(WORD + ARGUMENT.len() as u64, &[0]);
    put(TASK, &digits);
    for (place, pointer) in (layout::EXEC_ARGV..).step_by(8).zip(pointers) {
        put(place, &pointer.to_le_bytes());
    }
    put(layout::EXEC_ENVP, &[0; 8]);
}

fn put(at: u64, bytes: &[u8]) {
    // SAFETY: the places lie in the board, which is mapped for ever, and it is this task's turn.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) }
}
