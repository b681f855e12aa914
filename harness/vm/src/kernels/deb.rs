//! Debian packages: the one file that is wanted, without dpkg.

use super::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest image that is unpacked.
pub(super) const LARGEST: u64 = 64 << 20;
/// How much of a package's unpacked data is looked through: about five times the largest known.
const MOST_DATA: u64 = 2 << 30;

/// The kernel image that a package holds: `boot/vmlinuz-*`, or `usr/lib/modules/*/vmlinuz*` as
/// newer packages have it.
///
/// # Errors
/// [`Error::Deb`].
pub(super) fn image(path: &Path) -> Result<Vec<u8>, Error> {
    let wrong = |problem: String| Error::Deb { path: path.to_owned(), problem };
    let file = File::open(path).map_err(Error::file("cannot read", path))?;
    let mut archive = ar::Archive::new(file);
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(|error| wrong(format!("it is not a Debian package: {error}")))?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        let Some(kind) = name.strip_prefix("data.tar") else { continue };
        let data: Box<dyn Read> = match kind.trim_end_matches('/') {
            ".xz" => Box::new(liblzma::read::XzDecoder::new(member)),
            ".gz" => Box::new(flate2::read::GzDecoder::new(member)),
            ".zst" => Box::new(zstd::Decoder::new(member).map_err(|error| wrong(error.to_string()))?),
            // Ubuntu's kernels before 2017.
            ".bz2" => Box::new(bzip2::read::BzDecoder::new(member)),
            "" => Box::new(member),
            other => return Err(wrong(format!("its data are packed as `{other}`, which is not known here"))),
        };
        return find(data.take(MOST_DATA)).map_err(|error| wrong(error.to_string()))?.ok_or_else(|| {
            wrong("there is neither boot/vmlinuz-* nor usr/lib/modules/*/vmlinuz in it".into())
        });
    }
    Err(wrong("it is not a Debian package: it has no data.tar".into()))
}

fn find(data: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut archive = tar::Archive::new(data);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        // The path is only looked at, never written to; a link of this name is not followed.
        if !is_image(&path) || !entry.header().entry_type().is_file() {
            continue;
        }
        if entry.size() > LARGEST {
            return Err(io::Error::other(format!(
                "{path} has {} bytes, too many for a kernel",
                entry.size()
            )));
        }
        let mut image = Vec::new();
        entry.by_ref().take(LARGEST).read_to_end(&mut image)?;
        if image.len() as u64 != entry.size() {
            return Err(io::Error::other(format!("it ends in the middle of {path}")));
        }
        return Ok(Some(image));
    }
    Ok(None)
}

fn is_image(path: &str) -> bool {
    let modules = path.strip_prefix("usr/lib/modules/").or_else(|| path.strip_prefix("lib/modules/"));
    let in_modules = modules
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(_, file)| matches!(file, "vmlinuz" | "vmlinuz.unsigned"));
    in_modules || path.strip_prefix("boot/vmlinuz-").is_some_and(|rest| !rest.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn package(data: &str, content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = ar::Builder::new(file.reopen().unwrap());
        for (name, bytes) in [("debian-binary", b"2.0\n".as_slice()), (data, content)] {
            builder.append(&ar::Header::new(name.into(), bytes.len() as u64), bytes).unwrap();
        }
        file
    }

    fn tarball(path: &str, kind: tar::EntryType) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in [
            ("./usr/share/doc/readme", tar::EntryType::Regular, b"no".as_slice()),
            (path, kind, if kind.is_file() { b"the image" } else { b"" }),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_entry_type(kind);
            if kind.is_symlink() {
                header.set_link_name("/etc/passwd").unwrap();
            }
            builder.append_data(&mut header, name, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn packings(tar: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(tar).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(tar).unwrap();
        let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bz2.write_all(tar).unwrap();
        let zst = zstd::encode_all(tar, 1).unwrap();
        vec![
            ("data.tar", tar.to_vec()),
            ("data.tar.xz", xz.finish().unwrap()),
            ("data.tar.gz", gz.finish().unwrap()),
            ("data.tar.bz2", bz2.finish().unwrap()),
            ("data.tar.zst", zst),
        ]
    }

    #[test]
    fn images_are_found_in_every_packing() {
        for path in
            ["boot/vmlinuz-6.1.0", "usr/lib/modules/7.3.4/vmlinuz.unsigned", "lib/modules/4.18.0/vmlinuz"]
        {
            for (name, bytes) in packings(&tarball(path, tar::EntryType::Regular)) {
                assert_eq!(image(package(name, &bytes).path()).unwrap(), b"the image", "{name}");
            }
        }
    }

    #[test]
    fn what_is_no_package_of_a_kernel_is_named() {
        let says = |data: &str, content: &[u8]| image(package(data, content).path()).unwrap_err().to_string();
        for path in ["boot/System.map", "boot/vmlinuz-1/2", "etc/boot/vmlinuz-1", "usr/lib/modules/vmlinuz"] {
            let tar = tarball(path, tar::EntryType::Regular);
            assert!(says("data.tar", &tar).contains("neither boot/vmlinuz"), "{path}");
        }
        let link = tarball("boot/vmlinuz-6.1.0", tar::EntryType::Symlink);
        assert!(says("data.tar", &link).contains("neither boot/vmlinuz"));
        assert!(says("data.tar.lz4", b"").contains("`.lz4`"));
        assert!(says("control.tar", b"").contains("no data.tar"));
        let mut nothing = tempfile::NamedTempFile::new().unwrap();
        nothing.write_all(b"hello").unwrap();
        assert!(image(nothing.path()).unwrap_err().to_string().contains("not a Debian package"));
    }

    #[test]
    fn an_entry_that_claims_too_much_is_refused() {
        let mut tar = tarball("boot/vmlinuz-6.1.0", tar::EntryType::Regular);
        let mut header = tar::Header::new_gnu();
        header.set_path("boot/vmlinuz-6.1.0").unwrap();
        header.set_size(LARGEST + 1);
        header.set_cksum();
        // The first entry takes two blocks of 512 bytes.
        tar[1024..1536].copy_from_slice(header.as_bytes());
        let error = image(package("data.tar", &tar).path()).unwrap_err().to_string();
        assert!(error.contains("too many for a kernel"), "{error}");
    }

    #[test]
    fn cut_off_packages_are_refused() {
        let tar = tarball("boot/vmlinuz-6.1.0", tar::EntryType::Regular);
        // In the middle of the image, which begins after three blocks.
        let error = image(package("data.tar", &tar[..3 * 512 + 4]).path()).unwrap_err().to_string();
        assert!(error.contains("ends in the middle of boot/vmlinuz-6.1.0"), "{error}");
        for (name, bytes) in packings(&tar).into_iter().skip(1) {
            assert!(image(package(name, &bytes[..bytes.len() / 2]).path()).is_err(), "{name}");
        }
    }
}
