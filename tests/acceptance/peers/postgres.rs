//! PostgreSQL from Debian's package: a cluster of one test's own, on a port of its own, stopped at will as a crash stops it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::Signal;

use super::openssl::pki;
use crate::harness::patience::within;
use crate::harness::{Child, eventually, ports};

/// The user of the index, and the password.
pub(crate) const USER: &str = "sesame";
pub(crate) const PASSWORD: &str = "shared by receivers";
/// Who runs the server where the tests are root, which it refuses to be.
const ACCOUNT: &str = "postgres";

/// A server that runs as long as the value lives.
#[derive(Debug)]
pub(crate) struct Postgres {
    port: u16,
    server: Mutex<Option<Child>>,
    folder: tempfile::TempDir,
}

/// Debian has the programs in a folder for each version.
#[track_caller]
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|file| file.is_file());
    found.sort();
    found.pop().unwrap_or_else(|| panic!("missing peer: {name} of PostgreSQL is not installed; run tests/setup"))
}

/// A command of the user that may run the server.
fn unprivileged(name: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program(name));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups"]).arg(program(name));
    command
}

/// Gives files to the user that may run the server.
fn hand_over(path: &Path) {
    if rustix::process::geteuid().is_root() {
        let owner = format!("{ACCOUNT}:{ACCOUNT}");
        assert!(Command::new("chown").args(["-R", &owner]).arg(path).status().unwrap().success());
    }
}

impl Postgres {
    /// A new cluster. Others than root cannot enter the folder of the run, so it is elsewhere.
    pub(crate) fn own() -> Self {
        let folder = tempfile::Builder::new().prefix("sesame-postgres-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("password"), PASSWORD).unwrap();
        let host = pki().host("localhost");
        std::fs::copy(&host.certificate, at("server.pem")).unwrap();
        std::fs::copy(&host.key, at("server.key")).unwrap();
        std::fs::set_permissions(at("server.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        hand_over(folder.path());
        let mut initdb = unprivileged("initdb");
        initdb.current_dir(folder.path()).arg("--pgdata").arg(at("data")).arg(format!("--username={USER}"));
        initdb.arg(format!("--pwfile={}", at("password").display()));
        initdb.args(["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let postgres = Self { port: ports::free(), server: Mutex::new(None), folder };
        postgres.start();
        postgres
    }

    /// Starts it, and waits until it answers.
    #[track_caller]
    pub(crate) fn start(&self) {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = unprivileged("postgres");
        command.current_dir(self.folder.path()).arg("-D").arg(at("data"));
        for setting in [
            "listen_addresses=127.0.0.1,127.0.0.2".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={}", self.folder.path().display()),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", at("server.pem").display()),
            format!("ssl_key_file={}", at("server.key").display()),
        ] {
            command.args(["-c", &setting]);
        }
        let child = Child::start("postgres", &mut command, &at("postgres.log"));
        *self.server.lock().unwrap() = Some(child);
        eventually("PostgreSQL to answer", || self.sql("SELECT 1").is_ok().then_some(()));
    }

    /// Stops it without a checkpoint, as a crash does: the next start recovers from its log.
    #[track_caller]
    pub(crate) fn crash(&self) {
        let mut server = self.server.lock().unwrap().take().unwrap();
        server.signal(Signal::QUIT);
        let _ = within(Duration::from_secs(20), || server.ended());
    }

    /// Runs a statement; what it gives, or what is said against it.
    pub(crate) fn sql(&self, statement: &str) -> Result<String, String> {
        let mut command = Command::new(program("psql"));
        command.env("PGPASSWORD", PASSWORD).args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER]);
        command.args(["-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement]);
        let done = command.output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status.success() { Ok(said(&done.stdout)) } else { Err(said(&done.stderr)) }
    }

    /// Where the index is.
    pub(crate) fn url(&self) -> String {
        format!("postgresql://{USER}@localhost:{}/postgres", self.port)
    }

    /// The section of a receiver with this name; `more` are further lines.
    pub(crate) fn section(&self, name: &str, more: &str) -> String {
        let file = self.password_for(name);
        format!("[index]\nurl = \"{}\"\nname = \"{name}\"\npassword = {file:?}\n{more}", self.url())
    }

    /// A file with the password, of the user that runs the receivers.
    fn password_for(&self, name: &str) -> PathBuf {
        let file = self.folder.path().join(format!("{name}.password"));
        std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        file
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.lock().unwrap().is_some() {
            self.crash();
        }
    }
}
