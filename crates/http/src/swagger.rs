//! The Swagger page and the document it shows: everything from this binary, nothing from other origins.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::CONTENT_SECURITY_POLICY,
    middleware::DefaultHeaders,
    web::{self, ServiceConfig},
};
use utoipa_swagger_ui::Config;

use crate::{
    assets::Asset,
    openapi,
    problem::{Code, Problem},
};

/// Where the document is.
const DOCUMENT: &str = "/openapi.json";

/// What the page needs: its own scripts, styles and images, and calls to this origin. Its styles are partly
/// written into elements by its scripts.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The page's own files; the rest is Swagger UI as it was published.
const INDEX: &str = include_str!("swagger/index.html");
const START: &str = include_str!("swagger/start.js");
const STYLE: &str = include_str!("swagger/page.css");

/// Mounts the document and the page.
pub(crate) fn mount(app: &mut ServiceConfig, ids_as_strings: bool) {
    let document = Arc::new(Asset::text("application/json", openapi::document_text(ids_as_strings)));
    let get_document = move |request: HttpRequest| {
        let answer = answer(&document, &request);
        async move { answer }
    };
    let files = Arc::new(Files::default());
    let get_file = move |request: HttpRequest, path: web::Path<String>| {
        let answer = files.get(&path).and_then(|file| answer(&file, &request));
        async move { answer }
    };
    let headers = DefaultHeaders::new().add((CONTENT_SECURITY_POLICY, PAGE_POLICY));
    app.route(DOCUMENT, web::get().to(get_document))
        .service(web::redirect("/swagger", "/swagger/index.html"))
        .service(web::scope("/swagger").wrap(headers).route("/{path:.*}", web::get().to(get_file)));
}

fn answer(file: &Asset, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    file.answer(request).map_err(|_| Problem::new(Code::Internal))
}

/// The files that were asked for, in the forms that were asked for.
#[derive(Default)]
struct Files(Mutex<HashMap<String, Arc<Asset>>>);

impl Files {
    fn get(&self, path: &str) -> Result<Arc<Asset>, Problem> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(path) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(load(path)?);
        files.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }
}

fn load(path: &str) -> Result<Asset, Problem> {
    match path {
        "" | "index.html" => return Ok(Asset::text("text/html; charset=utf-8", INDEX)),
        "start.js" => return Ok(Asset::text("text/javascript; charset=utf-8", START)),
        "page.css" => return Ok(Asset::text("text/css; charset=utf-8", STYLE)),
        // Starts Swagger UI with an API of its authors.
        "swagger-initializer.js" => return Err(Problem::new(Code::RouteNotFound)),
        _ => {}
    }
    let found = utoipa_swagger_ui::serve(path, Arc::new(Config::default()));
    let file = found.map_err(|_| Problem::new(Code::Internal))?;
    let file = file.ok_or_else(|| Problem::new(Code::RouteNotFound))?;
    match file.bytes {
        std::borrow::Cow::Borrowed(bytes) if file.gzpipped => Ok(Asset::compressed(file.content_type, bytes)),
        _ => Err(Problem::new(Code::Internal)),
    }
}
