//! A certification authority made with the `openssl` command, and S/MIME as SSM makes and reads it with the same command.
//!
//! One PKI serves the whole run. Start at [`pki`]; [`Pki::host`] issues a certificate, [`sign`] and [`encrypt`] play
//! an SSM sender, [`decrypt`] and [`verify`] for an SSM receiver.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use super::require;
use crate::harness::Folder;

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The subject as OpenSSL writes it with slashes.
    pub(crate) subject: String,
}

/// The kind of key a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Rsa2048,
    Rsa4096,
    P256,
}

/// How long a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    Now,
    Over,
}

/// An authority with its CRL, and the folder of trust anchors that holds both under OpenSSL's hashed names.
#[derive(Debug)]
pub(crate) struct Pki {
    folder: PathBuf,
    hosts: Mutex<HashMap<String, Host>>,
}

/// The PKI that everyone in this run trusts.
pub(crate) fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| Pki::found("Sesame Test CA"))
}

/// A PKI that no one trusts.
pub(crate) fn strangers() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| Pki::found("Unknown CA"))
}

/// Arguments of `genpkey` for an RSA-2048 key.
pub(crate) const RSA_2048: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
/// Its arguments for a P-256 key.
pub(crate) const P_256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

const CONFIGURATION: &str = r"
[ca]
default_ca = this
[this]
dir = FOLDER
database = $dir/index.txt
serial = $dir/serial
crlnumber = $dir/crlnumber
new_certs_dir = $dir/issued
certificate = $dir/ca.pem
private_key = $dir/ca-key.pem
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
unique_subject = no
string_mask = utf8only
[any]
countryName = optional
organizationName = optional
organizationalUnitName = optional
commonName = supplied
[req]
distinguished_name = empty
prompt = no
[empty]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[host]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment, keyAgreement
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = ${ENV::ALTERNATIVE_NAMES}
";

impl Pki {
    /// Founds an authority.
    fn found(name: &str) -> Self {
        let folder = Folder::for_the_run("pki");
        for sub in ["issued", "anchors", "hosts"] {
            std::fs::create_dir(folder.join(sub)).unwrap();
        }
        std::fs::write(folder.join("index.txt"), "").unwrap();
        std::fs::write(folder.join("serial"), "1000\n").unwrap();
        std::fs::write(folder.join("crlnumber"), "1000\n").unwrap();
        std::fs::write(folder.join("ca.cnf"), CONFIGURATION.replace("FOLDER", &folder.display().to_string())).unwrap();
        let pki = Self { folder, hosts: Mutex::default() };
        pki.run(
            "",
            &["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "60", "-config", "ca.cnf"],
            &[
                "-extensions",
                "authority",
                "-subj",
                &format!("/C=UK/O=Sesame/CN={name}"),
                "-keyout",
                "ca-key.pem",
                "-out",
                "ca.pem",
            ],
        );
        let hash = pki.run("", &["x509", "-in", "ca.pem", "-noout", "-subject_hash"], &[]);
        std::fs::write(pki.folder.join("hash"), hash.trim()).unwrap();
        std::fs::copy(pki.authority(), pki.anchors().join(format!("{}.0", hash.trim()))).unwrap();
        pki.publish_crl();
        pki
    }

    /// The authority's own certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The directory of trust anchors and CRLs under hashed names.
    pub(crate) fn anchors(&self) -> PathBuf {
        self.folder.join("anchors")
    }

    /// The RSA-2048 certificate of `name`, made at the first call.
    pub(crate) fn host(&self, name: &str) -> Host {
        self.issue(name, Key::Rsa2048, Validity::Now)
    }

    /// A certificate of `name` with this kind of key and validity, made at the first call. Its subject is
    /// `/C=UK/O=Sesame/OU=Hosts/CN=NAME`; it is good for a broker on this machine when `name` is `localhost`.
    pub(crate) fn issue(&self, name: &str, key: Key, validity: Validity) -> Host {
        let mut hosts = self.hosts.lock().unwrap();
        let label = format!("{name}-{key:?}-{validity:?}");
        if let Some(host) = hosts.get(&label) {
            return host.clone();
        }
        let host = self.make(&label, name, key, validity);
        hosts.insert(label, host.clone());
        host
    }

    /// A new certificate of `name` with extensions of its own: `changes` are lines of the section `host` of the
    /// configuration and what stands in their place; `dates` are arguments of `openssl ca`; the key is the
    /// arguments of `genpkey`.
    pub(crate) fn special(&self, name: &str, key: &[&str], changes: &[(&str, &str)], dates: &[&str]) -> Host {
        let mut hosts = self.hosts.lock().unwrap();
        let label = format!("special-{}", hosts.len());
        let mut section = CONFIGURATION.split("[host]\n").nth(1).unwrap().to_owned();
        for (line, instead) in changes {
            assert!(section.contains(line), "there is no line {line:?}");
            section = section.replace(line, instead);
        }
        let extensions = self.folder.join("hosts").join(format!("{label}.cnf"));
        std::fs::write(&extensions, format!("[host]\n{section}")).unwrap();
        let extensions = extensions.display().to_string();
        let host = self.make_as(&label, name, key, &[&["-extfile", extensions.as_str()], dates].concat());
        hosts.insert(label, host.clone());
        host
    }

    /// Issues the authority again, for the same name and key with another serial number, as its only anchor.
    pub(crate) fn issue_authority_again(&self) {
        self.run(
            "",
            &["x509", "-in", "ca.pem", "-signkey", "ca-key.pem", "-set_serial", "99", "-days", "60", "-clrext"],
            &["-extfile", "ca.cnf", "-extensions", "authority", "-out", "again.pem"],
        );
        let hash = std::fs::read_to_string(self.folder.join("hash")).unwrap();
        std::fs::rename(self.folder.join("again.pem"), self.anchors().join(format!("{hash}.0"))).unwrap();
    }

    /// Publishes a signing policy of the authority `CN=name` that covers these patterns.
    pub(crate) fn publish_policy(&self, name: &str, patterns: &str) {
        let hash = std::fs::read_to_string(self.folder.join("hash")).unwrap();
        let text = format!(
            "access_id_CA X509 '/C=UK/O=Sesame/CN={name}'\npos_rights globus CA:sign\ncond_subjects globus '\"{patterns}\"'\n"
        );
        let new = self.folder.join("new-policy");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.anchors().join(format!("{hash}.signing_policy"))).unwrap();
    }

    fn make(&self, label: &str, name: &str, key: Key, validity: Validity) -> Host {
        let how: &[&str] = match key {
            Key::Rsa2048 => RSA_2048,
            Key::Rsa4096 => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
            Key::P256 => P_256,
        };
        let dates: &[&str] = match validity {
            Validity::Now => &["-days", "30"],
            Validity::Over => &["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"],
        };
        self.make_as(label, name, how, dates)
    }

    fn make_as(&self, label: &str, name: &str, how: &[&str], more: &[&str]) -> Host {
        let base = self.folder.join("hosts").join(label);
        let file = |suffix: &str| format!("{}.{suffix}", base.display());
        let subject = format!("/C=UK/O=Sesame/OU=Hosts/CN={name}");
        let alternatives = match name {
            "localhost" => "DNS:localhost, IP:127.0.0.1".to_owned(),
            address if address.parse::<std::net::IpAddr>().is_ok() => format!("IP:{address}"),
            other => format!("DNS:{}", other.replace([' ', '/'], "-")),
        };
        let (private, request, certificate) = (file("key.pem"), file("csr"), file("pem"));
        self.run("", &["genpkey", "-out", &private], how);
        let escaped = subject.replace("CN=host/", "CN=host\\/");
        self.run("", &["req", "-new", "-config", "ca.cnf", "-key", &private, "-subj", &escaped, "-out", &request], &[]);
        let arguments = [
            "ca",
            "-batch",
            "-config",
            "ca.cnf",
            "-notext",
            "-extensions",
            "host",
            "-in",
            &request,
            "-out",
            &certificate,
        ];
        self.run(&alternatives, &arguments, more);
        Host { certificate: certificate.into(), key: private.into(), subject }
    }

    /// Revokes a certificate and publishes the CRL that says so.
    pub(crate) fn revoke(&self, host: &Host) {
        let _one_at_a_time = self.hosts.lock().unwrap();
        let certificate = host.certificate.display().to_string();
        self.run("", &["ca", "-config", "ca.cnf", "-revoke", &certificate], &[]);
        self.publish_crl();
    }

    /// Replaces the CRL by rename, as `fetch-crl` does.
    pub(crate) fn publish_crl(&self) {
        self.publish_crl_with(&[]);
    }

    /// Publishes a CRL whose next update was due long ago.
    pub(crate) fn publish_late_crl(&self) {
        self.publish_crl_with(&["-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z"]);
    }

    fn publish_crl_with(&self, dates: &[&str]) {
        self.run("", &["ca", "-config", "ca.cnf", "-gencrl", "-out", "new-crl.pem"], dates);
        let hash = std::fs::read_to_string(self.folder.join("hash")).unwrap();
        std::fs::rename(self.folder.join("new-crl.pem"), self.anchors().join(format!("{hash}.r0"))).unwrap();
    }

    fn run(&self, alternative_names: &str, arguments: &[&str], more: &[&str]) -> String {
        let names = if alternative_names.is_empty() { "DNS:localhost" } else { alternative_names };
        let mut command = Command::new(require("openssl"));
        command.current_dir(&self.folder).env("ALTERNATIVE_NAMES", names).args(arguments).args(more);
        String::from_utf8(feed(&mut command, b"")).unwrap()
    }
}

/// `openssl smime -sign` exactly as SSM calls it; the result has LF line ends, as Python's text mode leaves them.
pub(crate) fn sign(signer: &Host, content: &[u8]) -> Vec<u8> {
    sign_with(signer, content, &["smime", "-sign", "-text"])
}

/// Signs with another openssl command line: `arguments` begin with `smime` or `cms`.
pub(crate) fn sign_with(signer: &Host, content: &[u8], arguments: &[&str]) -> Vec<u8> {
    // Options for a key come after the key that they are about.
    let (options, about_key): (Vec<&str>, Vec<&str>) =
        match arguments.iter().position(|argument| *argument == "-keyopt") {
            Some(at) => (arguments[..at].to_vec(), arguments[at..].to_vec()),
            None => (arguments.to_vec(), Vec::new()),
        };
    let mut command = openssl(&options);
    command.arg("-inkey").arg(&signer.key).arg("-signer").arg(&signer.certificate).args(about_key);
    text_mode(&feed(&mut command, content))
}

/// `openssl smime -encrypt -aes128` exactly as SSM calls it.
pub(crate) fn encrypt(recipient: &Host, content: &[u8]) -> Vec<u8> {
    let mut command = openssl(&["smime", "-encrypt", "-aes128"]);
    text_mode(&feed(command.arg(&recipient.certificate), content))
}

/// `openssl smime -decrypt`, or `cms` where `smime` cannot read the message.
pub(crate) fn decrypt(program: &str, recipient: &Host, message: &[u8]) -> Vec<u8> {
    let mut command = openssl(&[program, "-decrypt"]);
    feed(command.arg("-recip").arg(&recipient.certificate).arg("-inkey").arg(&recipient.key), message)
}

/// `openssl smime -verify` or `openssl cms -verify` against `pki`'s anchors: the signed part, headers and all.
pub(crate) fn verify(program: &str, pki: &Pki, message: &[u8]) -> Vec<u8> {
    let mut command = openssl(&[program, "-verify", "-purpose", "any"]);
    feed(command.arg("-CApath").arg(pki.anchors()), message)
}

/// What Python's universal newlines make of OpenSSL's output.
fn text_mode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte == b'\r' {
            rest.next_if_eq(&b'\n');
            out.push(b'\n');
        } else {
            out.push(byte);
        }
    }
    out
}

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new(require("openssl"));
    command.args(arguments);
    command
}

/// Runs `command` on `input` and gives its output; a command that fails, fails the test with what it said.
#[track_caller]
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let program = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(pipe.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed with {}:\n{said}", output.status);
    output.stdout
}

/// Copies a host's files into `folder`, so that a test may replace them.
pub(crate) fn copy_into(folder: &Path, host: &Host) -> Host {
    let copy = |from: &Path, name: &str| {
        let to = folder.join(name);
        std::fs::copy(from, &to).unwrap();
        to
    };
    let certificate = copy(&host.certificate, "certificate.pem");
    let key = copy(&host.key, "key.pem");
    Host { certificate, key, subject: host.subject.clone() }
}

/// Runs an openssl command on `input`.
pub(crate) fn run(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    feed(&mut openssl(arguments), input)
}

/// The subject of the certificate in a message that was only signed.
pub(crate) fn signer(message: &[u8]) -> String {
    let signature = run(&["smime", "-pk7out"], message);
    let certificates = run(&["pkcs7", "-print_certs", "-noout"], &signature);
    String::from_utf8_lossy(&certificates).into_owned()
}

/// An authority of a test's own, which may revoke what it likes.
pub(crate) fn another(name: &str) -> Pki {
    Pki::found(name)
}
