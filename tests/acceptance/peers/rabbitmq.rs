//! RabbitMQ with its STOMP plugin: a node of its own, with its own name service, reachable from this machine only.

use std::fmt::Write as _;
use std::process::Command;

use super::broker::{KNOWN_HOSTS, LOGIN, PASSCODE, Place, WRITER, succeed, write};
use super::openssl::pki;
use super::require;
use crate::harness::Child;

/// What lets nodes and their commands talk to each other.
const COOKIE: &str = ".erlang.cookie";

/// Writes the configuration and starts the name service.
pub(crate) fn prepare(place: &Place) -> Child {
    configure(place);
    let mut epmd = Command::new(require("epmd"));
    epmd.args(["-address", "127.0.0.1", "-port", &place.others[0].to_string()]);
    Child::start("epmd", &mut epmd, &place.folder.join("epmd.log"))
}

/// Writes the configuration of a node. Nodes of one cluster have the same name service and the same cookie.
pub(crate) fn configure(place: &Place) {
    let folder = &place.folder;
    write(folder, "rabbitmq.conf", &configuration(place));
    write(folder, "enabled_plugins", "[rabbitmq_stomp,rabbitmq_auth_mechanism_ssl].\n");
    write(folder, "definitions.json", &definitions());
    write(folder, "empty.conf", "");
    write(folder, COOKIE, "SESAME");
    std::fs::set_permissions(folder.join(COOKIE), std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
}

/// Joins a node that runs to the cluster of another.
pub(crate) fn join(place: &Place, other: &Place) {
    ctl(place, &["stop_app"]);
    succeed(in_node(place).args(["join_cluster", &name(other)]));
    succeed(in_node(place).arg("start_app"));
}

/// The configuration of a node that runs alone or in a cluster.
pub(crate) fn configuration(place: &Place) -> String {
    format!(
        "listeners.tcp = none\n\
         stomp.listeners.tcp.1 = 127.0.0.1:{plain}\n\
         stomp.listeners.ssl.1 = 127.0.0.1:{tls}\n\
         stomp.default_user = {LOGIN}\n\
         stomp.default_pass = {PASSCODE}\n\
         stomp.ssl_cert_login = true\n\
         ssl_cert_login_from = common_name\n\
         ssl_options.cacertfile = {authority}\n\
         ssl_options.certfile = {certificate}\n\
         ssl_options.keyfile = {key}\n\
         ssl_options.verify = verify_peer\n\
         ssl_options.fail_if_no_peer_cert = true\n\
         load_definitions = {definitions}\n\
         disk_free_limit.absolute = 1MB\n\
         max_message_size = 4194304\n\
         log.file.level = info\n",
        plain = place.plain,
        tls = place.tls,
        authority = pki().authority().display(),
        certificate = place.host.certificate.display(),
        key = place.host.key.display(),
        definitions = place.folder.join("definitions.json").display(),
    )
}

/// One user with a password and, for every known host, one that can only come with its certificate.
fn definitions() -> String {
    let mut users = format!(r#"{{"name":"{LOGIN}","password":"{PASSCODE}","tags":"administrator"}}"#);
    let mut permissions = permission(LOGIN);
    for host in KNOWN_HOSTS {
        write!(users, r#",{{"name":"{host}","password_hash":"","tags":""}}"#).unwrap();
        write!(permissions, ",{}", permission(host)).unwrap();
    }
    format!(r#"{{"vhosts":[{{"name":"/"}}],"users":[{users}],"permissions":[{permissions}]}}"#)
}

fn permission(user: &str) -> String {
    let read = if user == WRITER { "" } else { ".*" };
    format!(r#"{{"user":"{user}","vhost":"/","configure":".*","write":".*","read":"{read}"}}"#)
}

/// The command that starts the node.
pub(crate) fn command(place: &Place) -> Command {
    let mut command = with_environment(Command::new(server()), place);
    let folder = &place.folder;
    command
        .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
        .env("RABBITMQ_DIST_PORT", place.others[1].to_string())
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none")
        .env("RABBITMQ_ALLOW_INPUT", "");
    command
}

/// Messages ready and unacknowledged in the queue that a destination `/queue/NAME` stands for; 0 where there is none yet.
pub(crate) fn waiting(place: &Place, destination: &str) -> usize {
    let name = destination.trim_start_matches("/queue/");
    let list = ctl(place, &["--no-table-headers", "list_queues", "name", "messages"]);
    let depth =
        |line: &str| line.split_once('\t').filter(|(queue, _)| *queue == name).and_then(|(_, n)| n.parse().ok());
    list.lines().find_map(depth).unwrap_or(0)
}

/// Makes a quorum queue that deletes a message when it was delivered more than `limit` times without an ACK.
pub(crate) fn declare_quorum(place: &Place, name: &str, limit: u32) {
    declare(
        place,
        name,
        &format!(r#"{{<<"x-queue-type">>,longstr,<<"quorum">>}},{{<<"x-delivery-limit">>,long,{limit}}}"#),
    );
}

/// Makes a queue that is served to one subscriber at a time.
pub(crate) fn declare_single_active(place: &Place, name: &str) {
    declare(place, name, r#"{<<"x-single-active-consumer">>,bool,true}"#);
}

/// Makes a durable queue with these arguments.
fn declare(place: &Place, name: &str, arguments: &str) {
    let queue = format!(r#"rabbit_misc:r(<<"/">>, queue, <<"{name}">>)"#);
    ctl(
        place,
        &[
            "eval",
            &format!(r#"{{new, _}} = rabbit_amqqueue:declare({queue}, true, false, [{arguments}], none, <<"test">>)."#),
        ],
    );
}

/// Deletes a queue with what is in it.
pub(crate) fn delete_queue(place: &Place, name: &str) {
    ctl(place, &["delete_queue", name]);
}

/// Has the node write the names of its queues to disk now.
pub(crate) fn remember_queues(place: &Place) {
    ctl(place, &["eval", "ok = mnesia:sync_log()."]);
}

/// Asks the node. It answers clients a moment before it counts as started.
pub(crate) fn ctl(place: &Place, arguments: &[&str]) -> String {
    let command = || in_node(place);
    let first = command().args(arguments).output().unwrap();
    if first.status.success() {
        return String::from_utf8_lossy(&first.stdout).into_owned();
    }
    succeed(command().args(["await_startup", "--timeout", "60"]));
    succeed(command().args(arguments))
}

/// `rabbitmqctl` of a node.
fn in_node(place: &Place) -> Command {
    let mut command = with_environment(Command::new(server().with_file_name("rabbitmqctl")), place);
    command.arg("--quiet");
    command
}

fn name(place: &Place) -> String {
    format!("sesame-{}@localhost", place.plain)
}

fn with_environment(mut command: Command, place: &Place) -> Command {
    command
        .env("HOME", &place.folder)
        .env("RABBITMQ_CONF_ENV_FILE", place.folder.join("empty.conf"))
        .env("RABBITMQ_NODENAME", name(place))
        .env("ERL_EPMD_PORT", place.others[0].to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .current_dir(&place.folder);
    command
}

/// The real script; the one in `sbin` changes the user and the folder first.
fn server() -> std::path::PathBuf {
    require("rabbitmq-server");
    let path = std::path::PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server");
    assert!(path.exists(), "missing peer: rabbitmq-server is not where Debian's package puts it; run tests/setup");
    path
}
