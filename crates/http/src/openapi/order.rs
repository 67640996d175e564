//! The document in the order of reading: the parts as the specification lists them, the calls as the table does.

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::operations;

/// The parts of a document, as the specification lists them.
const PARTS: [&str; 7] = ["openapi", "info", "servers", "security", "tags", "paths", "components"];

/// A document that is written in the order of reading. The maps of [`Value`] are sorted by name.
pub(super) struct InOrder<'a>(pub(super) &'a Value);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = PARTS.into_iter().filter_map(|name| Some((name, self.0.get(name)?)));
        serializer.collect_map(parts.map(|(name, part)| (name, Part { name, part })))
    }
}

struct Part<'a> {
    name: &'static str,
    part: &'a Value,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.name != "paths" {
            return self.part.serialize(serializer);
        }
        let mut paths: Vec<&str> = Vec::new();
        for row in operations::ALL {
            if !paths.contains(&row.path) {
                paths.push(row.path);
            }
        }
        serializer
            .collect_map(paths.into_iter().map(|path| (path, Methods { path, calls: &self.part[path] })))
    }
}

/// The calls at one path.
struct Methods<'a> {
    path: &'static str,
    calls: &'a Value,
}

impl Serialize for Methods<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = operations::ALL.iter().filter(|row| row.path == self.path);
        serializer.collect_map(rows.map(|row| {
            let method = row.method.to_lowercase();
            let call = &self.calls[&method];
            (method, call)
        }))
    }
}
