//! The OpenAPI document: generated from handlers and wire types, finished by rule.

mod bounds;
mod finish;

use std::sync::OnceLock;

use paperclip::actix::OpenApiExt;
use serde_json::Value;

use crate::routes;

/// The document of the contract as indented JSON, with a line feed at its end: what is committed as
/// `docs/openapi.json` and served at `/openapi.json`.
pub fn openapi_json() -> String {
    document_text().to_owned()
}

/// The same, made once per process.
pub(crate) fn document_text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
        text.push('\n');
        text
    })
}

/// The finished document.
pub(crate) fn document() -> Value {
    let mut generated = Value::Null;
    let app =
        actix_web::App::new().wrap_api().configure(routes::mount).with_raw_json_spec_v3(|app, document| {
            generated = document;
            app
        });
    drop(app);
    finish::finish(generated)
}
