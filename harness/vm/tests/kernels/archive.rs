//! A small archive on disk, laid out as Debian's is, and kernels for it.

use atlas_vm::kernels::Archive;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The smallest file that passes for a kernel of this release.
pub(crate) fn image(release: &str) -> Vec<u8> {
    let mut image = vec![0; 5 * 512 + 1600];
    image[0x1f1] = 4;
    image[0x1f4..0x1f8].copy_from_slice(&100_u32.to_le_bytes());
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x400_u16.to_le_bytes());
    image[0x236] = 1;
    let text = format!("{release} (me@here) #1");
    image[0x600..0x600 + text.len()].copy_from_slice(text.as_bytes());
    image
}

/// A Debian package with one file in it.
pub(crate) fn deb(path: &str, content: &[u8]) -> Vec<u8> {
    let mut data = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    data.append_data(&mut header, path, content).unwrap();
    let data = data.into_inner().unwrap();
    let mut package = ar::Builder::new(Vec::new());
    for (name, bytes) in [("debian-binary", b"2.0\n".as_slice()), ("data.tar", &data)] {
        package.append(&ar::Header::new(name.into(), bytes.len() as u64), bytes).unwrap();
    }
    package.into_inner().unwrap()
}

/// An archive without a signature, in a directory of its own.
pub(crate) struct Local {
    root: PathBuf,
    packages: Vec<Published>,
}

struct Published {
    suite: &'static str,
    name: String,
    version: String,
    deb: Vec<u8>,
}

impl Local {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.join("archive"), packages: Vec::new() }
    }

    /// Puts a kernel in: a package with an image at `boot/vmlinuz-RELEASE`.
    pub(crate) fn publish(&mut self, suite: &'static str, name: &str, version: &str, release: &str) {
        let deb = deb(&format!("./boot/vmlinuz-{release}"), &image(release));
        self.packages.push(Published { suite, name: name.into(), version: version.into(), deb });
        self.write();
    }

    /// Takes a version out.
    pub(crate) fn withdraw(&mut self, version: &str) {
        self.packages.retain(|package| package.version != version);
        self.write();
    }

    fn write(&self) {
        let _ = fs::remove_dir_all(&self.root);
        for suite in self.packages.iter().map(|package| package.suite) {
            let mut list = String::new();
            for package in self.packages.iter().filter(|package| package.suite == suite) {
                let Published { name, version, deb, .. } = package;
                let file = format!("pool/{name}_{version}_amd64.deb");
                fs::create_dir_all(self.root.join("pool")).unwrap();
                fs::write(self.root.join(&file), deb).unwrap();
                writeln!(list, "Package: {name}\nVersion: {version}\nArchitecture: amd64").unwrap();
                writeln!(list, "Maintainer: Me <me@here>\nDescription: a kernel\nFilename: {file}").unwrap();
                writeln!(list, "Size: {}\nSHA256: {:x}\n", deb.len(), Hex(deb)).unwrap();
            }
            let directory = self.root.join("dists").join(suite);
            let packages = "main/binary-amd64/Packages";
            fs::create_dir_all(directory.join("main/binary-amd64")).unwrap();
            fs::write(directory.join(packages), &list).unwrap();
            let release = format!(
                "Suite: {suite}\nCodename: {suite}\nComponents: main\nArchitectures: amd64\nSHA256:\n {:x} {} {packages}\n",
                Hex(list.as_bytes()),
                list.len()
            );
            fs::write(directory.join("Release"), release).unwrap();
        }
    }

    /// Its address, believed without a signature.
    pub(crate) fn trusted(&self) -> Archive {
        Archive { trusted: true, ..self.untrusted() }
    }

    /// Its address, to be held against the machine's keys.
    pub(crate) fn untrusted(&self) -> Archive {
        Archive { address: format!("file://{}", self.root.display()), keyring: None, trusted: false }
    }
}

/// SHA-256 of these bytes, printed as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl std::fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Sha256::digest(self.0).iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
