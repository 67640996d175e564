//! `balance health`: asks the service on this machine whether it is ready. For health checks of containers, so that an
//! image needs no other program.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use crate::output::print;

/// How long connecting, and each piece of the answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than an answer of a health check has, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Asks at this address; 0 if all is well, 1 otherwise.
pub(crate) fn run(listen: SocketAddr, only_live: bool) -> anyhow::Result<ExitCode> {
    let address = reachable(listen);
    let (path, well) = if only_live { ("/health/live", "live") } else { ("/health/ready", "ready") };
    match ask(address, path) {
        Ok(200) => {
            print(format_args!("{well}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(status) => {
            eprintln!("balance: {address} is not {well} (it answers {status})");
            Ok(ExitCode::FAILURE)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            eprintln!("balance: {address} does not answer in {} seconds", PATIENCE.as_secs());
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            eprintln!("balance: {address} does not answer ({error})");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Whether a service answers at this address of this machine.
pub(crate) fn is_serving(listen: SocketAddr) -> bool {
    ask(reachable(listen), "/health/live").is_ok_and(|status| status == 200)
}

/// A service that listens on every address of this machine answers on its loopback one.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The status of the answer.
fn ask(address: SocketAddr, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let line = String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default());
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other("what it says is not HTTP"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answered(answer: &'static str) -> io::Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // To its end: a socket that is closed with something unread takes the answer back.
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let status = ask(address, "/health/ready");
        serving.join().unwrap();
        status
    }

    #[test]
    fn the_status_is_all_that_counts() {
        assert_eq!(answered("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap(), 200);
        assert_eq!(answered("HTTP/1.1 503 Service Unavailable\r\n\r\n{}").unwrap(), 503);
        for nonsense in ["", "SSH-2.0-x\r\n", "HTTP/1.1"] {
            assert!(answered(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn every_address_of_a_machine_is_asked_on_loopback() {
        for (listen, asked) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("192.0.2.1:3", "192.0.2.1:3")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
