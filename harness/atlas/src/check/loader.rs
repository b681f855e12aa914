//! What a dynamic program is loaded with, as its own loader says.

use std::path::Path;
use std::process::{Command, Stdio};

/// The libraries that a loader finds for a program in an environment, by the paths that it asks for. The program does
/// not run (ld.so(8), `--list`; musl's loader has the same).
///
/// # Errors
/// A sentence: the interpreter is not known to be a loader, it does not run, or it does not find all.
pub(super) fn libraries(loader: &str, program: &Path, environment: &[String]) -> Result<Vec<String>, String> {
    // Any file can name any interpreter, and only a loader leaves the program alone.
    let name = Path::new(loader).file_name().unwrap_or_default().to_string_lossy();
    if !name.starts_with("ld-linux") && !name.starts_with("ld-musl") {
        return Err(format!("its interpreter {loader} is neither glibc's nor musl's loader"));
    }
    let variables = environment.iter().filter_map(|variable| variable.split_once('='));
    let mut command = Command::new(loader);
    command.arg("--list").arg(program).env_clear().envs(variables).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("its loader {loader} does not run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let missing: Vec<&str> = said.lines().filter_map(missing).collect();
    if !missing.is_empty() {
        return Err(format!("its loader does not find {}", missing.join(", ")));
    }
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("its loader says: {}", why.lines().next().unwrap_or("nothing")));
    }
    Ok(said.lines().filter_map(found).collect())
}

/// The library that a line says is not found.
fn missing(line: &str) -> Option<&str> {
    line.trim().strip_suffix("=> not found").map(str::trim)
}

/// The path that a line tells: behind the arrow, or alone; the vDSO has none.
fn found(line: &str) -> Option<String> {
    let line = line.trim();
    let path = line.split_once(" => ").map_or(line, |(_, path)| path);
    let path = path.rsplit_once(" (0x").map_or(path, |(path, _)| path);
    path.starts_with('/').then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_loaders_are_read() {
        for (line, path) in [
            ("\tlinux-vdso.so.1 (0x00007ffe5d7d5000)", None),
            (
                "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0c)",
                Some("/lib/x86_64-linux-gnu/libc.so.6"),
            ),
            ("\t/lib64/ld-linux-x86-64.so.2 (0x00007f0c)", Some("/lib64/ld-linux-x86-64.so.2")),
            ("\t/lib/ld-musl-x86_64.so.1 (0x7f)", Some("/lib/ld-musl-x86_64.so.1")),
            ("\tlibx.so => /opt/a (b)/libx.so (0x7f)", Some("/opt/a (b)/libx.so")),
        ] {
            assert_eq!((found(line).as_deref(), missing(line)), (path, None));
        }
        assert_eq!(missing("\tlibnone.so.7 => not found"), Some("libnone.so.7"));
    }

    #[test]
    fn what_is_no_loader_is_not_run() {
        let own = std::env::current_exe().unwrap();
        assert!(libraries("/bin/rm", &own, &[]).unwrap_err().contains("neither glibc's nor musl's"));
        assert!(libraries("/ld-linux-none", &own, &[]).unwrap_err().contains("does not run"));
    }
}
