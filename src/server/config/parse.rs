//! The kinds of settings: their parsing, their formatting and the rules that messages give.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Uri};
use jiff::SignedDuration;
use sysinfo::System;

/// A kind of setting.
pub(super) trait Kind<T> {
    /// Type in the file: `a string`, `a whole number` or `true or false`.
    fn in_file(&self) -> &'static str {
        "a string"
    }
    /// Description of the values allowed.
    fn rule(&self) -> String;
    /// Parses a value.
    ///
    /// # Errors
    /// The rule that the value breaks.
    fn parse(&self, text: &str) -> Result<T, String>;
    /// Returns an invalid value without its secrets, for messages.
    fn redacted(&self, text: &str) -> String {
        text.to_owned()
    }
    /// Formats a value as TOML.
    fn show(&self, value: &T) -> String;
}

/// Quotes a string for TOML.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A duration in a range.
pub(super) struct Length(pub(super) RangeInclusive<Duration>);

impl Kind<Duration> for Length {
    fn rule(&self) -> String {
        let (least, most) = (show_duration(*self.0.start()), show_duration(*self.0.end()));
        format!("a number with its unit, as in 500ms, 10s, 30m or 12h, from {least} to {most}")
    }

    fn parse(&self, text: &str) -> Result<Duration, String> {
        let parsed =
            SignedDuration::from_str(text).ok().and_then(|signed| Duration::try_from(signed).ok());
        parsed
            .filter(|length| self.0.contains(length))
            .ok_or_else(|| format!("must be {}", self.rule()))
    }

    fn show(&self, value: &Duration) -> String {
        quoted(&show_duration(*value))
    }
}

fn show_duration(length: Duration) -> String {
    SignedDuration::try_from(length)
        .map_or_else(|_| format!("{}s", length.as_secs()), |signed| format!("{signed:#}"))
}

/// A number of bytes in a range.
pub(super) struct Size(pub(super) RangeInclusive<u64>);

impl Kind<u64> for Size {
    fn rule(&self) -> String {
        let (least, most) = (show_size(*self.0.start()), show_size(*self.0.end()));
        format!(
            "a number of bytes with its unit, as in 64KiB, 256MiB or 2GiB, from {least} to {most}"
        )
    }

    fn parse(&self, text: &str) -> Result<u64, String> {
        let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
        let parsed = ByteSize::from_str(text).ok().filter(|_| has_unit).map(|size| size.as_u64());
        parsed
            .filter(|size| self.0.contains(size))
            .ok_or_else(|| format!("must be {}", self.rule()))
    }

    fn show(&self, value: &u64) -> String {
        quoted(&show_size(*value))
    }
}

/// Formats a size in the largest unit that is exact.
fn show_size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let exact = UNITS.iter().find(|(_, bits)| bytes != 0 && bytes.trailing_zeros() >= *bits);
    exact.map_or_else(|| format!("{bytes}B"), |(unit, bits)| format!("{}{unit}", bytes >> bits))
}

/// A whole number in a range.
pub(super) struct Count<T>(pub(super) RangeInclusive<T>);

impl<T: FromStr + PartialOrd + Display> Kind<T> for Count<T> {
    fn in_file(&self) -> &'static str {
        "a whole number"
    }

    fn rule(&self) -> String {
        format!("from {} to {}", self.0.start(), self.0.end())
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        let parsed = text.parse().ok().filter(|number| self.0.contains(number));
        parsed.ok_or_else(|| format!("must be a whole number {}", self.rule()))
    }

    fn show(&self, value: &T) -> String {
        value.to_string()
    }
}

/// `true` or `false`.
pub(super) struct Switch;

impl Kind<bool> for Switch {
    fn in_file(&self) -> &'static str {
        "true or false"
    }

    fn rule(&self) -> String {
        "without quotes".to_owned()
    }

    fn parse(&self, text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| "must be true or false".to_owned())
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// One of several words.
pub(super) struct OneOf<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind<T> for OneOf<T> {
    fn rule(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| *word).collect();
        words.join(" or ")
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        let found = self.0.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| format!("must be {}", self.rule()))
    }

    fn show(&self, value: &T) -> String {
        let found = self.0.iter().find(|(_, other)| other == value);
        quoted(found.map_or("", |(word, _)| *word))
    }
}

/// A type with `FromStr`, and a description of the values allowed.
pub(super) struct Parsed(pub(super) &'static str);

impl<T: FromStr<Err: Display> + Display> Kind<T> for Parsed {
    fn rule(&self) -> String {
        self.0.to_owned()
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        text.parse().map_err(|error: T::Err| error.to_string())
    }

    fn show(&self, value: &T) -> String {
        quoted(&value.to_string())
    }
}

/// The name of a file.
pub(super) struct FileName;

impl Kind<std::path::PathBuf> for FileName {
    fn rule(&self) -> String {
        "a file's name".to_owned()
    }

    fn parse(&self, text: &str) -> Result<std::path::PathBuf, String> {
        if text.is_empty() {
            Err("must be a file's name, and is empty".to_owned())
        } else {
            Ok(text.into())
        }
    }

    fn show(&self, value: &std::path::PathBuf) -> String {
        quoted(&value.display().to_string())
    }
}

/// A web origin as browsers send it (RFC 6454, section 6.2).
pub(super) struct WebOrigin;

impl Kind<HeaderValue> for WebOrigin {
    fn rule(&self) -> String {
        "scheme://host or scheme://host:port, without a path, as in https://app.example".to_owned()
    }

    fn parse(&self, text: &str) -> Result<HeaderValue, String> {
        let rule = || format!("must be {}", self.rule());
        // Browsers send it in lower case, and it is compared byte by byte.
        let text = text.to_ascii_lowercase();
        let (_, after) = text.split_once("://").ok_or_else(rule)?;
        let uri: Uri = text.parse().map_err(|_| rule())?;
        let authority =
            uri.authority().filter(|authority| authority.as_str() == after && !after.contains('@'));
        authority.ok_or_else(rule)?;
        HeaderValue::from_str(&text).map_err(|_| rule())
    }

    fn show(&self, value: &HeaderValue) -> String {
        quoted(value.to_str().unwrap_or_default())
    }
}

/// The name of a header, which compares without regard to case.
pub(super) struct Header;

impl Kind<HeaderName> for Header {
    fn rule(&self) -> String {
        "the name of a header, as in x-request-id".to_owned()
    }

    fn parse(&self, text: &str) -> Result<HeaderName, String> {
        text.parse().map_err(|_| format!("must be {}", self.rule()))
    }

    fn show(&self, value: &HeaderName) -> String {
        quoted(value.as_str())
    }
}

/// A host's name, without a port.
pub(super) struct Host;

impl Kind<String> for Host {
    fn rule(&self) -> String {
        "a host name without scheme and port, as in kvrpc.example".to_owned()
    }

    fn parse(&self, text: &str) -> Result<String, String> {
        let authority: Result<Authority, _> = text.parse();
        match authority {
            Ok(authority) if authority.host() == text => Ok(text.to_ascii_lowercase()),
            Ok(_) | Err(_) => Err(format!("must be {}", self.rule())),
        }
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}

/// Memory assumed for a machine that does not report its own, in bytes.
const UNKNOWN_MEMORY: u64 = 1 << 30;

/// Returns the memory of the machine or, if smaller, of the process's control group, in bytes.
fn machine_memory() -> u64 {
    let Ok(mut system) = System::new() else { return UNKNOWN_MEMORY };
    system.refresh_memory();
    match (system.total_memory(), system.cgroup_limits()) {
        (0, _) => UNKNOWN_MEMORY,
        (total, Some(limits)) if limits.total_memory > 0 => limits.total_memory.min(total),
        (total, _) => total,
    }
}

/// Returns 80 % of the machine's memory, in bytes, rounded down to a whole MiB.
pub(super) fn four_fifths_of_memory() -> u64 {
    (machine_memory() / 5 * 4) >> 20 << 20
}
