//! Reads the configuration as text by key: the file, and the environment on top of it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use config::{Config, ConfigError, Environment, File, FileFormat, Value, ValueKind};

use super::{
    Problem,
    keys::{KEYS, environment_name},
};

/// Where a configuration comes from.
pub(crate) struct Source {
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

impl Source {
    /// The environment of this process, and the file named or else `balance.toml` of the working directory,
    /// if there is one.
    pub(crate) fn of_process(file: Option<PathBuf>) -> Self {
        let usual = PathBuf::from("balance.toml");
        let file = file.or_else(|| usual.exists().then_some(usual));
        Self { file, environment: std::env::vars_os().collect() }
    }

    /// The text given for each key, and what is wrong with the source itself. Never repeats a value: it might
    /// be a secret in the wrong place.
    pub(super) fn read(self) -> (BTreeMap<&'static str, String>, Vec<Problem>) {
        let mut problems = Vec::new();
        let variables = variables(self.environment, &mut problems);
        let environment = Environment::with_prefix("BALANCE")
            .prefix_separator("_")
            .separator("__")
            .ignore_empty(true)
            .source(Some(variables));
        let mut leaves = Vec::new();
        if let Some(file) = self.file {
            match collect(Config::builder().add_source(File::from(file.clone()).format(FileFormat::Toml))) {
                Ok(table) => flatten("", table, &mut leaves),
                Err(error) => problems.push(Problem::new("--config", unreadable(&file, &error))),
            }
        }
        match collect(Config::builder().add_source(environment)) {
            Ok(table) => flatten("", table, &mut leaves),
            Err(_) => problems.push(Problem::new("BALANCE_*", "the environment cannot be read")),
        }
        (known(leaves, &mut problems), problems)
    }
}

/// Our variables as text. Kubernetes puts `BALANCE_SERVICE_…` and `BALANCE_PORT…` there on its own if the
/// service is named so; `BALANCE_CONFIG` names the file.
fn variables(
    environment: Vec<(OsString, OsString)>,
    problems: &mut Vec<Problem>,
) -> config::Map<String, String> {
    let is_ours = |name: &str| {
        name.strip_prefix("BALANCE_").is_some_and(|rest| {
            rest != "CONFIG" && rest != "PORT" && !rest.starts_with("PORT_") && !rest.starts_with("SERVICE_")
        })
    };
    let mut variables = config::Map::new();
    for (name, value) in environment {
        let Ok(name) = name.into_string() else { continue };
        if !is_ours(&name) {
            continue;
        }
        match value.into_string() {
            Ok(value) => drop(variables.insert(name, value)),
            Err(_) => problems.push(Problem::new(&name, "is not UTF-8")),
        }
    }
    variables
}

type Builder = config::ConfigBuilder<config::builder::DefaultState>;

fn collect(builder: Builder) -> Result<config::Map<String, Value>, ConfigError> {
    builder.build()?.try_deserialize()
}

/// Only the place of a syntax error: its text quotes the line.
fn unreadable(file: &Path, error: &ConfigError) -> String {
    let reason = match error {
        ConfigError::FileParse { cause, .. } => {
            cause.to_string().lines().next().unwrap_or("not TOML").trim().to_owned()
        }
        _ => "it cannot be read".to_owned(),
    };
    format!("{}: {reason}", file.display())
}

fn flatten(prefix: &str, table: config::Map<String, Value>, leaves: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            ValueKind::Table(inner) => flatten(&name, inner, leaves),
            _ => leaves.push((name, value)),
        }
    }
}

/// The text of known keys, later leaves over earlier ones; the rest are problems.
fn known(leaves: Vec<(String, Value)>, problems: &mut Vec<Problem>) -> BTreeMap<&'static str, String> {
    let mut texts = BTreeMap::new();
    for (name, value) in leaves {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            problems.push(Problem::new(&described(&name), "there is no such key"));
            continue;
        };
        match value.into_string() {
            Ok(text) => drop(texts.insert(key.name, text)),
            Err(_) => problems.push(Problem::new(&described(&name), "is not a single value")),
        }
    }
    texts
}

/// How a problem names a key: as in the file, and as in the environment.
pub(super) fn described(key: &str) -> String {
    format!("{key} ({})", environment_name(key))
}
