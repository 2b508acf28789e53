//! What must be on disk before a message counts: read from the system calls of a receiver and of a sender, so that no power
//! needs to be cut in the one moment that matters.
//!
//! Receiver: a message's files are synced, then the journal, then it is renamed into the queue, then the directory is synced,
//! and only then it is acknowledged. Sender: an element leaves the queue after its RECEIPT, and the directory is synced.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use crate::Plan;
use crate::checker::Account;
use crate::harness::Child;
use crate::scene::{RECEIVE, SEND, Scene};
use crate::table::Row;

const CALLS: &str =
    "trace=write,pwrite64,writev,sendto,sendmsg,read,recvfrom,fsync,fdatasync,syncfs,rename,renameat,renameat2";
const SENDS: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];

/// A call that succeeded: the places in the log where it began and ended.
#[derive(Debug)]
struct Call {
    name: String,
    text: String,
    begun: usize,
    ended: usize,
}

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    let messages = plan.cases(20, 500);
    let mut row = Row::new("synced before it counts: receiver before each ACK, sender before each removal");
    let mut scene = Scene::new(SEND, RECEIVE);
    let workload = scene.fill(messages, 300);
    let logs = ["sender-calls", "receiver-calls"].map(|name| scene.pair.sender.folder.join(name));
    let mut programs = [
        scene.pair.sender.start_by(&traced(&logs[0].display().to_string()), &["send", "--watch"]),
        scene.pair.receiver.start_by(&traced(&logs[1].display().to_string()), &["receive"]),
    ];
    let (incoming, outgoing) = (scene.pair.incoming(), scene.pair.outgoing());
    let outcome = scene.account(&workload);
    // The last directory of the sender is synced after its last element has gone.
    std::thread::sleep(Duration::from_millis(500));
    programs.iter_mut().for_each(Child::kill);
    row.count("all", false, &outcome);
    let [sender, receiver] = logs.map(|log| calls(&std::fs::read_to_string(log).unwrap()));
    let (acknowledged, faults) = receiver_faults(&receiver, &incoming);
    faults.into_iter().take(3).for_each(|fault| row.fault(fault));
    let (removed, faults) = sender_faults(&sender, &outgoing);
    faults.into_iter().take(3).for_each(|fault| row.fault(fault));
    if acknowledged < messages as usize || removed < messages as usize {
        row.fault(format!("of {messages} messages {acknowledged} ACKs and {removed} removals were seen"));
    }
    row.count_all(u32::try_from(acknowledged + removed).unwrap(), &Account::default());
    vec![row]
}

fn traced(log: &str) -> [&str; 10] {
    ["strace", "-f", "-qq", "-y", "-s", "20000", "-o", log, "-e", CALLS]
}

/// The calls of a log of `strace`, in the order in which they ended.
fn calls(log: &str) -> Vec<Call> {
    let mut open: HashMap<&str, (usize, String)> = HashMap::new();
    let mut found = Vec::new();
    for (place, line) in log.lines().enumerate() {
        // THREAD CALL(ARGUMENTS) = RESULT, or it is interrupted by another: THREAD CALL(ARGUMENTS <unfinished ...>, and later
        // THREAD <... CALL resumed>ARGUMENTS) = RESULT
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix("<unfinished ...>") {
            open.insert(thread, (place, begin.to_owned()));
            continue;
        }
        let (begun, text) = match rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, end)) => {
                let Some((begun, begin)) = open.remove(thread) else { continue };
                (begun, begin + end)
            }
            None => (place, rest.to_owned()),
        };
        let Some((name, _)) = text.split_once('(') else { continue };
        if !text.contains(") = -1 ") {
            found.push(Call { name: name.to_owned(), begun, ended: place, text });
        }
    }
    found
}

impl Call {
    /// Whether it syncs this file or directory, or the whole file system.
    fn syncs(&self, path: &str) -> bool {
        self.name == "syncfs" || (self.name.ends_with("sync") && self.text.contains(&format!("<{path}>")))
    }

    /// The two paths of a rename.
    fn renamed(&self) -> Option<(&str, &str)> {
        let mut quoted = self.text.split('"').skip(1).step_by(2);
        self.name.starts_with("rename").then(|| Some((quoted.next()?, quoted.next()?)))?
    }
}

/// Whether a sync of `path` began after `from` and ended before `to`; the place where the first of them ended.
fn synced(calls: &[Call], from: usize, to: usize, is: impl Fn(&Call) -> bool) -> Option<usize> {
    calls.iter().find(|call| call.begun > from && call.ended < to && is(call)).map(|call| call.ended)
}

/// How many ACKs there were, and what was not synced before them.
fn receiver_faults(calls: &[Call], incoming: &Path) -> (usize, Vec<String>) {
    let (incoming, mut faults) = (format!("{}/", incoming.display()), Vec::new());
    // Where each message was durable.
    let mut durable = Vec::new();
    for call in calls {
        let Some((from, to)) = call.renamed().filter(|(_, to)| to.starts_with(&incoming)) else { continue };
        let is_written =
            |other: &&Call| SENDS.contains(&other.name.as_str()) && other.text.contains(&format!("<{from}/"));
        let written = calls.iter().filter(is_written).map(|other| other.ended).max();
        let on_disk = written.and_then(|written| synced(calls, written, call.begun, |call| call.syncs(from)));
        let is_journal = |call: &Call| call.name.ends_with("sync") && call.text.contains("/journal");
        match on_disk {
            None => faults.push(format!("{to} is renamed before its files are synced")),
            Some(files) if synced(calls, files, call.begun, is_journal).is_none() => {
                faults.push(format!("{to} is renamed before the journal is synced"));
            }
            Some(_) => {}
        }
        let directory = Path::new(to).parent().unwrap().display().to_string();
        let is_directory = |call: &Call| call.name == "fsync" && call.syncs(&directory);
        durable.extend(synced(calls, call.ended, usize::MAX, is_directory));
    }
    let mut acknowledged = 0;
    for call in calls.iter().filter(|call| SENDS.contains(&call.name.as_str())) {
        let acks = call.text.matches("ACK\\n").count();
        acknowledged += acks;
        let stored = durable.iter().filter(|place| **place < call.begun).count();
        if acks > 0 && stored < acknowledged {
            faults.push(format!("{acknowledged} messages are acknowledged and {stored} durable"));
        }
    }
    (acknowledged, faults)
}

/// How many elements were removed, and what happened too early or not at all.
fn sender_faults(calls: &[Call], outgoing: &Path) -> (usize, Vec<String>) {
    let (outgoing, mut faults, mut removed) = (format!("{}/", outgoing.display()), Vec::new(), 0);
    for call in calls {
        let Some((from, _)) = call.renamed().filter(|(from, _)| from.starts_with(&outgoing)) else { continue };
        removed += 1;
        let is_read = |other: &&Call| ["read", "recvfrom"].contains(&other.name.as_str()) && other.ended < call.begun;
        let receipts: usize = calls.iter().filter(is_read).map(|other| other.text.matches("RECEIPT\\n").count()).sum();
        if receipts < removed {
            faults.push(format!("{removed} elements leave the queue after {receipts} receipts"));
        }
        let directory = Path::new(from).parent().unwrap().display().to_string();
        if synced(calls, call.ended, usize::MAX, |call| call.syncs(&directory)).is_none() {
            faults.push(format!("{directory} is not synced after an element left it"));
        }
    }
    (removed, faults)
}
