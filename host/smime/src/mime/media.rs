//! Media types and their parameters (RFC 2045, section 5.1), with the comments of RFC 822 and the continuations of RFC
//! 2231.

use std::borrow::Cow;

use super::{MimeError, short};

/// Maximum number of parameters of a media type; each is compared with all earlier ones.
const MAX_PARAMETERS: usize = 64;

/// Maximum number of sections of a parameter.
const MAX_SECTIONS: usize = 20;

/// A media type and its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Media {
    /// In lower case, such as `multipart/signed`.
    pub(in super::super) kind: String,
    parameters: Vec<(String, String)>,
}

impl Media {
    pub(super) fn parse(text: &str) -> Result<Self, MimeError> {
        let wrong = || MimeError::ContentType { text: short(text) };
        let bare = without_comments(text).ok_or_else(wrong)?;
        let (kind, mut rest) = bare.split_once(';').unwrap_or((&bare, ""));
        let legal = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        // White space and comments may surround the slash too (RFC 822, section 3.4.2).
        let (left, right) = kind.split_once('/').map(|(left, right)| (left.trim(), right.trim())).ok_or_else(wrong)?;
        if !legal(left) || !legal(right) {
            return Err(wrong());
        }
        let kind = format!("{left}/{right}").to_ascii_lowercase();
        let mut parameters: Vec<(String, String)> = Vec::new();
        while !rest.trim_matches([';', ' ', '\t']).is_empty() {
            if parameters.len() == MAX_PARAMETERS {
                return Err(wrong());
            }
            let (name, after) = rest.split_once('=').ok_or_else(wrong)?;
            let name = name.trim_matches([';', ' ', '\t']).to_ascii_lowercase();
            let (value, after) = parameter(after.trim_start()).ok_or_else(wrong)?;
            if parameters.iter().any(|(found, _)| *found == name) {
                return Err(MimeError::Repeated { name: short(&name) });
            }
            parameters.push((name, value));
            rest = after;
        }
        Ok(Self { kind, parameters })
    }

    /// The value of a parameter, in one piece or in sections.
    ///
    /// # Errors
    /// [`MimeError::Repeated`] if it is present in both forms, since readers differ in which one they use;
    /// [`MimeError::ContentType`] if a section is missing or does not follow RFC 2231.
    pub(in super::super) fn parameter(&self, name: &str) -> Result<Option<Cow<'_, str>>, MimeError> {
        let whole = self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let in_sections = |(found, value): &'_ (String, String)| {
            let rest = found.strip_prefix(name)?.strip_prefix('*')?;
            Some((rest.to_owned(), value.clone()))
        };
        let sections: Vec<(String, String)> = self.parameters.iter().filter_map(in_sections).collect();
        match (whole, sections.is_empty()) {
            (whole, true) => Ok(whole.map(Cow::Borrowed)),
            (Some(_), false) => Err(MimeError::Repeated { name: name.to_owned() }),
            (None, false) => {
                let wrong = || MimeError::ContentType { text: format!("{}; {name}*", short(&self.kind)) };
                joined(&sections).map(|value| Some(Cow::Owned(value))).ok_or_else(wrong)
            }
        }
    }

    /// The error for an entity of this type where a signed or encrypted one is required.
    pub(in super::super) fn unsigned(&self) -> MimeError {
        MimeError::Unsigned { kind: short(&self.kind) }
    }

    /// Whether it is `application/pkcs7-mime` or its older name.
    pub(in super::super) fn is_cms(&self) -> bool {
        matches!(self.kind.as_str(), "application/pkcs7-mime" | "application/x-pkcs7-mime")
    }

    /// The parameters as they stand there: sections are not joined.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn is_signature(&self) -> bool {
        is_signature(&self.kind)
    }
}

/// Whether a media type in lower case is `application/pkcs7-signature` or its older name.
pub(super) fn is_signature(kind: &str) -> bool {
    matches!(kind, "application/pkcs7-signature" | "application/x-pkcs7-signature")
}

/// A token or quoted string, and the rest of the text.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(';').unwrap_or((text, ""));
        let value = value.trim_end();
        return (!value.contains(['"', ' '])).then(|| (value.to_owned(), rest));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => {
                let rest = quoted.get(at + 1..)?.trim_start();
                return (rest.is_empty() || rest.starts_with(';')).then_some((value, rest));
            }
            _ => {
                value.push(character);
                escaped = false;
            }
        }
    }
    None
}

/// The text with a space in place of each comment. A comment is `(…)` outside quoted strings; it may contain further
/// comments and escaped characters. `None` if a comment does not end.
pub(super) fn without_comments(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('(') {
        return Some(Cow::Borrowed(text));
    }
    let mut bare = String::with_capacity(text.len());
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for character in text.chars() {
        let outside = depth == 0;
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted || !outside => escaped = true,
            '"' if outside => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !outside => {
                depth -= 1;
                if depth == 0 {
                    bare.push(' ');
                }
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            bare.push(character);
        }
    }
    (depth == 0).then_some(Cow::Owned(bare))
}

/// Joins a value in sections, each with the text after the `*` of its name: `0`, `1`, … for a section, followed by `*`
/// if it is encoded, or nothing for an encoded value in one piece (RFC 2231, sections 3 and 4).
fn joined(sections: &[(String, String)]) -> Option<String> {
    let mut numbered = Vec::new();
    for (mark, value) in sections {
        let encoded = mark.is_empty() || mark.ends_with('*');
        let number = mark.strip_suffix('*').unwrap_or(mark);
        let number = match number {
            "" if mark.is_empty() && sections.len() == 1 => 0,
            digits
                if digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0')) =>
            {
                digits.parse::<usize>().ok().filter(|number| *number < MAX_SECTIONS)?
            }
            _ => return None,
        };
        numbered.push((number, encoded, value));
    }
    numbered.sort_unstable();
    let mut whole = String::new();
    for (at, (number, encoded, value)) in numbered.into_iter().enumerate() {
        if number != at {
            return None;
        }
        // The first section begins with `charset'language'`; the parameters used here are ASCII in any charset.
        let value = if encoded && at == 0 { value.splitn(3, '\'').nth(2)? } else { value };
        if encoded { whole.push_str(&unescaped(value)?) } else { whole.push_str(value) }
    }
    Some(whole)
}

/// Decodes `%41` to `A`. `None` if the result is not ASCII.
fn unescaped(value: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let (digits, following) = after.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii)?;
        text.push(char::from(byte));
        rest = following;
    }
    text.push_str(rest);
    text.is_ascii().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, name: &str) -> Option<String> {
        Media::parse(text).unwrap().parameter(name).unwrap().map(Cow::into_owned)
    }

    #[test]
    fn comments_are_white_space_outside_quotes() {
        let kind = |text: &str| Media::parse(text).unwrap().kind;
        assert_eq!(kind("multipart/signed (by (some) tool \\) ); boundary=b"), "multipart/signed");
        assert_eq!(kind("multipart (a)/(b) signed"), "multipart/signed");
        assert_eq!(value("multipart/signed; (c) boundary (d) = (e) b (f)", "boundary").as_deref(), Some("b"));
        assert_eq!(value("multipart/signed; boundary=\"a(b)c\" (d) ; x=y", "boundary").as_deref(), Some("a(b)c"));
        assert_eq!(value("a/b; x=\"\\\"(\"; y=z", "y").as_deref(), Some("z"));
        for bad in ["a/b (c", "a/b (c\\)", "a/b; x=(c", "a/b; x=y(c)z"] {
            assert!(Media::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parameters_in_sections_are_joined() {
        for (text, expected) in [
            ("a/b; boundary*0=ab; boundary*1=\"c d\"", "abc d"),
            ("a/b; boundary*1=cd; boundary*0=ab", "abcd"),
            ("a/b; boundary*=us-ascii'en'a%3Db", "a=b"),
            ("a/b; boundary*0*=''a%2B; boundary*1=b%2B; boundary*2*=%2b", "a+b%2B+"),
        ] {
            assert_eq!(value(text, "boundary").as_deref(), Some(expected), "{text}");
        }
        for bad in [
            "a/b; boundary*0=a; boundary*2=b",
            "a/b; boundary*1=a",
            "a/b; boundary*00=a",
            "a/b; boundary*x=a",
            "a/b; boundary*=a",
            "a/b; boundary*=utf-8''%C3%A9",
            "a/b; boundary*=utf-8''%+1",
            "a/b; boundary*=utf-8''a%4",
            "a/b; boundary*=utf-8''a; boundary*0=b",
        ] {
            assert!(Media::parse(bad).unwrap().parameter("boundary").is_err(), "{bad}");
        }
        let both = Media::parse("a/b; boundary=a; boundary*0=a").unwrap();
        assert_eq!(both.parameter("boundary"), Err(MimeError::Repeated { name: "boundary".into() }));
        assert_eq!(both.parameter("bound"), Ok(None));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[a/b;=*0-2'%\"\\\\() \t\u{e9}]{0,60}") {
            if let Ok(media) = Media::parse(&format!("a/b;{text}")) {
                let _ = media.parameter("a");
                let _ = media.parameter("b");
            }
            if let Some(bare) = without_comments(&text) {
                proptest::prop_assert!(bare.len() <= text.len());
            }
        }

        #[test]
        fn a_comment_before_a_semicolon_changes_nothing(boundary in "[a-z0-9'+_,./:-]{1,60}", comment in "[ -'*-\\[\\]-~]{0,20}") {
            let plain = format!("multipart/signed; boundary=\"{boundary}\"; micalg=sha-256");
            let commented = format!("multipart/signed({comment}); boundary=\"{boundary}\" ({comment}) ; micalg=sha-256({comment})");
            proptest::prop_assert_eq!(Media::parse(&plain).unwrap(), Media::parse(&commented).unwrap());
        }

        #[test]
        fn a_boundary_split_into_sections_is_joined(boundary in "[a-z0-9'+_,./:=?-]{2,60}", cut in 0_usize..60) {
            let (left, right) = boundary.split_at(cut.min(boundary.len()));
            let encoded: String = right.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let text = format!("a/b; boundary*0=\"{left}\"; boundary*1*={encoded}");
            proptest::prop_assert_eq!(value(&text, "boundary"), Some(boundary));
        }
    }
}
