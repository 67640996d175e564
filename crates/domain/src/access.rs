//! Who may do what: API keys and their scopes.
//!
//! A key is shown once, as `bal_<id>_<secret>`; only the SHA-256 of the secret is kept. The secret is 256
//! random bits, so a slow password hash would add load and no safety.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::{Invalid, Timestamp};

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
    /// Everything.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 12] = [
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

/// The public part of a key: 12 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId([u8; 12]);

impl ApiKeyId {
    /// Accepts 12 lower-case hexadecimal digits.
    pub fn new(id: impl AsRef<str>) -> Result<Self, Invalid> {
        let digits = <[u8; 12]>::try_from(id.as_ref().as_bytes()).map_err(|_| Invalid::ApiKeyId)?;
        let is_hex = digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex { Ok(Self(digits)) } else { Err(Invalid::ApiKeyId) }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeyId({self})")
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
