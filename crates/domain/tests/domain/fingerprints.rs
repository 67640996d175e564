//! Fingerprints are stored for ever: these bytes must never change, and nothing that is asked may be left out.

use std::collections::BTreeMap;

use balance_domain::{
    Action, Amount, Command, Comment, Fingerprint, Hold, MoneyCommand, OrderId, ReservationKey, ServiceId,
    TimeLimit, UserId,
};

use crate::script::{
    amount, capture, capture_part, deposit, key, order, refund, release, reserve, reserve_for, saying,
    transfer, ttl, withdraw,
};

fn fingerprint(command: &Command) -> Fingerprint {
    let Command::Money(command) = command else { panic!("{command:?} has no key") };
    command.fingerprint()
}

fn hex(Fingerprint(bytes): Fingerprint) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn fingerprints_are_these_bytes_for_ever() {
    let the = order(7, 8, 9);
    for (command, expected) in [
        (deposit("k", 7, 100), "ab9654381ffdc54e8dec508b5ddd59db"),
        (withdraw("k", 7, 100), "1db07a9a882d545a3c13aea8c214c20f"),
        (transfer("k", 7, 8, 100), "df9793e20bd69d3544d6f7c3f77e52b8"),
        (reserve("k", the, 100), "525f4eef977151af2a537b3ec0be859e"),
        (reserve_for("k", the, 100, 600), "72d264ed2f795d3754f0f1914214baf2"),
        (capture("k", the, None), "5a7b3dea7459cdf49cc29e7f75944b82"),
        (capture_part("k", the, Some(100)), "e8141d5f7faf633268e60b7070a5feb3"),
        (release("k", the), "b2c399e69e8cd286bf18feab0784694b"),
        (refund("k", the, None), "118226b1def34fd78ef3c33e1c05254a"),
        (refund("k", the, Some(100)), "38236fdff7e890d5e546fe18ecde3198"),
        (saying("", deposit("k", 7, 100)), "09cfc1e5d33954bd978c2710e2c1c529"),
        (saying("за такси", deposit("k", 7, 100)), "09cfc1e5d33954bd978c2710e2c1c529"),
    ] {
        assert_eq!(hex(fingerprint(&command)), expected, "{command:?}");
    }
}

/// Every command of small parts: any two differ in at least one field.
fn neighbours() -> Vec<MoneyCommand> {
    let (users, amounts) = ([1, 2].map(|id| UserId::new(id).unwrap()), [amount(1), amount(2)]);
    let optional = [None, Some(amounts[0]), Some(amounts[1])];
    let limits = [TimeLimit::Default(ttl(1)), TimeLimit::Asked(ttl(1)), TimeLimit::Asked(ttl(2))];
    let mut actions = Vec::new();
    for user_id in users {
        actions.extend(amounts.map(|amount| Action::Deposit { user_id, amount }));
        actions.extend(amounts.map(|amount| Action::Withdraw { user_id, amount }));
        for to in users {
            actions.extend(amounts.map(|amount| Action::Transfer { from: user_id, to, amount }));
        }
        for (service_id, order_id) in [(1, 1), (1, 2), (2, 1)] {
            let (service_id, order_id) =
                (ServiceId::new(service_id).unwrap(), OrderId::new(order_id).unwrap());
            let reservation = ReservationKey { user_id, service_id, order_id };
            for reserve_seq in [None, Some(1), Some(2)] {
                let hold = Hold { key: reservation, reserve_seq };
                actions.push(Action::Release { reservation: hold });
                actions.extend(
                    optional.map(|amount: Option<Amount>| Action::Refund { reservation: hold, amount }),
                );
                for is_final in [false, true] {
                    actions.extend(optional.map(|amount| Action::Capture {
                        reservation: hold,
                        amount,
                        is_final,
                    }));
                }
            }
            for time_limit in limits {
                actions.extend(amounts.map(|amount| Action::Reserve { reservation, amount, time_limit }));
            }
        }
    }
    let comments = [None, Some("a")].map(|text| text.map(|text| Comment::new(text).unwrap()));
    let with = |action: Action| {
        let action = move |comment: &Option<Comment>| MoneyCommand {
            action: action.clone(),
            key: key("k"),
            comment: comment.clone(),
        };
        comments.iter().map(action).collect::<Vec<_>>()
    };
    actions.into_iter().flat_map(with).collect()
}

#[test]
fn commands_that_differ_in_any_field_have_different_fingerprints() {
    let commands = neighbours();
    let mut seen = BTreeMap::new();
    for command in &commands {
        if let Some(other) = seen.insert(command.fingerprint().0, command) {
            panic!("{command:?} and {other:?} mean the same");
        }
    }
    assert_eq!(seen.len(), (4 + 4 + 8 + 6 * (3 * (1 + 3 + 6) + 6)) * 2);
}

#[test]
fn the_key_is_no_part_of_the_meaning() {
    assert_eq!(fingerprint(&deposit("a", 1, 2)), fingerprint(&deposit("b", 1, 2)));
}

#[test]
fn a_configured_time_limit_is_no_part_of_the_meaning_and_an_asked_one_is() {
    let with = |time_limit| {
        let action = Action::Reserve { reservation: order(1, 1, 1), amount: amount(1), time_limit };
        MoneyCommand { action, key: key("k"), comment: None }.fingerprint()
    };
    assert_eq!(with(TimeLimit::Default(ttl(600))), with(TimeLimit::Default(ttl(900))));
    assert_ne!(with(TimeLimit::Default(ttl(600))), with(TimeLimit::Asked(ttl(600))));
    assert_ne!(with(TimeLimit::Asked(ttl(600))), with(TimeLimit::Asked(ttl(900))));
}

/// It is compared as it stands in the operation, so that nothing confirms a guess once it was erased.
#[test]
fn the_text_of_a_comment_leaves_no_trace() {
    let saying = |text| saying(text, deposit("k", 1, 2));
    assert_eq!(fingerprint(&saying("to Ivan, flat 12")), fingerprint(&saying("to Ivan, flat 13")));
}

#[test]
fn an_empty_comment_is_not_an_absent_one() {
    let plain = deposit("k", 1, 2);
    assert_ne!(fingerprint(&plain), fingerprint(&saying("", plain.clone())));
}
