//! Moves an unchanged element from one queue of a spool to another.

use std::collections::BTreeSet;
use std::io;

use super::{ElementPath, LOCKED, LockedQueueElement, Queue};
use crate::{SpoolError, disk};

impl Queue {
    /// Moves an element here from another queue on the same file system, with one rename, and returns its new path. The
    /// move is durable when this returns; a crash leaves the element in one of the two queues.
    ///
    /// # Errors
    /// [`SpoolError::Io`]; the element is then in one of the two queues.
    pub fn adopt(&self, mut element: LockedQueueElement<'_>) -> Result<ElementPath, SpoolError> {
        let from = element.queue.element(&element.element);
        let failed = |error: io::Error| SpoolError::io("move element", &from)(error);
        let mut touched = BTreeSet::new();
        let target = self.reserve().map_err(failed)?;
        let place = self.publish(&from, &target, &mut touched).map_err(failed)?;
        let place = place.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        element.removed = true;
        // The lock was moved with the element.
        disk::remove_empty(&self.element(&place).join(LOCKED)).map_err(failed)?;
        touched.extend(from.parent().map(std::path::Path::to_owned));
        for path in touched {
            disk::sync_directory(&path).map_err(SpoolError::io("sync directory", &path))?;
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Modes;

    #[test]
    fn an_element_moves_with_its_fields_and_without_its_lock() {
        let _turn = crate::failpoint::scenario("");
        let folder = tempfile::tempdir().unwrap();
        let from = Queue::create(&folder.path().join("reject"), Modes::default()).unwrap();
        let to = Queue::create(&folder.path().join("deferred"), Modes::default()).unwrap();
        let draft = from.draft(&[("body", b"x".to_vec()), ("sealed", b"y".to_vec())], true).unwrap();
        let element = from.publish(&draft.temporary, &draft.target, &mut BTreeSet::new()).unwrap().unwrap();
        let place = to.adopt(from.lock(&element).unwrap().unwrap()).unwrap();
        assert_eq!((from.count().unwrap(), to.count().unwrap()), (0, 1));
        assert_eq!(to.read(&place, 100).unwrap().fields["sealed"], b"y");
        drop(to.lock(&place).unwrap().unwrap());
    }

    #[test]
    fn one_of_several_who_move_an_element_has_it_and_no_lock_stays() {
        let _turn = crate::failpoint::scenario("");
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| Queue::create(&folder.path().join(name), Modes::default()).unwrap();
        let (from, to) = (open("reject"), open("deferred"));
        for _ in 0..100 {
            let draft = from.draft(&[("body", b"x".to_vec())], true).unwrap();
            let element = from.publish(&draft.temporary, &draft.target, &mut BTreeSet::new()).unwrap().unwrap();
            let moved = || from.lock(&element).unwrap().map(|locked| to.adopt(locked).unwrap());
            let all: Vec<ElementPath> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..3).map(|_| scope.spawn(moved)).collect();
                threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(all.len(), 1);
            assert!(to.lock(&all[0]).unwrap().is_some(), "no lock was left");
        }
    }
}
