//! Code and input, from wherever they come, and never much more of them than may be used.

use super::{Cli, Failure};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The code and the input's JSON text, the latter empty where there is none.
pub(super) fn read(cli: &Cli, limit: usize) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let standard = Path::new("-");
    let file = cli.file.as_deref().unwrap_or(standard);
    let code_from_stdin = cli.execute.is_empty() && file == standard;
    let code = if !cli.execute.is_empty() {
        let pieces: Vec<&[u8]> = cli.execute.iter().map(|piece| piece.as_bytes()).collect();
        pieces.join(&b'\n')
    } else if code_from_stdin {
        bounded(io::stdin().lock(), limit).map_err(|error| failed(Path::new("standard input"), &error))?
    } else {
        of_file(file, limit)?
    };
    let input = match (&cli.input, cli.input_file.as_deref()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(path)) if path == standard && code_from_stdin => {
            return Err(Failure::usage(
                "code and input cannot both come from standard input; give the code as FILE or by -e",
            ));
        }
        (None, Some(path)) if path == standard => {
            bounded(io::stdin().lock(), limit).map_err(|error| failed(Path::new("standard input"), &error))?
        }
        (None, Some(path)) => of_file(path, limit)?,
        (None, None) => return Ok((code, Vec::new())),
    };
    // What is beyond the limit is cut off, and is refused for its size.
    if input.len() <= limit {
        let refuse = |why: &dyn std::fmt::Display| Failure::usage(format!("the input is not JSON: {why}"));
        // What is ignored is not looked at for UTF-8.
        let text = std::str::from_utf8(&input).map_err(|error| refuse(&error))?;
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| refuse(&error))?;
    }
    Ok((code, input))
}

fn of_file(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    File::open(path).and_then(|file| bounded(file, limit)).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

/// One byte more than the limit is enough to know that it is exceeded.
fn bounded(from: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn no_more_is_read_than_shows_that_it_is_too_much() {
        let mut endless = std::io::repeat(b' ');
        assert_eq!(bounded(&mut endless, 1000).unwrap().len(), 1001);
        assert_eq!(bounded(&b"12"[..], 1000).unwrap(), b"12");
    }
}
