//! Every valid value comes back as it went in.

use balance_domain::{BALANCE_MAX, Comment, Timestamp};

use crate::teller::{Teller, at, at_micros, deposit_of, operation_of, order, reserve_of, under, user};

fn awkward_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "  leading and trailing  ",
        "two\nlines",
        "\ttab\t",
        "\n",
        "за такси",
        "🦀👩‍👩‍👧‍👦🇷🇺",
        "\u{202e}right to left\u{202c}",
        "עברית العربية",
        "a\u{301} is not á",
        "e\u{300}\u{301}\u{302}\u{303}",
        "\u{feff}byte order mark",
        "\u{200b}zero\u{200d}width",
        "\u{fffd}\u{ffff}\u{10ffff}",
        "'; drop table operations; --",
        "\"double\" 'single' `back`",
        "\\ \\\\ \\n \\x00 \\u0000",
        "100% 50_ $1 ?1 :name @p1",
        "{\"json\": null}",
        "NULL",
        "\\N",
        "a,b;c\td",
        "=cmd|' /C calc'!A0",
        "ß ẞ ı İ ſ",
        "ﬁ ℌ ①",
    ]
    .map(String::from)
    .to_vec();
    texts.push("x".repeat(Comment::BYTES_MAX));
    texts.push("я".repeat(Comment::BYTES_MAX / 2));
    texts.push("🦀".repeat(Comment::BYTES_MAX / 4));
    texts.push("\n".repeat(Comment::BYTES_MAX));
    texts
}

/// Comments are kept byte for byte: in the receipt, in history, by key and in a repeat. An empty comment is
/// not an absent one.
pub async fn comments_are_kept_byte_for_byte(teller: Teller) {
    for text in awkward_texts() {
        let mut command = teller.fresh(deposit_of(1, 1));
        command.comment = Comment::new(text.as_str()).ok();
        assert!(command.comment.is_some(), "{text:?} is a valid comment");
        let operation = operation_of(teller.accepted(command.clone()).await.receipt);
        let by_key = teller.by_key(1, command.key.as_str()).await;
        let again = operation_of(teller.accepted(command.clone()).await.receipt);
        let last = teller.history(1).await.pop();
        for read in [Some(operation), by_key, Some(again), last] {
            let kept = read.and_then(|operation| operation.comment);
            assert_eq!(kept.as_ref().map(Comment::as_str), Some(text.as_str()));
        }
    }
    teller.deposit(1, 1).await;
    assert_eq!(teller.history(1).await.pop().map(|operation| operation.comment), Some(None));
}

/// All those comments in one batch, side by side.
pub async fn awkward_comments_share_a_batch(teller: Teller) {
    let texts = awkward_texts();
    let batch = texts.iter().map(|text| {
        let mut command = teller.fresh(deposit_of(1, 1));
        command.comment = Comment::new(text.as_str()).ok();
        command.into()
    });
    assert!(teller.batch(batch.collect()).await.iter().all(Result::is_ok));
    let kept: Vec<String> =
        teller.history(1).await.into_iter().filter_map(|o| o.comment).map(|c| c.to_string()).collect();
    assert_eq!(kept, texts);
}

/// Keys of every visible ASCII character, and the longest.
pub async fn keys_are_kept_byte_for_byte(teller: Teller) {
    let visible: String = (b'!'..=b'~').map(char::from).collect();
    for text in [visible.as_str(), &"~".repeat(255), "'", "\\", "%", "$1"] {
        teller.accepted(under(text, deposit_of(1, 1))).await;
        let kept = teller.by_key(1, text).await.and_then(|operation| operation.idempotency_key);
        assert_eq!(kept.map(|key| key.to_string()).as_deref(), Some(text));
    }
}

/// The largest ids work everywhere an id is.
pub async fn the_largest_ids_work(teller: Teller) {
    let key = order(i64::MAX, i64::MAX, i64::MAX);
    teller.add_services(&[i64::MAX]).await;
    teller.deposit(i64::MAX, 100).await;
    teller.reserve(key, 40, 600).await;
    teller.capture(key, Some(30)).await;
    teller.transfer(i64::MAX, i64::MAX - 1, 5).await;
    assert_eq!(teller.balance(i64::MAX).await, (65, 0));
    assert_eq!(teller.found(key).await.captured, 30);
    assert_eq!(teller.reservations(i64::MAX, None, 1).await.len(), 1);
    let income = teller.history(i64::MAX - 1).await.pop();
    assert_eq!(income.and_then(|operation| operation.counterparty_user_id), Some(user(i64::MAX)));
}

/// Amounts around every power of two are exact, up to the largest.
pub async fn amounts_are_exact_at_every_size(teller: Teller) {
    let mut amounts: Vec<i64> = (0..53).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]).collect();
    amounts.push(BALANCE_MAX);
    for minor in amounts.into_iter().filter(|minor| (1..=BALANCE_MAX).contains(minor)) {
        let deposited = teller.deposit(1, minor).await;
        assert_eq!((deposited.amount.get(), deposited.available_after), (minor, minor));
        assert_eq!(teller.balance(1).await, (minor, 0));
        teller.withdraw(1, minor).await;
    }
}

/// Times are kept to the microsecond, in any year, and a deadline never leaves the range of times.
pub async fn times_are_kept_to_the_microsecond(teller: Teller) {
    teller.add_services(&[7]).await;
    let last = Timestamp::MAX.micros() - 1_000_000;
    let times = [
        at("1970-01-01T00:00:00Z"),
        at("1999-12-31T23:59:59.999999Z"),
        at("2026-03-29T00:59:59.123456Z"),
        at("2038-01-19T03:14:08.000001Z"),
        at_micros(last),
    ];
    for (order_id, now) in (1..).zip(times) {
        teller.set_now(now);
        let deposited = teller.deposit(1, 10).await;
        assert_eq!((deposited.created_at, teller.history(1).await.pop()), (now, Some(deposited)));
        let reserved = teller.reserve(order(1, 7, order_id), 10, 2_592_000).await;
        assert_eq!((reserved.created_at, teller.found(order(1, 7, order_id)).await), (now, reserved));
        teller.release(order(1, 7, order_id)).await;
    }
    teller.done(reserve_of(order(1, 7, 99), 10, 600)).await;
    assert_eq!(teller.found(order(1, 7, 99)).await.expires_at, Timestamp::MAX);
}

/// The defect of the origin: times were written as Moscow wall time and read back as UTC. An instant is the same
/// instant afterwards, in the hours that a change of clocks skips or repeats, too.
pub async fn defect_10_an_instant_stays_the_same_instant(teller: Teller) {
    teller.set_now(at("2010-10-30T20:00:00Z"));
    for _ in 0..8 {
        teller.pass(1800);
        let written = teller.deposit(1, 1).await;
        let read = teller.history(1).await.pop();
        assert_eq!((written.created_at, read), (teller.now(), Some(written)));
    }
}
