//! The document for an installation that answers ids as strings.

use serde_json::{Value, json};

use crate::openapi::bounds::is_id;

/// Digits as ids are written; the largest ones of 19 digits are refused by value.
const ID_PATTERN: &str = "^[1-9][0-9]{0,18}$";

/// Turns every id into a string of digits: in types, in parameters, and in examples.
pub(super) fn ids_to_strings(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(ids_to_strings),
        Value::Object(fields) => {
            let names_an_id = fields.get("name").and_then(Value::as_str).is_some_and(is_id);
            for (name, field) in fields {
                if is_id(name) || (names_an_id && name == "schema") {
                    turn(field);
                }
                ids_to_strings(field);
            }
        }
        _ => {}
    }
}

fn turn(id: &mut Value) {
    if id["type"] == "integer" {
        *id = json!({ "type": "string", "pattern": ID_PATTERN, "description": id["description"] });
        if let Some(schema) = id.as_object_mut() {
            schema.retain(|_, said| !said.is_null());
        }
    } else if let Value::Number(number) = id {
        *id = Value::String(number.to_string());
    }
}
