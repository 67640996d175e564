//! Bounds, patterns and defaults, by the name of the field or parameter: one name means one thing in the whole
//! contract. The figures are the domain's own constants.

use balance_domain::{
    Amount, Comment, Currency, IdempotencyKey, KeyDays, LIMIT_DEFAULT, LIMIT_MAX, Scope, ServiceName, Ttl,
};
use serde_json::{Value, json};

use crate::{extract::ITEMS_MAX, wire::WaitSeconds};

/// Visible ASCII.
const KEY_PATTERN: &str = "^[!-~]+$";
/// No control characters but tab and line feed.
const COMMENT_PATTERN: &str = "^[^\\u0000-\\u0008\\u000B-\\u001F\\u007F-\\u009F]*$";
/// No control characters, no space at the ends.
const NAME_PATTERN: &str = "^[^\\s\\u0000-\\u001F\\u007F-\\u009F](?:[^\\u0000-\\u001F\\u007F-\\u009F]*[^\\s\\u0000-\\u001F\\u007F-\\u009F])?$";
/// Years 0001 to 9998.
const MONTH_PATTERN: &str = "^(?!0000|9999)[0-9]{4}-(?:0[1-9]|1[0-2])$";

/// Adds what the names of a parameter say.
pub(super) fn apply_to_parameter(parameter: &mut Value) {
    let Some(name) = parameter["name"].as_str().map(str::to_owned) else { return };
    if parameter.get("description").is_none() {
        parameter["description"] = json!(described(&name));
    }
    apply(meant(&name, &parameter["schema"]), &mut parameter["schema"]);
}

/// Adds what the names of an object's fields say, inside of nested ones too.
pub(super) fn apply_to_schema(schema: &mut Value) {
    for (name, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
    {
        apply(name, property);
        apply_to_schema(property);
    }
    if let Some(items) = schema.get_mut("items") {
        apply_to_schema(items);
    }
}

/// What a parameter is bounded as: a period of months has the names of a period of instants.
pub(super) fn meant<'a>(name: &'a str, schema: &Value) -> &'a str {
    if name == "sort" && schema["enum"][0] == "expires_at" {
        return "search_sort";
    }
    let is_month = matches!(name, "from" | "to") && schema.get("format").is_none();
    if is_month { "month" } else { name }
}

fn apply(name: &str, schema: &mut Value) {
    // Sums over accounts are wider than one account's figures of the same name.
    let is_wide = schema["type"] == "integer" && schema.get("format").is_none();
    // Ids of keys and events are texts.
    let is_text_id = name == "id" && schema["type"] == "string";
    if is_wide || is_text_id {
        return;
    }
    if let Value::Object(bounds) = bounds(name) {
        for (key, bound) in bounds {
            schema[key.as_str()] = bound;
        }
    }
}

/// Whether a field or parameter of this name holds an id, if it holds an integer at all.
pub(super) fn is_id(name: &str) -> bool {
    matches!(
        name,
        "user_id" | "from_user_id" | "to_user_id" | "counterparty_user_id" | "service_id" | "order_id" | "id"
    )
}

fn bounds(name: &str) -> Value {
    match name {
        "amount" | "min_amount" | "max_amount" => {
            json!({ "minimum": Amount::MIN.get(), "maximum": Amount::MAX.get() })
        }
        name if is_id(name) => json!({ "minimum": 1, "maximum": i64::MAX }),
        "available" | "reserved" | "total" | "available_after" | "reserved_after" | "captured"
        | "released" | "refunded" => json!({ "minimum": 0, "maximum": Amount::MAX.get() }),
        "seq" | "version" | "operation_seq" | "schema_version" => json!({ "minimum": 1 }),
        "reserve_seq" => json!({ "minimum": 1, "maximum": i64::MAX }),
        "rows" => json!({ "minimum": 0 }),
        "index" => json!({ "minimum": 0, "maximum": ITEMS_MAX - 1 }),
        "expires_in_seconds" => json!({ "minimum": 1, "maximum": Ttl::SECONDS_MAX }),
        "limit" => json!({ "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT }),
        "search_sort" => json!({ "default": "expires_at" }),
        "covers" => json!({ "enum": ["active"] }),
        "expires_in_days" => json!({ "minimum": 1, "maximum": KeyDays::MAX }),
        "scopes" => json!({ "minItems": 1, "maxItems": Scope::ALL.len() }),
        "key_id" => json!({ "pattern": "^[0-9a-f]{12}$" }),
        "token" => json!({ "pattern": "^bal_[0-9a-f]{12}_[0-9a-f]{64}$" }),
        "wait" => json!({ "minimum": 0, "maximum": WaitSeconds::MAX, "default": 0 }),
        "sort" => json!({ "default": "-created_at" }),
        "Idempotency-Key" | "idempotency_key" | "key" => {
            json!({ "minLength": 1, "maxLength": IdempotencyKey::BYTES_MAX, "pattern": KEY_PATTERN })
        }
        "comment" => json!({ "maxLength": Comment::BYTES_MAX, "pattern": COMMENT_PATTERN }),
        "name" => json!({ "minLength": 1, "maxLength": ServiceName::BYTES_MAX, "pattern": NAME_PATTERN }),
        "month" => json!({ "pattern": MONTH_PATTERN, "example": "2026-11" }),
        "cursor" => json!({ "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 100 }),
        "next_cursor" => json!({ "nullable": true }),
        "currency" => json!({ "pattern": "^[A-Z]{3}$" }),
        "currency_decimals" => json!({ "minimum": 0, "maximum": Currency::DECIMALS_MAX }),
        "store" => json!({ "enum": ["sqlite", "postgres"] }),
        "sha256" => json!({ "pattern": "^[0-9a-f]{64}$" }),
        "executed" => json!({ "enum": ["no", "unknown"] }),
        "commands" | "services" => json!({ "minItems": 1, "maxItems": ITEMS_MAX }),
        _ => Value::Null,
    }
}

fn described(name: &str) -> &'static str {
    match name {
        "user_id" => "The user.",
        "service_id" => "The service.",
        "key_id" => "The id of the API key: the 12 hexadecimal digits after `bal_`.",
        "month" => "The month, `YYYY-MM`.",
        "key" => "The idempotency key, percent-encoded where a path needs it.",
        _ => "",
    }
}
