//! Who may do what: API keys and their scopes.
//!
//! A key is shown once, as `bal_<id>_<secret>`; only the SHA-256 of the secret is kept. The secret is 256
//! random bits, so a slow password hash would add load and no safety.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::{ApiKeyId, Invalid, KeyName, Timestamp};

/// One thing that a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Balances and reservations.
    BalanceRead,
    /// Operations.
    HistoryRead,
    /// Deposits.
    Deposit,
    /// Withdrawals.
    Withdraw,
    /// Transfers.
    Transfer,
    /// Reserve, capture, release, extend.
    Reserve,
    /// Refunds.
    Refund,
    /// Reservations of all users.
    Search,
    /// Revenue reports.
    Report,
    /// Changes of the service catalogue.
    ServicesWrite,
    /// Closing accounts.
    UsersDelete,
    /// The feed of events.
    EventsRead,
    /// Everything.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 13] = [
        Self::BalanceRead,
        Self::HistoryRead,
        Self::Deposit,
        Self::Withdraw,
        Self::Transfer,
        Self::Reserve,
        Self::Refund,
        Self::Search,
        Self::Report,
        Self::ServicesWrite,
        Self::UsersDelete,
        Self::EventsRead,
        Self::Admin,
    ];

    /// The name in configuration, CLI and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BalanceRead => "balance:read",
            Self::HistoryRead => "history:read",
            Self::Deposit => "deposit",
            Self::Withdraw => "withdraw",
            Self::Transfer => "transfer",
            Self::Reserve => "reserve",
            Self::Refund => "refund",
            Self::Search => "search",
            Self::Report => "report",
            Self::ServicesWrite => "services:write",
            Self::UsersDelete => "users:delete",
            Self::EventsRead => "events:read",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name).ok_or(Invalid::Scope)
    }
}

/// Id and secret of a token `bal_<id>_<secret>`: 12 and 64 lower-case hexadecimal digits. Nothing for any other text,
/// before a byte of it is hashed: how long a token is decides its sender.
pub fn split_token(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.strip_prefix("bal_")?.split_once('_')?;
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (id.len() == 12 && secret.len() == 64 && is_hex(id) && is_hex(secret)).then_some((id, secret))
}

/// What is kept of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// SHA-256 of the secret as it is sent.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part.
    pub id: ApiKeyId,
    /// Whom or what it was made for.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// What is kept of its secret.
    pub secret_hash: SecretHash,
    /// The key that it was made from, for a visit of the console: it is worthless without that one.
    pub parent_id: Option<ApiKeyId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From this instant on it is worthless.
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// A wish for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiKey {
    /// Whom or what it is for.
    pub name: KeyName,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// After how many days it is worthless; never if `None`.
    pub expires_in_days: Option<KeyDays>,
}

/// For how many days a key lives: `1 ..= 3650`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyDays(u16);

impl KeyDays {
    /// Ten years.
    pub const MAX: u16 = 3_650;

    /// Accepts `1 ..= 3650`.
    pub const fn new(days: u16) -> Result<Self, Invalid> {
        if days < 1 || days > Self::MAX { Err(Invalid::KeyDays) } else { Ok(Self(days)) }
    }

    /// The number of days.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl NewApiKey {
    /// How much randomness a key takes.
    pub const RANDOM_BYTES: usize = ApiKeyId::RANDOM_BYTES + 32;

    /// The key, made at `now` of random bytes, and the token to send, of which only a hash is kept.
    pub fn mint(self, random: [u8; Self::RANDOM_BYTES], now: Timestamp) -> (ApiKey, String) {
        let (id, secret) = random.split_at(ApiKeyId::RANDOM_BYTES);
        let id = ApiKeyId::of_random(id.try_into().unwrap_or_default());
        let secret = hex(secret);
        let token = format!("bal_{id}_{secret}");
        let expires_at = self.expires_in_days.map(|days| {
            let micros = now.micros().saturating_add(i64::from(days.get()) * 24 * 60 * 60 * 1_000_000);
            Timestamp::from_micros(micros).unwrap_or(Timestamp::MAX)
        });
        let mut scopes = self.scopes;
        scopes.sort_unstable();
        scopes.dedup();
        let key = ApiKey {
            id,
            name: self.name.as_str().to_owned(),
            scopes,
            secret_hash: SecretHash::of(&secret),
            created_at: now,
            expires_at,
            parent_id: None,
            revoked_at: None,
            last_used_at: None,
        };
        (key, token)
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

impl ApiKey {
    /// Neither expired nor revoked at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Whether it may be used for this.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}
