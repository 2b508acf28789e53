//! Sealing and opening return the content byte for byte; and the contents that sealing refuses.

use proptest::prelude::*;

use super::*;
use crate::OpenError;
use crate::{SealCipher, SealError};
use message::acknowledgement::Sequence;
use trust::Digest;

fn there_and_back(signer: &Arc<Credential>, recipient: Option<&Credential>, peer: Peer, payload: &[u8]) {
    let opened = receive(&seal(signer, recipient, peer, payload)).unwrap();
    assert_eq!(opened.payload(), payload);
    assert_eq!(opened.signed_id().unwrap().as_str(), "6b031234/6b03126398f937");
    assert_eq!(opened.encrypted(), recipient.is_some());
    assert_eq!(opened.digest(), Digest::Sha256);
    assert_eq!(opened.signer().certificate_der, signer.certificate().to_der().unwrap());
    let age = SystemTime::now().duration_since(opened.signing_time().unwrap());
    assert!(age.is_ok_and(|age| age < Duration::from_secs(120)));
}

#[test]
fn works_with_every_key_and_both_peers() {
    let pki = pki();
    for signer in [&pki.alice, &pki.carol, &pki.eve] {
        for (recipient, peer) in [
            (None, Peer::Ssm),
            (None, Peer::Sesame),
            (Some(&pki.bob), Peer::Ssm),
            (Some(&pki.bob), Peer::Sesame),
            (Some(&pki.eve), Peer::Sesame),
        ] {
            there_and_back(signer, recipient.map(AsRef::as_ref), peer, TEXT);
        }
    }
}

#[test]
fn the_sequence_is_part_of_what_is_signed() {
    let pki = pki();
    let id = MessageId::parse("6b031234/6b03126398f937").unwrap();
    let sequence = Sequence::new("00c0ffee00c0ffee", 12).unwrap();
    let sealer = sealer(&pki.alice, None, Peer::Ssm);
    let message = ToSeal { id: &id, to: None, sequence: Some(&sequence), content_type: None, payload: TEXT };
    let sealed = sealer.seal(&message).unwrap().into_bytes();
    let opened = receive(&sealed).unwrap();
    assert_eq!((opened.sequence(), opened.payload()), (Some(&sequence), TEXT));
    let text = String::from_utf8(sealed).unwrap();
    let forged = text.replace("Sesame-Sequence: 00c0ffee00c0ffee 12", "Sesame-Sequence: 00c0ffee00c0ffee 13");
    assert!(matches!(receive(forged.as_bytes()), Err(OpenError::Signature)));
    let none = sealer.seal(&ToSeal { sequence: None, ..message }).unwrap();
    assert_eq!(receive(none.bytes()).unwrap().sequence(), None);
}

#[test]
fn unusual_content_is_exact() {
    let long = vec![b'x'; 100_000];
    let cases: [&[u8]; 16] = [
        b"no final line end",
        b"one\n",
        b"three\n\n\n",
        b"trailing blanks \t\n ",
        b"\n\n leading",
        b"crlf\r\nlone\rcr\n",
        b"nul\0here\n",
        b"form\x0cfeed\x1c\x1d\x0b\x7f",
        "Universit\u{e4}t \u{2028}".as_bytes(),
        b"------\n--\n.\nFrom me\n%%\n",
        b"Content-Transfer-Encoding: base64\n\nYWJj\n",
        b"=3D=\n=\n",
        b"see application/x-pkcs7-mime\n",
        b"\xFF\xFE\x00\x01",
        b"=\r",
        &long,
    ];
    for payload in cases {
        let text = std::str::from_utf8(payload).is_ok();
        for peer in [Peer::Ssm, Peer::Sesame].into_iter().filter(|peer| text || *peer == Peer::Sesame) {
            there_and_back(&pki().eve, None, peer, payload);
            there_and_back(&pki().eve, Some(&pki().bob), peer, payload);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_round_trip(payload in proptest::collection::vec(any::<u8>(), 1..2000), ssm in any::<bool>()) {
        prop_assume!(!crate::seal::is_blank(&payload));
        let peer = if ssm && std::str::from_utf8(&payload).is_ok() { Peer::Ssm } else { Peer::Sesame };
        there_and_back(&pki().eve, None, peer, &payload);
    }

    #[test]
    fn any_text_round_trips(payload in "[\t\n\r -~\u{e4}\u{2028}]{1,300}", ssm in any::<bool>()) {
        prop_assume!(!crate::seal::is_blank(payload.as_bytes()));
        let peer = if ssm { Peer::Ssm } else { Peer::Sesame };
        there_and_back(&pki().eve, Some(&pki().eve), Peer::Sesame, payload.as_bytes());
        there_and_back(&pki().eve, None, peer, payload.as_bytes());
    }

    #[test]
    fn open_never_panics(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(receive(&raw).is_err());
    }

    #[test]
    fn a_flipped_octet_never_changes_the_content(at in 0_usize..100_000, flip in 1_u8..) {
        static SEALED: OnceLock<Vec<u8>> = OnceLock::new();
        let sealed = SEALED.get_or_init(|| seal(&pki().eve, None, Peer::Ssm, TEXT));
        let mut spoilt = sealed.clone();
        let at = at % spoilt.len();
        spoilt[at] ^= flip;
        if let Ok(opened) = receive(&spoilt) {
            prop_assert_eq!(opened.payload(), TEXT);
        }
    }
}

#[test]
fn seal_refuses_unusable_content() {
    let sealer = sealer(&pki().eve, None, Peer::Ssm);
    let id = MessageId::parse("a").unwrap();
    let message = ToSeal { id: &id, to: None, sequence: None, content_type: None, payload: TEXT };
    for payload in [&b""[..], b" \n\t\r\n\x0c"] {
        assert!(matches!(sealer.seal(&ToSeal { payload, ..message }), Err(SealError::Blank)));
    }
    let large = vec![b'x'; LIMIT + 1];
    assert!(matches!(sealer.seal(&ToSeal { payload: &large, ..message }), Err(SealError::TooLarge { .. })));
    for value in ["a\nb", "", " a", "the-Base64-one", "x-quoted-printable", "\u{e4}"] {
        let to = sealer.seal(&ToSeal { to: Some(value), ..message });
        assert!(to.is_err_and(|error| error.is_message_fault()), "{value:?}");
        assert!(sealer.seal(&ToSeal { content_type: Some(value), ..message }).is_err(), "{value:?}");
    }
    for kind in ["application/pkcs7-mime", "multipart/signed; boundary=b"] {
        assert!(sealer.seal(&ToSeal { content_type: Some(kind), ..message }).is_err(), "{kind}");
    }
    let id = MessageId::parse("base64/1").unwrap();
    assert!(matches!(sealer.seal(&ToSeal { id: &id, ..message }), Err(SealError::HeaderValue { .. })));
}

#[test]
fn only_utf8_is_sealed_for_an_ssm_receiver() {
    let pki = pki();
    let id = MessageId::parse("a").unwrap();
    for recipient in [None, Some(&*pki.bob)] {
        let sealed = |peer, payload| {
            sealer(&pki.alice, recipient, peer).seal(&ToSeal {
                id: &id,
                to: None,
                sequence: None,
                content_type: None,
                payload,
            })
        };
        for (payload, at) in
            [(&b"Site: Universit\xe4t\n"[..], 15), (b"\x1f\x8b\x08", 1), (b"a\xed\xa0\x80", 1), (b"a\xc0\x80", 1)]
        {
            let error = sealed(Peer::Ssm, payload).unwrap_err();
            assert!(matches!(error, SealError::NotText { at: found } if found == at), "{error:?}");
            assert!(error.is_message_fault() && error.code() == "not-text", "{error}");
            assert!(error.to_string().contains("peer = \"sesame\""), "{error}");
            assert!(sealed(Peer::Sesame, payload).is_ok());
        }
        for payload in ["Universit\u{e4}t\n", "nul \0 and \u{feff}\r", "\u{10ffff}"] {
            assert!(sealed(Peer::Ssm, payload.as_bytes()).is_ok(), "{payload:?}");
        }
    }
}

#[test]
fn a_sealer_refuses_options_that_its_peer_cannot_read() {
    let pki = pki();
    let new = |signer: &Arc<Credential>, recipient: &Credential, peer, cipher| {
        let policy = SealPolicy { peer, cipher, max_payload: LIMIT };
        Sealer::new(signer.clone(), Some(super::recipient(recipient)), policy).err()
    };
    assert!(matches!(
        new(&pki.dave, &pki.bob, Peer::Sesame, None),
        Some(SealError::SigningKey { kind: "an Ed25519 key", .. })
    ));
    assert!(matches!(new(&pki.alice, &pki.eve, Peer::Ssm, None), Some(SealError::RecipientKey { .. })));
    assert!(matches!(new(&pki.alice, &pki.dave, Peer::Sesame, None), Some(SealError::RecipientKey { .. })));
    let gcm = Some(SealCipher::Aes256Gcm);
    assert!(matches!(new(&pki.alice, &pki.bob, Peer::Ssm, gcm), Some(SealError::CipherForPeer)));
    assert!(new(&pki.alice, &pki.bob, Peer::Sesame, Some(SealCipher::Aes128Cbc)).is_none());
}
