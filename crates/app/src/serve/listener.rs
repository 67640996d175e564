//! The socket of the service. What connections inherit from it keeps callers who do not read their answers from holding
//! much, or for long.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use anyhow::anyhow;
use tokio::net::TcpSocket;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// What the system keeps of answers that a caller has not taken yet.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;

/// A caller that takes nothing of its answer for so long is cut off: HTTP itself sets no limit to that.
#[cfg(target_os = "linux")]
const UNREAD_MILLISECONDS_MAX: u32 = 10_000;

/// Takes the address. Nobody can connect before [`listen`].
pub(super) fn bind(address: SocketAddr) -> anyhow::Result<TcpSocket> {
    let bound = || -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        #[cfg(target_os = "linux")]
        rustix::net::sockopt::set_tcp_user_timeout(&socket, UNREAD_MILLISECONDS_MAX)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(|error| explained(error, address))
}

/// Lets callers connect.
pub(super) fn listen(socket: TcpSocket) -> anyhow::Result<TcpListener> {
    let address = socket.local_addr()?;
    let listening = socket.listen(BACKLOG).and_then(tokio::net::TcpListener::into_std);
    listening.map_err(|error| explained(error, address))
}

fn explained(error: io::Error, address: SocketAddr) -> anyhow::Error {
    if error.kind() == io::ErrorKind::AddrInUse {
        return anyhow!(
            "{address} is in use by another program; choose another address with --listen (BALANCE_LISTEN)"
        );
    }
    anyhow::Error::new(error).context(format!("cannot listen on {address}"))
}
