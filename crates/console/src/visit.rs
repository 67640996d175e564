//! Who asks, and whether they may: looked at before anything else of a request.

use std::{future::Future, pin::Pin, sync::Arc};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::Method, web::Data};
use balance_domain::{Actor, ApiKey, Scope, Timestamp};

use crate::{
    console::{Console, ConsoleMode},
    failure::Failure,
    language::Language,
    session::{self, is_of_this_origin, token},
};

/// A visitor who was let in.
pub(crate) struct Visit {
    pub(crate) console: Data<Console>,
    pub(crate) language: Language,
    /// The child key of the visit; none while access is open.
    pub(crate) key: Option<Arc<ApiKey>>,
    /// Path and query, to come back to after a change of language.
    pub(crate) address: String,
    pub(crate) now: Timestamp,
}

impl Visit {
    /// Whether the visitor's key allows this.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.key.as_ref().is_none_or(|key| key.allows(scope))
    }

    /// Refuses a visitor whose key does not allow this.
    pub(crate) fn needs(&self, scope: Scope) -> Result<(), Failure> {
        if self.may(scope) { Ok(()) } else { Err(Failure::Forbidden(scope)) }
    }

    /// Whether the visitor may do this, rather than look at it.
    pub(crate) fn may_act(&self, scope: Scope) -> bool {
        self.console.mode == ConsoleMode::On && self.may(scope)
    }

    /// Who is written down for what the visitor does.
    pub(crate) fn actor(&self) -> Actor {
        self.key.as_ref().map_or(Actor::Anonymous, |key| Actor::Key(key.id))
    }

    async fn of(request: HttpRequest) -> Result<Self, Failure> {
        let console = request.app_data::<Data<Console>>().cloned().ok_or(Failure::Internal)?;
        let is_unsafe = !matches!(*request.method(), Method::GET | Method::HEAD);
        if is_unsafe && !is_of_this_origin(request.headers()) {
            return Err(Failure::ForeignOrigin);
        }
        let token = token(&request, console.is_behind_tls);
        let key = console.gate.admit(token.as_deref(), peer(&request)).await?;
        if let Some(key) = &key {
            // The log names it.
            request.extensions_mut().insert(Arc::clone(key));
        }
        let may_be_unsafe = console.mode == ConsoleMode::On || request.path() == session::LOG_OUT;
        if is_unsafe && !may_be_unsafe {
            return Err(Failure::ReadOnly);
        }
        let now = console.clock.now();
        let address =
            request.uri().path_and_query().map_or("/console", |address| address.as_str()).to_owned();
        Ok(Self { language: Language::of(&request), key, address, now, console })
    }
}

/// Where the request comes from.
pub(crate) fn peer(request: &HttpRequest) -> Option<std::net::IpAddr> {
    request.peer_addr().map(|address| address.ip())
}

impl FromRequest for Visit {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failure>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Box::pin(Self::of(request.clone()))
    }
}
