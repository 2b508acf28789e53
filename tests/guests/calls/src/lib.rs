//! Everyday calls, each with what it answers; `docs/src/plugins/calls.md` has the same table, and a test compares.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::Read as _;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, io};

use sesame_plugin::{Failure, Message, NoConfig, Output, Plugin, Transformed, Transformer, Verdict};

struct Calls;

impl Plugin for Calls {
    type Config = NoConfig;
    const NAME: &'static str = "calls";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Everyday calls.";

    fn new(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

/// Lines of a call, a tab, and what it answers.
macro_rules! answers {
    ($($call:expr;)*) => { [$(format!("{}\t{:?}\n", stringify!($call), $call)),*] };
}

fn input() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map(|_| text)
}

fn all() -> String {
    let mut list: Vec<_> = HashMap::from([("a", 1), ("b", 2)]).into_iter().collect();
    list.sort_unstable();
    let answers = answers! {
        println!("seen");
        eprintln!("seen");
        SystemTime::now().duration_since(UNIX_EPOCH);
        Instant::now() < Instant::now();
        Instant::now().checked_sub(Duration::from_secs(60)).is_some();
        thread::sleep(Duration::from_secs(3600));
        HashMap::from([("a", 1)]).get("a");
        HashSet::from([1, 1]).len();
        RandomState::new().hash_one("a") == RandomState::new().hash_one("a");
        fs::read_to_string("/etc/hosts").map_err(|error| error.kind());
        fs::write("out.txt", "text").map_err(|error| error.kind());
        fs::create_dir("new").map_err(|error| error.kind());
        fs::read_dir("/").map(Iterator::count);
        Path::new("/etc/passwd").exists();
        env::current_dir();
        env::var("HOME");
        env::args().count();
        input();
        TcpStream::connect("127.0.0.1:80").map_err(|error| error.kind());
        TcpListener::bind("127.0.0.1:0").map_err(|error| error.kind());
        UdpSocket::bind("127.0.0.1:0").map_err(|error| error.kind());
        "localhost:80".to_socket_addrs().map(Iterator::count).is_err();
        Command::new("true").status().map_err(|error| error.kind());
        thread::Builder::new().spawn(|| {}).map_err(|error| error.kind()).err();
        thread::available_parallelism().map_err(|error| error.kind());
        Mutex::new(1).lock().map(|value| *value).ok();
    };
    answers.concat()
}

impl Transformer for Calls {
    fn transform(&self, message: &Message) -> Result<Transformed, Failure> {
        let text = match message.payload.trim_ascii() {
            b"run temp_dir" => format!("{:?}\n", env::temp_dir()),
            b"run spawn" => format!("{:?}\n", thread::spawn(|| {}).join().is_ok()),
            b"chance" => format!("{}\n", RandomState::new().hash_one("a")),
            _ => all(),
        };
        Ok(Verdict::Replaced(Output::new(text)).into())
    }
}

sesame_plugin::export!(Calls: transformer);
