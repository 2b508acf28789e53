//! Checks the signer of an opened message against the lists of signers.

use super::open::Opened;
use message::Code;
use trust::{Listing, SignerList, SignerLists};

/// A message whose signer is authorised. Only such messages reach a plugin or the incoming queue.
///
/// Only [`authorise`] creates it, from an [`Opened`]:
///
/// ```compile_fail
/// fn skip(opened: sesame_smime::Opened) -> sesame_smime::Authorised {
///     sesame_smime::Authorised { opened }
/// }
/// ```
///
/// It cannot be copied:
///
/// ```compile_fail
/// fn twice(message: sesame_smime::Authorised) -> (sesame_smime::Authorised, sesame_smime::Authorised) {
///     (message.clone(), message)
/// }
/// ```
#[derive(Debug)]
pub struct Authorised {
    opened: Opened,
}

impl Authorised {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &Opened {
        &self.opened
    }

    /// The message by value, so that its payload can be moved out.
    #[must_use]
    pub fn into_message(self) -> Opened {
        self.opened
    }
}

/// Why a verified signer is not authorised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnauthorisedReason {
    /// The signer is on the banned list.
    Banned,
    /// The signer is on no list.
    Unlisted,
}

/// A message whose signer is not authorised. The content stays readable, for the reject queue.
#[derive(Debug, thiserror::Error)]
#[error("the signer {} is {}", opened.signer().subject.line(), match reason {
    UnauthorisedReason::Banned => "banned",
    UnauthorisedReason::Unlisted => "not on the list of authorised signers",
})]
pub struct Unauthorised {
    /// The opened message.
    pub opened: Box<Opened>,
    /// The reason.
    pub reason: UnauthorisedReason,
}

impl Unauthorised {
    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.reason {
            UnauthorisedReason::Banned => Code::Banned,
            UnauthorisedReason::Unlisted => Code::Unlisted,
        }
    }

    /// The line that would authorise this signer; see [`SignerList::line_for`].
    #[must_use]
    pub fn offered_line(&self) -> String {
        SignerList::line_for(&self.opened.signer().subject)
    }
}

/// Authorises a message if its signer is listed and not banned.
///
/// # Errors
/// [`Unauthorised`], which contains the message.
pub fn authorise(opened: Opened, lists: &SignerLists) -> Result<Authorised, Unauthorised> {
    let refused = |opened, reason| Err(Unauthorised { opened: Box::new(opened), reason });
    match lists.listing(opened.signer()) {
        Listing::Authorised => Ok(Authorised { opened }),
        Listing::Banned => refused(opened, UnauthorisedReason::Banned),
        Listing::Unlisted => refused(opened, UnauthorisedReason::Unlisted),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Peer;
    use super::super::tests::{TEXT, pki, receive, seal};
    use super::*;

    const ALICE: &str = "/C=UK/O=Sesame Test/CN=alice.example.org";

    fn lists(authorised: &str, banned: &str) -> SignerLists {
        let list = |text| Arc::new(SignerList::from_text(text));
        SignerLists { authorised: list(authorised), banned: list(banned), ..SignerLists::default() }
    }

    fn opened() -> Opened {
        receive(&seal(&pki().alice, None, Peer::Ssm, TEXT)).unwrap()
    }

    #[test]
    fn a_listed_signer_is_authorised() {
        let authorised = authorise(opened(), &lists(ALICE, "/C=UK/O=Sesame Test/CN=eve.example.org")).unwrap();
        assert_eq!(authorised.message().payload(), TEXT);
        assert_eq!(authorised.into_message().into_payload(), TEXT);
    }

    #[test]
    fn a_banned_signer_is_refused_even_if_listed() {
        let refused = authorise(opened(), &lists(ALICE, ALICE)).unwrap_err();
        assert_eq!((refused.code(), refused.reason), (Code::Banned, UnauthorisedReason::Banned));
        assert_eq!(refused.to_string(), format!("the signer {ALICE} is banned"));
    }

    #[test]
    fn the_line_offered_for_an_unlisted_signer_authorises_that_signer() {
        let refused = authorise(opened(), &lists("/C=UK/CN=other", "")).unwrap_err();
        assert_eq!(refused.code(), "unlisted");
        assert_eq!(refused.opened.payload(), TEXT);
        assert_eq!(refused.offered_line(), ALICE);
        assert!(authorise(*refused.opened, &lists(ALICE, "")).is_ok());
    }
}
