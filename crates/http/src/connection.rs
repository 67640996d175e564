//! The stream between a socket and the HTTP/1 decoder: it gives the decoder one request at a time.
//!
//! The decoder of actix-http turns every byte it gets into requests, however many wait already, and gives a client
//! that was answered early unlimited time to send the rest. Both let a stranger hold memory and connections. So
//! this stream finds where a request ends ([`framing`]), keeps what comes behind it until the request was answered
//! and the answer has left, and holds every connection to its deadlines ([`deadlines`]), whatever was answered. See
//! ADR 12.
//!
//! What one connection can make the service keep before anybody has looked at a key: one head of at most
//! [`HEAD_BYTES_MAX`], one read of the socket behind it, and two buffers of the decoder.

mod deadlines;
mod framing;
mod gate;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_http::{Extensions, HttpServiceBuilder, KeepAlive, Request};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, fn_factory, fn_service, map_config,
};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{AppConfig, ServiceResponse},
    rt::net::TcpStream,
    web::BytesMut,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::framing::{Framing, Head};
pub(crate) use self::{
    deadlines::Timeouts,
    gate::{Gate, Turned, describe},
};

/// The longest head of a request, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How much is read from a socket at once, in bytes: bounds what has to be kept of the requests behind the open one.
const READ_BYTES_MAX: usize = 16 * 1024;

/// How much of what a refused caller still sends is read, so that the refusal reaches it: closing a socket that has
/// unread bytes would take the answer back.
const LINGER_BYTES_MAX: usize = 128 * 1024;

const MALFORMED: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const HEAD_TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const HEAD_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Serves an application on sockets: what an actix server wants for each of its workers.
pub(crate) fn service<I, S, B, N>(
    app: I,
    address: SocketAddr,
    timeouts: Timeouts,
    stopping: impl Fn() -> N + 'static,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()>
where
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
    N: Future<Output = ()> + 'static,
{
    let app = app.into_factory().map_err(|error| error.error_response());
    let http = HttpServiceBuilder::default()
        // The deadlines of this module stand in for those of the dispatcher, which cover the first head alone.
        .client_request_timeout(Duration::ZERO)
        .keep_alive(KeepAlive::Os)
        .client_disconnect_timeout(deadlines::LINGER)
        .local_addr(address)
        .graceful_shutdown_signal(stopping)
        .on_connect_ext(|connection: &Connection, data: &mut Extensions| {
            data.insert(Rc::clone(&connection.gate));
        })
        .h1(map_config(app, |()| AppConfig::default()));
    let http = Rc::new(http);
    fn_factory(move || {
        let http = Rc::clone(&http);
        async move {
            let http = Rc::new(http.new_service(()).await?);
            Ok(fn_service(move |socket: TcpStream| {
                let peer = socket.peer_addr().ok();
                let (connection, gate) = Connection::new(socket, timeouts);
                let dispatcher = http.call((connection, peer));
                async move {
                    // How it ends is nobody's concern: what was refused is counted where that is decided.
                    drop(deadlines::keep(dispatcher, &gate).await);
                    Ok(())
                }
            }))
        }
    })
}

/// A socket whose bytes pass one request at a time.
pub(crate) struct Connection {
    socket: TcpStream,
    gate: Rc<Gate>,
    phase: Phase,
    /// What was read and not passed on: part of a head, or what came behind the open request.
    kept: BytesMut,
    /// How many of these bytes belong to the open request.
    passing: usize,
    /// How many of these bytes were searched for the end of a head.
    searched: usize,
    /// Bytes of a refused caller that were thrown away.
    lingered: usize,
    /// A piece of a body was passed on, which the decoder has to look at before it gets the next.
    has_passed_piece: bool,
}

/// Where in a request the bytes are that come next.
enum Phase {
    /// In the head; nothing of it has been passed on.
    Head,
    /// In the body.
    Body(Framing),
    /// Behind the request: they have to wait for its answer.
    Behind,
    /// Nobody looks at them any more.
    Refused,
}

impl Connection {
    fn new(socket: TcpStream, timeouts: Timeouts) -> (Self, Rc<Gate>) {
        let gate = Rc::new(Gate::new(timeouts));
        let connection = Self {
            socket,
            gate: Rc::clone(&gate),
            phase: Phase::Head,
            kept: BytesMut::new(),
            passing: 0,
            searched: 0,
            lingered: 0,
            has_passed_piece: false,
        };
        (connection, gate)
    }

    /// How many of these bytes may be passed on. They are the next of the connection, and at the beginning of a
    /// head all that is there of it.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        if matches!(self.phase, Phase::Head) {
            match framing::head(bytes, self.searched, HEAD_BYTES_MAX) {
                Head::Partial => {
                    self.searched = bytes.len();
                    self.gate.wait_for_head();
                    return 0;
                }
                Head::Whole(length, body) => {
                    self.searched = 0;
                    passed = length;
                    self.phase = Phase::Body(body);
                }
                Head::Malformed => self.refuse(MALFORMED, "malformed"),
                Head::TooLarge => self.refuse(HEAD_TOO_LARGE, "head_too_large"),
            }
        }
        if let Phase::Body(body) = &mut self.phase {
            passed += body.take(&bytes[passed..]);
            if body.is_whole() {
                self.phase = Phase::Behind;
                self.gate.request_is_whole();
            } else {
                self.gate.wait_for_body();
                self.has_passed_piece = passed > 0;
            }
        }
        passed
    }

    /// The caller is answered here and now: no request is open, so nothing else is being written.
    fn refuse(&mut self, answer: &'static [u8], reason: &'static str) {
        self.gate.end(reason);
        // A socket that was just read from takes these few bytes, or its caller is not there to read them.
        drop(self.socket.try_write(answer));
        self.phase = Phase::Refused;
        self.kept = BytesMut::new();
    }

    /// Reads from the socket, not more than [`READ_BYTES_MAX`]. How many bytes came.
    fn poll_socket(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        if buffer.remaining() <= READ_BYTES_MAX {
            ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
            return Poll::Ready(Ok(buffer.filled().len() - before));
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(READ_BYTES_MAX));
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        Poll::Ready(Ok(read))
    }

    /// While a request is open: notices that the caller is gone, and leaves everything else where it is.
    fn poll_behind(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.kept.is_empty() {
            return Poll::Pending;
        }
        let mut next = [0];
        if ready!(self.socket.poll_peek(context, &mut ReadBuf::new(&mut next)))? == 0 {
            return Poll::Ready(Ok(()));
        }
        self.gate.more_is_there();
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.gate.take_overdue() {
            this.refuse(HEAD_TIMEOUT, "head_timeout");
        }
        if std::mem::take(&mut this.has_passed_piece) && this.passing == 0 {
            // The dispatcher reads until nothing comes, 128 KiB at most, before it looks at any of it.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if this.passing > 0 {
                let piece = this.passing.min(buffer.remaining());
                buffer.put_slice(&this.kept.split_to(piece));
                this.passing -= piece;
                if this.kept.is_empty() {
                    // An idle connection keeps no buffer.
                    this.kept = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            match this.phase {
                Phase::Refused => return Poll::Ready(Ok(())),
                Phase::Behind if !this.gate.is_free() => return this.poll_behind(context),
                Phase::Behind => {
                    this.phase = Phase::Head;
                    this.gate.next();
                    if !this.kept.is_empty() {
                        this.pass_kept();
                        continue;
                    }
                }
                Phase::Head | Phase::Body(_) => {}
            }
            let before = buffer.filled().len();
            let read = ready!(this.poll_socket(context, buffer))?;
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            if this.kept.is_empty() {
                let passed = this.pass(&buffer.filled()[before..]);
                if matches!(this.phase, Phase::Refused) {
                    buffer.set_filled(before);
                    continue;
                }
                this.kept.extend_from_slice(&buffer.filled()[before + passed..]);
                buffer.set_filled(before + passed);
                if passed > 0 {
                    return Poll::Ready(Ok(()));
                }
            } else {
                this.kept.extend_from_slice(&buffer.filled()[before..]);
                buffer.set_filled(before);
                this.pass_kept();
            }
        }
    }
}

impl Connection {
    /// Looks at what was kept as if it came now.
    fn pass_kept(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        let passing = self.pass(&kept);
        if !matches!(self.phase, Phase::Refused) {
            self.kept = kept;
            self.passing = passing;
        }
    }

    /// The caller of an answer must take it, in pieces that are not too small.
    fn written<T>(&self, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_pending() {
            self.gate.wait_for_reader();
        }
        poll
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.gate.writes();
        let poll = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.written(poll)
    }

    /// The dispatcher flushes when it has written all that it has.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        if self.gate.flushed() && (self.gate.has_more() || !self.kept.is_empty()) {
            // The next request is there already: no event of the socket will tell.
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_shutdown(context))?;
        if !matches!(self.phase, Phase::Refused) {
            return Poll::Ready(Ok(()));
        }
        let mut nobody = [0; 4096];
        while self.lingered < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut nobody);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            self.lingered += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}
