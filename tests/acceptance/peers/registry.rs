//! Debian's registry, over TLS, and a server that lies as a registry may.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};

use super::openssl::pki;
use super::require;
use crate::harness::{Child, Folder, eventually, ports};

/// The user of a registry that asks for one, and the password; the hash is bcrypt's, as htpasswd makes it.
pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "s3cr3t-of-ann";
const HASH: &str = "$2b$04$pQ2WqU60DzfAVuB0SU2hS.LzmIEjpG6Vt3c2j/FWYIcWvKEp/BgB.";

/// A running docker-registry whose certificate is of the run's PKI.
#[derive(Debug)]
pub(crate) struct Registry {
    port: u16,
    process: Child,
    folder: Folder,
}

impl Registry {
    /// One that lets everyone push and pull.
    pub(crate) fn open() -> Self {
        Self::start("")
    }

    /// One that asks for user and password.
    pub(crate) fn closed() -> Self {
        Self::start("auth:\n  htpasswd:\n    realm: test\n    path: HTPASSWD\n")
    }

    fn start(auth: &str) -> Self {
        let folder = Folder::new("registry");
        let host = pki().host("localhost");
        let users = folder.write("htpasswd", format!("{USER}:{HASH}\n"));
        let port = ports::free();
        let configuration = format!(
            "version: 0.1\nlog:\n  accesslog:\n    disabled: false\nstorage:\n  filesystem:\n    rootdirectory: {data}\n\
             http:\n  addr: 127.0.0.1:{port}\n  tls:\n    certificate: {certificate}\n    key: {key}\n{auth}",
            data = folder.join("data").display(),
            certificate = host.certificate.display(),
            key = host.key.display(),
            auth = auth.replace("HTPASSWD", &users.display().to_string()),
        );
        let file = folder.write("config.yml", configuration);
        let mut command = Command::new(require("docker-registry"));
        command.arg("serve").arg(file).env("OTEL_TRACES_EXPORTER", "none");
        let mut process = Child::start("docker-registry", &mut command, &folder.join("registry.log"));
        eventually("docker-registry to listen", || {
            assert!(process.ended().is_none(), "{}", process.last_words());
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        Self { port, process, folder }
    }

    /// The name of an artifact in it.
    pub(crate) fn name(&self, rest: &str) -> String {
        format!("localhost:{}/{rest}", self.port)
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The manifest that a digest names.
    pub(crate) fn manifest(&self, digest: &str) -> serde_json::Value {
        let hash = digest.strip_prefix("sha256:").unwrap();
        let prefix = hash.get(..2).unwrap();
        let file = format!("data/docker/registry/v2/blobs/sha256/{prefix}/{hash}/data");
        serde_json::from_slice(&std::fs::read(self.folder.join(&file)).unwrap()).unwrap()
    }
}

/// What a lying server answers.
pub(crate) enum Answer {
    /// A status line, header lines and a body.
    Of(&'static str, Vec<String>, Vec<u8>),
    /// Zeros without an end.
    Endless,
    /// Nothing, until the other side gives up.
    Silence,
}

/// A server that answers each request as a function of its path.
pub(crate) struct Liar {
    pub(crate) port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicU64>,
}

impl Liar {
    /// Over TLS, with the run's certificate.
    pub(crate) fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let host = pki().host("localhost");
        let mut tls = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        tls.set_private_key_file(&host.key, SslFiletype::PEM).unwrap();
        tls.set_certificate_chain_file(&host.certificate).unwrap();
        let (tls, answer) = (Arc::new(tls.build()), Arc::new(answer));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let liar = Self { port: listener.local_addr().unwrap().port(), heads: Arc::default(), sent: Arc::default() };
        let (heads, sent, port) = (Arc::clone(&liar.heads), Arc::clone(&liar.sent), liar.port);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (tls, answer) = (Arc::clone(&tls), Arc::clone(&answer));
                let (heads, sent) = (Arc::clone(&heads), Arc::clone(&sent));
                std::thread::spawn(move || {
                    let Ok(mut stream) = tls.accept(stream.unwrap()) else { return };
                    let Some(head) = head(&mut stream) else { return };
                    heads.lock().unwrap().push(head.clone());
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    let _ = say(&mut stream, answer(&path), port, &sent);
                    let _ = stream.shutdown();
                });
            }
        });
        liar
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("localhost:{}/{rest}", self.port)
    }

    /// The heads of all requests.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// How many bytes of endless bodies it could send.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

fn head(stream: &mut impl std::io::Read) -> Option<String> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") {
        stream.by_ref().read_exact(&mut byte).ok()?;
        read.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&read).into_owned())
}

/// `HERE` in a header is replaced by the server itself.
fn say(stream: &mut (impl Write + std::io::Read), answer: Answer, port: u16, sent: &AtomicU64) -> std::io::Result<()> {
    match answer {
        Answer::Of(status, headers, body) => {
            let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
            for line in headers {
                text += &format!("{}\r\n", line.replace("HERE", &format!("localhost:{port}")));
            }
            if !text.to_ascii_lowercase().contains("content-length") {
                text += &format!("Content-Length: {}\r\n", body.len());
            }
            stream.write_all(format!("{text}\r\n").as_bytes())?;
            stream.write_all(&body)
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            let zeros = [0; 16 << 10];
            loop {
                stream.write_all(&zeros)?;
                sent.fetch_add(zeros.len() as u64, Ordering::Relaxed);
            }
        }
        Answer::Silence => {
            // Until the other side closes.
            let _ = stream.read(&mut [0]);
            std::thread::sleep(Duration::from_millis(1));
            Ok(())
        }
    }
}

/// The run's authority, for `--ca`.
pub(crate) fn authority() -> PathBuf {
    pki().authority()
}
