//! Reads the configuration as text by key: the file, the environment on top of it, and the command line on top of both.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    Problem,
    keys::{KEYS, Key, environment_name},
};

/// What the names of our environment variables begin with.
const PREFIX: &str = "BALANCE_";

/// What is added to the variable of a secret to name a file that holds it.
const IN_FILE: &str = "_FILE";

/// Variables that are no settings: the file's name, and the key of callers, who may run on the same machine.
const NO_SETTINGS: [&str; 2] = ["BALANCE_CONFIG", "BALANCE_API_KEY"];

/// Where a configuration comes from.
#[derive(Default)]
pub(crate) struct Source {
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// What the command line says, by key.
    pub(crate) flags: Vec<(&'static Key, String)>,
}

/// Where the value of a key was given. The default comes from nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The configuration file.
    File(PathBuf),
    /// The environment variable of the key.
    Environment(String),
    /// The file that an environment variable names.
    SecretFile(String, PathBuf),
    /// The command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
            Self::SecretFile(name, path) => write!(f, "{name}={}", path.display()),
        }
    }
}

/// The text that was given for a key, and where.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// What was given, by key.
pub(super) type Texts = BTreeMap<&'static str, Given>;

/// Whether the environment allows colours on a terminal, as <https://no-color.org> asks.
pub(crate) fn allows_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    !is_set("NO_COLOR") && !is_dumb
}

impl Source {
    /// The environment of this process, and the file named or else `balance.toml` of the working directory,
    /// if there is one.
    pub(crate) fn of_process(file: Option<PathBuf>, flags: Vec<(&'static Key, String)>) -> Self {
        let usual = PathBuf::from("balance.toml");
        let file = file.or_else(|| usual.exists().then_some(usual));
        Self { file, environment: std::env::vars_os().collect(), flags }
    }

    /// The text given for each key, and what is wrong with the source itself. Never repeats a value: it might
    /// be a secret in the wrong place.
    pub(super) fn read(self) -> (Texts, Vec<Problem>) {
        let mut reading = Reading::default();
        if let Some(file) = self.file {
            reading.file(&file);
        }
        reading.environment(self.environment);
        for (key, text) in self.flags {
            reading.give(key, text, Origin::Flag(key.flag()));
        }
        (reading.texts, reading.problems)
    }
}

#[derive(Default)]
struct Reading {
    texts: Texts,
    problems: Vec<Problem>,
}

impl Reading {
    fn give(&mut self, key: &'static Key, text: String, origin: Origin) {
        self.texts.insert(key.name, Given { text, origin });
    }

    fn refuse(&mut self, what: &str, why: impl Into<String>) {
        self.problems.push(Problem::new(what, why));
    }

    fn file(&mut self, path: &PathBuf) {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                return self.refuse(&path.display().to_string(), format!("it cannot be read ({error})"));
            }
        };
        match toml::from_str::<Table>(&text) {
            Ok(table) => self.table("", table, path),
            Err(error) => self.refuse(&place(path, &text, &error), reason(&error)),
        }
    }

    fn table(&mut self, section: &str, table: Table, path: &PathBuf) {
        for (name, value) in table {
            let name = if section.is_empty() { name } else { format!("{section}.{name}") };
            let text = match value {
                Value::Table(inner) => {
                    self.table(&name, inner, path);
                    continue;
                }
                Value::String(text) => Some(text),
                Value::Integer(number) => Some(number.to_string()),
                Value::Float(number) => Some(number.to_string()),
                Value::Boolean(choice) => Some(choice.to_string()),
                Value::Array(_) | Value::Datetime(_) => None,
            };
            match (KEYS.iter().find(|key| key.name == name), text) {
                (Some(key), Some(text)) => self.give(key, text, Origin::File(path.clone())),
                (Some(_), None) => self.refuse(&described(&name), "is not a single value"),
                (None, _) => self.refuse(&described(&name), unknown(&name)),
            }
        }
    }

    fn environment(&mut self, variables: Vec<(OsString, OsString)>) {
        let mut in_files = Vec::new();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            if !name.starts_with(PREFIX) || value.is_empty() || NO_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            let Ok(value) = value.into_string() else {
                self.refuse(&name, "is not UTF-8");
                continue;
            };
            if let Some(key) = key_of(&name) {
                self.give(key, value, Origin::Environment(name));
            } else if let Some(key) = name.strip_suffix(IN_FILE).and_then(key_of).filter(|key| key.is_secret)
            {
                in_files.push((key, name, PathBuf::from(value)));
            } else if name == "BALANCE_PORT" && value.bytes().all(|byte| byte.is_ascii_digit()) {
                let listen = environment_name("listen");
                self.refuse(&name, format!("there is no such key: set {listen} to 127.0.0.1:{value}"));
            } else if !is_injected(&name) {
                let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
                self.refuse(&described(&key), unknown(&key));
            }
        }
        for (key, name, path) in in_files {
            self.secret_file(key, name, path);
        }
    }

    fn secret_file(&mut self, key: &'static Key, name: String, path: PathBuf) {
        let given = self.texts.get(key.name).map(|given| given.origin.clone());
        if let Some(Origin::Environment(other)) = given {
            return self.refuse(&name, format!("{other} is set too: which of them is meant?"));
        }
        match fs::read_to_string(&path) {
            Ok(text) => self.give(key, text.trim_end().to_owned(), Origin::SecretFile(name, path)),
            Err(error) => self.refuse(&name, format!("{} cannot be read ({error})", path.display())),
        }
    }
}

fn key_of(variable: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.environment_name() == variable)
}

/// Whether Kubernetes sets a variable of this name for a Service in the same namespace whose name begins with
/// `balance`: `BALANCE_POSTGRES_SERVICE_HOST`, `BALANCE_PORT_8080_TCP_ADDR`.
fn is_injected(variable: &str) -> bool {
    let ends = |end: &str| variable.ends_with(end);
    let has = |part: &str| variable.contains(part);
    ends("_SERVICE_HOST") || ends("_SERVICE_PORT") || has("_SERVICE_PORT_") || ends("_PORT") || has("_PORT_")
}

/// Where a file is no TOML.
fn place(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
    format!("{}, line {line}, column {column}", path.display())
}

/// Why it is none, without the text that stands there, which may be a secret.
fn reason(error: &toml::de::Error) -> String {
    error.message().replace('\n', "; ")
}

/// What to say of a key that does not exist.
fn unknown(name: &str) -> String {
    let likeness = |key: &&Key| (strsim::jaro_winkler(key.name, name) * 1000.0).round();
    let nearest = KEYS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|key| likeness(key) > 880.0) {
        Some(key) => format!("there is no such key; is {} meant?", key.name),
        None => "there is no such key (`balance config` lists all)".to_owned(),
    }
}

/// How a problem names a key: as in the file, and as in the environment.
pub(super) fn described(key: &str) -> String {
    format!("{key} ({})", environment_name(key))
}
