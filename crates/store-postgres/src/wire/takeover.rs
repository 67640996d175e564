//! Lets the driver open a connection, with all that belongs to it (addresses, TLS, authentication, which server takes
//! writes), and takes the link over once it is ready for statements.
//!
//! The driver gets its link from a TLS connector, so that is what lends it: a [`Loan`], which hands the link back
//! when the driver lets go of it. Where the link is to be plain, the connector leaves it as it is.
//!
//! The driver has heard all that the server had to say by then. Should part of its last answer still be on its way, the
//! first exchange ends too early, is found out of step, and the connection is given up.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::future::{BoxFuture, Ready, ok};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};
use tokio_postgres::{
    NoTls, Socket,
    config::{Config, Host, SslMode, SslNegotiation},
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Link, Wire};
use crate::failure::Failure;

/// Opens a connection as the configuration says.
pub(crate) async fn take_over(config: Config, tls: Option<MakeRustlsConnect>) -> Result<Wire, Failure> {
    let is_preferred = config.get_ssl_mode() == SslMode::Prefer;
    let link = match tls {
        Some(tls) => match over_network(&config, tls).await? {
            // A server that has no TLS, where TLS was merely preferred.
            None if is_preferred => plain(config).await?,
            link => link,
        },
        None => plain(config).await?,
    };
    link.map(Wire::new).ok_or_else(|| Failure::Defect("the driver kept its link".into()))
}

async fn plain(mut config: Config) -> Result<Option<Box<dyn Link>>, Failure> {
    if let Some(Host::Unix(folder)) = config.get_hosts().first() {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let socket = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}")));
        return over_socket(&mut config, socket.await.map_err(|error| Failure::Lost(error.into()))?).await;
    }
    if config.get_hosts().is_empty() {
        for address in config.get_hostaddrs().to_vec() {
            config.host(address.to_string());
        }
    }
    // "TLS at once, without asking": the connector is the first to touch the link, and does nothing to it.
    config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    over_network(&config, Unencrypted).await
}

async fn over_network<M>(config: &Config, connector: M) -> Result<Option<Box<dyn Link>>, Failure>
where
    M: MakeTlsConnect<Socket>,
    M::Stream: Send + Sync + 'static,
    M::TlsConnect: Send + 'static,
    <M::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let owner = Owner::default();
    let lender = Lender { connector, owner: owner.clone() };
    drop(config.connect(lender).await?);
    Ok(owner.take())
}

async fn over_socket(config: &mut Config, socket: UnixStream) -> Result<Option<Box<dyn Link>>, Failure> {
    let owner = Owner::default();
    let loan = owner.lend(Box::new(Bare(socket)));
    drop(config.ssl_mode(SslMode::Disable).connect_raw(loan, NoTls).await?);
    Ok(owner.take())
}

/// Whom a loan returns to.
#[derive(Clone, Default)]
struct Owner(Arc<Mutex<Option<Box<dyn Link>>>>);

impl Owner {
    fn lend(&self, link: Box<dyn Link>) -> Loan {
        Loan { link: Some(link), owner: self.clone() }
    }

    fn put(&self, link: Option<Box<dyn Link>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }

    fn take(&self) -> Option<Box<dyn Link>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A link that goes back to its owner.
struct Loan {
    link: Option<Box<dyn Link>>,
    owner: Owner,
}

impl Loan {
    fn link(self: Pin<&mut Self>) -> io::Result<Pin<&mut Box<dyn Link>>> {
        self.get_mut().link.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.owner.put(self.link.take());
    }
}

impl AsyncRead for Loan {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.link()?.poll_read(context, into)
    }
}

impl AsyncWrite for Loan {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.link()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link()?.poll_shutdown(context)
    }
}

impl TlsStream for Loan {
    fn channel_binding(&self) -> ChannelBinding {
        self.link.as_ref().map_or_else(ChannelBinding::none, |link| link.channel_binding())
    }
}

/// A connector whose links are lent.
struct Lender<M> {
    connector: M,
    owner: Owner,
}

impl<M> MakeTlsConnect<Socket> for Lender<M>
where
    M: MakeTlsConnect<Socket>,
    M::Stream: Send + Sync + 'static,
    M::TlsConnect: Send + 'static,
    <M::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    type Stream = Loan;
    type TlsConnect = Lender<M::TlsConnect>;
    type Error = M::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        let connector = self.connector.make_tls_connect(domain)?;
        Ok(Lender { connector, owner: self.owner.clone() })
    }
}

impl<C> TlsConnect<Socket> for Lender<C>
where
    C: TlsConnect<Socket> + Send + 'static,
    C::Stream: Send + Sync + 'static,
    C::Future: Send,
{
    type Stream = Loan;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Loan, Self::Error>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let link = self.connector.connect(socket).await.map_err(Into::into)?;
            Ok(self.owner.lend(Box::new(link)))
        })
    }
}

/// The connector of plain links.
struct Unencrypted;

impl MakeTlsConnect<Socket> for Unencrypted {
    type Stream = Bare<Socket>;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _: &str) -> io::Result<Self> {
        Ok(Self)
    }
}

impl TlsConnect<Socket> for Unencrypted {
    type Stream = Bare<Socket>;
    type Error = io::Error;
    type Future = Ready<io::Result<Bare<Socket>>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ok(Bare(socket))
    }
}

/// A link without TLS.
struct Bare<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Bare<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bare<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Bare<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
