//! What a signature does not cover, in an envelope with AES-CBC: no change of the encrypted content is accepted, so that
//! the verdict shows nothing of what changed blocks decrypt to.

use openssl::symm::Cipher;
use proptest::prelude::*;

use super::decryption::{around, encrypted, to_bob};
use super::envelopes::encrypt_for;
use super::forge::*;
use super::multipart::message;
use super::*;
use crate::diagnose;

const BLOCK: usize = 16;

/// An envelope with AES-256-CBC for Bob.
fn in_cbc(plain: &[u8]) -> Vec<u8> {
    pkcs7_mime(&around(&to_bob(), &encrypted(plain, true)))
}

fn in_gcm(plain: &[u8]) -> Vec<u8> {
    pkcs7_mime(&encrypt_for(plain, &[&*pki().bob], Cipher::aes_256_gcm()))
}

/// `message` with `from` replaced, which it contains.
#[track_caller]
fn changed(message: &str, from: &str, to: &str) -> String {
    assert!(message.contains(from), "{from:?} is not in\n{message}");
    message.replacen(from, to, 1)
}

#[test]
fn text_that_the_signature_does_not_cover_has_a_fixed_form() {
    let message = message();
    let opaque = String::from_utf8(SignedForge::new(&pki().alice).message()).unwrap();
    let first = "MIME-Version: 1.0\nContent-Type";
    let second = "Content-Type: application/x-pkcs7-signature\n";
    let base64 = "Content-Transfer-Encoding: base64\n\n";
    for (free, what) in [
        (format!("{message}x"), "text after the last part"),
        (format!("{message}\n\n \0"), "text after the last part"),
        (format!("{message}\x0b"), "text after the last part"),
        (changed(&message, "\n\n--b", "\n\nA preamble\n--b"), "text before the first part"),
        (changed(&message, first, &format!("Subject: x\n{first}")), "the header \"subject\""),
        (changed(&message, "MIME-Version: 1.0", "MIME-Version: 1.0 (x)"), "the header \"mime-version\""),
        (changed(&message, "; boundary", "; x=y; boundary"), "the header \"content-type\""),
        (changed(&message, "; boundary", " (x); boundary"), "the header \"content-type\""),
        (changed(&message, "; boundary", "; micalg=\"sha-256, sha-512\"; boundary"), "the header \"content-type\""),
        (changed(&message, "; boundary", "; protocol=\"application/pgp\"; boundary"), "the header \"content-type\""),
        (changed(&message, "boundary=\"b\"", "boundary*=us-ascii'en'b"), "the header \"content-type\""),
        (changed(&message, second, &format!("Content-Id: x\n{second}")), "the header \"content-id\""),
        (changed(&message, second, "Content-Type: application/x-pkcs7-signature; boundary=b\n"), "\"content-type\""),
        (
            changed(&message, second, "Content-Type: application/x-pkcs7-signature; name=\"signature-of.alice\"\n"),
            "\"content-type\"",
        ),
        (changed(&message, base64, "Content-Transfer-Encoding: base64 (x)\n\n"), "\"content-transfer-encoding\""),
        (
            changed(&message, base64, &format!("Content-Disposition: attachment; filename=\"a b\"; x=y\n{base64}")),
            "the header \"content-disposition\"",
        ),
        (changed(&message, base64, &format!("{base64}!")), "characters outside its alphabet"),
        (changed(&opaque, base64, &format!("{base64}!")), "characters outside its alphabet"),
        (changed(&opaque, "MIME-Version: 1.0", "X-Mailer: x"), "the header \"x-mailer\""),
    ] {
        for good in [free.clone().into_bytes(), in_gcm(free.as_bytes())] {
            assert_eq!(receive(&good).unwrap().payload(), b"hello\n", "{free}");
        }
        let envelope = in_cbc(free.as_bytes());
        assert_eq!(receive(&envelope).unwrap_err().to_string(), "cannot decrypt the message", "{free}");
        let said = diagnose(&envelope, std::slice::from_ref(&pki().bob), &pki().trust.snapshot()).unwrap();
        assert!(said.contains(what), "{said}\n{free}");
    }
    let binary = [b"Content-Type: application/pkcs7-mime\n\n".to_vec(), SignedForge::new(&pki().alice).der()].concat();
    assert!(receive(&in_gcm(&binary)).is_ok());
    assert!(matches!(receive(&in_cbc(&binary)), Err(OpenError::Crypto)));
}

#[test]
fn what_senders_write_there_is_accepted() {
    let message = message();
    let (first, second) = ("Content-Type: multipart/signed", "Content-Type: application/x-pkcs7-signature\n");
    let signature = "Content-Type: application/x-pkcs7-signature; name=\"smime.p7s\"\n";
    let disposition = "Content-Disposition: attachment; filename=\"smime.p7s\"\n";
    let protocol = "; protocol=\"application/x-pkcs7-signature\"; micalg=\"sha-256\"";
    for fixed in [
        format!("{message}\r\n \t\n\n"),
        message.trim_end().to_owned(),
        message.replace('\n', "\r\n"),
        changed(&message, "\n\n--b", "\n\nThis is an S/MIME signed message\n\n--b"),
        changed(&message, "MIME-Version: 1.0\n", ""),
        changed(&message, first, &format!("{first}{protocol}")),
        changed(&message, first, &format!("{first}{}", protocol.replace("; ", ";\n\t"))),
        changed(&message, first, "content-TYPE: Multipart/Signed; Protocol=\"application/PKCS7-signature\""),
        changed(&message, second, &format!("{signature}{disposition}")),
        changed(&message, second, &format!("MIME-Version: 1.0\n{signature}")),
        changed(&message, "base64\n\n", "BASE64\n\n\n"),
    ] {
        assert_eq!(receive(&in_cbc(fixed.as_bytes())).unwrap().payload(), b"hello\n", "{fixed}");
    }
}

/// Who can change an envelope appends a random block and one of the message, and sees whether the message is opened.
#[test]
fn whether_the_padding_of_appended_blocks_is_right_changes_nothing() {
    for message in [message().into_bytes(), SignedForge::new(&pki().alice).message()] {
        let padded = message.len().next_multiple_of(BLOCK);
        for padding in 1..=16 {
            let mut plain = message.clone();
            // What was the padding becomes text, and some paddings are white space.
            plain.resize(padded, b'\n');
            plain.extend([0x93; BLOCK]);
            plain.extend(vec![0x71; BLOCK - padding]);
            let right = [plain.clone(), vec![u8::try_from(padding).unwrap(); padding]].concat();
            let wrong = [plain, vec![0x71; padding]].concat();
            for plain in [right, wrong] {
                let raw = pkcs7_mime(&around(&to_bob(), &encrypted(&plain, false)));
                assert!(matches!(receive(&raw), Err(OpenError::Crypto)), "{padding}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_change_of_the_encrypted_content_is_accepted(
        (in_parts, kind) in (any::<bool>(), 0..5),
        (at, from) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        block in any::<[u8; BLOCK]>(),
    ) {
        let plain = if in_parts { message().into_bytes() } else { SignedForge::new(&pki().alice).message() };
        let content = encrypted(&plain, true);
        let mut blocks: Vec<Vec<u8>> = content.chunks(BLOCK).map(<[u8]>::to_vec).collect();
        let (at, from) = (at.index(blocks.len()), from.index(blocks.len()));
        let other = blocks[from].clone();
        match kind {
            0 => blocks[at] = block.to_vec(),
            1 => blocks[at] = other,
            2 => blocks.insert(at, other),
            3 => drop(blocks.splice(at..at, [block.to_vec(), other])),
            _ => blocks.extend([block.to_vec(), other]),
        }
        prop_assume!(blocks.concat() != content);
        let raw = pkcs7_mime(&around(&to_bob(), &blocks.concat()));
        prop_assert!(matches!(receive(&raw), Err(OpenError::Crypto)));
    }
}
