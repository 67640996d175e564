//! One keep-alive connection that sends prepared bytes and reads the answer, doing as little else as it can:
//! the generator shares its cores with what it measures.

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection to one server.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    filled: usize,
}

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Where the body lies in [`Connection::body`].
    body: (usize, usize),
}

impl Connection {
    pub(crate) async fn open(authority: &str) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(authority).await.with_context(|| format!("connecting to {authority}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: vec![0; 64 * 1024], filled: 0 })
    }

    /// Sends one request and reads its whole answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> anyhow::Result<Response> {
        self.stream.write_all(request).await?;
        self.filled = 0;
        loop {
            if self.filled == self.received.len() {
                self.received.resize(self.received.len() * 2, 0);
            }
            let count = self.stream.read(&mut self.received[self.filled..]).await?;
            if count == 0 {
                bail!("the server closed the connection");
            }
            self.filled += count;
            if let Some(answer) = self.parse()? {
                return Ok(answer);
            }
        }
    }

    /// The body of the last answer.
    pub(crate) fn body(&self, answer: Response) -> &[u8] {
        &self.received[answer.body.0..answer.body.1]
    }

    fn parse(&self) -> anyhow::Result<Option<Response>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(start) = response.parse(&self.received[..self.filled])? else {
            return Ok(None);
        };
        let length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok())
            .unwrap_or(0);
        let end = start + length;
        let status = response.code.unwrap_or(0);
        Ok((self.filled >= end).then_some(Response { status, body: (start, end) }))
    }
}
