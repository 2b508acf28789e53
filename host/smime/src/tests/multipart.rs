//! `multipart/signed` in every accepted form, and the forms that are refused.

use base64::Engine as _;

use super::forge::{PART, detached};
use super::*;

const HEAD: &str = "MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=\"b\"\n\n";
const SIGNATURE_HEAD: &str = "Content-Type: application/x-pkcs7-signature\nContent-Transfer-Encoding: base64\n\n";

fn signature(part: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(detached(&pki().alice, part))
}

/// A message with LF line ends over `part` with CRLF line ends.
fn message_over(part: &str) -> String {
    let signature = signature(part.as_bytes());
    let part = part.replace("\r\n", "\n");
    format!("{HEAD}--b\n{part}\n--b\n{SIGNATURE_HEAD}{signature}\n--b--\n")
}

pub(super) fn message() -> String {
    message_over(std::str::from_utf8(PART).unwrap())
}

#[track_caller]
fn opens(message: &str) {
    assert_eq!(receive(message.as_bytes()).unwrap().payload(), b"hello\n");
}

#[track_caller]
fn payload_of(part: &str) -> String {
    String::from_utf8(receive(message_over(part).as_bytes()).unwrap().into_payload()).unwrap()
}

#[test]
fn reads_every_form_of_the_headers() {
    let message = message();
    opens(&message);
    opens(&message.replace('\n', "\r\n"));
    opens(&message.replace("MIME-Version: 1.0\n", ""));
    opens(
        &message
            .replace("Content-Type: multipart/signed; boundary=\"b\"", "CONTENT-TYPE: Multipart/SIGNED;\n\tBoundary=b"),
    );
    opens(
        &message.replace("boundary=\"b\"", "protocol=\"application/pkcs7-signature\"; micalg=md5; boundary=\"\\b\";"),
    );
    opens(&message.replace("x-pkcs7-signature", "PKCS7-Signature; name=\"smime.p7s\""));
    opens(&message.replace("multipart/signed;", "multipart/signed (by \"some\" tool (1.0));"));
    opens(&message.replace("boundary=\"b\"", "(c) boundary (d) = \"b\" (e)"));
    opens(&message.replace("boundary=\"b\"", "boundary*0=\"\"; boundary*1*=%62"));
    opens(&message.replace("boundary=\"b\"", "boundary*=us-ascii'en'b"));
    opens(&message.replace("Encoding: base64", "Encoding: base64 (RFC 2045)"));
    opens(&message.replace("Encoding: base64", "Encoding:\n (folded) BASE64"));
    for micalg in ["sha-256", "SHA256", "sha1", "unknown", "sha-256, sha-512", "rsa-sha256", ""] {
        opens(&message.replace("boundary=\"b\"", &format!("micalg=\"{micalg}\"; boundary=b; x=\"\\\"(\"")));
    }
    opens(&message.replace("; boundary", "; protocol=\"application/pgp-signature\"; boundary"));
    opens(&message.replace("--b\nContent-Type: text", "Some preamble\n-- b\n\n--b \t\nContent-Type: text"));
    opens(&format!("{message}An epilogue, with --b inside a line\n"));
}

#[test]
fn reads_every_form_of_opaque_messages() {
    let body = base64::engine::general_purpose::STANDARD.encode(super::forge::SignedForge::new(&pki().alice).der());
    for kind in [
        "application/pkcs7-mime",
        "application/pkcs7-mime; smime-type=enveloped-data",
        "application/pkcs7-mime (opaque); smime-type (type) = signed-data; name=smime.p7m",
        "Application/X-PKCS7-MIME; name=\"smime.p7m\"; smime-type=signed-data",
        "application/pkcs7-mime;\n smime-type=\"signed-data\"",
    ] {
        opens(&format!("Content-Type: {kind}\ncontent-transfer-encoding: BASE64\n\n{body}\n\n"));
    }
    let binary =
        [b"Content-Type: application/pkcs7-mime\n\n", &super::forge::SignedForge::new(&pki().alice).der()[..]].concat();
    assert!(receive(&binary).is_ok());
}

#[test]
fn white_space_and_strays_in_base64_change_nothing() {
    let message = message();
    let (head, body) = message.rsplit_once("base64\n\n").unwrap();
    let (text, tail) = body.split_at(body.find("\n--b--").unwrap());
    for cut in ["\n\n", " ", "\n \n", "\t", "\r\n\r\n", "!", "*\n\n."] {
        let broken: String =
            text.as_bytes().chunks(100).map(|line| std::str::from_utf8(line).unwrap()).take(1).collect();
        let rest = &text[broken.len()..];
        opens(&format!("{head}base64\n\n{broken}{cut}{rest}{tail}"));
    }
    let strays = "!".repeat(17);
    let refused = receive(format!("{head}base64\n\n{strays}{text}{tail}").as_bytes()).unwrap_err();
    assert_eq!(refused.code(), "mime");
    assert!(refused.to_string().contains("17 characters outside its alphabet, the first is '!'"), "{refused}");
    // In the signed part nothing else would detect a lost character.
    let part = "Content-Transfer-Encoding: base64\r\n\r\naGVs\r\n\r\nbG 8=\r\n";
    assert_eq!(payload_of(part), "hello");
    assert_eq!(refusal(message_over(&part.replace("aGVs", "aG!Vs")).as_bytes()), "mime");
}

#[test]
fn a_second_message_is_never_lost() {
    let message = message();
    assert_eq!(refusal(format!("{message}{message}").as_bytes()), "trailing");
    assert_eq!(refusal(format!("{message}\n--b\n").as_bytes()), "trailing");
    let opaque = String::from_utf8(super::forge::SignedForge::new(&pki().alice).message()).unwrap();
    assert_eq!(refusal(format!("{opaque}\n{opaque}").as_bytes()), "trailing");
}

#[test]
fn exactly_two_parts_with_a_legal_boundary() {
    let message = message();
    let part = "--b\nContent-Type: text/plain\n\nhello\n\n";
    let refused = [
        message.replace(part, &format!("{part}{part}")),
        message.replace("--b--", "--b"),
        message.replace("\n--b--\n", ""),
        message.replace("boundary=\"b\"", "boundary=\"\""),
        message.replace("; boundary=\"b\"", ""),
        message.replace("boundary=\"b\"", &format!("boundary=\"{}\"", "b".repeat(200))),
        message.replace("boundary=\"b\"", "boundary=\"b\"; boundary=\"c\""),
        message.replace("hello\n", "hello\n--bc\n"),
        message.replace("hello\n", "hello\n--b\n\nworld\n"),
        message.replace("Content-Type: multipart", "Content-Type: text/plain\nContent-Type: multipart"),
        message.replace("x-pkcs7-signature", "octet-stream"),
        message.replace("base64", "x-base64"),
        message.replace("MIME-Version: 1.0", "MIME-Version 1.0"),
    ];
    for raw in refused {
        assert_eq!(refusal(raw.as_bytes()), "mime", "{raw}");
    }
    let signature = signature(PART);
    let swapped = format!("{HEAD}--b\n{SIGNATURE_HEAD}{signature}\n--b\nContent-Type: text/plain\n\nhello\n\n--b--\n");
    assert_eq!(refusal(swapped.as_bytes()), "mime");
}

#[test]
fn unsigned_messages_are_reported() {
    for raw in [
        "Content-Type: text/plain\n\nhello\n",
        "\n\nhello",
        "Subject: x\n\nhello",
        "Content-Type: multipart/mixed; boundary=b\n\n",
    ] {
        assert_eq!(refusal(raw.as_bytes()), "unsigned");
    }
    for empty in [&b""[..], b"\n", b" \r\n\t\r\n"] {
        let error = receive(empty).unwrap_err();
        assert_eq!(error.code(), "empty");
        assert!(error.to_string().contains("JMS MapMessage"), "{error}");
    }
    assert_eq!(refusal(b"hello"), "mime");
}

#[test]
fn a_body_that_mentions_encryption_is_content() {
    let text =
        "Content-Type: text/plain\r\n\r\nsee application/pkcs7-mime\r\nContent-Type: application/x-pkcs7-mime\r\n";
    assert_eq!(payload_of(text), "see application/pkcs7-mime\nContent-Type: application/x-pkcs7-mime\n");
}

#[test]
fn transfer_encodings_of_the_signed_part_are_decoded() {
    let quoted = "Content-Transfer-Encoding: Quoted-Printable\r\n\r\nUniversit=C3=A4t=\r\n, x\r\ny=0D=0A";
    assert_eq!(payload_of(quoted), "Universit\u{e4}t, x\ny\r\n");
    assert_eq!(payload_of("Content-Transfer-Encoding: base64\r\n\r\naGVs\r\nbG8=\r\n"), "hello");
    assert_eq!(payload_of("Content-Transfer-Encoding: 8bit\r\n\r\nUniversit\u{e4}t\r\n"), "Universit\u{e4}t\n");
    assert_eq!(refusal(message_over("Content-Transfer-Encoding: rot13\r\n\r\nx").as_bytes()), "mime");
    assert_eq!(refusal(message_over("Content-Transfer-Encoding: base64\r\n\r\n!").as_bytes()), "mime");
}

#[test]
fn a_signed_part_without_headers_loses_nothing() {
    assert_eq!(payload_of("\r\nhello\r\n\r\nworld"), "hello\n\nworld");
    assert_eq!(payload_of("hello"), "hello");
    assert_eq!(payload_of("hello\r\n\r\nworld\r\n"), "hello\n\nworld\n");
    assert_eq!(payload_of("Site: X\r\nOwner: Y\r\n\r\nworld\r\n"), "Site: X\nOwner: Y\n\nworld\n");
    assert_eq!(payload_of("Content-Type: text/plain\r\nhello"), "Content-Type: text/plain\nhello");
    assert_eq!(payload_of("X-Other: 1\r\ncontent-type: text/xml\r\n\r\n<a/>"), "<a/>");
}

#[test]
fn text_signed_without_canonical_line_ends_is_exact() {
    let part = "Content-Type: text/plain\n\nline\nline\n";
    let signature = signature(part.as_bytes());
    let message = format!("{HEAD}--b\n{part}\n--b\n{SIGNATURE_HEAD}{signature}\n--b--\n");
    assert_eq!(receive(message.as_bytes()).unwrap().payload(), b"line\nline\n");
}

#[test]
fn text_signed_with_lf_and_sent_with_crlf_is_returned_as_signed() {
    let part = "Content-Type: text/plain\n\nline\nline\n";
    let signature = signature(part.as_bytes());
    let message = format!("{HEAD}--b\n{part}\n--b\n{SIGNATURE_HEAD}{signature}\n--b--\n").replace('\n', "\r\n");
    assert_eq!(receive(message.as_bytes()).unwrap().payload(), b"line\nline\n");
    assert_eq!(refusal(message.replace("line\r\nline", "line\r\nl1ne").as_bytes()), "signature");
    // Mixed line ends match neither form.
    assert_eq!(refusal(message.replace("line\r\nline", "line\nline").as_bytes()), "signature");
}

#[test]
fn a_signature_that_repeats_the_content_must_repeat_it_exactly() {
    let repeated = base64::engine::general_purpose::STANDARD.encode(super::forge::SignedForge::new(&pki().alice).der());
    let message = message().replace(&signature(PART), &repeated);
    assert_eq!(receive(message.as_bytes()).unwrap().payload(), b"hello\n");
    assert_eq!(refusal(message.replace("hello", "hallo").as_bytes()), "shape");
}

#[test]
fn a_message_in_the_style_of_python_is_read() {
    let part = "Content-Type: text/plain\r\n\r\n{\"record\": 1}\r\n";
    let signature = signature(part.as_bytes());
    let boundary = "===============5137043587112436371==";
    let message = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/x-pkcs7-signature\"; \
         micalg=\"sha-256\"; boundary=\"{boundary}\"\r\n\r\nThis is an S/MIME signed message\r\n\r\n\
         --{boundary}\r\n{part}\r\n--{boundary}\r\nMIME-Version: 1.0\r\n\
         Content-Type: application/x-pkcs7-signature; name=\"smime.p7s\"\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"smime.p7s\"\r\n\r\n{signature}\r\n--{boundary}--\r\n"
    );
    assert_eq!(receive(message.as_bytes()).unwrap().payload(), b"{\"record\": 1}\n");
}

#[test]
fn the_signed_addressee_must_be_us() {
    let id = MessageId::parse("a").unwrap();
    let message = ToSeal { id: &id, to: Some("/queue/a"), sequence: None, content_type: None, payload: TEXT };
    let sealed = sealer(&pki().alice, None, Peer::Ssm).seal(&message).unwrap();
    let named = |name: &str| OpenPolicy { names: vec![name.to_owned()], ..policy() };
    assert_eq!(receive_by(sealed.bytes(), &named("/queue/a")).unwrap().signed_to(), Some("/queue/a"));
    assert_eq!(receive_by(sealed.bytes(), &named("/queue/b")).unwrap_err().code(), "misdirected");
    assert!(receive(sealed.bytes()).is_ok());
    let unnamed = seal(&pki().alice, None, Peer::Ssm, TEXT);
    assert!(receive_by(&unnamed, &named("/queue/b")).is_ok());
}

#[test]
fn blank_content_is_refused() {
    for blank in ["", " \r\n\t", "\x0c\x0b"] {
        assert_eq!(refusal(message_over(&format!("Content-Type: text/plain\r\n\r\n{blank}")).as_bytes()), "blank");
    }
}

#[test]
fn a_signed_part_that_is_itself_a_message_is_refused() {
    for kind in ["application/pkcs7-mime", "multipart/signed; boundary=x"] {
        assert_eq!(refusal(message_over(&format!("Content-Type: {kind}\r\n\r\nAAAA")).as_bytes()), "shape");
    }
}
