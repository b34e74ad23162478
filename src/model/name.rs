//! User names, and when two of them are one.

use std::net::SocketAddr;
use std::sync::LazyLock;

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{BidiControl, DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_security::confusable_detection::skeleton;

use super::limits::MAX_NAME_CHARACTERS;
use super::{Error, Reason, Result, Role};

/// A user's name: 1 to 64 characters that are seen, none of them a control, bidi control or
/// unassigned one, with single blanks between others and none behind a colon.
///
/// Two names are one, and so in use together, if they are equal after NFKC and case folding
/// (Unicode's NFKC_Casefold, which also drops what nobody sees).
#[derive(Clone, Debug)]
pub struct UserName {
    text: String,
    folded: String,
}

impl UserName {
    /// Checks a name.
    ///
    /// # Errors
    /// `INVALID_NAME`, with the character at fault.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let folded = checked(&text, "user")?;
        Ok(Self { text, folded })
    }

    /// The name as its user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the form by which names are compared.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// Returns the form that is the same for names that look alike (UTS 39, section 4), also if
    /// they differ in case or in a stroke through a letter.
    pub fn skeleton(&self) -> String {
        let overlaid = |c: &char| !('\u{334}'..='\u{338}').contains(c);
        let plain: String = self.folded.chars().filter(overlaid).collect();
        skeleton(&plain).filter(overlaid).collect()
    }

    /// Returns true for names that only socket clients have: a whole number, or `ip:port`.
    pub fn names_socket(&self) -> bool {
        self.folded.bytes().all(|byte| byte.is_ascii_digit())
            || self.folded.parse::<SocketAddr>().is_ok()
    }
}

impl PartialEq for UserName {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for UserName {}

/// The rule of names, for the name of a `what`. Gives what it is compared by.
pub(super) fn checked(text: &str, what: &'static str) -> Result<String> {
    if text.is_empty() {
        return Err(invalid(what, format!("{what} name is empty; a name is 1 to 64 characters")));
    }
    // A character is at most four bytes: this bounds the work before any of it is done.
    let count =
        if text.len() > MAX_NAME_CHARACTERS * 4 { usize::MAX } else { text.chars().count() };
    if count > MAX_NAME_CHARACTERS {
        return Err(invalid(
            what,
            format!("{what} name has more than 64 characters; a name is 1 to 64 characters"),
        ));
    }
    if let Some((character, kind)) = text.chars().find_map(|c| forbidden(c).map(|kind| (c, kind))) {
        return Err(invalid(
            what,
            format!("{what} name has the {kind} U+{:04X}; none is allowed", character as u32),
        ));
    }
    let folded = fold(text);
    if let Some(rule) = broken_rule(text, &folded) {
        return Err(invalid(what, format!("{what} name has {rule}")));
    }
    if folded.is_empty() {
        return Err(invalid(what, format!("{what} name has only characters that nobody sees")));
    }
    Ok(folded)
}

/// Returns the rule against imitation that a name breaks: no name may read as the `NAME: text` of a
/// room or as `NAME (ROLE)`, or look like another name but for a blank or an invisible character.
fn broken_rule(text: &str, folded: &str) -> Option<&'static str> {
    static ROLES: LazyLock<[String; 2]> = LazyLock::new(|| {
        [Role::Guest, Role::Manager].map(|role| skeleton(&format!("({})", role.as_str())).collect())
    });
    // Most names; what follows costs more, and needs a blank or a sign.
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let blank = char::is_whitespace;
    if text.starts_with(blank) || text.ends_with(blank) {
        return Some("a blank at an end; none is allowed there");
    }
    let mut before = None;
    for c in text.chars() {
        if blank(c) && before.is_some_and(blank) {
            return Some("two blanks in a row; one is allowed");
        }
        // Joiners and variation selectors are part of scripts and emoji.
        if is_invisible(c) && (!shapes(c) || before.is_none_or(|before| before.is_ascii())) {
            return Some("a character that nobody sees; none is allowed");
        }
        before = Some(c);
    }
    // Characters that look like a colon or a parenthesis count as one.
    let seen: String = skeleton(folded).collect();
    if ROLES.iter().any(|role| seen.ends_with(role)) {
        return Some("a role in parentheses at its end; only the server shows roles so");
    }
    seen.contains(": ").then_some("a blank behind a colon; none is allowed there")
}

fn is_invisible(c: char) -> bool {
    // Braille's blank pattern, the null note of music, and the marks of annotations.
    matches!(c, '\u{2800}' | '\u{1d159}' | '\u{fff9}'..='\u{fffb}')
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Returns true for an invisible character that shapes the one before it: the joiners, and the
/// selectors of text and emoji.
fn shapes(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}')
}

fn forbidden(c: char) -> Option<&'static str> {
    if c.is_ascii_graphic() || c == ' ' {
        return None;
    }
    if CodePointSetData::new::<BidiControl>().contains(c) {
        return Some("bidi control");
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    let separators = [GeneralCategory::LineSeparator, GeneralCategory::ParagraphSeparator];
    if category == GeneralCategory::Control || separators.contains(&category) {
        return Some("control character");
    }
    (category == GeneralCategory::Unassigned).then_some("unassigned character")
}

/// NFKC_Casefold (Unicode 16, section 3.13.5), near enough: NFKC, fold, drop the default ignorable,
/// NFKC again, since folding may undo the first.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    let composed = nfkc.normalize(text);
    let folded = CaseMapper::new().fold_string(&composed);
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let visible: String = folded.chars().filter(|c| !ignorable.contains(*c)).collect();
    nfkc.normalize(&visible).into_owned()
}

fn invalid(what: &'static str, message: String) -> Error {
    Error::new(Reason::InvalidName, message).in_field(what)
}
