//! Why a raw value is not a value of the domain. Values are parsed once, at the edge; past it nothing
//! re-checks.

/// A raw value that no newtype of the domain accepts.
///
/// Codes are stable and part of the public contract (`docs/api.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not an integer of minor units in `1 ..= 2^53-1`.
    #[error("an amount is an integer of minor units from 1 to 9007199254740991")]
    Amount,
    /// Not an integer in `1 ..= 2^63-1`.
    #[error("an id is an integer from 1 to 9223372036854775807")]
    Id,
    /// Not 1 to 255 visible ASCII characters.
    #[error("an idempotency key is 1 to 255 visible ASCII characters")]
    IdempotencyKey,
    /// Longer than 1,024 bytes of UTF-8, or with a control character other than tab and line feed.
    #[error(
        "a comment is at most 1024 bytes of UTF-8 without control characters other than tab and line feed"
    )]
    Comment,
    /// Blank, longer than 255 bytes, with a control character, or with space at an end.
    #[error("a service name is 1 to 255 bytes of UTF-8 without control characters or space at its ends")]
    ServiceName,
    /// Not `YYYY-MM` with a year from 0001 to 9998 and a month from 01 to 12.
    #[error("a month is written YYYY-MM")]
    Month,
    /// Not an RFC 3339 time.
    #[error("a time is written as in RFC 3339, for example 2026-11-24T09:30:00Z")]
    Timestamp,
    /// Not a name of the IANA time zone database.
    #[error("a time zone is named as in the IANA database, for example Europe/Moscow")]
    Zone,
    /// Not a code of ISO 4217.
    #[error("a currency is a code of ISO 4217, for example RUB")]
    Currency,
    /// Not 32 lower-case hexadecimal digits.
    #[error("the id of a ledger is 32 lower-case hexadecimal digits")]
    LedgerId,
    /// Not a number of seconds from 1 to [`Ttl::SECONDS_MAX`](crate::Ttl::SECONDS_MAX).
    #[error("a time limit is 1 to 2592000 seconds")]
    Ttl,
    /// Not a page size from 1 to [`LIMIT_MAX`](crate::LIMIT_MAX).
    #[error("a limit is an integer from 1 to 200")]
    Limit,
    /// Not the name of a [`Scope`](crate::Scope).
    #[error("there is no such scope")]
    Scope,
    /// Not 12 lower-case hexadecimal digits.
    #[error("the id of an API key is 12 lower-case hexadecimal digits")]
    ApiKeyId,
    /// Blank, longer than 255 bytes, with a control character, or with space at an end.
    #[error("the name of a key is 1 to 255 bytes of UTF-8 without control characters or space at its ends")]
    KeyName,
    /// Not a number of days from 1 to 3650.
    #[error("a key lives 1 to 3650 days")]
    KeyDays,
    /// Not the name of a type of event, or of a group of them.
    #[error("there is no such type of event")]
    EventType,
    /// Not a page size from 1 to [`EVENTS_MAX`](crate::EVENTS_MAX).
    #[error("a limit is an integer from 1 to 1000")]
    EventLimit,
    /// Not the text of an [`Actor`](crate::Actor).
    #[error("an actor is key:<id>, anonymous, expiry or command_line")]
    Actor,
}

impl Invalid {
    /// The stable code of this error.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Amount => "invalid_amount",
            Self::Id => "invalid_id",
            Self::IdempotencyKey => "invalid_idempotency_key",
            Self::Comment => "invalid_comment",
            Self::ServiceName => "invalid_service_name",
            Self::Month => "invalid_month",
            Self::Timestamp => "invalid_time",
            Self::Zone => "invalid_zone",
            Self::Currency => "invalid_currency",
            Self::LedgerId => "invalid_ledger_id",
            Self::Ttl => "invalid_expires_in_seconds",
            Self::Limit | Self::EventLimit => "invalid_limit",
            Self::Scope => "invalid_scope",
            Self::ApiKeyId => "invalid_api_key_id",
            Self::KeyName => "invalid_key_name",
            Self::KeyDays => "invalid_expires_in_days",
            Self::EventType => "invalid_event_type",
            Self::Actor => "invalid_actor",
        }
    }
}
