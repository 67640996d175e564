//! Files that are the same for everybody: compressed for callers who ask for it, plain for the others.
//!
//! Anybody may ask for these files, also callers who never read an answer: a connection holds a piece of a file
//! at a time, not a copy of it.

use std::{
    borrow::Cow,
    convert::Infallible,
    io::{self, Read},
    sync::OnceLock,
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::SizedStream,
    http::header::{
        AcceptEncoding, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ContentEncoding, Encoding, Header,
        VARY,
    },
    web::Bytes,
};
use flate2::{
    Compression,
    read::{GzDecoder, GzEncoder},
};
use futures::{Stream, stream};

/// How much of a file is handed to a connection at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// A file in both forms; the one that it was not given in is made when it is first asked for.
pub(crate) struct Asset {
    content_type: Cow<'static, str>,
    plain: OnceLock<Bytes>,
    gzip: OnceLock<Bytes>,
}

impl Asset {
    /// A file of text.
    pub(crate) fn text(content_type: &'static str, text: &'static str) -> Self {
        Self {
            content_type: content_type.into(),
            plain: Bytes::from_static(text.as_bytes()).into(),
            gzip: OnceLock::new(),
        }
    }

    /// A file that lies compressed in this binary.
    pub(crate) fn compressed(content_type: String, bytes: &'static [u8]) -> Self {
        Self {
            content_type: content_type.into(),
            plain: OnceLock::new(),
            gzip: Bytes::from_static(bytes).into(),
        }
    }

    /// The answer to a GET.
    pub(crate) fn answer(&self, request: &HttpRequest) -> io::Result<HttpResponse> {
        let is_compressed = asks_for_gzip(request);
        let bytes = if is_compressed { self.gzip() } else { self.plain() }?;
        let mut answer = HttpResponse::Ok();
        answer.insert_header((CONTENT_TYPE, self.content_type.as_ref()));
        answer.insert_header((CACHE_CONTROL, "no-cache")).insert_header((VARY, "accept-encoding"));
        if is_compressed {
            answer.insert_header((CONTENT_ENCODING, ContentEncoding::Gzip));
        }
        Ok(answer.body(in_pieces(bytes)))
    }

    fn gzip(&self) -> io::Result<Bytes> {
        filled(&self.gzip, || {
            let plain = self.plain()?;
            all_of(GzEncoder::new(&plain[..], Compression::default()))
        })
    }

    fn plain(&self) -> io::Result<Bytes> {
        filled(&self.plain, || {
            let gzip = self.gzip.get().cloned().unwrap_or_default();
            all_of(GzDecoder::new(&gzip[..]))
        })
    }
}

fn filled(cell: &OnceLock<Bytes>, make: impl FnOnce() -> io::Result<Bytes>) -> io::Result<Bytes> {
    if let Some(bytes) = cell.get() {
        return Ok(bytes.clone());
    }
    let bytes = make()?;
    Ok(cell.get_or_init(|| bytes).clone())
}

fn all_of(mut reader: impl Read) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Only a caller who names gzip gets it: one who says nothing may not know what to do with it.
fn asks_for_gzip(request: &HttpRequest) -> bool {
    let Ok(accepted) = AcceptEncoding::parse(request) else { return false };
    accepted.negotiate([Encoding::gzip(), Encoding::identity()].iter()) == Some(Encoding::gzip())
}

fn in_pieces(bytes: Bytes) -> SizedStream<impl Stream<Item = Result<Bytes, Infallible>>> {
    let length = bytes.len();
    let pieces = (0..length).step_by(PIECE_BYTES).map(move |from| {
        let to = length.min(from + PIECE_BYTES);
        Ok(bytes.slice(from..to))
    });
    SizedStream::new(length as u64, stream::iter(pieces))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn gzip_is_for_those_who_name_it() {
        for (header, wanted) in [
            (None, false),
            (Some(""), false),
            (Some("br"), false),
            (Some("identity"), false),
            (Some("gzip;q=0"), false),
            (Some("gzip"), true),
            (Some("br, gzip;q=0.5"), true),
            (Some("gzip, deflate, br, zstd"), true),
        ] {
            let mut request = TestRequest::default();
            if let Some(header) = header {
                request = request.insert_header(("accept-encoding", header));
            }
            assert_eq!(asks_for_gzip(&request.to_http_request()), wanted, "{header:?}");
        }
    }

    #[test]
    fn both_forms_are_the_same_file() {
        let text = Asset::text("text/plain", "the same words again and again and again and again");
        let gzip = text.gzip().unwrap();
        let again = Asset::compressed("text/plain".to_owned(), gzip.to_vec().leak());
        assert_eq!(again.plain().unwrap(), text.plain().unwrap());
    }
}
