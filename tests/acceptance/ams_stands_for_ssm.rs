//! SSM's own configuration with AMS, as sites and container images have it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::harness::{Child, Folder, eventually};
use crate::peers::ams::{Ams, PROJECT, SUBSCRIPTION, TOPIC};
use crate::peers::openssl::{Host, pki};
use crate::queues;
use crate::sesame::{Site, program};

const RECORD: &[u8] = b"APEL-summary-job-message: v0.2\nSite: UKI-TEST\nMonth: 3\nYear: 2026\n%%\n";

/// One end's file as SSM ships it, with AMS; `more` are further lines of `[messaging]`.
fn configuration(ams: &Ams, role: &str, host: &Host, path: &Path, more: &str) -> String {
    let destination = if role == "sender" { TOPIC } else { SUBSCRIPTION };
    format!(
        "[{role}]\nprotocol: AMS\n\n[broker]\nhost: {}\nport: 1\nuse_ssl: true\n\n[certificates]\n\
         certificate: {}\nkey: {}\ncapath: {}\n\n[messaging]\nams_project: {PROJECT}\ndestination: {destination}\n\
         path: {}\n{more}\n[logging]\nlevel: INFO\nconsole: true\n",
        ams.host(),
        host.certificate.display(),
        host.key.display(),
        pki().anchors().display(),
        path.display(),
    )
}

#[test]
fn its_files_for_ams_are_used_as_they_are_in_both_roles() {
    for format in ["dirq", "directory"] {
        let ams = Ams::start();
        let (sender, receiver) = (Site::of("sender.example.org"), Site::of("receiver.example.org"));
        let (queue, spool) = (sender.folder.join("outgoing"), receiver.folder.join("spool"));
        std::fs::create_dir_all(&queue).unwrap();
        // Neither certificate is bound, and nothing of the server is at port 8443: the token of the file is used.
        let more = format!("token: secret\npath_type: {format}\n");
        let sending = sender.folder.write("sender.cfg", configuration(&ams, "sender", &sender.host, &queue, &more));
        let more = "token: secret\n";
        let receiving =
            receiver.folder.write("receiver.cfg", configuration(&ams, "receiver", &receiver.host, &spool, more));
        let dns = receiver.folder.write("dns", format!("{}\n", sender.host.subject));
        let [sending, receiving, dns] = [sending, receiving, dns].map(|path| path.display().to_string());
        match format {
            "dirq" => drop(queues::add(&queue, RECORD)),
            _ => std::fs::write(queue.join("record.txt"), RECORD).unwrap(),
        }
        let sent = sender.run(&["send", "--deadline", "30s", "--ssm-config", &sending]).expect(0);
        let sent = sent.says("messaging.token: is used only if").says("using the token of the configuration");
        let mut daemon = receiver.start(&["receive", "--ssm-config", &receiving, "--ssm-dns", &dns]);
        let stored = eventually("the message", || queues::elements(&spool.join("incoming")).pop());
        assert_eq!((stored.bytes("body"), stored.text("signer")), (RECORD, sender.host.subject.clone()));
        assert_eq!(daemon.stop(), 0);
        let kept = sender.run(&["check", "--effective", "--ssm-config", &sending]).expect(0).all();
        assert!(kept.contains("kind = \"ams\""), "{kept}");
        for shown in [sent.all(), daemon.log(), kept] {
            assert!(!shown.contains("secret"), "{shown}");
        }
        let counters = ams.server.counters();
        assert_eq!((counters.stored, counters.certificates_at_api, counters.tokens_in_address), (1, 0, 0));
    }
}

/// Without a token in the file the host certificate gets one, from port 8443 of the host.
#[test]
fn its_files_get_a_token_for_the_host_certificate() {
    let ams = Ams::at_the_usual_port();
    let (sender, receiver) = (Site::of("sender.example.org"), Site::of("receiver.example.org"));
    let (queue, spool) = (sender.folder.join("outgoing"), receiver.folder.join("spool"));
    queues::add(&queue, RECORD);
    let sending = sender.folder.write("sender.cfg", configuration(&ams, "sender", &sender.host, &queue, ""));
    let receiving = receiver.folder.write("receiver.cfg", configuration(&ams, "receiver", &receiver.host, &spool, ""));
    let dns = receiver.folder.write("dns", format!("{}\n", sender.host.subject));
    let [sending, receiving, dns] = [sending, receiving, dns].map(|path| path.display().to_string());
    sender.run(&["check", "--ssm-config", &sending]).expect(1).says("no token from").says("404");
    ams.admit(&sender.host);
    ams.admit(&receiver.host);
    sender.run(&["check", "--ssm-config", &sending]).expect(0).says("topic jobs is there");
    sender.run(&["send", "--deadline", "30s", "--ssm-config", &sending]).expect(0);
    let mut daemon = receiver.start(&["receive", "--ssm-config", &receiving, "--ssm-dns", &dns]);
    let stored = eventually("the message", || queues::elements(&spool.join("incoming")).pop());
    assert_eq!((stored.bytes("body"), stored.text("signer")), (RECORD, sender.host.subject.clone()));
    assert_eq!(daemon.stop(), 0);
    let counters = ams.server.counters();
    assert_eq!((counters.tokens, counters.certificates_at_api, counters.tokens_in_address), (3, 0, 0));
}

/// As the images have it: no home, another user than root, and nothing that may be written to but the queue's volume.
#[test]
fn a_container_with_a_read_only_file_system_sends_through_ams() {
    const USER: u32 = 65_534;
    let ams = Ams::start();
    let host = pki().host("sender.example.org");
    let folder = Folder::new("container");
    let volume = folder.join("volume");
    let queue = volume.join("outgoing");
    let element = queue.join("12345678/1234567890abcd");
    std::fs::create_dir_all(element.parent().unwrap()).unwrap();
    std::fs::write(&element, RECORD).unwrap();
    let key = folder.write("hostkey.pem", std::fs::read(&host.key).unwrap());
    let host = Host { key: key.clone(), ..host };
    let file = folder.write("sender.cfg", configuration(&ams, "sender", &host, &queue, "token: secret\n"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).unwrap();
    // The mount namespace makes all else read-only; only root may make one, so root drops its user afterwards.
    let script = "set -e; chown -R $0:$0 \"$1\" \"$2\"; mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro /; \
                  cd /; shift; shift; exec setpriv --reuid $0 --regid $0 --clear-groups -- env -i PATH=/usr/bin:/bin \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "bash", "-c", script]).arg(USER.to_string()).arg(&volume).arg(&key);
    command.arg(program()).args(["send", "--deadline", "30s", "--ssm-config"]).arg(&file);
    let mut child = Child::start("sesame send in a container", &mut command, &folder.join("log"));
    assert_eq!(child.exit_code(), 0, "{}", child.log());
    assert_eq!(ams.server.counters().stored, 1, "{}", child.log());
    assert!(!element.exists(), "{}", child.log());
}
