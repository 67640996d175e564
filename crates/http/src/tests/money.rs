//! The life of money through the contract.

use actix_web::test::TestRequest;
use serde_json::json;

use super::world::{World, call, get, post};

#[actix_web::test]
async fn a_deposit_answers_with_its_operation_and_again_with_the_same() {
    let world = World::new().await;
    let app = world.app().await;
    let body = json!({ "amount": 150_000, "comment": "top-up" });
    let first = call(&app, post("/api/v1/users/42/deposits", "k/1+%", &body)).await;
    assert_eq!(first.status, 201);
    assert_eq!(
        first.json(),
        json!({
            "user_id": 42, "seq": 1, "kind": "deposit", "amount": 150_000, "available_after": 150_000,
            "reserved_after": 0, "comment": "top-up", "idempotency_key": "k/1+%",
            "created_at": "2026-11-24T09:30:00.000000Z", "actor": "anonymous",
        })
    );
    assert_eq!(first.header("idempotency-replayed"), "");
    let location = first.header("location").to_owned();
    assert_eq!(location, "/api/v1/users/42/operations/by-key/k%2F1%2B%25");

    world.pass(60);
    let again = call(&app, post("/api/v1/users/42/deposits", "k/1+%", &body)).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = call(&app, post("/api/v1/users/42/deposits", "k/1+%", &json!({ "amount": 1 }))).await;
    assert_eq!(other.refusal(), (422, "idempotency_key_reused".to_owned()));

    let by_key = call(&app, get(&location)).await;
    assert_eq!((by_key.status, &by_key.text), (200, &first.text));
    let unknown = call(&app, get("/api/v1/users/42/operations/by-key/other")).await;
    assert_eq!(unknown.refusal(), (404, "operation_not_found".to_owned()));

    let balance = call(&app, get("/api/v1/users/42/balance")).await;
    assert_eq!(
        balance.json(),
        json!({
            "user_id": 42, "available": 150_000, "reserved": 0, "total": 150_000, "currency": "RUB", "version": 1,
            "as_of": "2026-11-24T09:31:00.000000Z",
        })
    );
}

#[actix_web::test]
async fn a_reservation_lives_through_capture_and_refund() {
    let world = World::new().await;
    let app = world.app().await;
    let ids = json!({ "user_id": 1, "service_id": 7, "order_id": 5 });
    let with = |more: serde_json::Value| {
        let mut body = ids.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    call(&app, post("/api/v1/users/1/deposits", "d", &json!({ "amount": 1000 }))).await;
    let reserved = call(&app, post("/api/v1/reservations", "r", &with(json!({ "amount": 600 })))).await;
    assert_eq!(reserved.status, 201);
    assert_eq!(reserved.header("location"), "/api/v1/reservations?user_id=1&service_id=7&order_id=5");
    assert_eq!(
        reserved.json(),
        json!({
            "user_id": 1, "service_id": 7, "order_id": 5, "state": "active", "amount": 600, "reserved": 600,
            "captured": 0, "released": 0, "refunded": 0, "created_at": "2026-11-24T09:30:00.000000Z",
            "reserve_seq": 2, "expires_at": "2026-11-24T09:40:00.000000Z", "operation_seq": 2,
        })
    );
    let twice = call(&app, post("/api/v1/reservations", "r2", &with(json!({ "amount": 1 })))).await;
    assert_eq!(twice.refusal(), (409, "reservation_exists".to_owned()));

    let extended =
        call(&app, post("/api/v1/reservations/extend", "-", &with(json!({ "expires_in_seconds": 3600 }))))
            .await;
    assert_eq!(extended.status, 200);
    assert_eq!(extended.json()["expires_at"], "2026-11-24T10:30:00.000000Z");
    assert!(extended.json().get("operation_seq").is_none());

    let part = with(json!({ "amount": 200, "final": false }));
    let captured = call(&app, post("/api/v1/reservations/capture", "c1", &part)).await;
    assert_eq!((captured.status, &captured.json()["state"]), (200, &json!("active")));
    let over = call(&app, post("/api/v1/reservations/capture", "c2", &with(json!({ "amount": 401 })))).await;
    assert_eq!(over.refusal(), (422, "capture_exceeds_reserved".to_owned()));
    let rest = call(&app, post("/api/v1/reservations/capture", "c3", &with(json!({ "amount": 300 })))).await;
    assert_eq!(rest.json()["state"], "captured");
    assert_eq!(rest.json()["released"], 100);
    let again = call(&app, post("/api/v1/reservations/capture", "c4", &ids)).await;
    assert_eq!(again.refusal(), (409, "reservation_captured".to_owned()));

    let refund = call(&app, post("/api/v1/reservations/refund", "f1", &with(json!({ "amount": 500 })))).await;
    assert_eq!((refund.status, &refund.json()["refunded"]), (200, &json!(500)));
    let none = call(&app, post("/api/v1/reservations/refund", "f2", &ids)).await;
    assert_eq!(none.refusal(), (409, "nothing_to_refund".to_owned()));

    let balance = call(&app, get("/api/v1/users/1/balance")).await.json();
    assert_eq!((&balance["available"], &balance["reserved"]), (&json!(1000), &json!(0)));
}

#[actix_web::test]
async fn a_late_request_that_names_its_hold_does_not_act_on_a_later_one() {
    let world = World::new().await;
    let app = world.app().await;
    let with = |more: serde_json::Value| {
        let mut body = json!({ "user_id": 1, "service_id": 7, "order_id": 5 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let on = |path: &str| format!("/api/v1/reservations{path}");
    call(&app, post("/api/v1/users/1/deposits", "d", &json!({ "amount": 1000 }))).await;
    let first = call(&app, post(&on(""), "r1", &with(json!({ "amount": 600 })))).await.json();
    call(&app, post(&on("/release"), "l", &with(json!({ "reserve_seq": first["reserve_seq"] })))).await;
    let second = call(&app, post(&on(""), "r2", &with(json!({ "amount": 300 })))).await.json();
    assert_eq!((&first["reserve_seq"], &second["reserve_seq"]), (&json!(2), &json!(4)));
    let late = with(json!({ "reserve_seq": 2 }));
    let superseded = (409, "reservation_superseded".to_owned());
    for path in ["/capture", "/release", "/refund"] {
        assert_eq!(call(&app, post(&on(path), path, &late)).await.refusal(), superseded, "{path}");
    }
    let extend = with(json!({ "reserve_seq": 2, "expires_in_seconds": 3600 }));
    assert_eq!(call(&app, post(&on("/extend"), "-", &extend)).await.refusal(), superseded);
    let mut command = late.clone();
    command
        .as_object_mut()
        .unwrap()
        .extend([("kind".to_owned(), json!("capture")), ("idempotency_key".to_owned(), json!("b"))]);
    let batch = json!({ "mode": "independent", "commands": [command] });
    let results = call(&app, post("/api/v1/batches", "-", &batch)).await.json();
    assert_eq!(results["results"][0]["code"], "reservation_superseded", "{results}");
    let found = call(&app, get("/api/v1/reservations?user_id=1&service_id=7&order_id=5")).await.json();
    assert_eq!((&found["state"], &found["reserve_seq"]), (&json!("active"), &json!(4)));
    let captured = call(&app, post(&on("/capture"), "c", &with(json!({ "reserve_seq": 4 })))).await;
    assert_eq!((captured.status, &captured.json()["captured"]), (200, &json!(300)));
    let none = call(&app, post(&on("/capture"), "z", &with(json!({ "reserve_seq": 0 })))).await;
    assert_eq!(none.refusal(), (400, "invalid_id".to_owned()));
}

#[actix_web::test]
async fn a_release_and_a_deadline_give_money_back() {
    let world = World::new().await;
    let app = world.app().await;
    call(&app, post("/api/v1/users/1/deposits", "d", &json!({ "amount": 100 }))).await;
    for order in [1, 2] {
        let body = json!({
            "user_id": 1, "service_id": 7, "order_id": order, "amount": 50, "expires_in_seconds": 60,
        });
        assert_eq!(call(&app, post("/api/v1/reservations", &format!("r{order}"), &body)).await.status, 201);
    }
    let first = json!({ "user_id": 1, "service_id": 7, "order_id": 1 });
    let released = call(&app, post("/api/v1/reservations/release", "l", &first)).await;
    assert_eq!((released.status, &released.json()["state"]), (200, &json!("released")));
    world.pass(60);
    let second = call(&app, get("/api/v1/reservations?user_id=1&service_id=7&order_id=2")).await;
    assert_eq!(second.json()["state"], "expired");
    assert_eq!(call(&app, get("/api/v1/users/1/balance")).await.json()["available"], 100);
    let late = json!({ "user_id": 1, "service_id": 7, "order_id": 2 });
    let refused = call(&app, post("/api/v1/reservations/capture", "c", &late)).await;
    assert_eq!(refused.refusal(), (409, "reservation_expired".to_owned()));
    let expired = call(&app, get("/api/v1/users/1/reservations?state=expired")).await.json();
    assert_eq!(expired["data"].as_array().unwrap().len(), 1);
    assert_eq!(expired["next_cursor"], json!(null));
}

#[actix_web::test]
async fn transfers_and_withdrawals_answer_with_the_payers_operation() {
    let world = World::new().await;
    let app = world.app().await;
    call(&app, post("/api/v1/users/1/deposits", "d", &json!({ "amount": 100 }))).await;
    let body = json!({ "from_user_id": 1, "to_user_id": 2, "amount": 30 });
    let paid = call(&app, post("/api/v1/transfers", "t", &body)).await;
    assert_eq!(paid.status, 201);
    assert_eq!(paid.json()["kind"], "transfer_out");
    assert_eq!(paid.json()["counterparty_user_id"], 2);
    let taken = call(&app, post("/api/v1/users/2/withdrawals", "w", &json!({ "amount": 30 }))).await;
    assert_eq!((taken.status, &taken.json()["available_after"]), (201, &json!(0)));
    let more = call(&app, post("/api/v1/users/2/withdrawals", "w2", &json!({ "amount": 1 }))).await;
    assert_eq!(more.refusal(), (422, "insufficient_funds".to_owned()));
    assert_eq!(more.json()["detail"], "only 0 minor units are available");
    let same = json!({ "from_user_id": 1, "to_user_id": 1, "amount": 1 });
    let refused = call(&app, post("/api/v1/transfers", "s", &same)).await;
    assert_eq!(refused.refusal(), (422, "same_account".to_owned()));
    let unknown = call(&app, post("/api/v1/users/9/withdrawals", "w", &json!({ "amount": 1 }))).await;
    assert_eq!(unknown.refusal(), (404, "account_not_found".to_owned()));
}

#[actix_web::test]
async fn defect_09_a_reservation_is_only_found_under_all_three_of_its_ids() {
    let world = World::new().await;
    let app = world.app().await;
    for user in [1, 2] {
        call(&app, post(&format!("/api/v1/users/{user}/deposits"), "d", &json!({ "amount": 100 }))).await;
    }
    let body = json!({ "user_id": 1, "service_id": 7, "order_id": 5, "amount": 60 });
    assert_eq!(call(&app, post("/api/v1/reservations", "r", &body)).await.status, 201);
    assert_eq!(call(&app, get("/api/v1/reservations?user_id=1&service_id=7&order_id=5")).await.status, 200);
    for (user, service, order) in [(2, 7, 5), (1, 8, 5), (1, 7, 6)] {
        let query = format!("/api/v1/reservations?user_id={user}&service_id={service}&order_id={order}");
        let reply = call(&app, get(&query)).await;
        assert_eq!(reply.refusal(), (404, "reservation_not_found".to_owned()), "{query}");
        let ids = json!({ "user_id": user, "service_id": service, "order_id": order });
        for path in ["capture", "release", "refund"] {
            let reply = call(&app, post(&format!("/api/v1/reservations/{path}"), path, &ids)).await;
            assert_eq!(reply.status, 404, "{path} {ids}");
        }
    }
}

#[actix_web::test]
async fn a_closed_account_is_gone_but_its_requests_are_still_answered() {
    let world = World::new().await;
    let app = world.app().await;
    let close = || TestRequest::delete().uri("/api/v1/users/1");
    assert_eq!(call(&app, close()).await.refusal(), (404, "account_not_found".to_owned()));
    let deposit = post("/api/v1/users/1/deposits", "d", &json!({ "amount": 100 }));
    call(&app, deposit).await;
    assert_eq!(call(&app, close()).await.refusal(), (409, "account_not_empty".to_owned()));
    call(&app, post("/api/v1/users/1/withdrawals", "w", &json!({ "amount": 100 }))).await;
    let closed = call(&app, close()).await;
    assert_eq!((closed.status, closed.text.as_str()), (204, ""));

    let gone = (410, "account_closed".to_owned());
    assert_eq!(call(&app, close()).await.refusal(), gone);
    for path in ["balance", "operations", "reservations"] {
        assert_eq!(call(&app, get(&format!("/api/v1/users/1/{path}"))).await.refusal(), gone, "{path}");
    }
    let new = call(&app, post("/api/v1/users/1/deposits", "n", &json!({ "amount": 1 }))).await;
    assert_eq!(new.refusal(), gone);
    let again = call(&app, post("/api/v1/users/1/deposits", "d", &json!({ "amount": 100 }))).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(call(&app, get("/api/v1/users/1/operations/by-key/d")).await.status, 200);
}

#[actix_web::test]
async fn services_are_added_renamed_and_removed() {
    let world = World::new().await;
    let app = world.app().await;
    let add = |body: serde_json::Value| post("/api/v1/services", "-", &body);
    let two = json!({ "services": [{ "id": 1, "name": "Одежда" }, { "id": 2, "name": "a;b" }] });
    let added = call(&app, add(two.clone())).await;
    assert_eq!(added.status, 201);
    assert_eq!(
        added.json(),
        json!({ "services": [
            { "id": 1, "name": "Одежда", "status": "active" }, { "id": 2, "name": "a;b", "status": "active" },
        ] })
    );
    assert_eq!(call(&app, add(two)).await.refusal(), (409, "service_exists".to_owned()));
    let named = json!({ "services": [{ "id": 3, "name": "Delivery" }] });
    assert_eq!(call(&app, add(named)).await.refusal(), (409, "service_name_taken".to_owned()));

    let rename = |id: i64, name: &str| {
        TestRequest::patch()
            .uri(&format!("/api/v1/services/{id}"))
            .insert_header(("content-type", "application/json"))
            .set_payload(json!({ "name": name }).to_string())
    };
    assert_eq!(call(&app, rename(1, "Clothes")).await.json()["name"], "Clothes");
    assert_eq!(call(&app, rename(1, "Delivery")).await.refusal(), (409, "service_name_taken".to_owned()));
    assert_eq!(call(&app, rename(9, "x")).await.refusal(), (404, "service_not_found".to_owned()));
    assert_eq!(call(&app, get("/api/v1/services/1")).await.json()["name"], "Clothes");

    let remove = |id: i64| TestRequest::delete().uri(&format!("/api/v1/services/{id}"));
    assert_eq!(call(&app, remove(2)).await.status, 204);
    assert_eq!(call(&app, get("/api/v1/services/2")).await.refusal(), (404, "service_not_found".to_owned()));
    assert_eq!(call(&app, remove(2)).await.refusal(), (404, "service_not_found".to_owned()));
    call(&app, post("/api/v1/users/1/deposits", "d", &json!({ "amount": 100 }))).await;
    let body = json!({ "user_id": 1, "service_id": 7, "order_id": 5, "amount": 60 });
    assert_eq!(call(&app, post("/api/v1/reservations", "r", &body)).await.status, 201);
    assert_eq!(call(&app, remove(7)).await.status, 204);
    assert_eq!(call(&app, get("/api/v1/services/7")).await.json()["status"], "retired");
    let body = json!({ "user_id": 1, "service_id": 7, "order_id": 6, "amount": 1 });
    let refused = call(&app, post("/api/v1/reservations", "r2", &body)).await;
    assert_eq!(refused.refusal(), (409, "service_retired".to_owned()));

    let page = call(&app, get("/api/v1/services?limit=1")).await.json();
    assert_eq!(page["data"][0]["id"], 1);
    let next = page["next_cursor"].as_str().unwrap();
    let page = call(&app, get(&format!("/api/v1/services?limit=1&cursor={next}"))).await.json();
    assert_eq!((&page["data"][0]["id"], &page["next_cursor"]), (&json!(7), &json!(null)));
}
