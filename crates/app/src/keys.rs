//! API keys as people handle them: the token, the administrator's own key, and the commands.

use std::fmt;

use anyhow::{Context as _, bail};
use balance_domain::{
    Actor, ApiKey, ApiKeyId, KeyName, NewApiKey, Scope, SecretHash, Timestamp,
    ports::{ApiKeyRepo, Clock},
    split_token,
};
use serde_json::{Value, json};

use crate::{
    cli::{KeysCommand, NewKey, Output},
    clock::SystemClock,
    output::{print, print_json},
};

/// A key that is given by configuration instead of being kept in the store. Only the hash of its secret stays
/// in memory.
#[derive(Clone, Debug)]
pub(crate) struct AdminKey {
    id: ApiKeyId,
    secret_hash: SecretHash,
}

impl AdminKey {
    /// Reads `bal_<12 hex digits>_<64 hex digits>`; says nothing of what it refuses.
    pub(crate) fn parse(token: &str) -> Result<Self, String> {
        let parsed = split_token(token).and_then(|(id, secret)| {
            Some(Self { id: ApiKeyId::new(id).ok()?, secret_hash: SecretHash::of(secret) })
        });
        parsed.ok_or_else(|| "is not written bal_<12 hex digits>_<64 hex digits>, in lower case".into())
    }

    /// The key as the store would keep it.
    pub(crate) fn to_api_key(&self) -> ApiKey {
        ApiKey {
            id: self.id,
            name: "admin_key of the configuration".into(),
            scopes: vec![Scope::Admin],
            secret_hash: self.secret_hash,
            created_at: Timestamp::MIN,
            expires_at: None,
            parent_id: None,
            revoked_at: None,
            last_used_at: None,
        }
    }
}

/// Runs `balance keys …`.
pub(crate) async fn run(command: KeysCommand, keys: &dyn ApiKeyRepo) -> anyhow::Result<()> {
    let now = SystemClock.now();
    match command {
        KeysCommand::Create(new) => create(new, keys, now).await?,
        KeysCommand::List { output } => {
            let read = keys.api_keys().await?;
            if output.json {
                print_json(&read.keys.iter().map(|key| as_json(key, now)).collect())?;
            } else {
                print(Table(&read.keys, now))?;
            }
            read.faults.iter().for_each(|fault| eprintln!("{fault}"));
        }
        KeysCommand::Revoke { id, output } => match keys.revoke_api_key(id, Actor::CommandLine, now).await? {
            Some(key) => show(&key, now, output)?,
            None => bail!("there is no key {id}"),
        },
    }
    Ok(())
}

async fn create(new: NewKey, keys: &dyn ApiKeyRepo, now: Timestamp) -> anyhow::Result<()> {
    let output = new.output;
    let (key, token) = mint(new.into(), now)?;
    keys.add_api_key(key.clone(), Actor::CommandLine).await?;
    if output.json {
        let mut shown = as_json(&key, now);
        shown["token"] = token.into();
        print_json(&shown)?;
    } else {
        eprintln!("{}This token is shown once:", Table(&[key], now));
        print(format_args!("{token}\n"))?;
    }
    Ok(())
}

fn show(key: &ApiKey, now: Timestamp, output: Output) -> std::io::Result<()> {
    if output.json { print_json(&as_json(key, now)) } else { print(Table(std::slice::from_ref(key), now)) }
}

/// A key that may do what its parent may, until then; and its token.
pub(crate) fn child_of(
    parent: &ApiKey,
    now: Timestamp,
    expires_at: Timestamp,
) -> anyhow::Result<(ApiKey, String)> {
    let name = KeyName::new(parent.name.as_str())?;
    let new = NewApiKey { name, scopes: parent.scopes.clone(), expires_in_days: None };
    let (key, token) = mint(new, now)?;
    Ok((ApiKey { parent_id: Some(parent.id), expires_at: Some(expires_at), ..key }, token))
}

fn mint(new: NewApiKey, now: Timestamp) -> anyhow::Result<(ApiKey, String)> {
    let mut random = [0; NewApiKey::RANDOM_BYTES];
    getrandom::fill(&mut random).context("the operating system gives no random numbers")?;
    Ok(new.mint(random, now))
}

fn state(key: &ApiKey, now: Timestamp) -> &'static str {
    match (key.revoked_at, key.is_live(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "live",
        (None, false) => "expired",
    }
}

/// A key for programs to read.
fn as_json(key: &ApiKey, now: Timestamp) -> Value {
    json!({
        "id": key.id.as_str(),
        "name": key.name,
        "state": state(key, now),
        "scopes": key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
        "created_at": key.created_at.to_string(),
        "expires_at": key.expires_at.map(|at| at.to_string()),
        "revoked_at": key.revoked_at.map(|at| at.to_string()),
        "last_used_at": key.last_used_at.map(|at| at.to_string()),
    })
}

/// Keys for people to read.
struct Table<'a>(&'a [ApiKey], Timestamp);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(keys, now) = *self;
        writeln!(f, "{:<12}  {:<7}  {:<27}  {:<27}  name · scopes", "id", "state", "created", "expires")?;
        for key in keys {
            let state = state(key, now);
            let created = key.created_at.to_string();
            let expires = key.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
            let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
            let (id, name, scopes) = (key.id.as_str(), &key.name, scopes.join(","));
            writeln!(f, "{id:<12}  {state:<7}  {created:<27}  {expires:<27}  {name} · {scopes}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use balance_domain::KeyDays;

    use super::*;

    fn new(scopes: Vec<Scope>, expires_in_days: Option<KeyDays>) -> NewApiKey {
        NewApiKey { name: KeyName::new("billing").unwrap(), scopes, expires_in_days }
    }

    #[test]
    fn a_token_opens_what_is_kept_of_it() {
        let now = SystemClock.now();
        let (key, token) =
            new(vec![Scope::Report, Scope::Deposit, Scope::Report], KeyDays::new(1).ok()).mint([7; 38], now);
        let opened = AdminKey::parse(&token).unwrap();
        assert_eq!((&opened.id, opened.secret_hash), (&key.id, key.secret_hash));
        assert_eq!(key.scopes, [Scope::Deposit, Scope::Report]);
        assert_eq!(key.expires_at.unwrap().micros() - now.micros(), 86_400_000_000);
        assert!(!Table(&[key], now).to_string().contains(&token[17..]));
        assert_ne!(new(vec![Scope::Admin], None).mint([8; 38], now).1, token);
    }

    #[test]
    fn admin_keys_are_whole_tokens() {
        let (id, secret) = ("0123456789ab", "0123456789abcdef".repeat(4));
        assert!(AdminKey::parse(&format!("bal_{id}_{secret}")).is_ok());
        for refused in [
            String::new(),
            secret.clone(),
            format!("{id}_{secret}"),
            format!("bal_{id}"),
            format!("bal_{id}_{}", &secret[1..]),
            format!("bal_{id}_{secret}0"),
            format!("bal_{id}_{}", secret.to_uppercase()),
            format!("bal_{}_{secret}", &id[1..]),
        ] {
            assert!(!AdminKey::parse(&refused).unwrap_err().contains("0123"), "{refused}");
        }
    }
}
