//! How large AMS stores a message.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use crate::{Publication, stored_size};

/// The text as the server stores it: Go's `MarshalIndent` with three spaces. It escapes `<`, `>` and `&`, and nothing
/// else in attributes.
fn stored(publication: &Publication) -> String {
    let escaped = |text: &str| {
        let text = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
    };
    let attributes = publication.attributes.iter();
    let attributes: Vec<String> =
        attributes.map(|(name, value)| format!("      \"{}\": \"{}\"", escaped(name), escaped(value))).collect();
    let attributes = if attributes.is_empty() { String::new() } else { format!("\n{}\n   ", attributes.join(",\n")) };
    format!(
        "{{\n   \"messageId\": \"{}\",\n   \"attributes\": {{{attributes}}},\n   \"data\": \"{}\",\n   \
         \"publishTime\": \"{}\"\n}}\n",
        u64::MAX,
        STANDARD.encode(&publication.data),
        "2026-01-01T00:00:00.123456789Z"
    )
}

/// The same as serde would write it, with its own escapes.
fn written(publication: &Publication) -> String {
    let mut value = serde_json::to_value(publication).unwrap();
    value["messageId"] = u64::MAX.to_string().into();
    value["publishTime"] = "2026-01-01T00:00:00.123456789Z".into();
    serde_json::to_string_pretty(&value).unwrap()
}

proptest! {
    #[test]
    fn the_size_is_an_upper_bound(
        attributes in proptest::collection::btree_map(".{0,20}", ".{0,40}", 0..6),
        data in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let publication = Publication { attributes, data: data.into() };
        let size = stored_size(&publication);
        prop_assert!(size >= stored(&publication).len());
        prop_assert!(size >= written(&publication).len());
    }

    #[test]
    fn the_size_of_a_plain_message_is_near(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let publication = Publication::new("6b0314c8/6b0314d20973da", data);
        prop_assert!(stored_size(&publication) < stored(&publication).len() + 60);
    }
}

#[test]
fn a_message_is_checked_against_a_limit() {
    let publication = Publication { attributes: BTreeMap::new(), data: vec![0; 750_000].into() };
    assert_eq!(publication.check(stored_size(&publication)), Ok(()));
    assert_eq!(
        publication.check(1_000_000).unwrap_err().to_string(),
        "AMS would store up to 1000160 bytes for this message, above the limit of 1000000: send less in one message"
    );
}
