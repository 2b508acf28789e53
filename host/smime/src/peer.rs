//! The program that a message is sealed for.

/// The receiving program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// An SSM receiver: AES-CBC, RSA key transport, no base64 inside the signed part.
    #[default]
    Ssm,
    /// A Sesame receiver.
    Sesame,
}
