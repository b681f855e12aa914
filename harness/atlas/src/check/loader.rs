//! What a dynamic program is loaded with, as its own loader says.

use std::path::Path;
use std::process::{Command, Stdio};

/// Where loaders are; what stands elsewhere is not run.
const SYSTEM: [&str; 6] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/nix/store", "/gnu/store"];
/// The variables by which a loader finds libraries. Others would have it write files, or run code (ld.so(8)).
const HEEDED: [&str; 2] = ["LD_LIBRARY_PATH", "LD_PRELOAD"];

/// The libraries that a loader finds for a program in an environment, by the paths that it asks for. The program, whose
/// path is absolute, does not run (ld.so(8), `--list`; musl's loader has the same).
///
/// # Errors
/// A sentence: the interpreter is not known to be a loader, it does not run, or it does not find all.
pub(super) fn libraries(loader: &str, program: &Path, environment: &[String]) -> Result<Vec<String>, String> {
    // Any file can name any interpreter, and only a loader leaves the program alone.
    let path = Path::new(loader);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_named_so = name.starts_with("ld-linux") || name.starts_with("ld-musl");
    let place = path.canonicalize().map_err(|error| format!("its loader {loader} is not here: {error}"))?;
    if !is_named_so || !path.is_absolute() || !SYSTEM.iter().any(|system| place.starts_with(system)) {
        return Err(format!("its interpreter {loader} is no loader of this system's"));
    }
    let variables = environment.iter().filter_map(|variable| variable.split_once('='));
    let heeded = variables.filter(|(name, _)| HEEDED.contains(name));
    let mut command = Command::new(loader);
    command.arg("--list").arg(program).env_clear().envs(heeded).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("its loader {loader} does not run: {error}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("its loader says: {}", why.lines().next().unwrap_or("nothing")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(found).collect())
}

/// The path that a line tells: behind the arrow, where it may be a relative one, or alone; the vDSO has none.
fn found(line: &str) -> Option<String> {
    let line = line.trim();
    let (path, is_one) = match line.split_once(" => ") {
        Some((_, path)) => (path, true),
        None => (line, line.contains('/')),
    };
    let path = path.rsplit_once(" (0x").map_or(path, |(path, _)| path);
    is_one.then(|| path.to_owned())
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
            ("\tlibx.so => lib/libx.so (0x7f)", Some("lib/libx.so")),
        ] {
            assert_eq!(found(line).as_deref(), path);
        }
    }

    #[test]
    fn what_is_no_loader_is_not_run() {
        let own = std::env::current_exe().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let evil = directory.path().join("ld-linux-evil.so");
        std::fs::copy("/bin/true", &evil).unwrap();
        for none in ["/bin/rm", evil.to_str().unwrap()] {
            assert!(
                libraries(none, &own, &[]).unwrap_err().ends_with("is no loader of this system's"),
                "{none}"
            );
        }
        assert!(libraries("/lib/ld-linux-none", &own, &[]).unwrap_err().contains("is not here"));
    }

    #[test]
    fn only_what_finds_libraries_is_heeded() {
        let elf = std::fs::read("/proc/self/exe").unwrap();
        let loader = crate::check::elf::interpreter(&elf).unwrap().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("written");
        let environment = ["LD_DEBUG=libs".to_owned(), format!("LD_DEBUG_OUTPUT={}", output.display())];
        let own = std::env::current_exe().unwrap();
        assert!(libraries(&loader, &own, &environment).unwrap().len() > 1);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
