//! Why a message was rejected or deferred, as one stable word: the table of all codes.
//!
//! [`CODES`] is the whole table; the reference page of the documentation is made from it. A code is the beginning of the
//! field `error` of an element in a reject or deferred queue, of the reason in the log, in `trace` and in `explain`, and a
//! column of the journal. The words are a format: scripts compare them, so they never change, and a reader of old journals
//! may meet words that are no longer in the table. The sources name a code by its variant of [`Code`] and never as text.
//!
//! Codes of findings (`job.negative-wall-duration`) belong to the plugins that make them and are not in this table.

use std::fmt;

use crate::{Direction, Fate};

/// Which role uses a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Channels that send.
    Sender,
    /// Channels that receive.
    Receiver,
    /// Both.
    Both,
}

impl Side {
    /// The side in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Receiver => "receiver",
            Self::Both => "both",
        }
    }

    /// Whether channels of this direction use it.
    #[must_use]
    pub const fn is_of(self, direction: Direction) -> bool {
        match self {
            Self::Sender => matches!(direction, Direction::Outbound),
            Self::Receiver => matches!(direction, Direction::Inbound),
            Self::Both => true,
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The word itself.
    pub code: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
    /// What to do about it.
    pub action: &'static str,
    /// [`Fate::Rejected`] or [`Fate::Deferred`].
    pub disposition: Fate,
    /// Who uses it.
    pub side: Side,
}

macro_rules! codes {
    ($($name:ident $code:literal $side:ident $disposition:ident $meaning:literal $action:literal)*) => {
        /// A code of the table.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its row of the table.
            #[must_use]
            pub const fn entry(self) -> Entry {
                match self {
                    $(Self::$name => Entry {
                        code: $code,
                        meaning: $meaning,
                        action: $action,
                        disposition: Fate::$disposition,
                        side: Side::$side,
                    },)*
                }
            }
        }

        /// Every code with what it means and what to do about it.
        pub const CODES: &[Entry] = &[$(Code::$name.entry()),*];
    };
}

// By the order in which a message is checked: content, structure, signature, certificate, signer, plugins, sending.
codes! {
    Empty "empty" Both Rejected
        "The message has no content, or a sender's file is blank."
        "See what the application writes; over STOMP a JMS MapMessage or ObjectMessage arrives empty."
    NotBase64 "not-base64" Receiver Rejected
        "The data of a message of AMS is missing or not base64, so that nothing can be read in it."
        "Ask the sender which program published it; the field `sealed` of the element has the data as it came."
    Blank "blank" Receiver Rejected
        "The signed content is empty or white space."
        "Ask the sender what their application writes."
    TooLarge "too-large" Both Rejected
        "The message is larger than `max-payload`, or the sealed message does not fit in `max-frame`."
        "Split the message, or raise `max-payload` of the channel and `max-frame` of the broker."
    NotText "not-text" Sender Rejected
        "The content is not UTF-8 text, which is all that an SSM receiver reads."
        "Write UTF-8, or set `peer = \"sesame\"` if the receiver is Sesame."
    Unsealable "unsealable" Sender Rejected
        "The message cannot be signed or encrypted because of what is in it, such as a header value."
        "The text after the code says what is wrong; correct the content or the plugin that set the value."
    Unsigned "unsigned" Receiver Rejected
        "The message is not S/MIME: it is neither signed nor encrypted."
        "Ask the sender to sign; `sesame explain` shows what the plugins would answer to the content."
    Mime "mime" Receiver Rejected
        "The MIME structure around the signature or the envelope is malformed."
        "Ask the sender which program made the message; the text after the code names the fault."
    Trailing "trailing" Receiver Rejected
        "Bytes follow the end of the message and would be lost."
        "Ask the sender to send one message at a time."
    Shape "shape" Receiver Rejected
        "The CMS structure is malformed or not of an accepted form."
        "Ask the sender which program made the message; the text after the code names the fault."
    Depth "depth" Receiver Rejected
        "The CMS structure is nested too deeply or has too many elements, or the certification path is too long."
        "Ask the sender which program and which authority made the message."
    ContentType "content-type" Receiver Rejected
        "The CMS content type is neither SignedData nor EnvelopedData."
        "Ask the sender to send S/MIME messages as `openssl smime` or `openssl cms` makes them."
    NoSigner "no-signer" Receiver Rejected
        "The SignedData has no signature."
        "Ask the sender to sign."
    ManySigners "many-signers" Receiver Rejected
        "The message has more than one signature."
        "Ask the sender to sign once."
    TooManyCertificates "too-many-certs" Receiver Rejected
        "The message brings more certificates or CRLs than are accepted."
        "Ask the sender to include the signer's certificate and its intermediate authorities only."
    NoSignedAttributes "no-signed-attrs" Receiver Rejected
        "The signature has no signed attributes, so that it does not bind the content type."
        "Ask the sender to sign with attributes (openssl without `-noattr`)."
    SignedAttributes "signed-attrs" Receiver Rejected
        "The signed attributes are incomplete, repeated or malformed."
        "Ask the sender which program made the signature; the text after the code names the fault."
    Algorithm "algorithm" Receiver Rejected
        "The signature uses an algorithm that is not accepted."
        "Ask the sender to use one of those that the text after the code lists."
    WeakDigest "weak-digest" Receiver Rejected
        "The signature uses a digest that is too weak, such as SHA-1."
        "Ask the sender to sign with SHA-256; `allow-sha1-digest` accepts SHA-1 for a time of transition."
    RecipientType "recipient-type" Receiver Rejected
        "A recipient of the envelope is addressed in a way that is not accepted."
        "Ask the sender to encrypt for our certificate with `openssl smime` or `openssl cms`."
    Recipients "recipients" Receiver Rejected
        "The envelope has no recipient, too many, or one of them twice."
        "Ask the sender to encrypt for our certificate only."
    Cipher "cipher" Receiver Rejected
        "The envelope uses a cipher that is not accepted."
        "Ask the sender to encrypt with AES."
    Crypto "crypto" Receiver Rejected
        "The envelope cannot be decrypted, or what is inside is not a well signed message; nothing more is said on purpose."
        "Run `sesame explain` on the field `sealed`; ask the sender to encrypt for our present certificate."
    NotEncrypted "not-encrypted" Receiver Rejected
        "The message is only signed, and the channel requires encryption."
        "Ask the sender to encrypt, or set `encryption = \"optional\"`."
    NoCertificate "no-cert" Receiver Rejected
        "The signer's certificate is not in the message."
        "Ask the sender to include it (openssl without `-nocerts`, Python cryptography without `NoCerts`)."
    AmbiguousCertificate "ambiguous-cert" Receiver Rejected
        "Two different certificates in the message are named as the signer's."
        "Ask the sender to include one certificate of the signer."
    Signature "signature" Receiver Rejected
        "The signature does not verify: the message was changed, or the certificate is not the signer's."
        "Ask the sender to send it again; see whether a program on the way changes line ends."
    TooOld "too-old" Receiver Rejected
        "The message was signed longer ago than `max-age`."
        "Ask the sender to send it again, or raise `max-age`."
    Future "future" Receiver Rejected
        "The message was signed in the future."
        "Correct the clock of the sender, or ours."
    Misdirected "misdirected" Receiver Rejected
        "The message was signed for another receiver."
        "See the destination of the sender; a message may have been moved by someone else."
    ReceiverRejected "receiver-rejected" Sender Rejected
        "The receiver acknowledged that it rejected the message."
        "The receiver's reason follows; correct the records and publish them again."
    SignerUntrusted "signer-untrusted" Receiver Rejected
        "No trust anchor issued the signer's certificate, or the anchor of that name did not sign it."
        "Install the authority in `trust.anchors` if you trust it, or update it there."
    WeakKey "weak-key" Receiver Rejected
        "A key in the certification path, or the signer's, is too short or of a kind that is not accepted."
        "Ask the signer for a certificate with an RSA key of 2048 bits or more, or an EC key."
    WeakSignature "weak-signature" Receiver Rejected
        "A certificate in the path is signed with SHA-1 or MD5."
        "Ask the signer for a certificate that is signed with SHA-256."
    Proxy "proxy" Receiver Rejected
        "The signer used a proxy certificate."
        "Ask the signer to use a host certificate."
    Expired "expired" Receiver Rejected
        "The signer's certificate or one of its issuers is expired."
        "Ask the signer to renew it; if an authority is expired, update the trust anchors."
    NotYetValid "not-yet-valid" Receiver Rejected
        "The signer's certificate or one of its issuers is not valid yet."
        "Correct the clock of the machine that issued it, or ours."
    Revoked "revoked" Receiver Rejected
        "A CRL lists the signer's certificate or one of its issuers."
        "Ask the signer for a message signed with a new certificate."
    Namespace "namespace" Receiver Rejected
        "The signing policy of the authority does not cover the name of the certificate."
        "Report it to the authority, or update its signing policy."
    CaAsSigner "ca" Receiver Rejected
        "The signer used the certificate of an authority."
        "Ask the signer to use a host certificate."
    KeyUsage "keyusage" Receiver Rejected
        "The key usage of the signer's certificate does not allow signatures."
        "Ask the signer for a certificate with digitalSignature."
    ExtendedKeyUsage "eku" Receiver Rejected
        "The extended key usage of the signer's certificate does not allow it to sign messages."
        "Ask the signer for a certificate with clientAuth or emailProtection."
    Chain "chain" Receiver Rejected
        "An issuer in the certification path is not a certificate authority."
        "Ask the signer for a certificate issued by an authority."
    InvalidCertificate "invalid" Receiver Rejected
        "A certificate in the path breaks a rule of RFC 5280."
        "Report it to the authority; the text after the code names the rule."
    PathBudget "path-budget" Receiver Rejected
        "Too many ways from the signer's certificate to a trust anchor were tried."
        "Ask the sender to include fewer certificates."
    UnreadableCertificate "unreadable" Receiver Rejected
        "A certificate or a name in it cannot be read."
        "Ask the signer for a well-formed certificate."
    CrlStale "crl-stale" Receiver Deferred
        "The CRL of an authority is out of date, so that the certificate cannot be checked."
        "Run `fetch-crl`; messages are tried again by themselves."
    CrlNotYetValid "crl-not-yet-valid" Receiver Deferred
        "The CRL of an authority is dated in the future."
        "Correct our clock; messages are tried again by themselves."
    CrlMissing "crl-missing" Receiver Deferred
        "There is no CRL of an authority, and `crls = \"require\"` requires one."
        "Run `fetch-crl`, or set `crls = \"if-present\"`; messages are tried again by themselves."
    CrlUnusable "crl-unusable" Receiver Deferred
        "The CRL of an authority cannot be read or used."
        "Run `fetch-crl`; messages are tried again by themselves."
    PolicyUnusable "policy-unusable" Receiver Deferred
        "The signing policy of an authority cannot be read."
        "Install the authority's files again; messages are tried again by themselves."
    Openssl "openssl" Receiver Deferred
        "OpenSSL could not check the certificate."
        "See the text after the code; messages are tried again by themselves."
    Banned "banned" Receiver Rejected
        "The signer is on the list of banned signers."
        "Remove the line from that list if the ban is over, then use `sesame queue retry`."
    Unlisted "unlisted" Receiver Rejected
        "The signature is good, but the signer is not on the list of authorised signers."
        "To authorise the signer, add the line that the text offers to the list, then use `sesame queue retry`."
    HeldBack "held-back" Receiver Deferred
        "An earlier message of the same signer is deferred, and the order is kept."
        "Nothing; it is tried after the earlier message. `deferred-order = \"none\"` does not keep the order."
    Claimed "claimed" Receiver Deferred
        "Another receiver with the same index claimed the message and has not reported that it stored it."
        "Start that receiver again; if it is gone for good, run `sesame index fence NAME`."
    PluginInvalid "plugin-invalid" Both Rejected
        "A plugin found the message, or a part of it, invalid."
        "See the findings; ask the sender to correct the records."
    PluginRetry "plugin-retry" Receiver Deferred
        "A plugin asks for the message to be tried again later."
        "Nothing, unless it lasts: the text after the code is the plugin's reason."
    PluginFailed "plugin-failed" Receiver Deferred
        "A plugin failed: it is missing or broken, it was stopped at a limit, or it failed by itself."
        "Repair or remove the plugin (`sesame plugin list`); waiting messages are tried again by themselves."
    AttemptsExhausted "attempts-exhausted" Both Rejected
        "The plugins failed or asked for another attempt as often as `attempts` allows."
        "Repair the plugin, then use `sesame queue retry`."
    CrashLoop "crash-loop" Both Rejected
        "The process crashed three times while it worked on this message."
        "Report it with the message, the plugins of the channel and the log."
    InternalError "internal-error" Receiver Rejected
        "Sesame itself failed on this message."
        "Report it with the field `sealed` and the log."
    BrokerRefused "broker-refused" Sender Rejected
        "The broker refused the message by itself, again and again."
        "See the broker's words after the code: size limit, rights, or a filter of the broker."
}

impl Code {
    /// The word itself.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.entry().code
    }

    /// The code with its explanation, as a reason is written everywhere: `unlisted: the signer …`.
    #[must_use]
    pub fn because(self, why: &str) -> String {
        format!("{}: {why}", self.as_str())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq<&str> for Code {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

#[cfg(test)]
mod tests;
