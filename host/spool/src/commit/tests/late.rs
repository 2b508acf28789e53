//! Log lines for messages that are published after their submitter is gone.

use std::sync::mpsc;

use super::*;
use crate::commit::{batch, inbox, publish::Publisher};

#[derive(Clone, Debug, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines about messages that `action` logs on this thread.
fn lines_of(action: impl FnOnce()) -> Vec<String> {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, action);
    let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    text.lines().filter(|line| line.contains(" message ")).map(str::to_owned).collect()
}

/// The output of the first stage for these.
fn written(shared: &Shared, commits: Vec<Commit>) -> Vec<batch::Written> {
    let incoming = inbox::Inbox::default();
    let (done, batches) = mpsc::sync_channel(1);
    for commit in commits {
        let job = Job { commit, done: Box::new(|answer| assert!(answer.is_err())), patient: false };
        assert!(incoming.push(job, &shared.settings).is_none());
    }
    incoming.close();
    batch::write_batches(shared, &incoming, &done);
    batches.recv().unwrap()
}

#[test]
fn a_message_that_is_published_late_is_logged_then_and_once() {
    for point in ["R10", "R11", "R12"] {
        let turn = scenario("");
        let spool = Spool::new();
        let engine = spool.start().unwrap();
        let mut publisher = Publisher::new(Arc::clone(&engine.shared), None);
        let dropped = Commit { elements: Vec::new(), ..commit(spool.root(), "x", "c", "c", Disposition::Dropped) };
        let batch = written(
            &engine.shared,
            vec![
                store(spool.root(), "a", "one"),
                commit(spool.root(), "deferred", "b", "two", deferred()),
                dropped,
                rejected(spool.root(), "three", false),
            ],
        );
        turn.set(&format!("{point}@1=err"));
        assert_eq!(
            lines_of(|| publisher.commit(batch.into_iter().map(Into::into).collect())),
            [] as [String; 0],
            "{point}: nothing is in its place yet"
        );
        turn.set("");
        let lines = lines_of(|| (0..3).for_each(|_| publisher.publish_stuck()));
        assert_eq!(lines.len(), 4, "{point}: {lines:?}");
        let said = ["message stored channel=central id=a", "message deferred channel=central id=b"];
        let more = ["message dropped channel=central id=c", "message rejected channel=central id=a"];
        for words in said.into_iter().chain(more) {
            assert!(lines.iter().any(|line| line.contains(words)), "{point}: {words} is not in {lines:?}");
        }
        assert!(lines[0].contains("element=\"incoming/00000000/"), "{}", lines[0]);
    }
}

#[test]
fn messages_committed_by_a_crashed_process_are_logged_at_the_next_start() {
    let _turn = scenario("");
    let spool = Spool::new();
    assert_eq!(run_killed(spool.root(), "R10@1=abort").unwrap(), [] as [&str; 0]);
    let lines = lines_of(|| drop(spool.start().unwrap()));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("message stored channel=central id="), "{lines:?}");
    assert!(!spool.bodies("incoming").is_empty());
    assert_eq!(lines_of(|| drop(spool.start().unwrap())), [] as [String; 0], "said before");
}
