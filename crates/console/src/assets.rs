//! The style, the script and the icon: named by their content, so that browsers keep them for ever.

use std::sync::OnceLock;

use actix_web::{HttpResponse, http::header::CACHE_CONTROL, web::Path};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../static/style.css");
const SCRIPT: &str = include_str!("../static/console.js");
const ICON: &str = include_str!("../static/icon.svg");

/// Where the files are: style, script, icon.
pub(crate) struct Addresses {
    pub(crate) style: String,
    pub(crate) script: String,
    pub(crate) icon: String,
}

/// The addresses of this version of the files.
pub(crate) fn addresses() -> &'static Addresses {
    static ADDRESSES: OnceLock<Addresses> = OnceLock::new();
    ADDRESSES.get_or_init(|| {
        let address = |name: &str, text: &str| {
            let digest = Sha256::digest(text);
            let version = digest.iter().take(6).fold(0_u64, |version, byte| version << 8 | u64::from(*byte));
            format!("/console/files/{version:012x}-{name}")
        };
        Addresses {
            style: address("style.css", STYLE),
            script: address("console.js", SCRIPT),
            icon: address("icon.svg", ICON),
        }
    })
}

/// A file; anybody may have it.
pub(crate) async fn get(name: Path<String>) -> HttpResponse {
    let asked = format!("/console/files/{name}");
    let known = addresses();
    let (content_type, text) = match asked {
        asked if asked == known.style => ("text/css; charset=utf-8", STYLE),
        asked if asked == known.script => ("text/javascript; charset=utf-8", SCRIPT),
        asked if asked == known.icon => ("image/svg+xml", ICON),
        _ => return HttpResponse::NotFound().finish(),
    };
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(text)
}
