//! CMS messages: their shape, and the signature or the decryption from what is found in them.

/// Input: a CMS message, BER or DER.
pub(crate) fn parse(input: &[u8]) -> bool {
    smime::fuzzing::cms(input)
}
