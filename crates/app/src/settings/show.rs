//! Prints a configuration, secrets hidden: as the TOML file that would give it, and as JSON.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{database::without_secret, keys::KEYS, source::Texts};

/// The value of every key that may be shown, in the order of [`KEYS`], and where it was given.
#[derive(Clone, Debug)]
pub(crate) struct Shown(Vec<(String, Option<String>)>);

impl Shown {
    pub(super) fn of(texts: &Texts) -> Self {
        Self(
            KEYS.iter()
                .map(|key| {
                    let given = texts.get(key.name);
                    let text = given.map_or(key.default, |given| given.text.as_str());
                    let text = if key.is_secret { without_secret(text) } else { text.to_owned() };
                    (text, given.map(|given| given.origin.to_string()))
                })
                .collect(),
        )
    }

    /// Each key with its value, as text, and its origin.
    pub(crate) fn to_json(&self) -> Value {
        let entries = KEYS.iter().zip(&self.0).map(|(key, (text, origin))| {
            let origin = origin.as_deref().unwrap_or("default");
            (key.name.to_owned(), json!({ "value": text, "origin": origin }))
        });
        Value::Object(entries.collect::<Map<_, _>>())
    }
}

/// The file that gives these values.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Configuration of `balance`. Each key can also be given in the environment, by the name that"
        )?;
        writeln!(
            f,
            "# stands above it, or on the command line: http.workers is --http-workers. The command line goes"
        )?;
        writeln!(f, "# before the environment, and that before this file.")?;
        let mut current = "";
        for (key, (text, origin)) in KEYS.iter().zip(&self.0) {
            let (section, name) = key.name.split_once('.').unwrap_or(("", key.name));
            if section != current {
                current = section;
                writeln!(f, "\n[{section}]")?;
            }
            let help = key.help.replace('\n', "\n# ");
            write!(f, "\n# {help}\n# {}", key.environment_name())?;
            if key.is_secret {
                write!(f, ", or {}_FILE: a file that holds it", key.environment_name())?;
            }
            write!(f, "\n{name} = {}", literal(text))?;
            match origin {
                Some(origin) => writeln!(f, " # from {origin}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

fn literal(value: &str) -> String {
    let is_bare = value.parse::<i64>().is_ok() || value.parse::<bool>().is_ok();
    if is_bare { value.to_owned() } else { Value::from(value).to_string() }
}
