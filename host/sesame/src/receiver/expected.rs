//! Which signers that were heard are still expected: one that was taken off the list is not silent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use message::locked;
use trust::SignerLists;

/// What the lists say of each signer that was asked about, as long as they stay. Only signers with a count of their own are
/// asked about, so it is bounded.
#[derive(Debug, Default)]
pub(super) struct Expected(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    lists: Option<Arc<SignerLists>>,
    signers: HashMap<String, bool>,
}

impl Expected {
    /// Whether messages of a signer are expected by these lists.
    pub(super) fn has(&self, signer: &str, lists: &Arc<SignerLists>) -> bool {
        let mut known = locked(&self.0);
        if !known.lists.as_ref().is_some_and(|before| Arc::ptr_eq(before, lists)) {
            *known = Answers { lists: Some(Arc::clone(lists)), signers: HashMap::new() };
        }
        if let Some(expected) = known.signers.get(signer) {
            return *expected;
        }
        let expected = lists.expect(signer);
        known.signers.insert(signer.to_owned(), expected);
        expected
    }
}

#[cfg(test)]
mod tests {
    use trust::SignerList;

    use super::*;

    #[test]
    fn a_signer_is_expected_while_it_is_listed_and_not_banned() {
        let lists = |authorised: &str, banned: &str| {
            let list = |text| Arc::new(SignerList::from_text(text));
            Arc::new(SignerLists { authorised: list(authorised), banned: list(banned), ..SignerLists::default() })
        };
        let expected = Expected::default();
        let (one, other) = ("/C=UK/CN=one", "CN=two\\, 2,C=UK");
        let both = lists(&format!("{one}\n{other}\n"), "");
        for _ in 0..2 {
            assert!(expected.has(one, &both) && expected.has(other, &both) && !expected.has("/C=UK/CN=no", &both));
        }
        assert!(!expected.has(one, &lists(other, "")) && !expected.has(one, &lists(one, one)));
        assert!(expected.has(one, &lists(&format!("\"{one}\" issuer=\"/CN=ca\""), "")));
        assert!(expected.has("no name", &both), "what cannot be looked up is not left out");
    }
}
