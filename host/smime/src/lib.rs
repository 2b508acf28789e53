//! S/MIME. Sealing signs and optionally encrypts, opening decrypts and verifies, authorising checks the signer lists.
//!
//! Start at [`Sealing::current`], [`Sealer::seal`] and [`open()`], then [`authorise()`].
//!
//! | module | contents |
//! |---|---|
//! | `mime` | headers, the parts of `multipart/signed`, the signed part; line ends, base64, quoted-printable |
//! | `shape` | takes CMS apart, strictly; nothing else reads it |
//! | `signature`, `decrypt` | the check of a signature and the decryption of an envelope, from what `shape` found |
//! | `keys`, `wrapped` | our certificates and private keys, in this process or in another; what the private key is used for |
//! | `agreement` | key agreement: derived keys and key wraps, for both directions |
//! | `der` | the DER of what is sealed |
//! | `seal`, `open` | the two directions |
//! | `ready` | contexts of OpenSSL that are used again |
//! | `sealing` | [`Sealing`], sealing with certificates that are good now |
//! | `diagnose` | why an envelope was refused, for `sesame explain` only |
//! | `detached` | signatures of files, for plugins |
//! | `peer` | [`Peer`], the program that a message is sealed for |
//! | `overhead` | [`Overhead`], the bytes that sealing adds |
//! | `authorise` | [`Authorised`], from an [`Opened`] and the lists of signers |
//!
//! OpenSSL is only used through safe bindings and on exact bytes: for certificates, keys, signatures, ciphers and
//! digests. It parses neither MIME nor CMS. All calls block.
//!
//! Certificates and trust (`trust`), the network, queues and tokio are out of scope.
//!
//! # On the wire
//! RFC 8551, as SSM peers write and read it. Between two Sesames any payload arrives byte for byte; a blank one is
//! refused on both sides. `seal` describes how an SSM peer reads a payload.
//!
//! # Limits
//! One signature, at most [`MAX_CERTIFICATES`] certificates and [`MAX_RECIPIENTS`] recipients. `shape` bounds the depth
//! and the number of elements, [`OpenPolicy`] the size of a message.

mod agreement;
mod authorise;
mod decrypt;
mod der;
mod detached;
mod diagnose;
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod mime;
mod open;
mod overhead;
mod peer;
mod ready;
mod seal;
mod sealing;
mod shape;
mod signature;
#[cfg(test)]
mod tests;
mod wrapped;

pub use authorise::{Authorised, Unauthorised, UnauthorisedReason, authorise};
pub use detached::{sign_detached, verify_detached};
pub use diagnose::diagnose;
pub use mime::MimeError;
pub use open::{
    Answer, Apart, OpenError, OpenPolicy, Opened, Refused, SeenSigners, content_key, open, open_apart, read_answer,
};
pub use overhead::Overhead;
pub use peer::Peer;
pub use seal::{SealCipher, SealError, SealPolicy, Sealed, Sealer, ToSeal};
pub use sealing::{MAX_PAYLOAD, Seal, Sealing};
pub use shape::{ContentCipher, MAX_CERTIFICATES, MAX_RECIPIENTS, ShapeError};
