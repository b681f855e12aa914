//! Builds the guest binary, static, so that it can be carried inside whatever links this crate.
//!
//! The guest is another package of this workspace for another purpose: a static PID 1. Cargo has
//! no stable way to depend on a binary with flags of its own, so it is built here by the same cargo.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the guest is made of, relative to the workspace.
const SOURCES: [&str; 11] = [
    "harness/guest",
    "harness/edge",
    "harness/wire",
    "harness/model",
    "harness/runner/src",
    "harness/runner/mruby",
    "harness/runner/Cargo.toml",
    "cases/src",
    ".cargo",
    "Cargo.toml",
    "Cargo.lock",
];

/// How the guest is compiled and linked: static, and with segments that lie on huge pages of their own, onto which it
/// moves itself (see harness/guest/src/text.rs).
const FLAGS: [&str; 3] =
    ["-Ctarget-feature=+crt-static", "-Crelocation-model=static", "-Clink-arg=-Wl,-z,max-page-size=2097152"];

fn main() {
    let workspace = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("../..");
    println!("cargo::rerun-if-env-changed=ATLAS_GUEST_BIN");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let binary = match env::var_os("ATLAS_GUEST_BIN") {
        Some(ready) => given(&workspace, Path::new(&ready)),
        None => build(&workspace),
    };
    println!("cargo::rustc-env=ATLAS_GUEST_IMAGE={}", binary.display());
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}

/// A binary that was built beforehand, by a path that may be relative to the workspace.
fn given(workspace: &Path, ready: &Path) -> PathBuf {
    let path = workspace.join(ready);
    println!("cargo::rerun-if-changed={}", path.display());
    path.canonicalize().unwrap_or_else(|error| panic!("ATLAS_GUEST_BIN names {}: {error}", path.display()))
}

/// Where the C compiler finds the static libseccomp.
fn static_libseccomp() -> Option<PathBuf> {
    let output = Command::new("cc").arg("-print-file-name=libseccomp.a").output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_absolute().then(|| path.parent().map(PathBuf::from)).flatten()
}

fn build(workspace: &Path) -> PathBuf {
    let target = format!("{}-unknown-linux-gnu", var("CARGO_CFG_TARGET_ARCH"));
    let target_dir = PathBuf::from(var("OUT_DIR")).join("guest");
    let mut cargo = Command::new(var("CARGO"));
    cargo
        .current_dir(workspace)
        .args(["build", "--locked", "--package", "atlas-guest", "--profile", "guest"])
        .args(["--target", &target])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    if let Some(directory) = static_libseccomp() {
        cargo.env("LIBSECCOMP_LINK_TYPE", "static").env("LIBSECCOMP_LIB_PATH", directory);
    }
    // What clippy, rustdoc and coverage tools set for the outer build is not for this one.
    for (name, _) in env::vars_os() {
        let inner = name.to_string_lossy().into_owned();
        let outer = inner.starts_with("CARGO_PROFILE_") || inner.starts_with("CARGO_FEATURE_");
        if outer
            || matches!(
                inner.as_str(),
                "RUSTC_WORKSPACE_WRAPPER" | "RUSTC_WRAPPER" | "RUSTFLAGS" | "CLIPPY_ARGS"
            )
        {
            cargo.env_remove(name);
        }
    }
    let status = cargo.status().unwrap_or_else(|error| panic!("cargo could not be started: {error}"));
    assert!(status.success(), "the guest binary could not be built: its errors stand above");
    target_dir.join(target).join("guest/atlas-guest")
}
