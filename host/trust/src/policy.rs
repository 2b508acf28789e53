//! Signing policies: the `.signing_policy` files with the names that a certificate authority may sign.
//!
//! # On disk
//! The EACL format of the grid distributions. A block names an authority and the patterns that its subjects must match:
//!
//! ```text
//! access_id_CA   X509    '/C=UK/O=eScienceCA/CN=UK e-Science CA'
//! pos_rights     globus  CA:sign
//! cond_subjects  globus  '"/C=UK/O=eScience/*" "/C=UK/O=eScienceCA/*"'
//! ```
//!
//! # Policy
//! An authority that is named in any file may sign only subjects that one of its patterns matches; `*` matches any
//! text. Subjects are compared in slash form, with canonical type names. A subject without a slash form matches
//! nothing. If a file cannot be parsed, no certificate is accepted from the authority whose hash or file name it has,
//! unless another file names that authority.

use super::names::{DistinguishedName, canonical_types};

/// The subjects that one authority may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyEntry {
    pub(crate) authority: DistinguishedName,
    pub(crate) patterns: Vec<String>,
}

/// Why a policy file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("line {0}: not a line of a signing policy")]
    UnknownLine(usize),
    #[error("line {0}: the authority's name cannot be read")]
    BadName(usize),
    #[error("line {0}: a right without an authority before it")]
    NoAuthority(usize),
    #[error("line {0}: rights other than CA:sign are not supported")]
    UnknownRight(usize),
    #[error("no authority is named")]
    Empty,
}

/// Reads a policy file.
pub(crate) fn parse(text: &str) -> Result<Vec<PolicyEntry>, PolicyError> {
    let mut entries: Vec<PolicyEntry> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (keyword, rest) = line.split_once(char::is_whitespace).ok_or(PolicyError::UnknownLine(number))?;
        let (authority, value) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        match (keyword, authority) {
            ("access_id_CA", "X509") => {
                let name = unquote(value);
                let authority = DistinguishedName::parse_slash(name).map_err(|_| PolicyError::BadName(number))?;
                entries.push(PolicyEntry { authority, patterns: Vec::new() });
            }
            ("pos_rights", "globus") if value.trim() == "CA:sign" => {
                entries.last().ok_or(PolicyError::NoAuthority(number))?;
            }
            ("pos_rights" | "neg_rights", _) => return Err(PolicyError::UnknownRight(number)),
            ("cond_subjects", "globus") => {
                let entry = entries.last_mut().ok_or(PolicyError::NoAuthority(number))?;
                entry.patterns.extend(patterns(value));
            }
            _ => return Err(PolicyError::UnknownLine(number)),
        }
    }
    if entries.is_empty() { Err(PolicyError::Empty) } else { Ok(entries) }
}

/// Removes one pair of quotes of either kind.
fn unquote(value: &str) -> &str {
    let value = value.trim();
    let inner = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(value)
}

/// The patterns in `'"/C=X/*" "/C=Y/*"'`, in `"/C=X/*"` or bare.
fn patterns(value: &str) -> Vec<String> {
    let value = value.trim();
    let inner = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(value);
    let found: Vec<&str> =
        if inner.contains('"') { inner.split('"').skip(1).step_by(2).collect() } else { vec![inner.trim()] };
    found.into_iter().filter(|pattern| !pattern.is_empty()).map(canonical_types).collect()
}

/// Whether one of the patterns matches the subject.
pub(crate) fn allows(patterns: &[String], subject: &DistinguishedName) -> bool {
    subject.slash().is_some_and(|text| patterns.iter().any(|pattern| matches(pattern, &text)))
}

/// Whether `pattern`, in which `*` matches any text, matches the whole of `text`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "# comment\n\naccess_id_CA\tX509\t'/C=UK/O=CA/CN=Root'\npos_rights globus CA:sign\n\
        cond_subjects globus '\"/C=UK/O=eScience/*\" \"/C=UK/O=Host/USERID=*\"'\n";

    #[test]
    fn reads_authority_and_patterns() {
        let entries = parse(POLICY).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].authority, DistinguishedName::parse("/C=UK/O=CA/CN=Root").unwrap());
        assert_eq!(entries[0].patterns, ["/C=UK/O=eScience/*", "/C=UK/O=Host/UID=*"]);
    }

    #[test]
    fn matches_subjects_in_slash_form() {
        let patterns = &parse(POLICY).unwrap()[0].patterns;
        let allowed = |text| allows(patterns, &DistinguishedName::parse(text).unwrap());
        assert!(allowed("/C=UK/O=eScience/CN=host/ce.example.org"));
        assert!(allowed("/C=UK/O=Host/UID=x"));
        assert!(!allowed("/C=UK/O=eScience2/CN=x"));
        assert!(!allowed("/C=FR/O=eScience/CN=x"));
        assert!(!allowed("CN=x\\,y\\00,O=eScience,C=UK"));
    }

    #[test]
    fn accepts_every_quoting() {
        for value in ["'\"/C=UK/*\"'", "\"/C=UK/*\"", "'/C=UK/*'", "/C=UK/*"] {
            assert_eq!(patterns(value), ["/C=UK/*"], "{value}");
        }
    }

    #[test]
    fn refuses_unsupported_lines() {
        assert_eq!(parse(""), Err(PolicyError::Empty));
        assert_eq!(parse("pos_rights globus CA:sign"), Err(PolicyError::NoAuthority(1)));
        assert_eq!(parse("access_id_CA X509 'x'"), Err(PolicyError::BadName(1)));
        let negative = POLICY.replace("pos_rights", "neg_rights");
        assert_eq!(parse(&negative), Err(PolicyError::UnknownRight(4)));
        assert_eq!(parse("rubbish here now"), Err(PolicyError::UnknownLine(1)));
    }

    #[test]
    fn stars_match_any_text() {
        for (pattern, text, expected) in [
            ("/C=UK/*", "/C=UK/", true),
            ("/a*b*c", "/axxbyyc", true),
            ("/a*b*c", "/abc", true),
            ("/a*b*c", "/acb", false),
            ("/abc", "/abc", true),
            ("/abc", "/abcd", false),
            ("/ab*bc", "/abc", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
