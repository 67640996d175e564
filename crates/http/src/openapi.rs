//! The OpenAPI document: generated from handlers and wire types, finished by rule.

mod bounds;
mod examples;
mod finish;
mod order;
mod strings;

use std::sync::OnceLock;

use paperclip::actix::OpenApiExt;
use serde_json::Value;

use crate::routes;

/// The document of the contract as indented JSON, with a line feed at its end: what is committed as
/// `docs/openapi.json` and served at `/openapi.json` unless ids are answered as strings.
pub fn openapi_json() -> String {
    document_text(false).to_owned()
}

/// The document of an installation that answers ids as numbers or as strings, made once per process.
pub(crate) fn document_text(ids_as_strings: bool) -> &'static str {
    static TEXTS: [OnceLock<String>; 2] = [const { OnceLock::new() }; 2];
    TEXTS[usize::from(ids_as_strings)].get_or_init(|| {
        let mut document = document();
        if ids_as_strings {
            strings::ids_to_strings(&mut document);
        }
        let mut text = serde_json::to_string_pretty(&order::InOrder(&document)).unwrap_or_default();
        text.push('\n');
        text
    })
}

/// The finished document, with ids as numbers.
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
