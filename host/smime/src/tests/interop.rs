//! Interoperability in both directions with the `openssl` program and a model of the SSM 4.0.0 receiver.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

/// The processing of the output of `openssl smime -verify` in SSM 4.0.0.
const SSM_RECEIVER: &str = r#"
import quopri, subprocess, sys
text = sys.stdin.read()
if 'application/pkcs7-mime' in text or 'application/x-pkcs7-mime' in text:
    text = subprocess.run(['openssl', 'smime', '-decrypt', '-recip', sys.argv[1], '-inkey', sys.argv[2]],
                          input=text, capture_output=True, text=True, check=True).stdout
out = subprocess.run(['openssl', 'smime', '-verify', '-CAfile', sys.argv[3], '-noverify'],
                     input=text + '\n\n', capture_output=True, text=True, check=True)
assert 'Verification successful' in out.stderr
lines = out.stdout.strip().splitlines()
blank = lines.index('')
headers = '\n'.join(lines[:blank])
body = '\n'.join(lines[blank + 1:])
if 'quoted-printable' in headers:
    body = quopri.decodestring(body.encode())
elif 'base64' in headers:
    raise SystemExit('AttributeError')
else:
    body = body.encode()
sys.stdout.buffer.write(body)
"#;

/// A directory with all certificates and keys, for programs that need files.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = pki();
        std::fs::write(folder.path().join("ca.pem"), pki.authority.to_pem().unwrap()).unwrap();
        for (name, credential) in [("alice", &pki.alice), ("bob", &pki.bob), ("carol", &pki.carol), ("eve", &pki.eve)] {
            let path = |end| folder.path().join(format!("{name}.{end}"));
            std::fs::write(path("pem"), credential.certificate().to_pem().unwrap()).unwrap();
            std::fs::write(path("key"), credential.key().private_key_to_pem_pkcs8().unwrap()).unwrap();
        }
        Self { folder }
    }

    /// Runs `openssl` in the directory with `input` and returns its output.
    fn openssl(&self, arguments: &str, input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("openssl");
        command.args(arguments.split_whitespace());
        run(command, self.folder.path(), input)
    }

    fn ssm_receives(&self, sealed: &[u8]) -> Vec<u8> {
        let mut command = Command::new("python3");
        command.args(["-c", SSM_RECEIVER, "bob.pem", "bob.key", "ca.pem"]);
        run(command, self.folder.path(), sealed)
    }
}

fn run(mut command: Command, folder: &Path, input: &[u8]) -> Vec<u8> {
    command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let bytes = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn opens_what_openssl_smime_signs() {
    let files = Files::new();
    for signer in ["alice", "carol", "eve"] {
        let signed = files.openssl(&format!("smime -sign -text -signer {signer}.pem -inkey {signer}.key"), TEXT);
        let on_the_wire = String::from_utf8(signed.clone()).unwrap().replace("\r\n", "\n");
        for raw in [signed, on_the_wire.into_bytes()] {
            let opened = receive(&raw).unwrap();
            assert_eq!(opened.payload(), TEXT);
            assert!(opened.signing_time().is_some());
        }
    }
}

#[test]
fn opens_other_kinds_of_signatures() {
    let files = Files::new();
    let alice = "-signer alice.pem -inkey alice.key";
    for (arguments, expected) in [
        ("smime -sign -text -nodetach", Ok(())),
        ("smime -sign -text -md sha512", Ok(())),
        ("smime -sign -text -md sha1", Err("weak-digest")),
        ("smime -sign -text -md md5", Err("weak-digest")),
        ("smime -sign -text -noattr", Err("no-signed-attrs")),
        ("smime -sign -text -nocerts", Err("no-cert")),
        ("smime -sign -text -certfile ca.pem", Ok(())),
        ("smime -sign -text -signer bob.pem -inkey bob.key", Err("many-signers")),
        ("cms -sign -text", Ok(())),
        ("cms -sign -text -keyid", Ok(())),
        ("cms -sign -text -nodetach", Ok(())),
        ("cms -sign -text -nodetach -stream", Ok(())),
        ("cms -sign -binary", Ok(())),
        ("cms -sign -nodetach -binary", Ok(())),
        ("cms -sign -text -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:32", Ok(())),
        ("cms -sign -text -keyopt rsa_padding_mode:pss", Ok(())),
        ("cms -sign -text -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:max", Ok(())),
        ("cms -sign -text -md sha512 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:-1", Ok(())),
        ("cms -sign -text -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:0", Ok(())),
        ("cms -sign -text -keyopt rsa_padding_mode:pss -keyopt rsa_mgf1_md:sha1", Err("algorithm")),
        ("cms -sign -text -md sha3-256", Err("algorithm")),
        ("cms -sign -text -md sha224", Err("algorithm")),
        ("cms -sign -text -crlfeol", Ok(())),
        ("smime -sign -text -nosmimecap", Ok(())),
        ("cms -sign -text -receipt_request_from a@example.org -receipt_request_to b@example.org", Ok(())),
    ] {
        // Key options must follow their signer.
        let (command, keyopt) = arguments.split_at(arguments.find("-keyopt").unwrap_or(arguments.len()));
        let signed = files.openssl(&format!("{command} {alice} {keyopt}"), TEXT);
        match (receive(&signed), expected) {
            (Ok(opened), Ok(())) => assert_eq!(opened.payload(), TEXT, "{arguments}"),
            (Err(error), Err(code)) => assert_eq!(error.code(), code, "{arguments}"),
            (result, _) => panic!("{arguments}: {result:?}"),
        }
    }
}

#[test]
fn opens_what_openssl_encrypts() {
    let files = Files::new();
    let signed = files.openssl("smime -sign -text -signer alice.pem -inkey alice.key", TEXT);
    for (arguments, opens) in [
        ("smime -encrypt -aes128 bob.pem", true),
        ("smime -encrypt -aes256 bob.pem", true),
        ("smime -encrypt -aes128 carol.pem bob.pem", true),
        ("smime -encrypt -aes128 -stream bob.pem", true),
        ("cms -encrypt -aes-256-gcm bob.pem", true),
        ("cms -encrypt -aes256 -keyid bob.pem", true),
        ("cms -encrypt -aes256 -keyid carol.pem bob.pem", true),
        ("cms -encrypt -aes256 -keyid eve.pem", true),
        ("cms -encrypt -aes-256-gcm -keyid -recip bob.pem -keyopt rsa_padding_mode:oaep", true),
        ("cms -encrypt -aes256 eve.pem", true),
        ("cms -encrypt -aes256 -recip bob.pem -keyopt rsa_padding_mode:oaep", true),
        ("cms -encrypt -aes256 -recip bob.pem -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256", true),
        ("smime -encrypt -des3 bob.pem", false),
    ] {
        let sealed = files.openssl(arguments, &signed);
        match receive(&sealed) {
            Ok(opened) => assert!(opens && opened.payload() == TEXT, "{arguments}"),
            Err(error) => assert!(!opens && error.code() == "cipher", "{arguments}: {error}"),
        }
    }
    let named = receive(&files.openssl("smime -encrypt -des3 bob.pem", &signed)).unwrap_err().to_string();
    assert!(
        named.starts_with("the cipher 3DES-CBC (1.2.840.113549.3.7) is not accepted; accepted are AES-CBC"),
        "{named}"
    );
}

/// What the signature does not cover has a fixed form there.
#[test]
fn opens_every_form_that_openssl_signs_in_within_an_envelope_with_cbc() {
    let files = Files::new();
    for arguments in [
        "smime -sign -text",
        "smime -sign -text -md sha512",
        "smime -sign -text -nodetach",
        "smime -sign -text -stream",
        "smime -sign -text -certfile ca.pem",
        "smime -sign -binary",
        "cms -sign -text",
        "cms -sign -text -keyid",
        "cms -sign -text -nodetach -stream",
        "cms -sign -text -crlfeol",
    ] {
        let signed = files.openssl(&format!("{arguments} -signer alice.pem -inkey alice.key"), TEXT);
        let with_lf = String::from_utf8(signed.clone()).unwrap().replace("\r\n", "\n").into_bytes();
        for (signed, program) in [(&signed, "smime"), (&with_lf, "smime"), (&with_lf, "cms")] {
            let sealed = files.openssl(&format!("{program} -encrypt -aes128 bob.pem"), signed);
            let opened = receive(&sealed).unwrap_or_else(|error| panic!("{arguments}: {error}"));
            assert_eq!(opened.payload(), TEXT, "{arguments}");
        }
    }
}

#[test]
fn openssl_opens_what_we_seal() {
    let files = Files::new();
    let pki = pki();
    for signer in [&pki.alice, &pki.carol, &pki.eve] {
        let clear = seal(signer, None, Peer::Ssm, TEXT);
        for program in ["smime", "cms"] {
            let text = files.openssl(&format!("{program} -verify -text -purpose any -CAfile ca.pem"), &clear);
            assert_eq!(String::from_utf8(text).unwrap().replace("\r\n", "\n").as_bytes(), TEXT);
        }
    }
    for (recipient, name, peer, program) in [
        (&pki.bob, "bob", Peer::Ssm, "smime"),
        (&pki.bob, "bob", Peer::Sesame, "cms"),
        (&pki.eve, "eve", Peer::Sesame, "cms"),
    ] {
        let sealed = seal(&pki.alice, Some(recipient), peer, TEXT);
        let plain = files.openssl(&format!("{program} -decrypt -recip {name}.pem -inkey {name}.key"), &sealed);
        assert_eq!(receive(&plain).unwrap().payload(), TEXT);
    }
}

#[test]
fn the_signature_has_the_structure_of_ssm() {
    let files = Files::new();
    let sealed = seal(&pki().alice, None, Peer::Ssm, b"one\ntwo\n");
    assert!(!sealed.contains(&b'\r'));
    let text = String::from_utf8(sealed.clone()).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("MIME-Version: 1.0"));
    let media = lines.next().unwrap();
    let (head, boundary) = media.split_once("; boundary=\"").unwrap();
    assert_eq!(head, "Content-Type: multipart/signed; protocol=\"application/x-pkcs7-signature\"; micalg=\"sha-256\"");
    let boundary = boundary.trim_end_matches('"');
    let expected = format!(
        "\n\nThis is an S/MIME signed message\n\n--{boundary}\nContent-Type: text/plain\n\
         Sesame-Message-Id: 6b031234/6b03126398f937\n\none\ntwo\n\n--{boundary}\n"
    );
    assert!(text.contains(&expected), "{text}");
    assert!(text.ends_with(&format!("\n\n--{boundary}--\n\n")));
    let printed = files.openssl("smime -pk7out", &sealed);
    let printed = String::from_utf8(files.openssl("cms -cmsout -print -inform PEM", &printed)).unwrap();
    assert_eq!(printed.matches("d.certificate:").count(), 1, "{printed}");
    for line in ["d.issuerAndSerialNumber:", "rsaEncryption", "contentType", "signingTime", "messageDigest"] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    assert!(!printed.contains("S/MIME Capabilities"), "{printed}");
}

#[test]
fn an_ssm_receiver_gets_the_text() {
    let files = Files::new();
    let pki = pki();
    let cases: [&[u8]; 9] = [
        b"one\ntwo",
        b"\n\n  leading\n%%\n------ dashes\n.\nFrom me",
        "Universit\u{e4}t, \u{2028}\n".as_bytes(),
        b"crlf\r\nlone\rcr, form\x0cfeed and a final line end\r\n",
        "\0\u{1}\u{ff}\u{1c}\n ".as_bytes(),
        "= at the end =\n\n\u{e9}".as_bytes(),
        b"mentions application/x-pkcs7-mime and Content-Type: application/pkcs7-mime",
        "one\n\ntwo\n \t\n\u{e9} \n\n".as_bytes(),
        b"tabs\tand blanks \nat line ends\t\n.",
    ];
    for payload in cases {
        assert_eq!(files.ssm_receives(&seal(&pki.alice, None, Peer::Ssm, payload)), payload, "{payload:?}");
        assert_eq!(files.ssm_receives(&seal(&pki.eve, Some(&pki.bob), Peer::Ssm, payload)), payload, "{payload:?}");
    }
    // White space at the end of plain text is stripped, as for an SSM sender.
    assert_eq!(files.ssm_receives(&seal(&pki.alice, None, Peer::Ssm, b"text \n\n")), b"text");
    let long = vec![b'x'; 100_000];
    assert_eq!(files.ssm_receives(&seal(&pki.alice, None, Peer::Ssm, &long)), long);
}
