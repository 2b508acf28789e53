//! Names in a directory queue, which other programs write to.

/// Input: the name of a directory entry. A name that is an element's reads as a number and back.
pub(crate) fn parse(input: &[u8]) -> bool {
    let Some(number) = spool::fuzzing::element_number(input) else {
        return spool::fuzzing::is_directory(input);
    };
    assert_eq!(format!("{number:014x}").as_bytes(), input);
    true
}
