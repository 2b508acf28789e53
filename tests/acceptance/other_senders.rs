//! What other S/MIME software writes is accepted or refused as `docs/src/smime.md` says, case by case.
//!
//! Each row of the page's tables names a case; each case is made by the tool itself, or is a message of `openssl` in another
//! spelling, and a receiver is asked for its verdict. A case without a row fails, and so does a row without a case.

use std::collections::BTreeMap;
use std::path::Path;

use crate::peers::openssl::pki;
use crate::peers::smime_tools;
use crate::sesame::{Site, Way, recipient};

/// The verdicts of `docs/src/smime.md`: `accepted`, or the code of the refusal.
fn documented() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/smime.md");
    let text = std::fs::read_to_string(page).unwrap();
    let code = |cell: &str| cell.split('`').nth(1).map(str::to_owned);
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, case, _, verdict, _, _] = cells.as_slice() else { return None };
        let verdict = if *verdict == "accepted" { "accepted".to_owned() } else { code(verdict)? };
        Some((code(case)?, verdict))
    };
    text.lines().filter_map(row).collect()
}

/// Messages of `openssl` with other headers and line ends, by case.
fn spellings(folder: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    let read = |name: &str| String::from_utf8(std::fs::read(folder.join(name)).unwrap()).unwrap().replace("\r\n", "\n");
    let (signed, opaque) = (read("openssl-smime"), read("openssl-opaque"));
    let boundary = signed.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let (head, der) = opaque.split_once("\n\n").unwrap();
    let lines = || der.trim().lines();
    let der_with = |between: &str| format!("{head}\n\n{}\n", lines().collect::<Vec<_>>().join(between));
    let first = lines().next().unwrap();
    let changed = |from: &str, to: &str| {
        assert!(signed.contains(from), "{from:?} is not in\n{signed}");
        signed.replacen(from, to, 1)
    };
    let (left, right) = boundary.split_at(5);
    let cases = [
        ("spelling-crlf", signed.replace('\n', "\r\n")),
        ("spelling-header-case", changed("MIME-Version: 1.0\nContent-Type: multipart", "CONTENT-TYPE: Multipart")),
        ("spelling-folded", changed("; micalg", ";\n\tmicalg")),
        ("spelling-comment", changed("multipart/signed;", "multipart/signed (a (nested) comment);")),
        (
            "spelling-rfc2231",
            changed(&format!("boundary=\"{boundary}\""), &format!("boundary*0={left:?}; boundary*1={right:?}")),
        ),
        ("spelling-micalg", changed("sha-256", "SHA256")),
        ("spelling-micalg-wrong", changed("micalg=\"sha-256\"", "micalg=md5")),
        (
            "spelling-protocol",
            changed("protocol=\"application/x-pkcs7-signature\"", "protocol=\"application/pkcs7-signature\""),
        ),
        ("spelling-signature-type", signed.replace("x-pkcs7-signature", "pkcs7-signature")),
        ("spelling-transfer-encoding", changed("Encoding: base64", "Encoding: BASE64 (RFC 2045)")),
        ("spelling-no-smime-type", opaque.replace("smime-type=signed-data; ", "")),
        ("spelling-wrong-smime-type", opaque.replace("signed-data", "enveloped-data")),
        ("spelling-base64-one-line", der_with("")),
        ("spelling-base64-blank-lines", der_with("\n\n")),
        ("spelling-base64-spaces", der_with(" ")),
        ("spelling-base64-strays", opaque.replacen(first, &format!("!{first}*"), 1)),
        ("spelling-base64-many-strays", opaque.replacen(first, &format!("{}{first}", "!".repeat(17)), 1)),
        ("spelling-quoted-printable", opaque.replace("Encoding: base64", "Encoding: quoted-printable")),
        ("spelling-two-messages", format!("{signed}\n{signed}")),
        ("spelling-two-opaque", format!("{opaque}\n{opaque}")),
        ("empty", String::new()),
        ("unsigned", "Content-Type: text/plain\n\nSite: UKI-TEST\n".to_owned()),
    ];
    cases.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

#[test]
fn what_other_senders_write_meets_the_verdict_in_the_docs() {
    let (signer, stranger) = (pki().host("sender.example.org"), pki().host("other.example.org"));
    let site = Site::with(recipient()).at(&["127.0.0.1:1"], Way::Plain, "");
    let site = site.receiving("central", "/queue/none", &[&signer.subject], "");
    let folder = site.folder.join("messages");
    std::fs::create_dir(&folder).unwrap();
    smime_tools::write_all(&folder, &signer, &recipient(), &stranger);
    for (name, message) in spellings(&folder) {
        std::fs::write(folder.join(name), message).unwrap();
    }
    let mut documented = documented();
    let mut differences = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let case = path.file_name().unwrap().to_str().unwrap().to_owned();
        let outcome = site.run(&["explain", "central", path.to_str().unwrap()]);
        let verdict = outcome.output.lines().last().unwrap_or_default().trim_start_matches("verdict: ").to_owned();
        let expected = documented.remove(&case);
        let met = match expected.as_deref() {
            Some("accepted") => verdict == "stored" && outcome.code == 0,
            Some(code) => verdict.starts_with(&format!("rejected: {code}: ")) && outcome.code == 1,
            None => false,
        };
        if !met {
            differences.push(format!("{case}: documented {expected:?}, was {verdict}"));
        }
    }
    assert!(differences.is_empty() && documented.is_empty(), "{differences:#?}\nrows without a case: {documented:?}");
}
