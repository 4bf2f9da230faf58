//! Reading a password: from a file, from standard input, or asked for without echo.

use std::fs::File;
use std::io::{IsTerminal as _, Read};

use super::args::people::PasswordSource;
use super::failure::Failure;
use crate::model::Secret;

/// No password is longer, with the end of its line.
const MAX_BYTES: u64 = 1024;

/// The password, which may be empty.
pub fn read(source: &PasswordSource) -> Result<Secret, Failure> {
    if let Some(path) = &source.password_file {
        let failed = |e: std::io::Error| Failure::usage(format!("--password-file: {}: {e}", path.display()));
        return line(File::open(path).map_err(failed)?).map_err(failed);
    }
    let failed = |e: std::io::Error| Failure::usage(format!("the password could not be read: {e}"));
    if std::io::stdin().is_terminal() {
        let asked = |prompt| rpassword::prompt_password(prompt).map(Secret::new).map_err(failed);
        let (first, second) = (asked("Password: ")?, asked("Password again: ")?);
        if first != second {
            return Err(Failure::usage("the passwords differ; nothing was changed"));
        }
        return Ok(first);
    }
    line(std::io::stdin().lock()).map_err(failed)
}

/// The first line, without its end.
fn line(input: impl Read) -> std::io::Result<Secret> {
    let mut text = String::new();
    input.take(MAX_BYTES).read_to_string(&mut text)?;
    let line = text.split_once('\n').map_or(text.as_str(), |(line, _)| line);
    Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        for (text, password) in [("", ""), ("a b", "a b"), ("a \n", "a "), ("a\r\nb", "a"), ("\n", "")] {
            assert_eq!(line(text.as_bytes()).unwrap().expose(), password, "{text:?}");
        }
        assert!(line(&[0xff, 0xfe][..]).is_err());
        assert_eq!(line("x".repeat(5000).as_bytes()).unwrap().expose().len(), 1024);
    }
}
