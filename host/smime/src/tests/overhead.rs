//! The overhead reported to plugins is never too small, and only slightly too large.

use super::*;
use crate::{Overhead, SealCipher};
use message::acknowledgement::Sequence;

#[expect(dead_code, unreachable_pub, reason = "the plugins' own arithmetic, from their side of the repository")]
#[path = "../../../../plugin-sdk/src/records/wire/size.rs"]
mod size;

/// Contents of every kind: plain, with line ends, not ASCII, binary, and the worst case of each encoding.
fn payloads() -> Vec<Vec<u8>> {
    let line = "Site: UKI-TEST-Universit\u{e4}t/x\n";
    let mut payloads: Vec<Vec<u8>> = [1, 47, 48, 49, 75, 76, 300, 4096, 50_000, 300_000]
        .into_iter()
        .flat_map(|size| {
            let mut binary = vec![0; size];
            openssl::rand::rand_bytes(&mut binary).unwrap();
            let text = TEXT.iter().cycle().take(size).copied().collect();
            [
                text,
                vec![b'x'; size],
                vec![b'='; size],
                vec![0xE4; size],
                line.repeat(size / 30 + 1).into_bytes(),
                binary,
            ]
        })
        .collect();
    payloads.extend(["\r\n", "a \n \t\n", "\n\n\nx\n\n"].map(|end| format!("Site: A{end}").into_bytes()));
    let mention = "see application/x-pkcs7-mime, /a/b/c\n";
    payloads.extend([mention.to_owned(), mention.repeat(500), format!("{mention}\u{e4}")].map(String::into_bytes));
    payloads
}

fn wire(overhead: &Overhead) -> size::Wire {
    size::Wire { ssm: overhead.peer == Peer::Ssm, fixed: overhead.fixed, envelope: overhead.envelope }
}

/// Seals every content with `id` and `to`, and compares the size with the bound.
fn compare(sealer: &Sealer, id: &str, to: Option<&str>) {
    let whole = MessageId::parse(id).unwrap();
    let part = whole.part(10_000);
    let overhead = sealer.overhead(&whole, to);
    let sequence = Sequence::new("00c0ffee00c0ffee", u64::MAX).unwrap();
    for payload in payloads() {
        let message = ToSeal { id: &part, to, sequence: Some(&sequence), content_type: None, payload: &payload };
        let Ok(sealed) = sealer.seal(&message) else { continue };
        let (actual, bound) = (sealed.bytes().len(), wire(&overhead).size(&payload));
        let start = String::from_utf8_lossy(&payload[..payload.len().min(20)]).into_owned();
        assert!(bound >= actual, "{overhead:?} {start:?} of {}: {bound} < {actual}", payload.len());
        assert!(bound <= actual + actual / 50 + 2048, "{overhead:?} {start:?}: {bound} for {actual}");
    }
}

#[test]
fn the_bound_is_valid_for_every_key_peer_and_content() {
    let pki = pki();
    for signer in [&pki.alice, &pki.carol, &pki.eve] {
        for peer in [Peer::Ssm, Peer::Sesame] {
            compare(&sealer(signer, None, peer), "6b031234/6b03126398f937", None);
            for recipient in [&pki.bob, &pki.carol, &pki.eve] {
                if peer == Peer::Ssm && Arc::ptr_eq(recipient, &pki.eve) {
                    continue;
                }
                let to = "CN=bob.example.org,O=Sesame Test,C=UK";
                compare(&sealer(signer, Some(recipient), peer), "6b031234/6b03126398f937", Some(to));
            }
        }
    }
}

#[test]
fn the_bound_is_valid_for_the_longest_names_and_every_cipher() {
    let pki = pki();
    let recipient = recipient(&pki.bob);
    for cipher in [SealCipher::Aes128Cbc, SealCipher::Aes192Cbc, SealCipher::Aes256Cbc, SealCipher::Aes256Gcm] {
        let policy = SealPolicy { peer: Peer::Sesame, cipher: Some(cipher), max_payload: LIMIT };
        let sealer = Sealer::new(pki.carol.clone(), Some(recipient.clone()), policy).unwrap();
        compare(&sealer, &"i".repeat(249), Some(&"n".repeat(900)));
    }
}

#[test]
fn the_size_of_text_is_known_without_the_text() {
    let pki = pki();
    let id = MessageId::parse("6b031234/6b03126398f937").unwrap();
    for recipient in [None, Some(&pki.bob)] {
        let sealer = sealer(&pki.alice, recipient.map(std::sync::Arc::as_ref), Peer::Ssm);
        let overhead = sealer.overhead(&id, None);
        for length in [1, 300_000] {
            let payload: Vec<u8> = TEXT.iter().cycle().take(length).copied().collect();
            let message = ToSeal { id: &id, to: None, sequence: None, content_type: None, payload: &payload };
            let (actual, bound) = (sealer.seal(&message).unwrap().bytes().len(), overhead.text_size(length));
            assert!((actual..=actual + actual / 50 + 2048).contains(&bound), "{bound} for {actual}");
        }
    }
}

#[test]
fn plugins_receive_it_as_properties() {
    let overhead = Overhead { peer: Peer::Sesame, fixed: 3000, envelope: Some(900) };
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected =
        [property("peer", "sesame"), property("wire-fixed-bytes", "3000"), property("wire-envelope-bytes", "900")];
    assert_eq!(overhead.properties(), expected);
    assert_eq!(
        Overhead { envelope: None, peer: Peer::Ssm, ..overhead }.properties(),
        [property("peer", "ssm"), property("wire-fixed-bytes", "3000")]
    );
}
