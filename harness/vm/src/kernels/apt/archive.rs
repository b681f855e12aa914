//! Where packages come from: the archive of this machine, or one that the user names.

use super::{LONGEST_ANSWER, process};
use crate::kernels::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Keys of Debian's archive, as its package debian-archive-keyring installs them.
const DEBIAN_KEYS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// An archive other than the machine's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Base address, below which `dists/` lies, in any form that apt understands, such as
    /// `http://…` or `file:///…`. Suites named `*-security` are looked for beside it where it ends
    /// in `/debian`, since Debian keeps them in an archive of their own.
    pub address: String,
    /// File with the keys that sign it; those that this machine's apt trusts when not given.
    pub keyring: Option<PathBuf>,
    /// Believe it without a signature. Anyone between here and there can then choose the kernel, so
    /// whoever offers this must say so aloud.
    pub trusted: bool,
}

impl Archive {
    /// The lines of a sources.list.
    pub(super) fn sources(&self, suites: &[String]) -> Result<String, Error> {
        let wrong = |problem: &str| Error::Address { address: self.address.clone(), problem: problem.into() };
        // Such an address could carry options of its own into the line, [trusted=yes] for one.
        if !self.address.contains(":/") || self.address.contains(|c: char| c.is_whitespace() || c == '[') {
            return Err(wrong("that is not an address such as file:///srv/archive"));
        }
        // What no longer changes has outlived the date until which it was to be believed.
        let mut options = String::from("check-valid-until=no");
        if self.trusted {
            options += " trusted=yes";
        } else if let Some(keyring) = &self.keyring {
            let keyring = keyring.canonicalize().map_err(Error::file("cannot read the keyring", keyring))?;
            let keyring = keyring.to_str().filter(|path| !path.contains([' ', ']', ',']));
            let keyring =
                keyring.ok_or_else(|| wrong("the keyring's path must be free of spaces, `]` and `,`"))?;
            options += &format!(" signed-by={keyring}");
        }
        let main = self.address.trim_end_matches('/');
        let debian = main.ends_with("/debian");
        Ok(lines(suites, |suite| {
            let beside = if debian && suite.ends_with("-security") { "-security" } else { "" };
            format!("deb [{options}] {main}{beside}")
        }))
    }
}

fn lines(suites: &[String], place: impl Fn(&str) -> String) -> String {
    suites.iter().map(|suite| format!("{} {suite} main\n", place(suite))).collect()
}

/// The archive of this machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Own {
    main: String,
    security: String,
}

impl Own {
    /// The lines of a sources.list.
    pub(super) fn sources(&self, suites: &[String]) -> String {
        let keys = DEBIAN_KEYS.into_iter().find(|path| Path::new(path).is_file());
        let options = keys.map(|keys| format!("[signed-by={keys}] ")).unwrap_or_default();
        lines(suites, |suite| {
            let address = if suite.ends_with("-security") { &self.security } else { &self.main };
            format!("deb {options}{address}")
        })
    }
}

/// The Debian archive that this machine's apt uses.
pub(super) fn own() -> Result<Own, Error> {
    let mut command = Command::new("apt-get");
    let format = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)";
    command.args(["indextargets", "--format", format, "Created-By: Packages"]);
    let targets = process::run(command, "apt-get indextargets", LONGEST_ANSWER, &mut || ())?;
    find(&targets).ok_or(Error::NoArchive)
}

/// Main and security archive among `address|suite|component|origin` lines. The origin is only known
/// where lists have been fetched; otherwise it is left as the format has it.
fn find(targets: &str) -> Option<Own> {
    let debian: Vec<(&str, bool)> = targets
        .lines()
        .filter_map(|line| {
            let mut columns = line.split('|');
            let address = columns.next()?.trim_end_matches('/');
            let (suite, component, origin) = (columns.next()?, columns.next()?, columns.next()?);
            let known = !origin.is_empty() && !origin.starts_with('$');
            let named = address.rsplit('/').next().is_some_and(|last| last.starts_with("debian"));
            let ours = component == "main" && if known { origin == "Debian" } else { named };
            ours.then_some((address, suite.contains("-security") || suite.ends_with("/updates")))
        })
        .collect();
    let of = |security: bool| {
        debian.iter().find(|(_, is)| *is == security).map(|(address, _)| (*address).to_owned())
    };
    let main = of(false)?;
    // Mirrors keep the security archive beside the main one.
    let security = of(true).unwrap_or_else(|| format!("{main}-security"));
    Some(Own { main, security })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(main: &str, security: &str) -> Option<Own> {
        Some(Own { main: main.into(), security: security.into() })
    }

    #[test]
    fn the_machines_archive_is_found() {
        let unknown = "http://a.example/debian/|bookworm|main|$(ORIGIN)\nhttp://a.example/debian-security/|bookworm-security|main|$(ORIGIN)\n";
        assert_eq!(find(unknown), own("http://a.example/debian", "http://a.example/debian-security"));
        let others = "https://b.example/linux/debian|bookworm|stable|\nhttps://c.example/apt|bookworm|main|Someone\nhttps://d.example/mirror|trixie|main|Debian\n";
        assert_eq!(find(others), own("https://d.example/mirror", "https://d.example/mirror-security"));
        assert_eq!(find("http://e.example/ubuntu|noble|main|Ubuntu\n"), None);
    }

    #[test]
    fn addresses_cannot_carry_options() {
        let sources = |address: &str| {
            let archive = Archive { address: address.into(), keyring: None, trusted: false };
            archive.sources(&["s-security".into(), "s".into()])
        };
        for bad in ["[trusted=yes] file:///x", "file:///x\ndeb [trusted=yes] file:///y", "/srv/archive", ""] {
            let error = sources(bad).unwrap_err();
            assert!(matches!(error, Error::Address { .. }), "{error}");
        }
        let debian = "deb [check-valid-until=no] file:///x/debian-security s-security main\n\
            deb [check-valid-until=no] file:///x/debian s main\n";
        assert_eq!(sources("file:///x/debian/").unwrap(), debian);
        assert!(sources("file:///x").unwrap().contains(" file:///x s-security main\n"));
    }

    #[test]
    fn a_keyring_that_is_not_there_is_named() {
        let keyring = Some("/no/such/keys.gpg".into());
        let archive = Archive { address: "file:///x".into(), keyring, trusted: false };
        let error = archive.sources(&[]).unwrap_err().to_string();
        assert!(error.contains("/no/such/keys.gpg"), "{error}");
    }
}
