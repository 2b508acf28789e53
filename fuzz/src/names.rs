//! Distinguished names in slash, comma and DER form.

use trust::{DistinguishedName, SignerList};

/// Input: a name, as text or in DER. The line that is offered for a name lists exactly that name.
pub(crate) fn parse(input: &[u8]) -> bool {
    let text = std::str::from_utf8(input).ok().and_then(|text| DistinguishedName::parse(text).ok());
    let Some(name) = text.or_else(|| DistinguishedName::from_der(input).ok()) else { return false };
    let _ = (name.slash(), name.rfc4514(), name.common_name());
    let list = SignerList::from_text(&SignerList::line_for(&name));
    if list.wrong_lines().is_empty() && !list.is_empty() {
        assert!(list.contains(&name, &name), "{name:?} is not on the list of itself: {list:?}");
    }
    !name.is_empty()
}
