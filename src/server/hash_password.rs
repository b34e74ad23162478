//! `hash-password`: turns a password from stdin into lines of the configuration file.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Read};

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::config::NewPassword;
use crate::model::{Role, UserName};

/// Maximum length of a password, in bytes.
const MAX_PASSWORD_BYTES: u64 = 1024;

/// Prompts for a password, or reads a line, and returns the lines for the file.
///
/// # Errors
/// A sentence: no password, a password over the limit, an invalid name, invalid base64.
pub(super) fn run(request: &NewPassword) -> Result<String, String> {
    let name = request.name.as_deref().unwrap_or("NAME");
    let user = UserName::new(name).map_err(|error| error.message().to_owned())?;
    if user.names_socket() {
        return Err(format!(
            "`{name}` is a whole number or ip:port; those name socket clients, and no account may"
        ));
    }
    let line = if io::stdin().is_terminal() { ask() } else { read_line(&mut io::stdin().lock()) };
    let line = line.map_err(|error| format!("the password cannot be read: {error}"))?;
    lines(name, request.role, &decode(line, request.base64)?)
}

fn ask() -> io::Result<Vec<u8>> {
    let first = rpassword::prompt_password("Password: ")?;
    if first != rpassword::prompt_password("Again: ")? {
        return Err(io::Error::other("the two are not the same"));
    }
    Ok(first.into_bytes())
}

/// Reads a line and removes its end. The line is cut once it is over the limit in any case.
fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    // Base64 takes four bytes for three, and a line ends in at most two.
    input.take(MAX_PASSWORD_BYTES * 2).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    Ok(line)
}

fn decode(line: Vec<u8>, base64: bool) -> Result<Vec<u8>, String> {
    let password = if base64 {
        STANDARD
            .decode(line.trim_ascii())
            .map_err(|error| format!("the password is no base64: {error}"))?
    } else {
        line
    };
    match u64::try_from(password.len()) {
        Ok(0) => Err("the password is empty; write it to stdin as one line".to_owned()),
        Ok(1..=MAX_PASSWORD_BYTES) => Ok(password),
        _ => {
            Err(format!("the password is too long; at most {MAX_PASSWORD_BYTES} bytes are allowed"))
        }
    }
}

fn lines(name: &str, role: Option<Role>, password: &[u8]) -> Result<String, String> {
    let hash = Argon2::default()
        .hash_password(password)
        .map_err(|error| format!("the password cannot be hashed: {error}"))?;
    let mut account = BTreeMap::from([("password", hash.to_string())]);
    if let Some(role) = role {
        account.insert("role", role.as_str().to_owned());
    }
    let users = BTreeMap::from([("users", BTreeMap::from([(name, account)]))]);
    toml::to_string(&users).map_err(|error| format!("the lines cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_password_without_its_end() {
        let long = vec![b'x'; 5_000];
        for (name, input, base64, wanted) in [
            ("a line", &b"bill\n"[..], false, Ok("bill")),
            ("from Windows", b"bill\r\nmore\n", false, Ok("bill")),
            ("without an end", b"bill", false, Ok("bill")),
            ("blanks are part of it", b" b ill \n", false, Ok(" b ill ")),
            ("base64", b"YmlsbA==\n", true, Ok("bill")),
            ("bad base64", b"bill!\n", true, Err("base64")),
            ("nothing", b"", false, Err("empty")),
            ("an empty line", b"\n", false, Err("empty")),
            ("too long", &long, false, Err("1024")),
        ] {
            let got = decode(read_line(&mut &*input).unwrap(), base64);
            match (got, wanted) {
                (Ok(got), Ok(wanted)) => assert_eq!(got, wanted.as_bytes(), "{name}"),
                (Err(got), Err(part)) => assert!(got.contains(part), "{name}: {got}"),
                (got, wanted) => panic!("{name}: {got:?}, but {wanted:?} was wanted"),
            }
        }
    }
}
