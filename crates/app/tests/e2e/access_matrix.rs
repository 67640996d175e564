//! Every call against every kind of key that a store can hold. The calls come from the published document, so a new
//! one cannot be forgotten; what each must need is written down here once more.

use std::sync::Arc;

use balance_domain::{Actor, ApiKey, ApiKeyId, Scope, SecretHash, Timestamp, ports::ApiKeyRepo};
use balance_store_postgres::{PostgresOptions, PostgresStore};
use balance_store_sqlite::{SqliteOptions, SqliteStore};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Store, World, new_key, on_every_store};

on_every_store!(
    each_call_is_open_to_its_own_scope_and_to_nobody_else,
    a_kept_answer_is_not_repeated_to_a_key_without_the_scope
);

/// What each call must need; nothing is any live key. A batch needs the scopes of its commands: here those of the
/// document's example.
const NEEDS: [(&str, &[Scope]); 30] = [
    ("addServices", &[Scope::ServicesWrite]),
    ("buildRevenueReport", &[Scope::Report]),
    ("captureReservation", &[Scope::Reserve]),
    ("closeAccount", &[Scope::UsersDelete]),
    ("createDeposit", &[Scope::Deposit]),
    ("createKey", &[Scope::Admin]),
    ("createReservation", &[Scope::Reserve]),
    ("createTransfer", &[Scope::Transfer]),
    ("createWithdrawal", &[Scope::Withdraw]),
    ("executeBatch", &[Scope::Deposit, Scope::Reserve]),
    ("extendReservation", &[Scope::Reserve]),
    ("getBalance", &[Scope::BalanceRead]),
    ("getLedger", &[]),
    ("getOperationByKey", &[Scope::HistoryRead]),
    ("getReservation", &[Scope::BalanceRead]),
    ("getRevenueReport", &[Scope::Report]),
    ("getRevenueReportFile", &[Scope::Report]),
    ("getService", &[Scope::BalanceRead]),
    ("listEvents", &[Scope::EventsRead]),
    ("listKeys", &[Scope::Admin]),
    ("listOperations", &[Scope::HistoryRead]),
    ("listReservations", &[Scope::BalanceRead]),
    ("listRevenue", &[Scope::Report]),
    ("listServices", &[Scope::BalanceRead]),
    ("refundReservation", &[Scope::Refund]),
    ("releaseReservation", &[Scope::Reserve]),
    ("removeService", &[Scope::ServicesWrite]),
    ("renameService", &[Scope::ServicesWrite]),
    ("revokeKey", &[Scope::Admin]),
    ("searchReservations", &[Scope::Search]),
];

/// Columns of the table, and the answer that a caller with such a key must get.
const CALLERS: [(&str, Access); 9] = [
    ("none", Access::Unauthenticated),
    ("malformed", Access::Unauthenticated),
    ("unknown", Access::Unauthenticated),
    ("secret", Access::Unauthenticated),
    ("expired", Access::Expired),
    ("revoked", Access::Revoked),
    ("others", Access::Forbidden),
    ("right", Access::LetIn),
    ("admin", Access::LetIn),
];

#[derive(Clone, Copy)]
enum Access {
    Unauthenticated,
    Expired,
    Revoked,
    Forbidden,
    LetIn,
}

impl Access {
    #[track_caller]
    fn check(self, answer: &Answer) {
        match self {
            Self::Unauthenticated => answer.refused(401, "unauthenticated"),
            Self::Expired => answer.refused(401, "key_expired"),
            Self::Revoked => answer.refused(401, "key_revoked"),
            Self::Forbidden => answer.refused(403, "forbidden"),
            // What it then says depends on what calls before it have done.
            Self::LetIn => assert!(answer.status < 500 && ![401, 403].contains(&answer.status)),
        }
    }
}

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn key(number: usize, scopes: Vec<Scope>) -> ApiKey {
    ApiKey {
        id: ApiKeyId::new(format!("{number:012x}")).unwrap(),
        name: format!("key {number}"),
        scopes,
        secret_hash: SecretHash::of(SECRET),
        created_at: Timestamp::from_micros(1).unwrap(),
        expires_at: None,
        parent_id: None,
        revoked_at: None,
        last_used_at: None,
    }
}

fn token(key: &ApiKey) -> String {
    format!("bal_{}_{SECRET}", key.id)
}

/// Puts keys into the store itself: the command line makes none that have expired.
async fn keep(world: &World, keys: &[&ApiKey]) {
    let url = world.variable("BALANCE_DATABASE_URL");
    let repo: Box<dyn ApiKeyRepo> = match world.store {
        Store::Sqlite => {
            let path = url.strip_prefix("sqlite:").unwrap();
            Box::new(
                SqliteStore::open(path.as_ref(), SqliteOptions::default(), Arc::new(Timestamp::MIN)).unwrap(),
            )
        }
        Store::Postgres => {
            let options =
                PostgresOptions { allow_unsafe_durability: true, ..PostgresOptions::new(url.to_owned()) };
            let store = PostgresStore::new(options, Arc::new(Timestamp::MIN)).unwrap();
            store.migrate().await.unwrap();
            Box::new(store)
        }
    };
    for key in keys {
        repo.add_api_key((*key).clone(), Actor::CommandLine).await.unwrap();
    }
}

/// A call of the document, well formed by its own examples.
struct Call {
    id: String,
    method: Method,
    path: String,
    body: Option<Value>,
    needs: &'static [Scope],
}

impl Call {
    fn new(document: &Value, path: &str, method: &str, operation: &Value) -> Self {
        let id = operation["operationId"].as_str().unwrap().to_owned();
        let schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
        let body = schema.map(|schema| document.pointer(&schema[1..]).unwrap()["example"].clone());
        assert_ne!(body, Some(Value::Null), "{id} has an example");
        let needs = NEEDS.iter().find(|(call, _)| *call == id).map(|(_, needs)| *needs);
        let needs = needs.unwrap_or_else(|| panic!("{id} is new: say above what it must need"));
        check_documented(&id, needs, &operation["x-required-scopes"]);
        Self { path: filled(path, &id), method: method.to_uppercase().parse().unwrap(), id, body, needs }
    }

    async fn send(&self, api: &Api) -> Answer {
        let request = api.request(self.method.clone(), &self.path).header("Idempotency-Key", new_key());
        Api::send(match &self.body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }
}

/// The document says the same, and nothing for a call whose body decides.
fn check_documented(id: &str, needs: &[Scope], documented: &Value) {
    let names: Vec<_> = needs.iter().map(|scope| scope.as_str()).collect();
    let expected = if id == "executeBatch" { json!([]) } else { json!(names) };
    assert_eq!(*documented, expected, "{id}");
}

fn filled(path: &str, id: &str) -> String {
    let path = path.replace("{user_id}", "42").replace("{service_id}", "7");
    let path = path.replace("{month}", "2026-10").replace("{key}", "k").replace("{key_id}", "0123456789ab");
    let query = if id == "getReservation" { "?user_id=42&service_id=7&order_id=1001" } else { "" };
    path + query
}

fn every_call() -> Vec<Call> {
    let document = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json"));
    let document: Value = serde_json::from_str(document).unwrap();
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            calls.push(Call::new(&document, path, method, operation));
        }
    }
    assert_eq!(calls.len(), NEEDS.len(), "a call is gone: take it out above");
    calls
}

/// The keys that every call is tried with.
struct Common {
    expired: ApiKey,
    revoked: ApiKey,
    admin: ApiKey,
}

impl Common {
    fn new() -> Self {
        let admin = |number| key(number, vec![Scope::Admin]);
        let long_ago = Timestamp::from_micros(2).ok();
        Self {
            expired: ApiKey { expires_at: long_ago, ..admin(1) },
            revoked: ApiKey { revoked_at: long_ago, ..admin(2) },
            admin: admin(3),
        }
    }

    /// One caller per column.
    fn callers(&self, api: &Api, others: &ApiKey, right: &ApiKey) -> [Api; CALLERS.len()] {
        let other_secret = format!("bal_{}_{}", self.admin.id, SECRET.replace('0', "f"));
        [
            api.clone(),
            api.with_token("nonsense"),
            api.with_token(&token(&key(99_999, vec![]))),
            api.with_token(&other_secret),
            api.with_token(&token(&self.expired)),
            api.with_token(&token(&self.revoked)),
            api.with_token(&token(others)),
            api.with_token(&token(right)),
            api.with_token(&token(&self.admin)),
        ]
    }
}

fn every_scope_but(needs: &[Scope]) -> Vec<Scope> {
    Scope::ALL.into_iter().filter(|scope| *scope != Scope::Admin && !needs.contains(scope)).collect()
}

async fn each_call_is_open_to_its_own_scope_and_to_nobody_else(world: World) {
    let calls = every_call();
    let common = Common::new();
    let others: Vec<_> =
        (1_000..).zip(&calls).map(|(number, call)| key(number, every_scope_but(call.needs))).collect();
    let rights: Vec<_> =
        (2_000..).zip(&calls).map(|(number, call)| key(number, call.needs.to_vec())).collect();
    let keys: Vec<_> = others.iter().chain(&rights).collect();
    keep(&world, &[&keys[..], &[&common.expired, &common.revoked, &common.admin]].concat()).await;

    let server = world.start();
    let columns = CALLERS.map(|(column, _)| format!("{column:<9} ")).concat();
    println!("{:?}\n{:<21} {:<15} {columns}", world.store, "call", "needs");
    for ((call, others), right) in calls.iter().zip(&others).zip(&rights) {
        let needs: Vec<_> = call.needs.iter().map(|scope| scope.as_str()).collect();
        print!("{:<21} {:<15} ", call.id, needs.join("+"));
        for (caller, (_, expected)) in common.callers(&server.api, others, right).iter().zip(CALLERS) {
            let is_open = matches!(expected, Access::Forbidden) && call.needs.is_empty();
            let expected = if is_open { Access::LetIn } else { expected };
            let answer = call.send(caller).await;
            print!("{:<9} ", answer.status);
            expected.check(&answer);
        }
        println!();
    }
    assert!(server.stop().success());
    world.audit();
}

/// A key without the scope of a call does not get its stored answer either.
async fn a_kept_answer_is_not_repeated_to_a_key_without_the_scope(world: World) {
    let owner = key(1, vec![Scope::Deposit, Scope::Reserve]);
    let other = key(2, every_scope_but(&[Scope::Deposit]));
    keep(&world, &[&owner, &other]).await;
    let server = world.start();
    let [owner, other] = [&owner, &other].map(|key| server.api.with_token(&token(key)));

    let body = json!({"amount": 5});
    let deposit = |api: Api| {
        let body = body.clone();
        async move { api.post_as("/users/1/deposits", "one", body).await }
    };
    let first = deposit(owner.clone()).await.expect(201);
    let refused = deposit(other.clone()).await;
    refused.refused(403, "forbidden");
    assert_eq!(refused.header("idempotency-replayed"), "");
    let again = deposit(owner.clone()).await;
    assert_eq!((again.expect(201), again.header("idempotency-replayed")), (first, "true"));

    // The same by way of a batch, whose commands are known only when the body was read.
    let command = json!({"kind": "deposit", "idempotency_key": "one", "user_id": 1, "amount": 5});
    let batch = json!({"mode": "independent", "commands": [command]});
    other.post("/batches", batch.clone()).await.refused(403, "forbidden");
    let result = owner.post("/batches", batch).await.expect(200)["results"][0].clone();
    assert_eq!((&result["status"], &result["replayed"]), (&json!(201), &json!(true)), "{result}");
    assert_eq!(other.balance(1).await, (5, 0));
}
