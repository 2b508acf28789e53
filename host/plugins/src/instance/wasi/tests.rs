//! The answers of the stand-ins, function by function; `tests/acceptance/calls.rs` checks the same through a guest.

use super::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use super::bindings::wasi::filesystem::{preopens, types as files};
use super::bindings::wasi::http::{outgoing_handler, types as http};
use super::bindings::wasi::io::{poll, streams};
use super::bindings::wasi::random::{insecure, insecure_seed, random};
use super::bindings::wasi::sockets::{instance_network, ip_name_lookup, network, tcp_create_socket, udp_create_socket};
use super::clocks::Pollable;
use super::streams::Output;
use super::*;
use crate::instance::limits::{GrowthRefused, Meter};
use crate::resources::Redaction;

fn facts(component: u8, id: &str, part: Option<&str>, received_at: u64) -> Facts {
    use crate::component::bindings::types::{Context, Direction};
    let context = Context {
        direction: Direction::Inbound,
        message_id: id.to_owned(),
        channel: "central".to_owned(),
        destination: "/queue/test".to_owned(),
        content_type: None,
        signer: None,
        received_at,
        attempt: 1,
        transport_headers: Vec::new(),
        properties: part.map(|part| ("part".to_owned(), part.to_owned())).into_iter().collect(),
    };
    Facts::of_message([component; 32], &context)
}

fn state(facts: Facts) -> HostState {
    HostState::new(Meter::new(1 << 20), PluginLog::new("p", "1", 1 << 10, &Redaction::default()), facts)
}

fn usual() -> HostState {
    state(facts(1, "0000/1", None, 1_700_000_000_123))
}

#[test]
fn the_wall_clock_is_fixed_at_received_at() {
    let mut state = usual();
    for _ in 0..3 {
        let now = wall_clock::Host::now(&mut state).unwrap();
        assert_eq!((now.seconds, now.nanoseconds), (1_700_000_000, 123_000_000));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let mut loaded =
        HostState::new(Meter::new(1), PluginLog::new("p", "", 0, &Redaction::default()), Facts::of_load([1; 32]));
    assert_eq!(wall_clock::Host::now(&mut loaded).unwrap().seconds, 1_767_225_600);
}

#[test]
fn the_monotonic_clock_advances_one_step_a_call_and_jumps_to_the_first_timer() {
    let mut state = usual();
    let first = monotonic_clock::Host::now(&mut state).unwrap();
    assert_eq!(monotonic_clock::Host::now(&mut state).unwrap(), first + 1_000_000);
    let started = std::time::Instant::now();
    let hour = 3_600_000_000_000;
    let long = monotonic_clock::Host::subscribe_duration(&mut state, 2 * hour).unwrap();
    let short = monotonic_clock::Host::subscribe_instant(&mut state, first + hour).unwrap();
    let borrow = |one: &Resource<Pollable>| Resource::new_borrow(one.rep());
    assert!(!poll::HostPollable::ready(&mut state, borrow(&short)).unwrap());
    assert_eq!(poll::Host::poll(&mut state, vec![borrow(&long), borrow(&short)]).unwrap(), [1]);
    assert_eq!(monotonic_clock::Host::now(&mut state).unwrap(), first + hour + 1_000_000);
    poll::HostPollable::block(&mut state, borrow(&long)).unwrap();
    assert!(poll::HostPollable::ready(&mut state, borrow(&long)).unwrap());
    let never = monotonic_clock::Host::subscribe_instant(&mut state, u64::MAX).unwrap();
    poll::HostPollable::block(&mut state, borrow(&never)).unwrap();
    assert_eq!(monotonic_clock::Host::now(&mut state).unwrap(), u64::MAX);
    assert!(started.elapsed() < std::time::Duration::from_secs(1));
    assert!(poll::Host::poll(&mut state, Vec::new()).is_err());
}

#[test]
fn a_guest_that_spins_on_a_timer_sees_it_end() {
    let mut state = usual();
    let timer = monotonic_clock::Host::subscribe_duration(&mut state, 1_000_000_000).unwrap();
    let looks = (1..).find(|_| poll::HostPollable::ready(&mut state, Resource::new_borrow(timer.rep())).unwrap());
    assert_eq!(looks, Some(1_000));
}

/// The random numbers of an instance: one answer of each of the five functions.
fn random_of(facts: Facts) -> (Vec<u8>, u64, Vec<u8>, u64, (u64, u64)) {
    let mut state = state(facts);
    (
        random::Host::get_random_bytes(&mut state, 40).unwrap(),
        random::Host::get_random_u64(&mut state).unwrap(),
        insecure::Host::get_insecure_random_bytes(&mut state, 40).unwrap(),
        insecure::Host::get_insecure_random_u64(&mut state).unwrap(),
        insecure_seed::Host::insecure_seed(&mut state).unwrap(),
    )
}

#[test]
fn random_numbers_depend_on_message_id_and_component_only() {
    let once = random_of(facts(1, "0000/1", None, 5));
    // The next attempt, and another time.
    assert_eq!(random_of(facts(1, "0000/1", None, 5)), once);
    assert_eq!(random_of(facts(1, "0000/1", None, 6)), once);
    let others = [
        facts(2, "0000/1", None, 5),
        facts(1, "0000/2", None, 5),
        facts(1, "0000/1", Some("1"), 5),
        facts(1, "0000/1", Some("2"), 5),
        // Messages without an id are distinguished by their time.
        facts(1, "noid", None, 5),
        facts(1, "noid", None, 6),
        Facts::of_load([1; 32]),
    ];
    let mut all: Vec<_> = others.map(random_of).into_iter().chain([once]).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "two messages have the same random numbers");
}

#[test]
fn random_interfaces_do_not_repeat_one_another() {
    let mut state = usual();
    let mut numbers: Vec<u64> = (0..100).map(|_| random::Host::get_random_u64(&mut state).unwrap()).collect();
    numbers.extend((0..100).map(|_| insecure::Host::get_insecure_random_u64(&mut state).unwrap()));
    let seed = insecure_seed::Host::insecure_seed(&mut state).unwrap();
    assert_eq!(insecure_seed::Host::insecure_seed(&mut state).unwrap(), seed);
    numbers.extend([seed.0, seed.1]);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 202);
}

#[test]
fn more_random_bytes_than_the_guest_may_hold_end_the_call() {
    let mut state = usual();
    assert_eq!(random::Host::get_random_bytes(&mut state, 1 << 20).unwrap().len(), 1 << 20);
    let error = random::Host::get_random_bytes(&mut state, u64::MAX).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(GrowthRefused::Memory { .. })), "{error}");
}

#[test]
fn the_file_system_is_one_empty_directory_that_stays_empty() {
    use files::{DescriptorFlags, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags};
    let mut state = usual();
    let (root, name) = preopens::Host::get_directories(&mut state).unwrap().pop().unwrap();
    assert_eq!(name, "/");
    let root = || Resource::new_borrow(root.rep());
    let mut open = |path: &str, how, access| {
        let opened = state.open_at(root(), PathFlags::empty(), path.to_owned(), how, access).unwrap();
        opened.map(|directory| state.wasi.table.delete(directory).map(drop).unwrap())
    };
    let (read, write) = (DescriptorFlags::READ, DescriptorFlags::WRITE);
    for path in ["etc/passwd", "proc/self/environ", "../etc/passwd", "dev/urandom", "a\0b"] {
        assert_eq!(open(path, OpenFlags::empty(), read), Err(ErrorCode::NoEntry), "{path:?}");
        assert_eq!(open(path, OpenFlags::CREATE, write), Err(ErrorCode::ReadOnly), "{path:?}");
    }
    for path in ["", ".", "./", "/"] {
        assert_eq!(open(path, OpenFlags::DIRECTORY, read), Ok(()), "{path:?}");
        assert_eq!(open(path, OpenFlags::empty(), write), Err(ErrorCode::IsDirectory), "{path:?}");
    }
    let entries = state.read_directory(root()).unwrap().unwrap();
    assert!(files::HostDirectoryEntryStream::read_directory_entry(&mut state, entries).unwrap().unwrap().is_none());
    assert_eq!(state.create_directory_at(root(), "a".into()).unwrap(), Err(ErrorCode::ReadOnly));
    assert_eq!(state.unlink_file_at(root(), "a".into()).unwrap(), Err(ErrorCode::NoEntry));
    assert!(state.stat_at(root(), PathFlags::empty(), "etc".into()).unwrap().is_err());
    let stat = state.stat(root()).unwrap().unwrap();
    assert_eq!(stat.data_modification_timestamp.unwrap().seconds, 1_700_000_000);
}

#[test]
fn sockets_look_ups_and_requests_are_refused_with_an_error_of_the_interface() {
    use network::{ErrorCode, IpAddressFamily};
    let mut state = usual();
    for family in [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6] {
        let tcp = tcp_create_socket::Host::create_tcp_socket(&mut state, family).unwrap();
        assert_eq!(tcp.unwrap_err(), ErrorCode::AccessDenied);
        let udp = udp_create_socket::Host::create_udp_socket(&mut state, family).unwrap();
        assert_eq!(udp.unwrap_err(), ErrorCode::AccessDenied);
    }
    let network = instance_network::Host::instance_network(&mut state).unwrap();
    let found = ip_name_lookup::Host::resolve_addresses(&mut state, network, "localhost".into()).unwrap();
    assert_eq!(found.unwrap_err(), ErrorCode::AccessDenied);
    let headers = http::HostFields::new(&mut state).unwrap();
    let pair = Resource::new_borrow(headers.rep());
    assert!(http::HostFields::append(&mut state, pair, "a".into(), vec![b'x'; 1000]).unwrap().is_ok());
    let pair = Resource::new_borrow(headers.rep());
    assert!(http::HostFields::append(&mut state, pair, "a".into(), vec![b'x'; 100_000]).unwrap().is_err());
    let request = http::HostOutgoingRequest::new(&mut state, headers).unwrap();
    let sent = outgoing_handler::Host::handle(&mut state, request, None).unwrap();
    assert!(matches!(sent.unwrap_err(), http::ErrorCode::HttpRequestDenied));
}

#[test]
fn a_guest_cannot_accumulate_handles() {
    let mut state = usual();
    let error = (0..).find_map(|_| monotonic_clock::Host::subscribe_duration(&mut state, 1).err()).unwrap();
    assert_eq!(error.to_string(), "exceeded the limit of 256 host handles");
}

#[test]
fn standard_error_is_kept_for_a_panic_and_output_is_not() {
    let mut state = usual();
    for output in [Output::Stdout, Output::Stderr] {
        let stream = state.wasi.push(output).unwrap();
        streams::HostOutputStream::write(&mut state, stream, format!("{output:?}").into_bytes()).unwrap().unwrap();
    }
    assert_eq!(state.stderr.panic_text().as_deref(), Some("Stderr"));
}

#[test]
fn the_stand_ins_do_not_use_the_system() {
    let sources = [
        include_str!("mod.rs"),
        include_str!("clocks.rs"),
        include_str!("files.rs"),
        include_str!("http.rs"),
        include_str!("sockets.rs"),
        include_str!("streams.rs"),
    ];
    for word in ["std::time", "std::fs", "std::env", "std::net", "Instant::", "SystemTime", "rustix", "tokio", "rand::"]
    {
        for source in sources {
            assert!(!source.contains(word), "{word}");
        }
    }
}
