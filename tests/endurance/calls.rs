//! The process is killed at a system call, or the call fails, for each call that a short run makes: `strace` injects both.
//!
//! A first run counts, for each call, how often the thread that makes it most often makes it; `strace` counts by thread, too.
//! A call that fails does so once, and the process goes on or ends as it sees fit; where it ends or stands still, it is started
//! again. In a further run the call fails each time, until an operator ends the process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::Plan;
use crate::checker::Account;
use crate::harness::patience::within;
use crate::scene::{Outcome, RECEIVE, SEND, Scene};
use crate::table::Row;

/// What a process changes or says with, and what it reads.
const CALLS: &str = "openat,read,pread64,write,pwrite64,fsync,fdatasync,syncfs,ftruncate,rename,renameat,renameat2,link,linkat,\
                     unlink,unlinkat,mkdir,mkdirat,sendto,sendmsg,writev,recvfrom,recvmsg,connect,socket,getdents64,flock,fcntl";
/// These change something on disk, so that a disk can refuse them.
const ON_DISK: [&str; 14] = [
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "syncfs",
    "ftruncate",
    "rename",
    "renameat",
    "renameat2",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
];
/// A signal may interrupt these (signal(7)).
const INTERRUPTED: [&str; 8] = ["openat", "read", "write", "sendto", "writev", "recvfrom", "connect", "flock"];
const MESSAGES: u32 = 3;
/// Cases at a time: they wait more than they compute.
const THREADS: usize = 6;

/// Who is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Sender,
    Receiver,
}

pub(crate) fn strike(plan: Plan) -> Vec<Row> {
    [Side::Sender, Side::Receiver].into_iter().filter_map(|side| strike_side(side, plan)).collect()
}

/// Nothing for a side that does not make the one call that is wanted.
fn strike_side(side: Side, plan: Plan) -> Option<Row> {
    let name = format!("{side:?}").to_lowercase();
    let row = Mutex::new(Row::new(format!("{name}: killed at a system call, or the call fails")));
    let counted = count(side);
    let mut cases = Vec::new();
    for (call, most) in &counted {
        let once = |what: &str| (1..=*most).map(|when| format!("{call}:{what}:when={when}")).collect::<Vec<_>>();
        cases.extend(once("signal=KILL"));
        cases.extend(once("error=EIO"));
        if INTERRUPTED.contains(&call.as_str()) {
            cases.extend(once("error=EINTR"));
        }
        if ON_DISK.contains(&call.as_str()) {
            cases.extend(once("error=ENOSPC"));
            cases.extend(["EIO", "ENOSPC", "EROFS"].map(|error| format!("{call}:error={error}:when=1+")));
        }
    }
    if let Ok(wanted) = std::env::var("SESAME_ENDURANCE_CASE") {
        cases.retain(|case| *case == wanted);
    } else if !plan.long {
        plan.random().shuffle(&mut cases);
        cases.truncate(20);
    }
    if cases.is_empty() {
        return None;
    }
    println!("{name}: {} faults in {} kinds of calls", cases.len(), counted.len());
    let (next, missed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let mut scene = Scene::new(SEND, RECEIVE);
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (struck, outcome) = one(&mut scene, side, case);
            row.lock().unwrap().count(case, struck, &outcome);
            missed.fetch_add(usize::from(!struck), Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let mut row = row.into_inner().unwrap();
    row.figure(format!(
        "{} kinds of calls, {} faults, of which {} met no call",
        counted.len(),
        cases.len(),
        missed.into_inner()
    ));
    Some(row)
}

/// How often the thread that makes a call most often makes it, in a run without a fault.
fn count(side: Side) -> BTreeMap<String, u32> {
    let mut scene = Scene::new(SEND, RECEIVE);
    let log = scene.pair.sender.folder.join("calls");
    let (_, outcome) = run(&mut scene, side, None, &log);
    assert_eq!(outcome.account, Account::default(), "without a fault");
    let mut by_thread: BTreeMap<(String, String), u32> = BTreeMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        // THREAD CALL(ARGUMENTS) = RESULT, or THREAD <... CALL resumed>
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            *by_thread.entry((thread.to_owned(), call.to_owned())).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, call), times) in by_thread {
        let known = most.entry(call).or_insert(0);
        *known = times.max(*known);
    }
    most
}

/// One fault: whether it struck, and what was left in the end.
fn one(scene: &mut Scene, side: Side, case: &str) -> (bool, Outcome) {
    let log = scene.pair.sender.folder.join("calls");
    drop(std::fs::remove_file(&log));
    run(scene, side, Some(case), &log)
}

fn run(scene: &mut Scene, side: Side, case: Option<&str>, log: &Path) -> (bool, Outcome) {
    let workload = scene.fill(MESSAGES, 300);
    let trace = format!("trace={CALLS}");
    let inject = case.map(|case| format!("inject={case}"));
    let log_path = log.display().to_string();
    let mut words = vec!["strace", "-f", "--seccomp-bpf", "-qq", "-o", &log_path, "-e", &trace];
    if let Some(inject) = &inject {
        words.extend(["-e", inject]);
    }
    let other = if side == Side::Sender { scene.receive() } else { scene.send() };
    let mut struck = match side {
        Side::Sender => scene.pair.sender.start_by(&words, &["send", "--watch"]),
        Side::Receiver => scene.pair.receiver.start_by(&words, &["receive"]),
    };
    let forever = case.is_some_and(|case| case.ends_with('+'));
    let limit = if forever { Duration::from_secs(3) } else { Duration::from_secs(8) };
    let _ = within(limit, || (struck.ended().is_some() || scene.is_settled(workload.len())).then_some(()));
    struck.kill();
    let met = std::fs::read_to_string(log)
        .is_ok_and(|text| text.contains("(INJECTED)") || text.contains("killed by SIGKILL"));
    let again = case.map(|_| if side == Side::Sender { scene.send() } else { scene.receive() });
    let outcome = scene.account(&workload);
    drop((again, other));
    (met, outcome)
}
