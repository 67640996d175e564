//! What the generator cannot say, added by rule: problems, headers, bounds, closed request types, security.
//! Pure functions on the document; the rules know operations by the table and fields by their names.

use std::collections::{BTreeMap, BTreeSet};

use balance_domain::{EVENTS_DEFAULT, EVENTS_MAX};
use serde_json::{Map, Value, json};

use crate::{
    extract::SCHEME,
    openapi::{bounds, examples},
    operations::{self, Documented, GetReportFile, ListEvents, Needs, Operation},
    problem::{Code, PROBLEM_JSON},
    wire::command_kinds,
};

/// Prose and examples: what no type can say.
const OVERLAY: &str = include_str!("overlay.json");

/// Why any call may be refused or fail.
const REFUSALS_OF_ALL: &[Code] = &[
    Code::Unauthenticated,
    Code::Forbidden,
    Code::RateLimited,
    Code::Internal,
    Code::Unavailable,
    Code::Overloaded,
];

/// Why a call with a body may be refused besides.
const REFUSALS_OF_BODIES: &[Code] =
    &[Code::RequestTimeout, Code::PayloadTooLarge, Code::UnsupportedMediaType];

/// Turns what was generated into the document of the contract.
pub(super) fn finish(mut document: Value) -> Value {
    document["openapi"] = json!("3.0.3");
    document["servers"] = json!([{ "url": "/" }]);
    document["security"] = json!([{ "bearer": [] }, { "apiKey": [] }]);
    document["components"]["securitySchemes"] = security_schemes();
    document["components"]["headers"] = headers();
    document["components"]["examples"] = examples::of_all_codes();
    let types = document["components"]["schemas"].clone();
    for operation in each_operation(&mut document) {
        finish_operation(operation, &types);
    }
    split_batch_commands(&mut document);
    let requests = request_types(&document);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        for (name, schema) in schemas {
            bounds::apply_to_schema(schema);
            if requests.contains(name) {
                close(schema);
            }
        }
    }
    if let Ok(overlay) = serde_json::from_str::<Value>(OVERLAY) {
        json_patch::merge(&mut document, &overlay);
    }
    document
}

/// The operations of all paths.
fn each_operation(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    document["paths"]
        .as_object_mut()
        .into_iter()
        .flat_map(|paths| paths.values_mut())
        .filter_map(Value::as_object_mut)
        .flat_map(|path| {
            path.iter_mut().filter(|(method, _)| *method != "parameters").map(|(_, value)| value)
        })
}

fn finish_operation(operation: &mut Value, types: &Value) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let Some(row) = operations::ALL.iter().find(|row| row.id == id) else { return };
    name_scopes(operation, row);
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    let mut is_repeatable = false;
    for parameter in parameters.into_iter().flatten() {
        // No field can be named `for`.
        if parameter["name"] == "purpose" {
            parameter["name"] = json!("for");
        }
        is_repeatable |= parameter["name"] == "Idempotency-Key";
        bounds::apply_to_parameter(parameter);
    }
    if row.id == ListEvents::OPERATION.id {
        finish_events(operation);
    }
    finish_successes(operation, row, is_repeatable);
    document_refusals(operation, row, types);
}

/// The codes of a malformed request: those of every call, of every body, and of what this call is sent.
fn codes_of_input(operation: &Value, types: &Value) -> Vec<Code> {
    let mut names = BTreeSet::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().map(|name| bounds::meant(name, &parameter["schema"]));
        names.extend(name.map(str::to_owned));
    }
    let has_query =
        operation["parameters"].as_array().into_iter().flatten().any(|parameter| parameter["in"] == "query");
    let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    if let Some(name) = body.as_str().and_then(|reference| reference.rsplit('/').next()) {
        add_field_names(&types[name], &mut names);
    }
    let mut codes = Vec::new();
    if body.is_string() {
        codes.extend([
            Code::InvalidJson,
            Code::UnknownField,
            Code::DuplicateField,
            Code::MissingField,
            Code::InvalidType,
        ]);
    }
    codes.push(Code::UnknownParameter);
    if has_query {
        codes.push(Code::DuplicateParameter);
    }
    for name in &names {
        codes.extend(examples::codes_of(name));
    }
    codes.push(Code::BadRequest);
    let mut seen = Vec::new();
    codes.retain(|code| {
        !seen.contains(code) && {
            seen.push(*code);
            true
        }
    });
    codes
}

fn add_field_names(schema: &Value, names: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        names.insert(name.clone());
        add_field_names(property, names);
    }
    if let Some(items) = schema.get("items") {
        add_field_names(items, names);
    }
}

/// Moves the scope, which a key in OpenAPI 3.0 cannot have, to where people and tools find it.
fn name_scopes(operation: &mut Value, row: &Operation) {
    let scopes = operation["security"][0][SCHEME].as_array().cloned().unwrap_or_default();
    let scopes: Vec<Value> = scopes.into_iter().filter(|scope| scope != "").collect();
    let sentence = match row.needs {
        Needs::Scope(scope) => format!("Needs the scope `{}`.", scope.as_str()),
        Needs::ScopesOfCommands => "Needs the scope of each kind of command in it.".to_owned(),
        Needs::AnyKey => "Needs a key of any scope.".to_owned(),
    };
    let description = operation["description"].as_str().unwrap_or_default();
    operation["description"] = json!(format!("{description}\n\n{sentence}").trim());
    operation["x-required-scopes"] = Value::Array(scopes);
    if let Some(operation) = operation.as_object_mut() {
        operation.remove("security");
    }
}

/// Its pages are larger than others, its types are a list in one text, and it may be a stream.
fn finish_events(operation: &mut Value) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        if parameter["name"] == "limit" {
            parameter["schema"]["maximum"] = json!(EVENTS_MAX);
            parameter["schema"]["default"] = json!(EVENTS_DEFAULT);
        }
        if parameter["name"] == "types" {
            parameter["schema"] = json!({ "type": "array", "items": { "type": "string" } });
            parameter["style"] = json!("form");
            parameter["explode"] = json!(false);
        }
    }
    if let Some(content) = operation.pointer_mut("/responses/200/content") {
        content["text/event-stream"] = json!({ "schema": { "type": "string" } });
    }
}

fn finish_successes(operation: &mut Value, row: &Operation, is_repeatable: bool) {
    let is_file = row.id == GetReportFile::OPERATION.id;
    for (status, response) in
        operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten()
    {
        let mut headers = json!({ "X-Request-Id": header_of("X-Request-Id") });
        if status == "201" {
            headers["Location"] = header_of("Location");
        }
        if is_repeatable {
            headers["Idempotency-Replayed"] = header_of("Idempotency-Replayed");
        }
        if is_file {
            headers["Content-Disposition"] = header_of("Content-Disposition");
            response["content"] = json!({ "text/csv": { "schema": { "type": "string" } } });
        }
        response["headers"] = headers;
    }
}

/// One response per status, which names every code that it may carry.
fn document_refusals(operation: &mut Value, row: &Operation, types: &Value) {
    let has_body = operation.get("requestBody").is_some();
    let moves_money = has_body && row.tag != "Services" && row.tag != "Reports";
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    let mut codes = REFUSALS_OF_ALL.to_vec();
    codes.extend(row.refusals);
    if has_body {
        codes.extend(REFUSALS_OF_BODIES);
    }
    if moves_money {
        codes.push(Code::OutcomeUnknown);
    }
    for code in codes {
        by_status.entry(code.status()).or_default().push(code);
    }
    let malformed = codes_of_input(operation, types);
    let responses = &mut operation["responses"];
    let description = "The request is malformed; `errors` lists everything that is wrong with it.";
    responses["400"] = problem(description, 400, &malformed);
    for (status, codes) in by_status {
        let lines: Vec<String> =
            codes.iter().map(|code| format!("`{}`: {}.", code.as_str(), code.title())).collect();
        responses[status.to_string()] = problem(&lines.join(" "), status, &codes);
    }
}

fn problem(description: &str, status: u16, codes: &[Code]) -> Value {
    let mut headers = json!({ "X-Request-Id": header_of("X-Request-Id") });
    match status {
        401 => headers["WWW-Authenticate"] = header_of("WWW-Authenticate"),
        429 | 503 => headers["Retry-After"] = header_of("Retry-After"),
        _ => {}
    }
    json!({
        "description": description,
        "headers": headers,
        "content": { PROBLEM_JSON: {
            "schema": { "$ref": "#/components/schemas/Problem" },
            "examples": examples::references(codes),
        } },
    })
}

fn header_of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn headers() -> Value {
    json!({
        "X-Request-Id": {
            "description": "The id of this request: the caller's, if it sent 1 to 64 letters, digits and hyphens, otherwise a new one.",
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$" },
        },
        "Location": {
            "description": "Where to read what was made.",
            "schema": { "type": "string", "format": "uri-reference" },
        },
        "Idempotency-Replayed": {
            "description": "`true` if this is the first answer to the key given again. Absent otherwise.",
            "schema": { "type": "string", "enum": ["true"] },
        },
        "Retry-After": {
            "description": "Seconds to wait before the request is sent again.",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "WWW-Authenticate": {
            "description": "The scheme to authenticate with.",
            "schema": { "type": "string" },
        },
        "Content-Disposition": {
            "description": "The name to save the file under.",
            "schema": { "type": "string" },
        },
    })
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "bal_<id>_<secret>",
            "description": "An API key in the header Authorization.",
        },
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "X-Api-Key",
            "description": "The same API key in a header of its own.",
        },
    })
}

/// The names of types that requests are made of.
fn request_types(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().into_iter().flat_map(Map::values);
    let operations = paths.filter_map(Value::as_object).flat_map(Map::values);
    let references = operations.filter_map(|operation| {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
    });
    references.filter_map(|reference| reference.rsplit('/').next().map(str::to_owned)).collect()
}

/// Fields that a request type does not name are refused.
fn close(schema: &mut Value) {
    if schema["type"] == "object" {
        schema["additionalProperties"] = json!(false);
    }
    for property in schema
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|all| all.values_mut())
    {
        close(property);
    }
    if let Some(items) = schema.get_mut("items") {
        close(items);
    }
}

/// One type per kind of command, so that a reader and a code generator see which fields belong together.
fn split_batch_commands(document: &mut Value) {
    let commands = &mut document["components"]["schemas"]["BatchBody"]["properties"]["commands"];
    let all = std::mem::take(&mut commands["items"]);
    let mut variants = Vec::new();
    let mut mapping = Map::new();
    let mut types = Map::new();
    for (kind, fields) in command_kinds() {
        let mut properties = json!({ "kind": { "type": "string", "enum": [kind] } });
        let mut required = vec!["kind"];
        for field in fields {
            properties[field.name] = all["properties"][field.name].clone();
            if field.is_required {
                required.push(field.name);
            }
        }
        let name = type_name(kind);
        let reference = format!("#/components/schemas/{name}");
        variants.push(json!({ "$ref": reference }));
        mapping.insert(kind.to_owned(), json!(reference));
        let mut command = json!({
            "type": "object",
            "description": format!("A {kind} in a batch."),
            "properties": properties,
            "required": required,
        });
        close(&mut command);
        types.insert(name, command);
    }
    commands["items"] =
        json!({ "oneOf": variants, "discriminator": { "propertyName": "kind", "mapping": mapping } });
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.extend(types);
    }
}

/// `deposit` is described by `DepositCommand`.
fn type_name(kind: &str) -> String {
    let (first, rest) = kind.split_at(1);
    format!("{}{rest}Command", first.to_uppercase())
}
