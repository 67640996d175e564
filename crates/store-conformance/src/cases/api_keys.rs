//! API keys are kept, listed and revoked.

use balance_domain::{Actor, ApiKey, ApiKeyId, Scope, SecretHash, Timestamp};

use crate::teller::{Teller, at, failed};

fn id(text: &str) -> ApiKeyId {
    ApiKeyId::new(text).unwrap_or_else(|invalid| panic!("{text:?}: {invalid}"))
}

fn api_key(text: &str, created_at: &str) -> ApiKey {
    ApiKey {
        id: id(text),
        name: "billing; 'prod' 🦀".into(),
        scopes: vec![Scope::Deposit, Scope::BalanceRead],
        secret_hash: SecretHash::of(text),
        created_at: at(created_at),
        expires_at: None,
        parent_id: None,
        revoked_at: None,
        last_used_at: None,
    }
}

async fn all(teller: &Teller) -> Vec<ApiKey> {
    let read = teller.store().api_keys().await.unwrap_or_else(|error| failed(&error));
    assert_eq!(read.had_keys, !read.keys.is_empty());
    assert!(read.faults.is_empty(), "{:?}", read.faults);
    read.keys
}

async fn add(teller: &Teller, key: ApiKey) {
    teller.store().add_api_key(key, Actor::CommandLine).await.unwrap_or_else(|error| failed(&error));
}

async fn revoke(teller: &Teller, text: &str, now: Timestamp) -> Option<ApiKey> {
    teller
        .store()
        .revoke_api_key(id(text), Actor::CommandLine, now)
        .await
        .unwrap_or_else(|error| failed(&error))
}

/// Keys come back whole, by the time they were made, then by id.
pub async fn keys_are_listed_in_order(teller: Teller) {
    assert!(all(&teller).await.is_empty());
    let mut oldest = api_key("ffffffffffff", "2026-01-01T00:00:00.000001Z");
    oldest.scopes = Scope::ALL.to_vec();
    oldest.expires_at = Some(at("2027-01-01T00:00:00.654321Z"));
    let mut second = api_key("0123456789ab", "2026-02-01T00:00:00Z");
    second.scopes = vec![];
    second.parent_id = Some(id("ffffffffffff"));
    let third = api_key("0123456789ac", "2026-02-01T00:00:00Z");
    for key in [&third, &oldest, &second] {
        add(&teller, key.clone()).await;
    }
    assert_eq!(all(&teller).await, [oldest, second, third]);
}

/// Revoking is final and keeps its first time; others are untouched.
pub async fn a_revoked_key_keeps_its_time(teller: Teller) {
    let (first, second) =
        (api_key("000000000001", "2026-01-01T00:00:00Z"), api_key("000000000002", "2026-01-02T00:00:00Z"));
    add(&teller, first.clone()).await;
    add(&teller, second.clone()).await;
    assert_eq!(revoke(&teller, "000000000003", teller.now()).await, None);
    let revoked = ApiKey { revoked_at: Some(teller.now()), ..first };
    assert_eq!(revoke(&teller, "000000000001", teller.now()).await, Some(revoked.clone()));
    teller.pass(60);
    assert_eq!(revoke(&teller, "000000000001", teller.now()).await, Some(revoked.clone()));
    assert_eq!(all(&teller).await, [revoked, second]);
}

/// An id is never given twice: a second key does not take the place of the first.
pub async fn an_id_is_kept_once(teller: Teller) {
    let first = api_key("000000000001", "2026-01-01T00:00:00Z");
    add(&teller, first.clone()).await;
    let mut other = api_key("000000000001", "2026-01-02T00:00:00Z");
    other.name = "intruder".into();
    assert!(teller.store().add_api_key(other, Actor::CommandLine).await.is_err());
    assert_eq!(all(&teller).await, [first]);
}

/// What is noted later but is earlier changes nothing; a key that is not known is passed over.
pub async fn the_latest_use_of_a_key_is_kept(teller: Teller) {
    let [first, second] = ["000000000001", "000000000002"].map(|text| api_key(text, "2026-01-01T00:00:00Z"));
    add(&teller, first.clone()).await;
    add(&teller, second.clone()).await;
    let (early, late) = (at("2026-02-01T00:01:00Z"), at("2026-02-01T00:02:00Z"));
    for uses in [vec![(first.id, late)], vec![(first.id, early), (id("0000000000ff"), late)], vec![]] {
        teller.store().note_api_key_uses(uses).await.unwrap_or_else(|error| failed(&error));
    }
    assert_eq!(all(&teller).await, [ApiKey { last_used_at: Some(late), ..first }, second]);
}
