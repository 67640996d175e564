//! Cuts a client's byte stream into messages: first the untyped ones of the start-up, then a type byte and a
//! length that counts itself.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest message that is accepted, in bytes: PostgreSQL's own limit for most of them.
const LENGTH_MAX: usize = 1 << 30;

/// The code instead of a protocol version by which a client requests encryption.
const SSL_REQUEST: u32 = 80_877_103;
/// The same for GSSAPI.
const GSS_REQUEST: u32 = 80_877_104;

/// One message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The type byte; 0 for the messages of the start-up, which have none.
    pub(super) tag: u8,
    /// All of it, as it is sent on.
    pub(super) bytes: Vec<u8>,
}

impl Frame {
    /// What follows type and length.
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(if self.tag == 0 { 4 } else { 5 }..).unwrap_or_default()
    }

    /// After this message another one without a type byte follows.
    pub(super) fn asks_for_encryption(&self) -> bool {
        let code = self.body().first_chunk().map(|code| u32::from_be_bytes(*code));
        self.tag == 0 && matches!(code, Some(SSL_REQUEST | GSS_REQUEST))
    }
}

/// Reads messages from a client.
pub(super) struct Frames<R> {
    reader: R,
    is_started: bool,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self { reader, is_started: false }
    }

    pub(super) fn into_inner(self) -> R {
        self.reader
    }

    /// The next message; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> io::Result<Option<Frame>> {
        let mut bytes = Vec::new();
        let tag = if self.is_started {
            let mut tag = [0];
            if self.reader.read(&mut tag).await? == 0 {
                return Ok(None);
            }
            bytes.push(tag[0]);
            tag[0]
        } else {
            0
        };
        let mut length = [0; 4];
        match self.reader.read_exact(&mut length).await {
            Err(error) if bytes.is_empty() && error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(None);
            }
            result => result?,
        };
        bytes.extend(length);
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if !(4..=LENGTH_MAX).contains(&length) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not PostgreSQL's protocol"));
        }
        let head = bytes.len();
        bytes.resize(head + length - 4, 0);
        self.reader.read_exact(&mut bytes[head..]).await?;
        let frame = Frame { tag, bytes };
        self.is_started = self.is_started || !frame.asks_for_encryption();
        Ok(Some(frame))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message with a type byte.
    pub(in super::super) fn typed(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    /// A message of the start-up.
    pub(in super::super) fn untyped(code: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
        bytes.extend(code.to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[tokio::test]
    async fn a_stream_is_cut_into_its_messages_however_it_arrives() {
        let parts = [
            untyped(SSL_REQUEST, b""),
            untyped(196_608, b"user\0postgres\0\0"),
            typed(b'Q', b"begin\0"),
            typed(b'S', b""),
        ];
        let stream = parts.concat();
        for chunk in [1, 3, stream.len()] {
            let mut reader = tokio_test_reader(&stream, chunk);
            let mut frames = Frames::new(&mut reader);
            let mut seen = Vec::new();
            while let Some(frame) = frames.next().await.unwrap() {
                seen.push((frame.tag, frame.bytes));
            }
            let tags = [0, 0, b'Q', b'S'];
            let expected: Vec<_> = tags.into_iter().zip(parts.clone()).collect();
            assert_eq!(seen, expected, "in pieces of {chunk}");
        }
    }

    #[tokio::test]
    async fn a_length_that_cannot_be_is_refused_and_a_torn_message_is_an_error() {
        let mut frames = Frames::new(&[0_u8, 0, 0, 3, 1, 1, 1][..]);
        assert_eq!(frames.next().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let whole = untyped(196_608, b"user\0");
        let mut frames = Frames::new(&whole[..whole.len() - 1]);
        assert_eq!(frames.next().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    /// Gives the bytes in pieces.
    fn tokio_test_reader(bytes: &[u8], chunk: usize) -> tokio::io::DuplexStream {
        use tokio::io::AsyncWriteExt;
        let (mut write, read) = tokio::io::duplex(chunk);
        let bytes = bytes.to_vec();
        tokio::spawn(async move {
            for piece in bytes.chunks(chunk) {
                write.write_all(piece).await.unwrap();
            }
        });
        read
    }
}
