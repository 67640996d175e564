//! The table of every code that a refusal or failure can carry. `docs/api.md` holds the same table; a test
//! compares them.

use balance_domain::{Invalid, Rejection};

macro_rules! codes {
    ($($name:ident: $status:literal $code:literal, $title:literal, $remedy:literal;)+) => {
        /// Why a request was refused or failed. Codes are stable: callers branch on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as callers see it.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The HTTP status.
            pub(crate) const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// What happened, in a few words that are the same for every occurrence.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What a caller should do about it.
            pub(crate) const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)+ }
            }
        }
    };
}

codes! {
    InvalidJson: 400 "invalid_json", "The body is not one JSON object",
        "Send exactly one JSON object in UTF-8, without a byte order mark and without anything behind it.";
    UnknownField: 400 "unknown_field", "A field is not known here",
        "Remove the field; check its spelling against the description of the call.";
    DuplicateField: 400 "duplicate_field", "A field appears twice",
        "Send every field once.";
    MissingField: 400 "missing_field", "A required field is missing",
        "Add the field.";
    InvalidType: 400 "invalid_type", "A value has the wrong type",
        "Send the type that the description names; leave an optional field out instead of sending null.";
    InvalidAmount: 400 "invalid_amount", "An amount is not valid",
        "Send an integer of minor units from 1 to 9007199254740991, not a string and without a fraction.";
    InvalidId: 400 "invalid_id", "An id is not valid",
        "Send an integer from 1 to 9223372036854775807.";
    InvalidComment: 400 "invalid_comment", "A comment is not valid",
        "Send at most 1024 bytes of UTF-8 without control characters other than tab and line feed.";
    InvalidServiceName: 400 "invalid_service_name", "A service name is not valid",
        "Send 1 to 255 bytes of UTF-8 without control characters and without space at the ends.";
    InvalidExpiresInSeconds: 400 "invalid_expires_in_seconds", "A time limit is not valid",
        "Send whole seconds from 1 to 2592000 (30 days).";
    InvalidKeyName: 400 "invalid_key_name", "The name of a key is not valid",
        "Send 1 to 255 bytes of UTF-8 without control characters and without space at the ends.";
    InvalidScope: 400 "invalid_scope", "A list of scopes is not valid",
        "Send an array of 1 or more of the scopes that the description lists.";
    InvalidExpiresInDays: 400 "invalid_expires_in_days", "A lifetime is not valid",
        "Send whole days from 1 to 3650.";
    InvalidMonth: 400 "invalid_month", "A month is not valid",
        "Write the month as YYYY-MM.";
    InvalidTime: 400 "invalid_time", "A time is not valid",
        "Write the time as in RFC 3339, for example 2026-11-24T09:30:00Z; encode a + in a URL as %2B.";
    InvalidKind: 400 "invalid_kind", "A kind is not valid",
        "Use one of the kinds that the description lists.";
    InvalidState: 400 "invalid_state", "A state is not valid",
        "Use active, captured, released or expired.";
    InvalidSort: 400 "invalid_sort", "A sort order is not valid",
        "Use -created_at, created_at, -amount or amount.";
    InvalidFor: 400 "invalid_for", "The purpose of a file is not valid",
        "Send for=excel, or leave it out.";
    InvalidMode: 400 "invalid_mode", "A batch mode is not valid",
        "Use independent or atomic.";
    InvalidItems: 400 "invalid_items", "A list is not valid",
        "Send an array of 1 to 1000 objects.";
    InvalidLimit: 400 "invalid_limit", "A page size is not valid",
        "Send an integer from 1 to 200; of events up to 1000.";
    InvalidEventType: 400 "invalid_event_type", "A type of event is not valid",
        "Use the types that docs/api.md lists, or a group such as balance.operation.*.";
    InvalidWait: 400 "invalid_wait", "A time to wait is not valid",
        "Send whole seconds from 0 to 25.";
    InvalidCursor: 400 "invalid_cursor", "A cursor is not valid",
        "Send next_cursor of the page before, unchanged, with the same filters and sort order; start without a cursor otherwise.";
    UnknownParameter: 400 "unknown_parameter", "A query parameter is not known here",
        "Remove the parameter; check its spelling against the description of the call.";
    DuplicateParameter: 400 "duplicate_parameter", "A query parameter appears twice",
        "Send every parameter once.";
    MissingParameter: 400 "missing_parameter", "A required query parameter is missing",
        "Add the parameter.";
    IdempotencyKeyRequired: 400 "idempotency_key_required", "The Idempotency-Key header is missing",
        "Send a key that is new for this request, and the same key again with every repeat of it.";
    InvalidIdempotencyKey: 400 "invalid_idempotency_key", "The idempotency key is not valid",
        "Send one key of 1 to 255 visible ASCII characters.";
    BadRequest: 400 "bad_request", "The request is not valid HTTP for this call",
        "Check the request line, the headers and the encoding of the path.";
    Unauthenticated: 401 "unauthenticated", "No valid API key was given",
        "Send a live key as Authorization: Bearer or as X-Api-Key.";
    KeyExpired: 401 "key_expired", "The API key has expired",
        "Use a new key; ask the operator for one.";
    KeyRevoked: 401 "key_revoked", "The API key was revoked",
        "Use another key; a revoked one never works again.";
    Forbidden: 403 "forbidden", "The API key lacks a scope",
        "Use a key that has the scope named in detail.";
    HostNotAllowed: 403 "host_not_allowed", "Without an API key only this machine is served",
        "Call http://localhost or http://127.0.0.1, or make an API key.";
    AccountNotFound: 404 "account_not_found", "There is no such account",
        "Check the user id; an account appears with the first deposit or incoming transfer.";
    ServiceNotFound: 404 "service_not_found", "There is no such service",
        "Check the service id, or add the service first.";
    ReservationNotFound: 404 "reservation_not_found", "There is no such reservation",
        "Check user, service and order together: all three identify a reservation.";
    OperationNotFound: 404 "operation_not_found", "No operation answers for this key",
        "The request with this key had no effect so far. It may be sent again with the same key.";
    KeyNotFound: 404 "key_not_found", "There is no such API key",
        "List the keys; a key of the configuration is changed there.";
    ReportNotFound: 404 "report_not_found", "No report was built for this month",
        "Build it with POST /api/v1/reports/revenue.";
    RouteNotFound: 404 "route_not_found", "There is nothing at this address",
        "Check the path against the OpenAPI document.";
    MethodNotAllowed: 405 "method_not_allowed", "The address does not know this method",
        "Use a method of the Allow header.";
    RequestTimeout: 408 "request_timeout", "The body did not arrive in time",
        "Send the request again with the same idempotency key.";
    ServiceRetired: 409 "service_retired", "The service is retired",
        "Use another service; a retired one takes no new reservation.";
    ReservationSuperseded: 409 "reservation_superseded", "The order was reserved again since the hold that is meant",
        "Look the reservation up; name its reserve_seq, or none, only if that hold is meant, too.";
    ReservationExists: 409 "reservation_exists", "The order has an active reservation for this service",
        "Capture, release or extend the active one.";
    ReservationCaptured: 409 "reservation_captured", "The reservation was captured",
        "Nothing is left to do; a refund gives captured money back.";
    ReservationReleased: 409 "reservation_released", "The reservation was released",
        "Reserve again if the order is still wanted.";
    ReservationExpired: 409 "reservation_expired", "The reservation has expired",
        "Reserve again if the order is still wanted.";
    NothingToRefund: 409 "nothing_to_refund", "No captured money is left to refund",
        "Read the reservation: captured and refunded tell what was done.";
    AccountNotEmpty: 409 "account_not_empty", "The account still holds money",
        "Withdraw what is available and end active reservations first.";
    CursorAhead: 409 "cursor_ahead", "The cursor lies behind the end of the feed",
        "A restore or a fail-over took back what you saw. Compare what you hold with the ledger, then start again from earliest.";
    ServiceExists: 409 "service_exists", "The service id is taken",
        "Choose another id, or rename the existing service. Nothing of the list was added.";
    ServiceNameTaken: 409 "service_name_taken", "The service name is taken",
        "Choose another name. Names of retired services stay taken. Nothing was changed.";
    MonthNotBegun: 409 "month_not_begun", "The month has not begun",
        "Ask again once it has begun in the accounting time zone.";
    AccountClosed: 410 "account_closed", "The account was closed",
        "Do not use this user id again: closing is for good.";
    PayloadTooLarge: 413 "payload_too_large", "The body is too large",
        "Send at most 64 KiB, for batches 1 MiB, unless the operator chose other limits; split the batch.";
    UnsupportedMediaType: 415 "unsupported_media_type", "The body is not application/json",
        "Send Content-Type: application/json and no Content-Encoding.";
    IdempotencyKeyReused: 422 "idempotency_key_reused", "The idempotency key was used for another request",
        "Use a new key for a new request. A repeat must be the same in every field.";
    SameAccount: 422 "same_account", "A transfer needs two different users",
        "Name two different users.";
    CaptureExceedsReserved: 422 "capture_exceeds_reserved", "More than is left of the reservation",
        "Capture at most what the reservation has left (reserved), or leave amount out.";
    RefundExceedsCaptured: 422 "refund_exceeds_captured", "More than is left of what was captured",
        "Refund at most captured minus refunded, or leave amount out.";
    InsufficientFunds: 422 "insufficient_funds", "The user cannot spend that much",
        "Deposit first or ask for less. The same key may be sent again.";
    BalanceLimitExceeded: 422 "balance_limit_exceeded", "The account would hold too much",
        "An account holds at most 9007199254740991 minor units.";
    RateLimited: 429 "rate_limited", "Too many requests",
        "Wait for the seconds in Retry-After, then send the request again.";
    Internal: 500 "internal", "The service failed",
        "Tell the operator the request_id. With executed unknown, repeat a money request under the same key.";
    EventsUnordered: 501 "events_unordered", "This store has no order of events",
        "The feed needs SQLite or a plain PostgreSQL; on Citus read histories instead.";
    Unavailable: 503 "unavailable", "The store cannot be reached",
        "Send the request again after Retry-After, with the same key. Nothing was executed.";
    Overloaded: 503 "overloaded", "Too much work is queued",
        "Send the request again after Retry-After, with the same key. Nothing was executed.";
    ClockUnsafe: 503 "clock_unsafe", "The clock cannot be trusted",
        "Send the request again after Retry-After, with the same key. Nothing was executed; tell the operator if it lasts.";
    OutcomeUnknown: 503 "outcome_unknown", "The outcome is unknown",
        "Send the same request with the same key until it is answered otherwise: the key makes that safe.";
    TooManyFollowers: 503 "too_many_followers", "Too many callers wait for events",
        "Try again after Retry-After, or ask without wait.";
    ReportNotPublished: 503 "report_not_published", "The report file could not be written",
        "Tell the operator; building the report again is safe.";
}

impl From<Invalid> for Code {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Amount => Self::InvalidAmount,
            Invalid::Id => Self::InvalidId,
            Invalid::IdempotencyKey => Self::InvalidIdempotencyKey,
            Invalid::Comment => Self::InvalidComment,
            Invalid::ServiceName => Self::InvalidServiceName,
            Invalid::Month => Self::InvalidMonth,
            Invalid::Timestamp => Self::InvalidTime,
            Invalid::Ttl => Self::InvalidExpiresInSeconds,
            Invalid::Limit | Invalid::EventLimit => Self::InvalidLimit,
            Invalid::EventType => Self::InvalidEventType,
            Invalid::KeyName => Self::InvalidKeyName,
            Invalid::KeyDays => Self::InvalidExpiresInDays,
            // No request carries these.
            Invalid::Zone
            | Invalid::Currency
            | Invalid::LedgerId
            | Invalid::Scope
            | Invalid::ApiKeyId
            | Invalid::Actor => Self::BadRequest,
        }
    }
}

impl From<&Rejection> for Code {
    fn from(rejection: &Rejection) -> Self {
        match rejection {
            Rejection::IdempotencyKeyReused => Self::IdempotencyKeyReused,
            Rejection::SameAccount => Self::SameAccount,
            Rejection::AccountNotFound(_) => Self::AccountNotFound,
            Rejection::AccountClosed(_) => Self::AccountClosed,
            Rejection::ServiceNotFound(_) => Self::ServiceNotFound,
            Rejection::ServiceRetired(_) => Self::ServiceRetired,
            Rejection::ReservationNotFound(_) => Self::ReservationNotFound,
            Rejection::ReservationSuperseded { .. } => Self::ReservationSuperseded,
            Rejection::ReservationExists => Self::ReservationExists,
            Rejection::ReservationCaptured => Self::ReservationCaptured,
            Rejection::ReservationReleased => Self::ReservationReleased,
            Rejection::ReservationExpired => Self::ReservationExpired,
            Rejection::NothingToRefund => Self::NothingToRefund,
            Rejection::CaptureExceedsReserved { .. } => Self::CaptureExceedsReserved,
            Rejection::RefundExceedsCaptured { .. } => Self::RefundExceedsCaptured,
            Rejection::InsufficientFunds { .. } => Self::InsufficientFunds,
            Rejection::BalanceLimitExceeded(_) => Self::BalanceLimitExceeded,
            Rejection::AccountNotEmpty { .. } => Self::AccountNotEmpty,
        }
    }
}
