//! Signing policies of grid authorities.

/// Input: a `.signing_policy` file, with or without a subject before its first empty line.
pub(crate) fn parse(input: &[u8]) -> bool {
    std::str::from_utf8(input).is_ok_and(trust::fuzzing::signing_policy)
}
