//! Object identifiers: octets to dotted form for display, dotted form to octets for constants.

/// The dotted form of the content octets of an OBJECT IDENTIFIER (X.690 8.19); `None` if they are not one.
#[must_use]
pub fn dotted(content: &[u8]) -> Option<String> {
    let mut arcs = Vec::new();
    let mut arc: u128 = 0;
    let mut inside = false;
    for &byte in content {
        if !inside && byte == 0x80 {
            return None;
        }
        arc = arc.checked_mul(128)?.checked_add(u128::from(byte & 0x7f))?;
        inside = byte & 0x80 != 0;
        if !inside {
            arcs.push(arc);
            arc = 0;
        }
    }
    let (&first, rest) = arcs.split_first()?;
    if inside {
        return None;
    }
    let top = (first / 40).min(2);
    let mut text = format!("{top}.{}", first - top * 40);
    for arc in rest {
        text.push('.');
        text.push_str(&arc.to_string());
    }
    Some(text)
}

/// The content octets of an object identifier that is written in dotted form, computed by the compiler.
macro_rules! oid {
    ($dotted:literal) => {{
        const OCTETS: [u8; $crate::asn1::octet_count($dotted)] = $crate::asn1::octets_of($dotted);
        &OCTETS
    }};
}
pub(crate) use oid;

/// Number of content octets of a dotted identifier.
pub(crate) const fn octet_count(dotted: &str) -> usize {
    let (mut count, mut index, mut rest) = (0, 0, dotted.as_bytes());
    while !rest.is_empty() {
        let (arc, after) = next_arc(rest);
        // The first two arcs share an octet: no identifier used here begins with 2.48 or more.
        if index != 1 {
            count += groups(arc);
        }
        (index, rest) = (index + 1, after);
    }
    count
}

/// The content octets of a dotted identifier.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, through `oid!` alone")]
pub(crate) const fn octets_of<const N: usize>(dotted: &str) -> [u8; N] {
    let (mut octets, mut at, mut rest) = ([0; N], 0, dotted.as_bytes());
    let (top, after) = next_arc(rest);
    let (second, after) = next_arc(after);
    octets[at] = (top * 40 + second) as u8;
    rest = after;
    while !rest.is_empty() {
        let (arc, after) = next_arc(rest);
        let mut group = groups(arc);
        while group > 0 {
            group -= 1;
            at += 1;
            let more = if group > 0 { 0x80 } else { 0 };
            octets[at] = (arc >> (7 * group) & 0x7f) as u8 | more;
        }
        rest = after;
    }
    octets
}

/// How many groups of seven bits an arc takes.
const fn groups(arc: u32) -> usize {
    let (mut count, mut rest) = (1, arc >> 7);
    while rest > 0 {
        (count, rest) = (count + 1, rest >> 7);
    }
    count
}

/// The arc at the start of a dotted text, and what follows it.
const fn next_arc(text: &[u8]) -> (u32, &[u8]) {
    let (mut arc, mut rest) = (0, text);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'.' {
            break;
        }
        arc = arc * 10 + (byte - b'0') as u32;
    }
    (arc, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_become_the_dotted_form() {
        assert_eq!(dotted(&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01]).unwrap(), "2.16.840.1.101.3.4.1");
        assert_eq!(dotted(&[0x2B, 0x65, 0x70]).unwrap(), "1.3.101.112");
        assert_eq!(dotted(&[0x88, 0x37, 0x03]).unwrap(), "2.999.3");
        for broken in [&[][..], &[0x2a, 0x86], &[0x2a, 0x80, 0x01], &[0xFF; 80]] {
            assert_eq!(dotted(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn constants_have_the_octets_that_openssl_has() {
        let constants: [(&str, &[u8]); 5] = [
            ("2.5.29.19", oid!("2.5.29.19")),
            ("1.2.840.113549.1.1.11", oid!("1.2.840.113549.1.1.11")),
            ("1.3.133.16.840.63.0.2", oid!("1.3.133.16.840.63.0.2")),
            ("1.3.6.1.4.1.3536.1.222", oid!("1.3.6.1.4.1.3536.1.222")),
            ("2.16.840.1.113730.1.1", oid!("2.16.840.1.113730.1.1")),
        ];
        for (text, octets) in constants {
            assert_eq!(octets, openssl::asn1::Asn1Object::from_str(text).unwrap().as_slice(), "{text}");
            assert_eq!(dotted(octets).unwrap(), text);
        }
    }
}
