//! The network: none. Sockets and look-ups are refused when they are requested, so that no guest ever holds one.

use wasmtime::component::Resource;

use super::bindings::wasi::sockets::ip_name_lookup::{self, IpAddress, ResolveAddressStream};
use super::bindings::wasi::sockets::network::{self, ErrorCode, IpAddressFamily, IpSocketAddress};
use super::bindings::wasi::sockets::tcp::{self, ShutdownType, TcpSocket};
use super::bindings::wasi::sockets::udp::{
    self, IncomingDatagram, IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use super::bindings::wasi::sockets::{instance_network, tcp_create_socket, udp_create_socket};
use super::clocks::Pollable;
use super::never_given;
use super::streams::{Input, Output};
use crate::instance::state::HostState;

type Answer<T> = wasmtime::Result<Result<T, ErrorCode>>;

/// The network handle that a guest passes to a look-up or a connection.
#[derive(Debug)]
pub struct NoNetwork;

impl network::HostNetwork for HostState {
    fn drop(&mut self, network: Resource<NoNetwork>) -> wasmtime::Result<()> {
        self.wasi.table.delete(network)?;
        Ok(())
    }
}

impl network::Host for HostState {}

impl instance_network::Host for HostState {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<NoNetwork>> {
        self.wasi.push(NoNetwork)
    }
}

impl ip_name_lookup::Host for HostState {
    fn resolve_addresses(&mut self, _: Resource<NoNetwork>, _: String) -> Answer<Resource<ResolveAddressStream>> {
        Ok(Err(ErrorCode::AccessDenied))
    }
}

impl tcp_create_socket::Host for HostState {
    fn create_tcp_socket(&mut self, _: IpAddressFamily) -> Answer<Resource<TcpSocket>> {
        Ok(Err(ErrorCode::AccessDenied))
    }
}

impl udp_create_socket::Host for HostState {
    fn create_udp_socket(&mut self, _: IpAddressFamily) -> Answer<Resource<UdpSocket>> {
        Ok(Err(ErrorCode::AccessDenied))
    }
}

impl tcp::Host for HostState {}

impl udp::Host for HostState {}

never_given!(ip_name_lookup::HostResolveAddressStream for ResolveAddressStream {
    resolve_next_address(Resource<ResolveAddressStream>) -> Result<Option<IpAddress>, ErrorCode>;
    subscribe(Resource<ResolveAddressStream>) -> Resource<Pollable>;
});

never_given!(tcp::HostTcpSocket for TcpSocket {
    start_bind(Resource<TcpSocket>, Resource<NoNetwork>, IpSocketAddress) -> Result<(), ErrorCode>;
    finish_bind(Resource<TcpSocket>) -> Result<(), ErrorCode>;
    start_connect(Resource<TcpSocket>, Resource<NoNetwork>, IpSocketAddress) -> Result<(), ErrorCode>;
    finish_connect(Resource<TcpSocket>) -> Result<(Resource<Input>, Resource<Output>), ErrorCode>;
    start_listen(Resource<TcpSocket>) -> Result<(), ErrorCode>;
    finish_listen(Resource<TcpSocket>) -> Result<(), ErrorCode>;
    accept(Resource<TcpSocket>) -> Result<(Resource<TcpSocket>, Resource<Input>, Resource<Output>), ErrorCode>;
    local_address(Resource<TcpSocket>) -> Result<IpSocketAddress, ErrorCode>;
    remote_address(Resource<TcpSocket>) -> Result<IpSocketAddress, ErrorCode>;
    is_listening(Resource<TcpSocket>) -> bool;
    address_family(Resource<TcpSocket>) -> IpAddressFamily;
    set_listen_backlog_size(Resource<TcpSocket>, u64) -> Result<(), ErrorCode>;
    keep_alive_enabled(Resource<TcpSocket>) -> Result<bool, ErrorCode>;
    set_keep_alive_enabled(Resource<TcpSocket>, bool) -> Result<(), ErrorCode>;
    keep_alive_idle_time(Resource<TcpSocket>) -> Result<u64, ErrorCode>;
    set_keep_alive_idle_time(Resource<TcpSocket>, u64) -> Result<(), ErrorCode>;
    keep_alive_interval(Resource<TcpSocket>) -> Result<u64, ErrorCode>;
    set_keep_alive_interval(Resource<TcpSocket>, u64) -> Result<(), ErrorCode>;
    keep_alive_count(Resource<TcpSocket>) -> Result<u32, ErrorCode>;
    set_keep_alive_count(Resource<TcpSocket>, u32) -> Result<(), ErrorCode>;
    hop_limit(Resource<TcpSocket>) -> Result<u8, ErrorCode>;
    set_hop_limit(Resource<TcpSocket>, u8) -> Result<(), ErrorCode>;
    receive_buffer_size(Resource<TcpSocket>) -> Result<u64, ErrorCode>;
    set_receive_buffer_size(Resource<TcpSocket>, u64) -> Result<(), ErrorCode>;
    send_buffer_size(Resource<TcpSocket>) -> Result<u64, ErrorCode>;
    set_send_buffer_size(Resource<TcpSocket>, u64) -> Result<(), ErrorCode>;
    subscribe(Resource<TcpSocket>) -> Resource<Pollable>;
    shutdown(Resource<TcpSocket>, ShutdownType) -> Result<(), ErrorCode>;
});

never_given!(udp::HostUdpSocket for UdpSocket {
    start_bind(Resource<UdpSocket>, Resource<NoNetwork>, IpSocketAddress) -> Result<(), ErrorCode>;
    finish_bind(Resource<UdpSocket>) -> Result<(), ErrorCode>;
    stream(Resource<UdpSocket>, Option<IpSocketAddress>)
        -> Result<(Resource<IncomingDatagramStream>, Resource<OutgoingDatagramStream>), ErrorCode>;
    local_address(Resource<UdpSocket>) -> Result<IpSocketAddress, ErrorCode>;
    remote_address(Resource<UdpSocket>) -> Result<IpSocketAddress, ErrorCode>;
    address_family(Resource<UdpSocket>) -> IpAddressFamily;
    unicast_hop_limit(Resource<UdpSocket>) -> Result<u8, ErrorCode>;
    set_unicast_hop_limit(Resource<UdpSocket>, u8) -> Result<(), ErrorCode>;
    receive_buffer_size(Resource<UdpSocket>) -> Result<u64, ErrorCode>;
    set_receive_buffer_size(Resource<UdpSocket>, u64) -> Result<(), ErrorCode>;
    send_buffer_size(Resource<UdpSocket>) -> Result<u64, ErrorCode>;
    set_send_buffer_size(Resource<UdpSocket>, u64) -> Result<(), ErrorCode>;
    subscribe(Resource<UdpSocket>) -> Resource<Pollable>;
});

never_given!(udp::HostIncomingDatagramStream for IncomingDatagramStream {
    receive(Resource<IncomingDatagramStream>, u64) -> Result<Vec<IncomingDatagram>, ErrorCode>;
    subscribe(Resource<IncomingDatagramStream>) -> Resource<Pollable>;
});

never_given!(udp::HostOutgoingDatagramStream for OutgoingDatagramStream {
    check_send(Resource<OutgoingDatagramStream>) -> Result<u64, ErrorCode>;
    send(Resource<OutgoingDatagramStream>, Vec<OutgoingDatagram>) -> Result<u64, ErrorCode>;
    subscribe(Resource<OutgoingDatagramStream>) -> Resource<Pollable>;
});
