//! What kind of program a file is.

use object::elf::{DT_AUDIT, DT_DEPAUDIT, EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};

/// What an x86-64 executable is to be loaded by, where it is not by the kernel alone.
///
/// # Errors
/// Why it is none.
pub(super) fn interpreter(image: &[u8]) -> Result<Option<String>, String> {
    if let Some(rest) = image.strip_prefix(b"#!") {
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let by = String::from_utf8_lossy(line).trim().chars().take(80).collect::<String>();
        return Err(format!("it is a script. Name what runs it ({by}), and give it the script with --file"));
    }
    let wrong = |error: object::Error| error.to_string();
    let header = FileHeader64::<object::Endianness>::parse(image).map_err(wrong)?;
    let endian = header.endian().map_err(wrong)?;
    if header.e_machine(endian) != EM_X86_64 {
        return Err(format!("it is for the machine {}", header.e_machine(endian)));
    }
    let segments = header.program_headers(endian, image).map_err(wrong)?;
    let Some(asks) = segments.iter().find(|segment| segment.p_type(endian) == PT_INTERP) else {
        return if segments.is_empty() { Err("it has nothing to load".into()) } else { Ok(None) };
    };
    for segment in segments {
        let entries = segment.dynamic(endian, image).map_err(wrong)?.unwrap_or_default();
        if entries.iter().any(|entry| [DT_AUDIT, DT_DEPAUDIT].contains(&entry.d_tag(endian))) {
            return Err("it names auditors (rtld-audit(7)), which its loader would run here".into());
        }
    }
    let name = asks.data(endian, image).map_err(|()| "its interpreter's name is cut off".to_owned())?;
    Ok(Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_what_is_none() {
        assert!(interpreter(b"#! /bin/sh -e\nexit\n").unwrap_err().contains("what runs it (/bin/sh -e)"));
        assert!(interpreter(&[]).is_err());
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(interpreter(&own).unwrap().unwrap().contains("ld-linux"));
        let mut arm = own;
        arm[18] = 183;
        assert_eq!(interpreter(&arm).unwrap_err(), "it is for the machine 183");
    }
}
