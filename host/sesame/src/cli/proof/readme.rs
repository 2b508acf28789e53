//! The `README.txt` of a proof: what the files are, and the commands that check them.
//!
//! A command is a line that begins with four spaces. It works in the directory, in the order of the text. Nothing from a
//! receiver is in a command: the id has no characters that a shell acts on, and sequence and digest are the sender's own.

use std::time::SystemTime;

use super::{Crls, Evidence, Found, Line};
use crate::cli::output;
use message::text::escaped;
use message::{MessageId, hex};
use trust::seconds;

/// The whole text.
pub(super) fn text(id: &MessageId, found: &Found) -> String {
    let mut text = format!(
        "Acknowledgement of message {}\n\n\
         Written by Sesame {} at {}.\n\n\
         The receiver of the message signed what it says about it. OpenSSL 3 or later can check that, without Sesame and\n\
         without the sender. Run the commands in this directory, in this order; each fails (exit status other than 0) if\n\
         what it checks is not so.\n\n\
         acknowledgement-N.eml  an acknowledgement message, byte for byte as received\n\
         signer-N.pem           the certificate of its signer\n\
         trusted-N.pem          the issuers of that certificate, the trust anchor, and their CRLs where there were any\n",
        escaped(id.as_str()),
        env!("CARGO_PKG_VERSION"),
        output::time(SystemTime::now()),
    );
    for (number, evidence) in (1..).zip(&found.evidence) {
        text.push_str(&message(number, evidence));
    }
    for (what, parts) in [("Not acknowledged", &found.open), ("Acknowledged, but no longer kept", &found.expired)] {
        if !parts.is_empty() {
            let parts: Vec<String> = parts.iter().map(|part| format!("- {}\n", escaped(part))).collect();
            text.push_str(&format!("\n\n{what}:\n{}", parts.concat()));
        }
    }
    text
}

/// The part about one acknowledgement message.
fn message(number: usize, evidence: &Evidence) -> String {
    let title = format!("Acknowledgement message {number}");
    let mut text = format!(
        "\n\n{title}\n{}\n\n\
         Received at {} by channel {}; signed by {}\n\
         (certificate: serial number {}, SHA-256 {}).\n\n\
         The signature is valid, and the certificate was valid when the message was received (-attime is that time in\n\
         seconds since 1970):\n\n    {} -attime {} -out verified-{number}.txt\n",
        "-".repeat(title.len()),
        output::time(evidence.received),
        evidence.channel,
        escaped(&evidence.signer.subject.rfc4514()),
        evidence.signer.serial,
        evidence.signer.fingerprint,
        verification(number),
        seconds(evidence.received),
    );
    text.push_str(&with_crls(number, evidence));
    text.push_str(&format!(
        "\nThe certificate names the receiver and the authority that stands behind it:\n\n    \
         openssl x509 -in signer-{number}.pem -noout -subject -issuer -serial -dates\n\n\
         What was signed, without the header and its encoding: one acknowledgement a line.\n\n    \
         tr -d '\\r' < verified-{number}.txt | sed '1,/^$/d' | if grep -qi '^content-transfer-encoding: base64' \
         verified-{number}.txt; then openssl base64 -d; else cat; fi > statement-{number}.txt\n"
    ));
    for (part, line) in (1..).zip(&evidence.lines) {
        text.push_str(&about(number, part, line));
    }
    text
}

/// The command that verifies a message with the files alone.
fn verification(number: usize) -> String {
    format!(
        "openssl cms -verify -in acknowledgement-{number}.eml -nointern -certfile signer-{number}.pem \
         -CAfile trusted-{number}.pem -no-CApath -no-CAstore -purpose any"
    )
}

fn with_crls(number: usize, evidence: &Evidence) -> String {
    match &evidence.crls {
        Crls::Missing => "\nThere was no CRL of the authority when this was written.\n".to_owned(),
        Crls::Unusable(why) => format!(
            "\nThe CRLs in trusted-{number}.pem do not show that the certificate was not revoked: {}.\n",
            escaped(why)
        ),
        Crls::Usable { option, at } => {
            let when = if *at == seconds(evidence.received) {
                "when the message was received".to_owned()
            } else {
                format!("at {}; the CRLs are of a later time than the message", output::seconds(*at))
            };
            format!(
                "\nThe certificate was not revoked {when}:\n\n    {} {option} -attime {at} -out verified-{number}.txt\n",
                verification(number),
            )
        }
    }
}

/// The part about one line.
fn about(number: usize, part: usize, line: &Line) -> String {
    let sent = &line.sent;
    let sequence = sent.sequence.as_ref().map(ToString::to_string).unwrap_or_default();
    let find = format!("grep -F '\"{sequence}\"' statement-{number}.txt | grep -F '\"{}\"'", sent.id);
    format!(
        "\nMessage {}, sent to {}: its line is the one with this id and sequence number.\n\n    {find}\n\n\
         It reads: {}\n\n\
         The digest in it is the SHA-256 of the content that was sent: {}.\n\
         To check it, copy the content (the record that was queued, or what the sender's plugins made of it) to the file\n\
         content-{number}-{part}:\n\n    \
         {find} | grep -F \"\\\"sha-256:$(openssl dgst -sha256 -r content-{number}-{part} | cut -c 1-64)\\\"\"\n",
        sent.id,
        escaped(&sent.destination),
        escaped(&line.text),
        hex(&sent.digest),
    )
}
