//! Prints a configuration as the TOML file that would give it, secrets hidden.

use std::{collections::BTreeMap, fmt};

use super::keys::KEYS;

/// Stands for a secret.
const HIDDEN: &str = "(hidden)";

/// The file that gives these values; keys that are not among them are at their default.
pub(super) struct Toml<'a>(pub(super) &'a BTreeMap<&'static str, String>);

impl fmt::Display for Toml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Configuration of `balance`. Each key can also be given in the environment, by the name that"
        )?;
        writeln!(f, "# stands above it; the environment goes first.")?;
        let mut current = "";
        for key in KEYS {
            let (section, name) = key.name.split_once('.').unwrap_or(("", key.name));
            if section != current {
                current = section;
                writeln!(f, "\n[{section}]")?;
            }
            let given = self.0.get(key.name).map_or(key.default, String::as_str);
            let value = literal(if key.is_secret { without_secret(given) } else { given });
            let help = key.help.replace('\n', "\n# ");
            write!(f, "\n# {help}\n# {}\n{name} = {value}\n", key.environment_name())?;
        }
        Ok(())
    }
}

/// A path to a file is no secret, and an empty one neither.
fn without_secret(value: &str) -> &str {
    if value.is_empty() || value.starts_with("sqlite:") { value } else { HIDDEN }
}

fn literal(value: &str) -> String {
    let is_bare = value.parse::<i64>().is_ok() || value.parse::<bool>().is_ok();
    if is_bare { value.to_owned() } else { format!("{value:?}") }
}
