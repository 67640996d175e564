//! What happened and is no operation: accounts closed, reservations extended, keys changed.
//!
//! A fact is written in the transaction of what it reports, and stands in the feed between the operations
//! ([`Event`](crate::Event)).

use std::collections::BTreeMap;

use crate::{Account, Actor, ApiKey, ApiKeyId, Reservation, Scope, ServiceId, Timestamp, UserId};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FactKind {
            $($(#[$doc])* $name,)+
        }

        impl FactKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name in the stores, and in the feed behind `balance.`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

kinds! {
    /// An account was closed; the free text of its history is gone.
    AccountClosed = "account.closed";
    /// The deadline of a reservation was moved.
    ReservationExtended = "reservation.extended";
    /// An API key was made.
    KeyCreated = "key.created";
    /// An API key was taken back.
    KeyRevoked = "key.revoked";
    /// Callers were refused for their key or its scopes, since the last such fact about them.
    AccessRefused = "access.refused";
}

impl FactKind {
    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

/// A value of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
}

impl From<i64> for Detail {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Timestamp> for Detail {
    fn from(time: Timestamp) -> Self {
        Self::Text(time.to_string())
    }
}

/// The values of a fact, by name.
pub type Details = BTreeMap<String, Detail>;

/// Something that happened and is no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What happened.
    pub kind: FactKind,
    /// What it happened to, for example `users/42`.
    pub subject: String,
    /// Whose account it is about.
    pub user_id: Option<UserId>,
    /// That account's number of operations then: the fact comes right behind the last of them. 0 without an account.
    pub seq: i64,
    /// The service it is about.
    pub service_id: Option<ServiceId>,
    /// Who did it.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// The rest.
    pub details: Details,
}

/// A fact as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFact {
    /// Its number, unique in its ledger for ever; not without gaps.
    pub id: i64,
    /// The fact.
    pub fact: Fact,
}

impl Fact {
    fn new(kind: FactKind, subject: String, actor: Actor, at: Timestamp) -> Self {
        Self { kind, subject, user_id: None, seq: 0, service_id: None, actor, at, details: Details::new() }
    }

    fn with(mut self, name: &str, detail: impl Into<Detail>) -> Self {
        self.details.insert(name.to_owned(), detail.into());
        self
    }

    /// Something about an account, at the time of its last operation or later.
    fn about_account(kind: FactKind, account: &Account, actor: Actor, now: Timestamp) -> Self {
        let at = now.max(account.last_at);
        let fact = Self::new(kind, format!("users/{}", account.user_id), actor, at);
        Self { user_id: Some(account.user_id), seq: account.seq, ..fact }
            .with("user_id", account.user_id.get())
    }

    /// The account was closed.
    pub fn account_closed(account: &Account, actor: Actor, now: Timestamp) -> Self {
        Self::about_account(FactKind::AccountClosed, account, actor, now)
    }

    /// The reservation of this account has another deadline.
    pub fn reservation_extended(
        account: &Account,
        reservation: &Reservation,
        actor: Actor,
        now: Timestamp,
    ) -> Self {
        let service_id = reservation.key.service_id;
        let fact = Self::about_account(FactKind::ReservationExtended, account, actor, now)
            .with("service_id", service_id.get())
            .with("order_id", reservation.key.order_id.get())
            .with("expires_at", reservation.expires_at);
        Self { service_id: Some(service_id), ..fact }
    }

    /// The key was made.
    pub fn key_created(key: &ApiKey, actor: Actor) -> Self {
        let scopes = key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
        let fact = Self::about_key(FactKind::KeyCreated, key, actor, key.created_at)
            .with("scopes", Detail::Texts(scopes));
        match key.expires_at {
            Some(expires_at) => fact.with("expires_at", expires_at),
            None => fact,
        }
    }

    /// The key was taken back.
    pub fn key_revoked(key: &ApiKey, actor: Actor, at: Timestamp) -> Self {
        Self::about_key(FactKind::KeyRevoked, key, actor, at)
    }

    fn about_key(kind: FactKind, key: &ApiKey, actor: Actor, at: Timestamp) -> Self {
        Self::new(kind, format!("keys/{}", key.id), actor, at)
            .with("id", key.id.as_str())
            .with("name", key.name.as_str())
    }

    /// `count` calls were refused: with a key that is not live or whose secret is wrong, or that lacks this scope.
    pub fn access_refused(key: ApiKeyId, lacking: Option<Scope>, count: i64, at: Timestamp) -> Self {
        let code = if lacking.is_some() { "forbidden" } else { "unauthenticated" };
        let fact = Self::new(FactKind::AccessRefused, format!("keys/{key}"), Actor::Key(key), at)
            .with("code", code)
            .with("count", count);
        match lacking {
            Some(scope) => fact.with("scope", scope.as_str()),
            None => fact,
        }
    }
}
