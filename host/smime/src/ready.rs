//! Contexts of OpenSSL that are kept for the next message.
//!
//! OpenSSL looks up an algorithm in its providers whenever a context is prepared for it. A context that is kept skips
//! that.

use std::sync::Mutex;

use message::locked;
use openssl::error::ErrorStack;

/// Prepared contexts that are not in use at the moment: as many as threads used one at the same time.
#[derive(Debug)]
pub(crate) struct Ready<T>(Mutex<Vec<T>>);

impl<T> Default for Ready<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Ready<T> {
    /// Works with a prepared context. No lock is held meanwhile. A context whose work failed is not used again.
    pub(crate) fn with<R>(
        &self,
        prepare: impl FnOnce() -> Result<T, ErrorStack>,
        work: impl FnOnce(&mut T) -> Result<R, ErrorStack>,
    ) -> Result<R, ErrorStack> {
        let kept = locked(&self.0).pop();
        let mut context = match kept {
            Some(context) => context,
            None => prepare()?,
        };
        let result = work(&mut context)?;
        locked(&self.0).push(context);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_used_again_unless_its_work_failed() {
        let ready = Ready::default();
        let mut prepared = 0;
        let mut number = |fails: bool| {
            ready.with(
                || {
                    prepared += 1;
                    Ok(prepared)
                },
                |context: &mut i32| if fails { Err(ErrorStack::get()) } else { Ok(*context) },
            )
        };
        assert_eq!((number(false).unwrap(), number(false).unwrap()), (1, 1));
        assert!(number(true).is_err());
        assert_eq!(number(false).unwrap(), 2);
    }

    #[test]
    fn one_in_use_is_not_shared() {
        let ready = Ready::default();
        let inner = ready.with(|| Ok(1), |_| ready.with(|| Ok(2), |context| Ok(*context)));
        assert_eq!(inner.unwrap(), 2);
        assert_eq!(locked(&ready.0).len(), 2);
    }
}
