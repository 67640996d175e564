//! The Swagger page and the document it shows: everything from this binary, nothing from other origins.

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    middleware::DefaultHeaders,
    web::{self, Bytes, ServiceConfig},
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::openapi;

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
        let document = document.clone();
        async move { HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(document) }
    };
    let config = Config::new([DOCUMENT])
        .validator_url("none")
        .query_config_enabled(false)
        .persist_authorization(true)
        .try_it_out_enabled(true)
        .display_operation_id(true);
    let headers =
        DefaultHeaders::new().add((CONTENT_SECURITY_POLICY, PAGE_POLICY)).add((CACHE_CONTROL, "no-cache"));
    app.route(DOCUMENT, web::get().to(get_document))
        .service(web::redirect("/swagger", "/swagger/index.html"))
        .service(web::scope("/swagger").wrap(headers).service(SwaggerUi::new("/{_:.*}").config(config)));
}
