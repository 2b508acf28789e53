use super::*;

fn media(text: &str) -> Result<Media, MimeError> {
    Media::parse(text)
}

#[test]
fn reads_media_types_and_parameters() {
    let found = media("Multipart/Signed; protocol=\"a;b\" ; Boundary=\"x\\\"y\"; micalg=sha-256;").unwrap();
    assert_eq!(found.kind, "multipart/signed");
    let value = |name| found.parameter(name).unwrap().unwrap().into_owned();
    assert_eq!(value("protocol"), "a;b");
    assert_eq!(value("boundary"), "x\"y");
    assert_eq!(value("micalg"), "sha-256");
    for bad in ["", "text", "text/", "text/plain; charset", "text/plain; a=\"b", "text/plain; a=\"b\"c", "te xt/plain"]
    {
        assert!(media(bad).is_err(), "{bad}");
    }
    assert_eq!(media("a/b; x=1; X=2"), Err(MimeError::Repeated { name: "x".into() }));
}

#[test]
fn joins_folded_headers() {
    let entity = Entity::read(b"A: 1\r\n  2\r\nB : 3\r\n\r\nbody").unwrap();
    assert_eq!(entity.header("a"), Ok(Some("1 2")));
    assert_eq!(entity.header("b"), Ok(Some("3")));
    assert_eq!(entity.body, b"body");
    assert_eq!(Entity::read(b" A: 1\n").unwrap_err(), MimeError::Headers);
    let many = "A: 1\n".repeat(200);
    assert_eq!(Entity::read(many.as_bytes()).unwrap_err(), MimeError::Headers);
    let long = format!("A: {}\n\n", "x".repeat(70_000));
    assert_eq!(Entity::read(long.as_bytes()).unwrap_err(), MimeError::Headers);
}

proptest::proptest! {
    #[test]
    fn a_signed_part_is_the_same_whether_or_not_its_canonical_form_is_written(
        head in "(Content-Type: text/plain\n\n|Content-Transfer-Encoding: (8bit|binary|quoted-printable|base64)\n\n|\n|A: b\n|)",
        body in "[a: é=\n]{0,80}",
        carriage_return in "\r?",
    ) {
        let came = head + &body + &carriage_return;
        let canonical = encoding::to_crlf(came.as_bytes());
        proptest::prop_assert_eq!(Part::read(&Signed::canonical(came.as_bytes())), read(&canonical));
    }
}

fn read(signed: &[u8]) -> Result<Part, MimeError> {
    Part::read(&Signed::exact(signed.into()))
}

#[test]
fn a_signed_part_keeps_every_byte() {
    let part = b"Content-Type: text/plain\r\nSesame-Message-Id: a/b\r\nSesame-To: c\r\n\r\ntext\r\n";
    let whole = read(part).unwrap();
    assert_eq!(whole.message_id.as_deref(), Some("a/b"));
    assert_eq!(whole.to.as_deref(), Some("c"));
    assert_eq!(whole.payload, b"text\n");
    for end in 0..part.len() {
        // Nothing is lost: everything but a header block is content.
        let cut = read(&part[..end]).unwrap();
        assert!(cut.content_type.is_some() || cut.payload == encoding::to_lf(&part[..end]), "{end}");
    }
}
