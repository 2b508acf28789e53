//! Names: ambiguous and invisible spellings, and the property that no two names share a line.

use proptest::prelude::*;

use openssl::x509::X509Name;

use super::*;

const CN: &[u8] = &[0x55, 0x04, 0x03];
const O: &[u8] = &[0x55, 0x04, 0x0a];
const C: &[u8] = &[0x55, 0x04, 0x06];

fn attribute(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
    asn1::encode(asn1::SEQUENCE, &[asn1::encode(asn1::OID, oid), asn1::encode(tag, value)].concat())
}

fn rdn(attributes: &[Vec<u8>]) -> Vec<u8> {
    asn1::encode(asn1::SET, &attributes.concat())
}

fn name(rdns: &[Vec<u8>]) -> DistinguishedName {
    DistinguishedName::from_der(&asn1::encode(asn1::SEQUENCE, &rdns.concat())).unwrap()
}

/// `C=UK`, the organisation and the common name given, all UTF8String.
fn host(organisation: &str, common_name: &str) -> DistinguishedName {
    name(&[
        rdn(&[attribute(C, PRINTABLE_STRING, b"UK")]),
        rdn(&[attribute(O, UTF8_STRING, organisation.as_bytes())]),
        rdn(&[attribute(CN, UTF8_STRING, common_name.as_bytes())]),
    ])
}

fn parse(text: &str) -> DistinguishedName {
    DistinguishedName::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn slash_inside_a_value_stays_in_it() {
    let read = parse("/C=UK/O=X/CN=host/ce.x.org");
    assert_eq!(read, host("X", "host/ce.x.org"));
    assert_eq!(read.common_name(), Some("host/ce.x.org"));
    assert_eq!(read.slash().as_deref(), Some("/C=UK/O=X/CN=host/ce.x.org"));
}

#[test]
fn value_that_reads_like_an_rdn_has_no_slash_form() {
    let forged = name(&[
        rdn(&[attribute(C, PRINTABLE_STRING, b"UK")]),
        rdn(&[attribute(O, UTF8_STRING, b"eScience/CN=site.example.org")]),
    ]);
    assert_eq!(forged.slash(), None);
    assert_ne!(forged, parse("/C=UK/O=eScience/CN=site.example.org"));
    assert_eq!(parse(&forged.rfc4514()), forged);
    for value in ["x/E=y", "x/email=y", "x/1.2.3=y", "x/userid=y"] {
        assert_eq!(host("X", value).slash(), None, "{value}");
    }
}

#[test]
fn multi_valued_rdn_has_no_slash_form() {
    let joined = name(&[
        rdn(&[attribute(C, PRINTABLE_STRING, b"UK")]),
        rdn(&[attribute(O, UTF8_STRING, b"eScience"), attribute(CN, UTF8_STRING, b"site.example.org")]),
    ]);
    assert_eq!(joined.slash(), None);
    assert_ne!(joined, parse("/C=UK/O=eScience/CN=site.example.org"));
    assert_eq!(joined.rfc4514(), "O=eScience+CN=site.example.org,C=UK");
    assert_eq!(parse(&joined.rfc4514()), joined);
    assert_eq!(parse("CN=site.example.org+O=eScience,C=UK"), joined);
}

#[test]
fn invisible_characters_never_match() {
    let listed = parse("/C=UK/O=X/CN=site.example.org");
    for value in [
        "site.example.org ",
        " site.example.org",
        "site.example.org\t",
        "site.example.org\u{a0}",
        "site.\u{200b}example.org",
        "site.example.org\0",
        "site.example.org\n/C=UK/O=X/CN=other",
        "\u{202e}site.example.org",
    ] {
        let shown = host("X", value);
        assert_ne!(shown, listed);
        assert_eq!(shown.slash(), None, "{value:?}");
        assert_eq!(parse(&shown.rfc4514()), shown, "{value:?}");
    }
    assert_ne!(host("X", "site  one"), host("X", "site one"));
    assert_eq!(parse("/CN=site  one"), name(&[rdn(&[attribute(CN, UTF8_STRING, b"site  one")])]));
    assert_eq!(DistinguishedName::parse("/C=UK/CN=a\u{a0}b"), Err(NameError::Invisible(0xa0)));
}

#[test]
fn case_of_values_matters_and_of_types_does_not() {
    assert_ne!(parse("/C=UK/CN=Site"), parse("/C=UK/CN=site"));
    assert_eq!(parse("/c=UK/cn=site"), parse("/C=UK/CN=site"));
}

#[test]
fn string_types_with_certain_text_are_equal() {
    let with = |tag, value: &[u8]| name(&[rdn(&[attribute(CN, tag, value)])]);
    let listed = parse("/CN=site");
    assert_eq!(with(UTF8_STRING, b"site"), listed);
    assert_eq!(with(PRINTABLE_STRING, b"site"), listed);
    assert_eq!(with(IA5_STRING, b"site"), listed);
    assert_ne!(with(0x14, b"site"), listed);
    assert_ne!(with(0x1e, b"\0s\0i\0t\0e"), listed);
    assert_eq!(with(0x14, b"site").slash(), None);
    assert_eq!(parse(&with(0x14, b"site").rfc4514()), with(0x14, b"site"));
}

#[test]
fn aliases_name_one_type() {
    for (text, other) in [
        ("/emailAddress=a@b", "/Email=a@b"),
        ("/emailAddress=a@b", "/E=a@b"),
        ("/UID=x", "/USERID=x"),
        ("/ST=x", "/S=x"),
        ("/DC=org", "/domainComponent=org"),
        ("/CN=x", "/2.5.4.3=x"),
    ] {
        assert_eq!(parse(text), parse(other));
        assert_eq!(parse(other).slash().as_deref(), Some(text));
    }
}

#[test]
fn comma_forms_are_read_in_their_order() {
    let expected = parse("/C=UK/O=Example, Inc/CN=ce.example.org");
    for text in [
        "CN=ce.example.org,O=Example\\, Inc,C=UK",
        "C = UK, O = \"Example, Inc\", CN = ce.example.org",
        "C=UK, O=\"Example, Inc\", CN=ce.example.org",
        "CN=ce.example.org, O=Example\\, Inc, C=UK",
        "CN=#0c0e63652e6578616d706c652e6f7267,O=Example\\2C Inc,C=#1302554b",
    ] {
        assert_eq!(parse(text), expected, "{text}");
    }
    assert!(looks_reversed(&DistinguishedName::parse("C=UK,O=X,CN=y").unwrap()));
    assert!(!looks_reversed(&DistinguishedName::parse("CN=y,O=X,C=UK").unwrap()));
}

#[test]
fn unicode_and_the_escapes_of_older_openssl_are_one_name() {
    let name = parse("/C=DE/O=Universität");
    assert_eq!(parse("/C=DE/O=Universit\\xC3\\xA4t"), name);
    assert_eq!(name.slash().as_deref(), Some("/C=DE/O=Universität"));
    let literal = name_with_backslash();
    assert_eq!(literal.slash(), None);
    assert_eq!(parse(&literal.rfc4514()), literal);
}

fn name_with_backslash() -> DistinguishedName {
    name(&[rdn(&[attribute(CN, UTF8_STRING, b"a\\x41")])])
}

#[test]
fn wrong_texts_have_distinct_errors() {
    for (text, error) in [
        ("", NameError::Empty),
        ("/", NameError::NoType),
        ("/XX=y", NameError::NoType),
        ("/C=", NameError::NoValue("C".into())),
        ("/C=UK /CN=x", NameError::Blank("C".into())),
        ("/CN=a\"b", NameError::Quote),
        ("XX=y", NameError::UnknownType("XX".into())),
        ("CN=a\\zz", NameError::Escape),
        ("CN=#zz", NameError::Escape),
        ("rubbish", NameError::NoType),
        ("/CN=\\xff", NameError::NotUtf8),
    ] {
        assert_eq!(DistinguishedName::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn refuses_what_is_not_a_name() {
    for bytes in [&[][..], &[0x30, 0x01], &[0x30, 0x02, 0x31, 0x00], &[0x31, 0x00]] {
        assert_eq!(DistinguishedName::from_der(bytes), Err(NameError::Malformed), "{bytes:?}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let tricky = prop::collection::vec(
        prop::sample::select(vec![
            "/", "=", "CN", "/CN=", "/O=", "E", ",", "+", "\"", "\\", "\\x41", " ", "#", "a", "b", "\n", "\u{a0}", "ä",
            ";", "/1.2.3=", "<",
        ]),
        0..6,
    );
    prop_oneof![
        6 => tricky.prop_map(|parts| Value::Text(parts.concat())),
        2 => any::<String>().prop_map(Value::Text),
        1 => prop::collection::vec(any::<u8>(), 0..5).prop_map(|bytes| Value::Other(0x14, bytes)),
    ]
}

/// A subject with these attributes, each an RDN.
fn bound(attributes: &[(&str, &str)]) -> BoundName {
    let mut builder = X509Name::builder().unwrap();
    for (kind, value) in attributes {
        builder.append_entry_by_text(kind, value).unwrap();
    }
    BoundName::of(&builder.build())
}

#[test]
fn ams_finds_a_subject_by_its_attributes_in_the_order_of_go() {
    let all = [
        ("DC", "org"),
        ("DC", "terena"),
        ("C", "GB"),
        ("ST", "Surrey"),
        ("L", "Richmond"),
        ("streetAddress", "The Square"),
        ("postalCode", "TW9 1DT"),
        ("O", "Site, Inc"),
        ("OU", "RFCs"),
        ("OU", " #2"),
        ("CN", "host/a.example.org"),
        ("serialNumber", "RFC 2253"),
        ("emailAddress", "a+b@c.org"),
    ];
    let found = bound(&all);
    let named = "SERIALNUMBER=RFC 2253,CN=host/a.example.org,OU=RFCs+OU=\\ #2,O=Site\\, Inc,POSTALCODE=TW9 1DT,\
                 STREET=The Square,L=Richmond,ST=Surrey,C=GB";
    assert_eq!(found.text, format!("E=a+b@c.org,{named},DC=org+DC=terena"));
    assert_eq!(found.left_out, Vec::<String>::new());
    let backwards: Vec<(&str, &str)> =
        all.into_iter().filter(|(kind, _)| !matches!(*kind, "DC" | "OU")).rev().collect();
    assert!(
        bound(&backwards)
            .text
            .ends_with(",O=Site\\, Inc,POSTALCODE=TW9 1DT,STREET=The Square,L=Richmond,ST=Surrey,C=GB")
    );
    assert_eq!(bound(&[("O", "\"<a>;\\\""), ("C", "GB")]).text, r#"O=\"\<a\>\;\\\",C=GB"#);
}

#[test]
fn what_ams_does_not_see_of_a_subject_is_named() {
    let found = bound(&[("O", "Site"), ("CN", "Robot"), ("CN", "host"), ("UID", "x"), ("UID", "y"), ("GN", "z")]);
    assert_eq!(found.text, "CN=host,O=Site");
    assert_eq!(found.left_out, ["all but the last CN", "UID", "GN"]);
    let unknown = rdn(&[attribute(&asn1::oid!("1.2.3.4")[..], UTF8_STRING, b"x")]);
    let unknown = X509Name::from_der(&asn1::encode(asn1::SEQUENCE, &unknown)).unwrap();
    assert_eq!(BoundName::of(&unknown), BoundName { text: String::new(), left_out: vec!["1.2.3.4".to_owned()] });
}

fn any_name() -> impl Strategy<Value = DistinguishedName> {
    let oid = prop::sample::select(vec!["2.5.4.3", "2.5.4.10", "2.5.4.6", "1.2.840.113549.1.9.1", "1.2.3.4"]);
    let attribute = (oid, any_value()).prop_map(|(oid, value)| Attribute { oid: Oid(oid.to_owned()), value }).boxed();
    let rdn = prop_oneof![
        5 => prop::collection::vec(attribute.clone(), 1..2),
        1 => prop::collection::vec(attribute, 2..4),
    ];
    prop::collection::vec(rdn, 1..4).prop_map(|rdns| DistinguishedName::from_rdns(rdns).unwrap())
}

proptest! {
    // PROPTEST_CASES=1000000 for the long run.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(20_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_line_parses_to_its_name(name in any_name()) {
        prop_assert_eq!(&parse(&name.rfc4514()), &name);
        prop_assert_eq!(&parse(&name.line()), &name);
    }

    #[test]
    fn two_names_never_share_a_slash_form(a in any_name(), b in any_name()) {
        if let (Some(one), Some(other)) = (a.slash(), b.slash()) {
            prop_assert_eq!(one == other, a == b);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = DistinguishedName::parse(&text);
        let _ = DistinguishedName::parse_slash(&text);
        let _ = DistinguishedName::parse_comma(&text);
    }
}
