//! S/MIME: seal is sign and perhaps encrypt, open is decrypt and verify, authorise checks the signer lists.
//!
//! Start at [`Sealer::seal`] and [`open()`], then [`authorise()`].
//!
//! | module | contents |
//! |---|---|
//! | `mime` | headers, the split of `multipart/signed`, the signed part; line ends, base64, quoted-printable |
//! | `shape` | the strict check of CMS before any C code parses it |
//! | `seal`, `open` | the two directions |
//! | `diagnose` | what is inside an envelope that was refused, for `sesame explain` alone |
//! | `detached` | signatures over files, for plugins |
//! | `peer` | [`Peer`], the program that a message is sealed for |
//! | `overhead` | [`Overhead`], how much sealing adds |
//! | `authorise` | [`Authorised`], from an [`Opened`] and the lists of signers |
//!
//! OpenSSL does `CMS_*` only, through safe bindings and on exact bytes; it never sees MIME. All calls block.
//!
//! Not here: certificates and trust (`trust`), the network, queues, tokio.
//!
//! # On the wire
//! RFC 8551, as SSM peers write and read it. Between two Sesames a payload arrives byte for byte as it was sent, whatever
//! bytes it holds; a blank one is refused at both ends. `seal` describes what an SSM peer makes of a payload.
//!
//! # Limits
//! One signature, at most [`MAX_CERTIFICATES`] certificates and [`MAX_RECIPIENTS`] recipients; depth and number of elements
//! are bounded in `shape`, the size of a message by [`OpenPolicy`].

mod authorise;
mod detached;
mod diagnose;
#[doc(hidden)]
pub mod fuzzing;
mod mime;
mod open;
mod overhead;
mod peer;
mod seal;
mod shape;
#[cfg(test)]
mod tests;

pub use authorise::{Authorised, Unauthorised, UnauthorisedReason, authorise};
pub use detached::{sign_detached, verify_detached};
pub use diagnose::diagnose;
pub use mime::MimeError;
pub use open::{OpenError, OpenPolicy, Opened, open};
pub use overhead::Overhead;
pub use peer::Peer;
pub use seal::{SealCipher, SealError, SealPolicy, Sealed, Sealer, ToSeal};
pub use shape::{ContentCipher, MAX_CERTIFICATES, MAX_RECIPIENTS, ShapeError};
