//! The OpenAPI document and `docs/api.md` against the code.

use balance_domain::{Rejection, RejectionKind, Scope};
use serde_json::Value;

use crate::{
    openapi::{document, document_text},
    operations,
    problem::Code,
};

const COMMITTED: &str = include_str!("../../../../docs/openapi.json");
const API_PAGE: &str = include_str!("../../../../docs/api.md");

fn operations_of(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((path.clone(), method.to_uppercase(), operation.clone()));
        }
    }
    all
}

#[test]
fn the_committed_document_is_the_generated_one() {
    assert!(
        COMMITTED == document_text(false),
        "docs/openapi.json is not what the code says: read the difference, then run `just openapi`"
    );
}

#[test]
fn every_call_is_mounted_as_the_table_says_and_documented_whole() {
    let document = document();
    let all = operations_of(&document);
    assert_eq!(all.len(), operations::ALL.len());
    for (path, method, operation) in all {
        let id = operation["operationId"].as_str().unwrap();
        let row = operations::ALL.iter().find(|row| row.id == id).unwrap();
        assert_eq!((row.path, row.method), (&*path, &*method), "{id}");
        assert_eq!(operation["tags"][0], row.tag, "{id}");
        for text in ["summary", "description"] {
            assert!(operation[text].as_str().is_some_and(|text| text.len() > 10), "{text} of {id}");
        }
        let responses = operation["responses"].as_object().unwrap();
        assert_eq!(responses.keys().filter(|status| status.starts_with('2')).count(), 1, "{id}");
        for code in row.refusals {
            let described = responses[&code.status().to_string()]["description"].as_str().unwrap();
            assert!(described.contains(code.as_str()), "{id} may answer {}", code.as_str());
        }
        for (status, response) in responses {
            let media: Vec<_> =
                response["content"].as_object().into_iter().flat_map(|all| all.keys()).collect();
            let is_refusal = !status.starts_with('2');
            assert_eq!(media == ["application/problem+json"], is_refusal, "{id} {status}");
            assert!(response["headers"].get("X-Request-Id").is_some(), "{id} {status}");
        }
        let templates = path.matches('{').count();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: Vec<_> = parameters.iter().filter(|parameter| parameter["in"] == "path").collect();
        assert_eq!(in_path.len(), templates, "{id}");
        assert!(parameters.iter().all(|parameter| parameter["name"] != ""), "{id}");
    }
}

/// Looking for a key in a JSON value that is being changed leaves a null there, which no schema may have.
#[test]
fn the_document_holds_no_null() {
    fn check(value: &Value, path: &str) {
        match value {
            Value::Null => panic!("{path} is null"),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| check(item, &format!("{path}/{at}")));
            }
            Value::Object(fields) => {
                fields.iter().for_each(|(name, field)| check(field, &format!("{path}/{name}")));
            }
            _ => {}
        }
    }
    check(&document(), "");
}

#[test]
fn defect_16_no_get_takes_a_body() {
    for (path, method, operation) in operations_of(&document()) {
        let takes_body = operation.get("requestBody").is_some();
        assert_eq!(takes_body, ["POST", "PATCH"].contains(&&*method), "{method} {path}");
    }
}

#[test]
fn every_request_type_is_closed_and_bounded() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if !name.ends_with("Request") && !name.ends_with("Command") && name != "BatchBody" {
            continue;
        }
        assert_eq!(schema["additionalProperties"], false, "{name}");
        for (field, property) in schema["properties"].as_object().unwrap() {
            if property["type"] == "integer" {
                assert!(property["minimum"] == 1 && property["maximum"].is_number(), "{name}.{field}");
            }
            assert!(property.get("nullable").is_none(), "{name}.{field}");
        }
    }
    let amount = &document["components"]["schemas"]["DepositRequest"]["properties"]["amount"];
    assert_eq!(amount["maximum"].as_i64(), Some((1 << 53) - 1));
}

#[test]
fn money_needs_a_key_in_the_document_as_in_the_code() {
    for (path, method, operation) in operations_of(&document()) {
        let has_key = operation["parameters"]
            .as_array()
            .is_some_and(|all| all.iter().any(|parameter| parameter["name"] == "Idempotency-Key"));
        let moves = method == "POST"
            && ["deposits", "withdrawals", "transfers", "reservations", "capture", "release", "refund"]
                .iter()
                .any(|end| path.ends_with(end));
        assert_eq!(has_key, moves, "{method} {path}");
    }
}

#[test]
fn codes_carry_the_status_of_their_kind() {
    for code in Code::ALL {
        let same = Code::ALL.iter().filter(|other| other.as_str() == code.as_str()).count();
        assert_eq!(same, 1, "{} is unique", code.as_str());
        assert!(code.remedy().ends_with('.') && !code.title().ends_with('.'), "{}", code.as_str());
    }
    let user = balance_domain::UserId::new(1).unwrap();
    let service = balance_domain::ServiceId::new(1).unwrap();
    let order_id = balance_domain::OrderId::new(1).unwrap();
    let reservation = balance_domain::ReservationKey { user_id: user, service_id: service, order_id };
    for rejection in [
        Rejection::IdempotencyKeyReused,
        Rejection::SameAccount,
        Rejection::AccountNotFound(user),
        Rejection::AccountClosed(user),
        Rejection::ServiceNotFound(service),
        Rejection::ServiceRetired(service),
        Rejection::ReservationNotFound(reservation),
        Rejection::ReservationSuperseded { reserve_seq: 7 },
        Rejection::ReservationExists,
        Rejection::ReservationCaptured,
        Rejection::ReservationReleased,
        Rejection::ReservationExpired,
        Rejection::NothingToRefund,
        Rejection::CaptureExceedsReserved { remaining: 1 },
        Rejection::RefundExceedsCaptured { refundable: 1 },
        Rejection::InsufficientFunds { available: 1 },
        Rejection::BalanceLimitExceeded(user),
        Rejection::AccountNotEmpty { available: 1, reserved: 1 },
    ] {
        let code = Code::from(&rejection);
        let status = match rejection.kind() {
            RejectionKind::NotFound => 404,
            RejectionKind::Conflict => 409,
            RejectionKind::Gone => 410,
            RejectionKind::Refused => 422,
        };
        assert_eq!((code.as_str(), code.status()), (rejection.code(), status));
    }
}

#[test]
fn the_page_lists_every_code_and_every_scope() {
    let mut from = 0;
    for code in Code::ALL {
        let row =
            format!("| {} | `{}` | {} | {} |\n", code.status(), code.as_str(), code.title(), code.remedy());
        let found = API_PAGE[from..].find(&row);
        assert!(found.is_some(), "docs/api.md lacks, in this place, the row\n{row}");
        from += found.unwrap_or_default();
    }
    let rows = API_PAGE.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5")).count();
    assert_eq!(rows, Code::ALL.len(), "docs/api.md lists a code that there is not");
    for scope in Scope::ALL {
        assert!(API_PAGE.contains(&format!("| `{}` |", scope.as_str())), "{}", scope.as_str());
    }
    for row in operations::ALL {
        assert!(API_PAGE.contains(&format!("`{} {}`", row.method, row.path)), "{}", row.id);
    }
}

/// A reader of one refusal is shown that refusal, not the same one everywhere.
#[test]
fn every_code_has_an_example_of_its_own_where_it_may_be_answered() {
    let document = document();
    let examples = document["components"]["examples"].as_object().unwrap();
    assert_eq!(examples.len(), Code::ALL.len());
    for code in Code::ALL {
        let problem = &examples[code.as_str()]["value"];
        assert_eq!(problem["code"], code.as_str());
        assert_eq!(problem["status"], code.status());
        assert_eq!(
            problem["errors"].is_array(),
            code.status() == 400 && *code != Code::BadRequest,
            "{code:?}"
        );
    }
    for (path, method, operation) in operations_of(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status.starts_with('2') {
                continue;
            }
            let shown = response["content"]["application/problem+json"]["examples"].as_object().unwrap();
            assert!(!shown.is_empty(), "{method} {path} {status}");
            for (name, reference) in shown {
                assert_eq!(reference["$ref"], format!("#/components/examples/{name}"));
                let code = Code::ALL.iter().find(|code| code.as_str() == name).unwrap();
                assert_eq!(&code.status().to_string(), status, "{name} of {method} {path}");
            }
        }
    }
}

/// The page begins with what a newcomer does first, and ends no account before there is one.
#[test]
fn calls_stand_in_the_order_of_the_story() {
    let at = |text: &str| document_text(false).find(text).unwrap_or_else(|| panic!("{text}"));
    let story = ["addServices", "createDeposit", "createReservation", "captureReservation", "closeAccount"];
    assert!(story.map(|id| at(&format!("\"operationId\": \"{id}\""))).is_sorted());
    assert!(at("\"info\": {") < at("\"paths\": {") && at("\"paths\": {") < at("\"components\": {"));
}
