//! Asks the lists of signers whether an opened message may go on.

use super::open::Opened;
use message::Code;
use trust::{Listing, SignerList, SignerLists};

/// A message whose signer may report: only such a message reaches a plugin or the incoming queue.
///
/// Made by [`authorise`] only, from an [`Opened`]:
///
/// ```compile_fail
/// fn skip(opened: sesame_smime::Opened) -> sesame_smime::Authorised {
///     sesame_smime::Authorised { opened }
/// }
/// ```
///
/// and not copied:
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

    /// The message, for its payload to be moved out of it.
    #[must_use]
    pub fn into_message(self) -> Opened {
        self.opened
    }
}

/// Why a verified signer may not report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnauthorisedReason {
    /// The signer is on the list of the banned.
    Banned,
    /// The signer is on no list.
    Unlisted,
}

/// A message whose signer may not report. The content stays readable, for the reject queue.
#[derive(Debug, thiserror::Error)]
#[error("the signer {} is {}", opened.signer().subject.line(), match reason {
    UnauthorisedReason::Banned => "banned",
    UnauthorisedReason::Unlisted => "not on the list of authorised signers",
})]
pub struct Unauthorised {
    /// The message as it was opened.
    pub opened: Box<Opened>,
    /// Why it may not go on.
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
/// [`Unauthorised`], with the message in it.
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
    fn a_banned_signer_is_not_though_listed() {
        let refused = authorise(opened(), &lists(ALICE, ALICE)).unwrap_err();
        assert_eq!((refused.code(), refused.reason), (Code::Banned, UnauthorisedReason::Banned));
        assert_eq!(refused.to_string(), format!("the signer {ALICE} is banned"));
    }

    #[test]
    fn the_line_offered_for_an_unlisted_signer_authorises_him() {
        let refused = authorise(opened(), &lists("/C=UK/CN=other", "")).unwrap_err();
        assert_eq!(refused.code(), "unlisted");
        assert_eq!(refused.opened.payload(), TEXT);
        assert_eq!(refused.offered_line(), ALICE);
        assert!(authorise(*refused.opened, &lists(ALICE, "")).is_ok());
    }
}
