//! Logging in: an API key is pasted once and becomes a child key of eight hours, which lives in a cookie.

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{COOKIE, HOST, HeaderMap, HeaderValue, ORIGIN, SET_COOKIE},
};
use async_trait::async_trait;
use balance_domain::{ApiKey, ApiKeyId, ports::RepoError};
use cookie::{Cookie, SameSite, time::Duration};

use crate::failure::Failure;

/// Where a visit is ended; works in every mode.
pub(crate) const LOG_OUT: &str = "/console/logout";

/// Why a visitor is not let in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// No key, or none that is alive.
    #[error("no valid API key was given")]
    Unauthenticated,
    /// More requests than the key's quota; seconds until it may ask again.
    #[error("too many requests, come back in {0} seconds")]
    RateLimited(u32),
    /// The keys are not known, or could not be written.
    #[error(transparent)]
    Failed(#[from] RepoError),
}

/// A child key that was made for a visit.
#[derive(Debug)]
pub struct Session {
    /// `bal_<id>_<secret>`.
    pub token: String,
    /// How long it lives, in seconds: eight hours, or what is left of its parent.
    pub seconds: i64,
}

/// Who may come in: the keys and quotas of the API.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// The live key of this token, counted against its quota; `None` while no key was ever made and everybody may do
    /// everything.
    async fn admit(&self, token: Option<&str>, peer: Option<IpAddr>) -> Result<Option<Arc<ApiKey>>, Refused>;

    /// Makes a child of the key of this token: with its scopes, for eight hours, ending with it.
    async fn begin(&self, token: &str, peer: Option<IpAddr>) -> Result<Session, Refused>;

    /// What the key of this id is called, alive or not.
    fn key_name(&self, id: ApiKeyId) -> Option<String>;

    /// Revokes the child key of a visit.
    async fn end(&self, key: &ApiKey) -> Result<(), RepoError>;
}

/// The name of the cookie. Behind TLS browsers keep it to this host and to secure connections by its name.
const fn cookie_name(is_behind_tls: bool) -> &'static str {
    if is_behind_tls { "__Host-balance_console" } else { "balance_console" }
}

/// The token that a request carries.
pub(crate) fn token(request: &HttpRequest, is_behind_tls: bool) -> Option<String> {
    sent_cookie(request, cookie_name(is_behind_tls))
}

/// The value of a cookie that a request carries.
pub(crate) fn sent_cookie(request: &HttpRequest, name: &str) -> Option<String> {
    let sent = request.headers().get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let mut cookies = sent.flat_map(Cookie::split_parse).flatten();
    cookies.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

/// Has the browser keep a cookie.
pub(crate) fn set_cookie(answer: &mut HttpResponse, cookie: &Cookie<'_>) -> Result<(), Failure> {
    let value = HeaderValue::from_str(&cookie.to_string()).map_err(|_| Failure::Internal)?;
    answer.headers_mut().append(SET_COOKIE, value);
    Ok(())
}

/// The cookie of a visit. `Lax`, because people come from links in tickets.
pub(crate) fn cookie(session: &Session, is_behind_tls: bool) -> Cookie<'static> {
    Cookie::build((cookie_name(is_behind_tls), session.token.clone()))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_behind_tls)
        .max_age(Duration::seconds(session.seconds))
        .build()
}

/// A cookie that ends a visit.
pub(crate) fn no_cookie(is_behind_tls: bool) -> Cookie<'static> {
    let mut cookie = cookie(&Session { token: String::new(), seconds: 0 }, is_behind_tls);
    cookie.make_removal();
    cookie
}

/// Whether an unsafe request comes from a page of this origin. Browsers say so in `Sec-Fetch-Site`, older ones in
/// `Origin`. What says neither is no browser that another site could abuse, and carries no cookie by itself; it is
/// refused all the same.
pub(crate) fn is_of_this_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let origin = text(ORIGIN.as_str()).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_some() && origin == text(HOST.as_str())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn unsafe_requests_come_from_this_origin() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect::<HeaderMap>()
        };
        let host = ("host", "balance.example:8080");
        for (pairs, accepted) in [
            (vec![host, ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("sec-fetch-site", "same-site")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], false),
            (vec![host, ("sec-fetch-site", "none")], false),
            (vec![host, ("origin", "https://balance.example:8080")], true),
            (vec![host, ("origin", "https://evil.example")], false),
            (vec![host, ("origin", "null")], false),
            (vec![host], false),
            (vec![("origin", "https://evil.example")], false),
            (vec![host, ("sec-fetch-site", "cross-site"), ("origin", "https://balance.example:8080")], false),
        ] {
            assert_eq!(is_of_this_origin(&headers(&pairs)), accepted, "{pairs:?}");
        }
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() {
        let session = Session { token: "bal_x_y".to_owned(), seconds: 60 };
        let plain = cookie(&session, false).to_string();
        assert_eq!(plain, "balance_console=bal_x_y; HttpOnly; SameSite=Lax; Path=/; Max-Age=60");
        let secure = cookie(&session, true).to_string();
        assert_eq!(
            secure,
            "__Host-balance_console=bal_x_y; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60"
        );
        assert!(
            no_cookie(true)
                .to_string()
                .starts_with("__Host-balance_console=; HttpOnly; SameSite=Lax; Secure; Path=/")
        );
    }
}
