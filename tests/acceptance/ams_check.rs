//! `sesame check` says what AMS would refuse, before a message is lost sight of.

use testkit::ams::{Fault, Route};

use crate::peers::ams::{Ams, PROJECT, SUBSCRIPTION, TOPIC};
use crate::sesame::{Pair, Site};

#[test]
fn check_says_that_topic_and_subscription_can_be_used() {
    let ams = Ams::start();
    ams.server.put(PROJECT, TOPIC, &[], b"waits");
    let pair = Pair::at(&ams, "", "");
    pair.sender.run(&["check"]).expect(0).says("topic jobs is there");
    let words =
        "subscription repository of /projects/accounting/topics/jobs: 1 messages wait; acknowledged within 10 s";
    pair.receiver.run(&["check"]).expect(0).says(words);
    assert_eq!(ams.server.offset(PROJECT, SUBSCRIPTION), Some(0), "check took a message");
}

#[test]
fn check_names_what_is_not_there() {
    let ams = Ams::start();
    let site = Site::of("sender.example.org").on_ams(&ams).sending("cpu", "other", "");
    site.run(&["check"]).expect(1).says("other").says("does not exist (404)");
    let site = Site::of("receiver.example.org").on_ams(&ams).pulling("central", "other", &["/CN=a"], "");
    site.run(&["check"]).expect(1).says("other").says("does not exist (404)");
}

#[test]
fn check_says_that_the_certificate_has_no_user() {
    let ams = Ams::start();
    let stranger = Site::of("stranger.example.org").at_ams(&ams).sending("cpu", TOPIC, "");
    stranger.run(&["check"]).expect(1).says("no token from").says("404");
}

#[test]
fn check_reads_the_token_of_a_file_that_only_its_owner_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let ams = Ams::start();
    let site = Site::of("stranger.example.org");
    let file = site.folder.write("token", "secret\n");
    let site = site.with_ams(&format!("{}token-file = {file:?}\n", ams.lines())).sending("cpu", TOPIC, "");
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    site.run(&["check"]).expect(1).says("may be read by others than its owner: run chmod 600");
    mode(0o600);
    site.run(&["check"]).expect(0).says("topic jobs is there");
    std::fs::write(&file, "another\n").unwrap();
    let said = site.run(&["check"]).expect(1).says("does not accept the token (401)").all();
    assert!(!said.contains("another"), "the token was shown: {said}");
    assert_eq!(ams.server.counters().tokens, 0);
}

#[test]
fn check_warns_of_a_user_who_may_not_look() {
    let ams = Ams::start();
    let pair = Pair::at(&ams, "", "");
    ams.server.fault(Route::Topic, Fault::error(403, "Access to this resource is forbidden", "FORBIDDEN"));
    pair.sender.run(&["check"]).says("publishing may be allowed all the same");
}

#[test]
fn explain_says_what_ams_would_not_store() {
    let ams = Ams::start();
    let pair = Pair::at(&ams, "", "");
    let file = |bytes: usize| {
        let body = "Site: X\n".repeat(bytes / 8);
        pair.sender.folder.write("message", body).display().to_string()
    };
    pair.sender.run(&["explain", "cpu", &file(500_000)]).expect(0).says("jobs");
    let refused = pair.sender.run(&["explain", "cpu", &file(900_000)]).expect(1);
    refused.says("more than max-message, 1000000").says("builtin:split-records splits messages");
}
