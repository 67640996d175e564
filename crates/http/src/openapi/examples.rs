//! One example of a problem per code, and which codes a malformed request may be refused with.

use serde_json::{Map, Value, json};

use crate::problem::Code;

/// The example of every code, for `components/examples`.
pub(super) fn of_all_codes() -> Value {
    let examples = Code::ALL.iter().map(|code| (code.as_str().to_owned(), of(*code)));
    Value::Object(examples.collect::<Map<_, _>>())
}

/// References to the examples of these codes.
pub(super) fn references(codes: &[Code]) -> Value {
    let reference = |code: &Code| json!({ "$ref": format!("#/components/examples/{}", code.as_str()) });
    let references = codes.iter().map(|code| (code.as_str().to_owned(), reference(code)));
    Value::Object(references.collect::<Map<_, _>>())
}

fn of(code: Code) -> Value {
    let (instance, pointer, detail) = said(code);
    let executed = if matches!(code, Code::OutcomeUnknown) { "unknown" } else { "no" };
    let mut problem = json!({
        "type": format!("urn:balance:problem:{}", code.as_str()),
        "title": code.title(),
        "status": code.status(),
        "detail": detail,
        "instance": instance,
        "code": code.as_str(),
        "request_id": "0199a3f2-7b1c-7d2e-9c41-1f2e3d4c5b6a",
        "executed": executed,
    });
    if code.status() == 400 && code != Code::BadRequest {
        problem["errors"] = json!([{ "pointer": pointer, "code": code.as_str(), "detail": detail }]);
    }
    json!({ "summary": code.title(), "description": code.remedy(), "value": problem })
}

const DEPOSIT: &str = "/api/v1/users/42/deposits";
const WITHDRAWAL: &str = "/api/v1/users/42/withdrawals";
const TRANSFER: &str = "/api/v1/transfers";
const RESERVE: &str = "/api/v1/reservations";
const CAPTURE: &str = "/api/v1/reservations/capture";
const REFUND: &str = "/api/v1/reservations/refund";
const HISTORY: &str = "/api/v1/users/42/operations";
const SERVICES: &str = "/api/v1/services";
const EVENTS: &str = "/api/v1/events";
const KEYS: &str = "/api/v1/keys";
const REPORT: &str = "/api/v1/reports/revenue";

/// Where it is said, of what, and in which words. Calls that may be refused for the same reason share the example.
fn said(code: Code) -> (&'static str, &'static str, &'static str) {
    match code {
        Code::InvalidJson => (DEPOSIT, "", "the body is not valid JSON at line 1, column 17"),
        Code::UnknownField => (DEPOSIT, "/coment", "there is no such field here"),
        Code::DuplicateField => (DEPOSIT, "/amount", "this field was sent more than once"),
        Code::MissingField => (DEPOSIT, "/amount", "this field is required"),
        Code::InvalidType => (CAPTURE, "/final", "this must be true or false"),
        Code::InvalidAmount => {
            (DEPOSIT, "/amount", "an amount is an integer from 1 to 9007199254740991 minor units")
        }
        Code::InvalidId => (TRANSFER, "/to_user_id", "an id is an integer from 1 to 9223372036854775807"),
        Code::InvalidComment => (
            DEPOSIT,
            "/comment",
            "a comment is at most 1024 bytes of text without control characters other than tab and line feed",
        ),
        Code::InvalidServiceName => (SERVICES, "/services/0/name", code.title()),
        Code::InvalidExpiresInSeconds => (RESERVE, "/expires_in_seconds", code.title()),
        Code::InvalidKeyName => (KEYS, "/name", code.title()),
        Code::InvalidScope => (KEYS, "/scopes", code.title()),
        Code::InvalidExpiresInDays => (KEYS, "/expires_in_days", code.title()),
        Code::KeyNotFound => ("/api/v1/keys/0123456789ab", "", "there is no key 0123456789ab"),
        Code::InvalidEventType => (EVENTS, "types", code.title()),
        Code::InvalidWait => (EVENTS, "wait", code.title()),
        Code::CursorAhead | Code::EventsUnordered | Code::TooManyFollowers => (EVENTS, "", code.title()),
        Code::InvalidMonth => (REPORT, "/month", code.title()),
        Code::InvalidTime => (HISTORY, "from", code.title()),
        Code::InvalidKind => (HISTORY, "kind", code.title()),
        Code::InvalidState => ("/api/v1/users/42/reservations", "state", code.title()),
        Code::InvalidSort => (HISTORY, "sort", code.title()),
        Code::InvalidFor => ("/api/v1/reports/revenue/2026-10.csv", "for", "this must be one of excel"),
        Code::InvalidMode => ("/api/v1/batches", "/mode", "this must be independent or atomic"),
        Code::InvalidItems => (SERVICES, "/services", "this must be an array of 1 to 1000 objects"),
        Code::InvalidLimit => (HISTORY, "limit", code.title()),
        Code::InvalidCursor => (HISTORY, "cursor", code.title()),
        Code::UnknownParameter => (HISTORY, "page", "there is no such parameter"),
        Code::DuplicateParameter => (HISTORY, "limit", "this parameter was sent more than once"),
        Code::MissingParameter => (RESERVE, "order_id", "this parameter is required"),
        Code::IdempotencyKeyRequired => {
            (DEPOSIT, "Idempotency-Key", "this request needs the header Idempotency-Key")
        }
        Code::InvalidIdempotencyKey => (DEPOSIT, "Idempotency-Key", code.title()),
        Code::Forbidden => (WITHDRAWAL, "", "the key lacks the scope withdraw"),
        Code::AccountNotFound => (WITHDRAWAL, "", "there is no account of user 42"),
        Code::AccountClosed => (DEPOSIT, "", "the account of user 42 is closed"),
        Code::AccountNotEmpty => (
            "/api/v1/users/42",
            "",
            "the account still holds money: 300000 available and 50000 reserved minor units",
        ),
        Code::ServiceNotFound => (RESERVE, "", "there is no service 7"),
        Code::ServiceRetired => (RESERVE, "", "service 7 is retired"),
        Code::ServiceExists => (SERVICES, "", "service 7 exists already"),
        Code::ServiceNameTaken => (SERVICES, "", "another service is named \"Delivery\" already"),
        Code::ReservationNotFound => (CAPTURE, "", "user 42 has no reservation for service 7 and order 1001"),
        Code::CaptureExceedsReserved => {
            (CAPTURE, "", "only 50000 minor units of the reservation are left to capture")
        }
        Code::NothingToRefund => (REFUND, "", "no captured money is left to refund"),
        Code::RefundExceedsCaptured => (REFUND, "", "only 40000 captured minor units are left to refund"),
        Code::InsufficientFunds => (WITHDRAWAL, "", "only 300000 minor units are available"),
        Code::BalanceLimitExceeded => {
            (DEPOSIT, "", "the account of user 42 would hold more than 9007199254740991 minor units")
        }
        Code::SameAccount => (TRANSFER, "", "a transfer needs two different users"),
        Code::ReservationSuperseded => {
            (CAPTURE, "", "this order is held by operation 7 of the user, not by the one that was named")
        }
        Code::ReservationExists => (RESERVE, "", "this order has an active reservation for this service"),
        Code::ReservationCaptured | Code::ReservationReleased | Code::ReservationExpired => {
            (CAPTURE, "", code.title())
        }
        Code::OperationNotFound => ("/api/v1/users/42/operations/by-key/topup-8f14e45f", "", code.title()),
        Code::ReportNotFound | Code::MonthNotBegun | Code::ReportNotPublished => (REPORT, "", code.title()),
        Code::PayloadTooLarge => (DEPOSIT, "", "the body is larger than 65536 bytes"),
        _ => (DEPOSIT, "", code.title()),
    }
}

/// The codes of 400 that a field, parameter or header of this name may bring.
pub(super) fn codes_of(name: &str) -> &'static [Code] {
    match name {
        "amount" | "min_amount" | "max_amount" => &[Code::InvalidAmount],
        "comment" => &[Code::InvalidComment],
        "name" => &[Code::InvalidServiceName, Code::InvalidKeyName],
        "scopes" => &[Code::InvalidScope],
        "expires_in_days" => &[Code::InvalidExpiresInDays],
        "types" => &[Code::InvalidEventType],
        "wait" => &[Code::InvalidWait],
        "expires_in_seconds" => &[Code::InvalidExpiresInSeconds],
        "month" => &[Code::InvalidMonth],
        "from" | "to" | "expires_before" => &[Code::InvalidTime],
        "kind" => &[Code::InvalidKind],
        "state" => &[Code::InvalidState],
        "sort" => &[Code::InvalidSort],
        "mode" => &[Code::InvalidMode],
        "for" => &[Code::InvalidFor],
        "commands" | "services" => &[Code::InvalidItems],
        "limit" => &[Code::InvalidLimit],
        "cursor" => &[Code::InvalidCursor],
        "final" | "dry_run" => &[Code::InvalidType],
        "Idempotency-Key" => &[Code::IdempotencyKeyRequired, Code::InvalidIdempotencyKey],
        "key" | "idempotency_key" => &[Code::InvalidIdempotencyKey],
        name if super::bounds::is_id(name) => &[Code::InvalidId],
        _ => &[],
    }
}
