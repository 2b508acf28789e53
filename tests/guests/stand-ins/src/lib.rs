//! Calls every function of WASI 0.2 and wasi:http that a guest can reach, by its own name, and hands on what each answers.

use sesame_plugin::{Failure, Message, NoConfig, Output, Plugin, Transformed, Transformer, Verdict};

wit_bindgen::generate!({ path: "../../../wit/wasi/0.2.12.wit", world: "sesame:wasi/stand-ins", generate_all });

use wasi::cli::{environment, stderr, stdin, stdout, terminal_stderr, terminal_stdin, terminal_stdout};
use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::filesystem::preopens;
use wasi::filesystem::types::{
    Advice, Descriptor, DescriptorFlags as Access, NewTimestamp, OpenFlags as Open, PathFlags as Path,
};
use wasi::http::outgoing_handler;
use wasi::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, RequestOptions, Scheme};
use wasi::io::poll;
use wasi::random::{insecure, insecure_seed, random};
use wasi::sockets::network::IpAddressFamily::{Ipv4, Ipv6};
use wasi::sockets::{instance_network, ip_name_lookup, tcp_create_socket, udp_create_socket};

struct StandIns;

impl Plugin for StandIns {
    type Config = NoConfig;
    const NAME: &'static str = "stand-ins";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Calls every function of WASI.";

    fn new(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

/// What was called and what it answered, a line each.
struct Answers(String);

impl Answers {
    fn of<T: std::fmt::Debug>(&mut self, name: &str, answer: T) {
        self.0 += &format!("{name}\t{answer:?}\n");
    }
}

fn clocks(to: &mut Answers) {
    to.of("wall-clock.now", wall_clock::now());
    to.of("wall-clock.resolution", wall_clock::resolution());
    to.of("monotonic-clock.now", monotonic_clock::now());
    to.of("monotonic-clock.resolution", monotonic_clock::resolution());
    let long = monotonic_clock::subscribe_duration(3_600_000_000_000);
    let short = monotonic_clock::subscribe_instant(monotonic_clock::now() + 5_000_000);
    to.of("monotonic-clock.subscribe-duration", long.ready());
    to.of("monotonic-clock.subscribe-instant", short.ready());
    to.of("poll.poll", poll::poll(&[&long, &short]));
    long.block();
    to.of("pollable.block", ());
    to.of("pollable.ready", long.ready());
    to.of("monotonic-clock.now", monotonic_clock::now());
}

fn chance(to: &mut Answers) {
    for _ in 0..2 {
        to.of("random.get-random-bytes", random::get_random_bytes(40));
        to.of("random.get-random-u64", random::get_random_u64());
        to.of("insecure.get-insecure-random-bytes", insecure::get_insecure_random_bytes(40));
        to.of("insecure.get-insecure-random-u64", insecure::get_insecure_random_u64());
        to.of("insecure-seed.insecure-seed", insecure_seed::insecure_seed());
    }
}

fn cli(to: &mut Answers) {
    to.of("environment.get-environment", environment::get_environment());
    to.of("environment.get-arguments", environment::get_arguments());
    to.of("environment.initial-cwd", environment::initial_cwd());
    to.of("terminal-stdin.get-terminal-stdin", terminal_stdin::get_terminal_stdin().is_some());
    to.of("terminal-stdout.get-terminal-stdout", terminal_stdout::get_terminal_stdout().is_some());
    to.of("terminal-stderr.get-terminal-stderr", terminal_stderr::get_terminal_stderr().is_some());
    let input = stdin::get_stdin();
    to.of("stdin.get-stdin", ());
    to.of("input-stream.read", input.read(10));
    to.of("input-stream.blocking-read", input.blocking_read(10));
    to.of("input-stream.skip", input.skip(10));
    to.of("input-stream.blocking-skip", input.blocking_skip(10));
    to.of("input-stream.subscribe", input.subscribe().ready());
    for (name, output) in [("stdout.get-stdout", stdout::get_stdout()), ("stderr.get-stderr", stderr::get_stderr())] {
        to.of(name, ());
        to.of("output-stream.check-write", output.check_write());
        to.of("output-stream.write", output.write(format!("{name}\n").as_bytes()));
        to.of("output-stream.blocking-write-and-flush", output.blocking_write_and_flush(b"and more\n"));
        to.of("output-stream.flush", output.flush());
        to.of("output-stream.blocking-flush", output.blocking_flush());
        to.of("output-stream.subscribe", output.subscribe().ready());
        to.of("output-stream.write-zeroes", output.write_zeroes(10));
        to.of("output-stream.blocking-write-zeroes-and-flush", output.blocking_write_zeroes_and_flush(10));
        to.of("output-stream.splice", output.splice(&input, 10));
        to.of("output-stream.blocking-splice", output.blocking_splice(&input, 10));
    }
}

fn files(to: &mut Answers) {
    let directories = preopens::get_directories();
    to.of("preopens.get-directories", directories.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>());
    for (root, _) in &directories {
        directory(to, root);
        for path in [".", "etc/passwd", "proc/self/environ", "../etc", "dev/urandom"] {
            below(to, root, path);
        }
    }
}

fn directory(to: &mut Answers, root: &Descriptor) {
    let now = NewTimestamp::Now;
    to.of("descriptor.read-via-stream", root.read_via_stream(0).err());
    to.of("descriptor.write-via-stream", root.write_via_stream(0).err());
    to.of("descriptor.append-via-stream", root.append_via_stream().err());
    to.of("descriptor.advise", root.advise(0, 1, Advice::Normal));
    to.of("descriptor.sync-data", root.sync_data());
    to.of("descriptor.sync", root.sync());
    to.of("descriptor.get-flags", root.get_flags());
    to.of("descriptor.get-type", root.get_type());
    to.of("descriptor.set-size", root.set_size(1));
    to.of("descriptor.set-times", root.set_times(now, now));
    to.of("descriptor.read", root.read(10, 0));
    to.of("descriptor.write", root.write(b"text", 0));
    let entries = root.read_directory();
    to.of("descriptor.read-directory", entries.is_ok());
    to.of("directory-entry-stream.read-directory-entry", entries.unwrap().read_directory_entry());
    to.of("descriptor.stat", root.stat());
    to.of("descriptor.is-same-object", root.is_same_object(root));
    to.of("descriptor.metadata-hash", root.metadata_hash());
}

fn below(to: &mut Answers, root: &Descriptor, path: &str) {
    let now = NewTimestamp::Now;
    for (how, access) in [(Open::empty(), Access::READ), (Open::CREATE, Access::WRITE), (Open::EXCLUSIVE, Access::READ)]
    {
        to.of("descriptor.open-at", root.open_at(Path::empty(), path, how, access).err());
    }
    to.of("descriptor.create-directory-at", root.create_directory_at(path));
    to.of("descriptor.stat-at", root.stat_at(Path::SYMLINK_FOLLOW, path));
    to.of("descriptor.set-times-at", root.set_times_at(Path::empty(), path, now, now));
    to.of("descriptor.link-at", root.link_at(Path::empty(), path, root, "new"));
    to.of("descriptor.readlink-at", root.readlink_at(path));
    to.of("descriptor.remove-directory-at", root.remove_directory_at(path));
    to.of("descriptor.rename-at", root.rename_at(path, root, "new"));
    to.of("descriptor.symlink-at", root.symlink_at(path, "new"));
    to.of("descriptor.unlink-file-at", root.unlink_file_at(path));
    to.of("descriptor.metadata-hash-at", root.metadata_hash_at(Path::empty(), path));
}

fn sockets(to: &mut Answers) {
    let network = instance_network::instance_network();
    to.of("instance-network.instance-network", ());
    for name in ["localhost", "127.0.0.1", "example.org"] {
        to.of("ip-name-lookup.resolve-addresses", ip_name_lookup::resolve_addresses(&network, name).err());
    }
    for family in [Ipv4, Ipv6] {
        to.of("tcp-create-socket.create-tcp-socket", tcp_create_socket::create_tcp_socket(family).err());
        to.of("udp-create-socket.create-udp-socket", udp_create_socket::create_udp_socket(family).err());
    }
}

fn fields(to: &mut Answers) -> Fields {
    let fields = Fields::new();
    to.of("fields.constructor", fields.entries());
    let list = Fields::from_list(&[("a".to_owned(), b"1".to_vec())]);
    to.of("fields.from-list", list.map(|fields| fields.entries()));
    to.of("fields.set", fields.set("b", &[b"2".to_vec()]));
    to.of("fields.append", fields.append("b", b"3"));
    to.of("fields.get", fields.get("B"));
    to.of("fields.has", fields.has("b"));
    to.of("fields.clone", fields.clone().entries());
    to.of("fields.delete", fields.delete("b"));
    to.of("fields.entries", fields.entries());
    fields
}

fn body(to: &mut Answers, name: &str, body: Result<OutgoingBody, ()>) {
    let body = body.unwrap();
    to.of(name, ());
    to.of("outgoing-body.write", body.write().map(|stream| stream.blocking_write_and_flush(b"text")));
    to.of("outgoing-body.finish", OutgoingBody::finish(body, None));
}

fn http(to: &mut Answers) {
    let request = OutgoingRequest::new(fields(to));
    to.of("outgoing-request.constructor", request.headers().entries());
    to.of("outgoing-request.set-method", request.set_method(&Method::Post));
    to.of("outgoing-request.method", request.method());
    to.of("outgoing-request.set-path-with-query", request.set_path_with_query(Some("/a?b")));
    to.of("outgoing-request.path-with-query", request.path_with_query());
    to.of("outgoing-request.set-scheme", request.set_scheme(Some(&Scheme::Http)));
    to.of("outgoing-request.scheme", request.scheme());
    to.of("outgoing-request.set-authority", request.set_authority(Some("localhost")));
    to.of("outgoing-request.authority", request.authority());
    to.of("outgoing-request.headers", request.headers().entries());
    body(to, "outgoing-request.body", request.body());
    let options = RequestOptions::new();
    to.of("request-options.constructor", ());
    to.of("request-options.set-connect-timeout", options.set_connect_timeout(Some(1)));
    to.of("request-options.connect-timeout", options.connect_timeout());
    to.of("request-options.set-first-byte-timeout", options.set_first_byte_timeout(Some(1)));
    to.of("request-options.first-byte-timeout", options.first_byte_timeout());
    to.of("request-options.set-between-bytes-timeout", options.set_between_bytes_timeout(Some(1)));
    to.of("request-options.between-bytes-timeout", options.between_bytes_timeout());
    to.of("outgoing-handler.handle", outgoing_handler::handle(request, Some(options)).err());
    let response = OutgoingResponse::new(Fields::new());
    to.of("outgoing-response.constructor", response.status_code());
    to.of("outgoing-response.set-status-code", response.set_status_code(404));
    to.of("outgoing-response.status-code", response.status_code());
    to.of("outgoing-response.headers", response.headers().entries());
    body(to, "outgoing-response.body", response.body());
}

impl Transformer for StandIns {
    fn transform(&self, _: &Message) -> Result<Transformed, Failure> {
        let mut answers = Answers(String::new());
        clocks(&mut answers);
        chance(&mut answers);
        cli(&mut answers);
        files(&mut answers);
        sockets(&mut answers);
        http(&mut answers);
        Ok(Verdict::Replaced(Output::new(answers.0)).into())
    }
}

sesame_plugin::export!(StandIns: transformer);
