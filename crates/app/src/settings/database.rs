//! Which store the money is in, and how to name it without its password.

use std::{fmt, path::PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// Stands for a secret. No value of a secret may contain it.
pub(super) const HIDDEN: &str = "(hidden)";

/// Otherwise a part of the password would be taken for the name of the server.
const UNESCAPED: &str = "has a user or password with a character that ends it in a URL; write %40 for @, %2F for /, \
                         %3F for ? and %23 for #";

/// Where the money is. Its text is for people, without the password: `SQLite file /srv/balance.db`, `PostgreSQL
/// balance@db.example:5432/balance`.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    /// One file.
    Sqlite(PathBuf),
    /// A server; the URL may hold a password.
    Postgres(SecretString),
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                write!(f, "SQLite file {}", path.display())
            }
            Self::Postgres(url) => {
                let url = url.expose_secret();
                let (_, rest) = url.split_once("://").unwrap_or(("", url));
                let rest = rest.split('?').next().unwrap_or_default();
                let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
                let user = login.split(':').next().filter(|user| !user.is_empty());
                f.write_str("PostgreSQL ")?;
                user.map_or(Ok(()), |user| write!(f, "{user}@"))?;
                f.write_str(place)
            }
        }
    }
}

impl Database {
    /// Which store it is, in one word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// The store that a URL names. Says nothing of one that it refuses: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            let meant = path.trim_start_matches('/');
            let meant =
                if path.starts_with('/') { format!("sqlite:/{meant}") } else { format!("sqlite:{meant}") };
            return Err(format!("has slashes that are not part of the path: is {meant} meant?"));
        }
        if let Some(path) = url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            return Ok(Self::Sqlite(path.into()));
        }
        if let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) {
            let before_parameters = rest.split('?').next().unwrap_or_default();
            let login = before_parameters.rsplit_once('@').map_or("", |(login, _)| login);
            if login.contains(['@', '/']) {
                return Err(UNESCAPED.into());
            }
            return Ok(Self::Postgres(url.to_owned().into()));
        }
        Err("is neither sqlite:PATH nor postgres://USER:PASSWORD@HOST/DATABASE".into())
    }
}

/// A secret setting with what may be shown of it: of a URL only the password is a secret; a path to a file is none, and
/// an empty text neither.
pub(super) fn without_secret(value: &str) -> String {
    if value.is_empty() || value.starts_with("sqlite:") {
        return value.to_owned();
    }
    let Some((scheme, rest)) = value.split_once("://") else { return HIDDEN.to_owned() };
    // Parameters can carry a password too.
    if rest.contains("password=") {
        return format!("{scheme}://{HIDDEN}");
    }
    // The last @: a password that was not escaped may contain some.
    let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    match login.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:{HIDDEN}@{place}"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_the_password_is_hidden() {
        for (url, shown) in [
            ("sqlite:data/balance.db", "sqlite:data/balance.db"),
            ("postgres://db.example/balance", "postgres://db.example/balance"),
            ("postgres://u@db:5433/balance?sslmode=require", "postgres://u@db:5433/balance?sslmode=require"),
            ("postgres://u:secret@db/balance", "postgres://u:(hidden)@db/balance"),
            ("postgres://u:se/cr@et@db/balance", "postgres://u:(hidden)@db/balance"),
            ("postgres://u:secret@a,b:5433/x", "postgres://u:(hidden)@a,b:5433/x"),
            ("postgres://u@db/balance?password=secret", "postgres://(hidden)"),
            ("bal_0123456789ab_secret", "(hidden)"),
            ("", ""),
        ] {
            assert_eq!(without_secret(url), shown);
        }
    }

    #[test]
    fn slashes_of_other_urls_are_no_part_of_a_path() {
        for (url, meant) in [
            ("sqlite://data/balance.db", "sqlite:data/balance.db"),
            ("sqlite:///srv/balance.db", "sqlite:/srv/balance.db"),
            ("sqlite:////srv/balance.db", "sqlite:/srv/balance.db"),
        ] {
            let refused = Database::parse(url).unwrap_err();
            assert!(refused.ends_with(&format!("is {meant} meant?")), "{refused}");
            assert!(Database::parse(meant).is_ok());
        }
    }

    #[test]
    fn a_store_is_named_without_its_password() {
        for (url, name) in [
            (
                "postgres://balance:secret@db.example:5433/money?sslmode=require",
                "balance@db.example:5433/money",
            ),
            ("postgres://u@h/d?password=secret", "u@h/d"),
            ("postgres://u:se%2Fcr%40et@h/d?application_name=a@b", "u@h/d"),
            ("postgresql:///d?host=/run/postgresql", "/d"),
        ] {
            assert_eq!(Database::parse(url).unwrap().to_string(), format!("PostgreSQL {name}"));
        }
        for unescaped in ["postgres://u:s@t@h/d", "postgres://u:s/t@h/d"] {
            assert_eq!(Database::parse(unescaped).unwrap_err(), UNESCAPED);
        }
        let file = Database::parse("sqlite:data/balance.db").unwrap().to_string();
        assert!(file.starts_with("SQLite file /") && file.ends_with("/data/balance.db"), "{file}");
    }
}
