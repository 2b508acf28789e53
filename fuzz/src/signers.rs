//! Lists of signers: one distinguished name a line.

use trust::SignerList;

/// Input: a list. Lists no more signers, and reports no more wrong lines, than the input has lines.
pub(crate) fn parse(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let list = SignerList::from_text(text);
    let lines = text.lines().count();
    assert!(list.signers() <= lines && list.wrong_lines().len() <= lines, "{list:?}");
    let _ = list.warnings();
    !list.is_empty() && list.wrong_lines().is_empty()
}
