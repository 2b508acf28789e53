//! S/MIME: seal is sign and perhaps encrypt, open is decrypt and verify, authorise is the signer list.
//!
//! Start with [`Sealer::seal`] and [`open()`], then [`authorise()`].
//!
//! | file | holds |
//! |---|---|
//! | `mime` | headers, the split of `multipart/signed`, the signed part |
//! | `encoding` | line ends, base64, quoted-printable |
//! | `shape` | the strict look at CMS before any C code parses it |
//! | `seal`, `open` | the two directions |
//! | `diagnose` | what is inside an envelope that was refused, for `sesame explain` alone |
//! | `detached` | signatures over files, for plugins |
//! | `overhead` | [`Overhead`], how much sealing adds |
//! | `authorise` | [`Authorised`], from an [`Opened`] and the lists of signers |
//!
//! OpenSSL is asked for `CMS_*` only, through safe bindings, and with exact bytes; it never sees MIME. Everything here is
//! blocking and knows nothing of the network, of queues or of tokio.
//!
//! # What comes out
//! Between two Sesames a payload comes out byte for byte as it went in, whatever bytes it holds, save one that is blank,
//! which both ends refuse. What an SSM peer makes of it is in the documentation of `seal`.

mod authorise;
mod detached;
mod diagnose;
mod encoding;
#[doc(hidden)]
pub mod fuzzing;
mod mime;
mod open;
mod overhead;
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
pub use seal::{Peer, SealCipher, SealError, SealPolicy, Sealed, Sealer, ToSeal};
pub use shape::{ContentCipher, MAX_CERTIFICATES, MAX_RECIPIENTS, ShapeError};
