//! The Swagger page and the document it shows: everything from this binary, nothing from other origins.
//!
//! Anybody may ask for these files, also callers who never read an answer: a connection holds a piece of a file
//! at a time, not a copy of it.

use std::{borrow::Cow, convert::Infallible, sync::Arc};

use actix_web::{
    HttpResponse,
    body::SizedStream,
    http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ContentEncoding},
    middleware::DefaultHeaders,
    web::{self, Bytes, ServiceConfig},
};
use futures::{Stream, stream};
use utoipa_swagger_ui::Config;

use crate::{
    openapi,
    problem::{Code, Problem},
};

/// How much of a file is handed to a connection at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// Where the document is.
const DOCUMENT: &str = "/openapi.json";

/// What the page needs: its own scripts, styles and images, and calls to this origin. Its styles are partly
/// written into elements by its scripts.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Mounts the document and the page.
pub(crate) fn mount(app: &mut ServiceConfig) {
    let document = Bytes::from_static(openapi::document_text().as_bytes());
    let get_document = move || {
        let document = in_pieces(document.clone());
        async move { HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(document) }
    };
    let config = Config::new([DOCUMENT])
        .validator_url("none")
        .query_config_enabled(false)
        .persist_authorization(true)
        .try_it_out_enabled(true)
        .display_operation_id(true);
    let config = Arc::new(config);
    let get_file = move |path: web::Path<String>| {
        let file = file(&path, Arc::clone(&config));
        async move { file }
    };
    let headers =
        DefaultHeaders::new().add((CONTENT_SECURITY_POLICY, PAGE_POLICY)).add((CACHE_CONTROL, "no-cache"));
    app.route(DOCUMENT, web::get().to(get_document))
        .service(web::redirect("/swagger", "/swagger/index.html"))
        .service(web::scope("/swagger").wrap(headers).route("/{path:.*}", web::get().to(get_file)));
}

/// One file of the page.
fn file(path: &str, config: Arc<Config<'static>>) -> Result<HttpResponse, Problem> {
    let found = utoipa_swagger_ui::serve(path, config).map_err(|_| Problem::new(Code::Internal))?;
    let file = found.ok_or_else(|| Problem::new(Code::RouteNotFound))?;
    let mut answer = HttpResponse::Ok();
    answer.content_type(file.content_type);
    if file.gzpipped {
        answer.insert_header((CONTENT_ENCODING, ContentEncoding::Gzip));
    }
    Ok(answer.body(in_pieces(match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    })))
}

fn in_pieces(bytes: Bytes) -> SizedStream<impl Stream<Item = Result<Bytes, Infallible>>> {
    let length = bytes.len();
    let pieces = (0..length).step_by(PIECE_BYTES).map(move |from| {
        let to = length.min(from + PIECE_BYTES);
        Ok(bytes.slice(from..to))
    });
    SizedStream::new(length as u64, stream::iter(pieces))
}
