//! The feed: one order of everything, complete, from any place.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use balance_domain::{
    Actor, ApiKeyId, Command, Event, EventFilter, EventLimit, EventPage, EventPosition, EventQuery,
    EventType, Fact, FactKind, Happening, OperationKind, Submission, UserId, ports::FeedError,
};

use crate::teller::{
    Teller, capture_of, deposit_of, failed, order, reserve_of, seconds, service, transfer_of, user,
    withdrawal_of,
};

fn query(after: EventPosition, limit: u16, filter: EventFilter) -> EventQuery {
    EventQuery { after, filter, limit: EventLimit::new(limit).unwrap_or_else(|invalid| panic!("{invalid}")) }
}

async fn page(teller: &Teller, query: EventQuery) -> EventPage {
    teller.store().events(query.clone()).await.unwrap_or_else(|error| panic!("{query:?}: {error}"))
}

async fn head(teller: &Teller) -> EventPosition {
    teller.store().events_head().await.unwrap_or_else(|error| panic!("{error}"))
}

/// Everything from a place to the end, in pages of this size.
async fn all(teller: &Teller, mut after: EventPosition, limit: u16, filter: EventFilter) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let page = page(teller, query(after, limit, filter.clone())).await;
        assert!(page.events.len() <= usize::from(limit), "a page is not larger than asked");
        assert!(page.next >= after, "a place never moves back");
        assert!(page.is_end || page.next > after, "what is not the end leads on");
        events.extend(page.events);
        after = page.next;
        if page.is_end {
            return events;
        }
    }
}

async fn everything(teller: &Teller) -> Vec<Event> {
    all(teller, EventPosition::EARLIEST, 1_000, EventFilter::default()).await
}

fn kinds(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.kind().to_string().replace("balance.", "")).collect()
}

fn ids(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::id).collect()
}

/// The `seq` of each account's operations, in the order of the feed.
fn seqs(events: &[Event]) -> BTreeMap<UserId, Vec<i64>> {
    let mut seqs: BTreeMap<UserId, Vec<i64>> = BTreeMap::new();
    for event in events {
        if let Happening::Operation(recorded) = &event.happening {
            seqs.entry(recorded.operation.user_id).or_default().push(recorded.operation.seq);
        }
    }
    seqs
}

/// Operations come as they are stored, each account's in the order of `seq`, and facts between them.
pub async fn the_feed_shows_everything_in_order(teller: Teller) {
    assert_eq!(everything(&teller).await, []);
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.transfer(1, 2, 10).await;
    teller.reserve(order(1, 7, 1), 50, 60).await;
    teller.extend(order(1, 7, 1), 90).await;
    teller.capture(order(1, 7, 1), Some(20)).await;
    teller.withdraw(2, 10).await;
    teller.close(2).await;
    let events = everything(&teller).await;
    assert_eq!(
        kinds(&events).into_iter().filter(|kind| !kind.starts_with("operation.transfer")).collect::<Vec<_>>(),
        [
            "operation.deposit",
            "operation.reserve",
            "reservation.extended",
            "operation.capture",
            "operation.release",
            "operation.withdrawal",
            "account.closed",
        ]
    );
    assert_eq!(seqs(&events), BTreeMap::from([(user(1), vec![1, 2, 3, 4, 5]), (user(2), vec![1, 2])]));
    for (user_id, id) in [(1, user(1)), (2, user(2))] {
        let shown: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.happening {
                Happening::Operation(recorded) if recorded.operation.user_id == id => {
                    Some(recorded.operation.clone())
                }
                _ => None,
            })
            .collect();
        assert_eq!(shown, teller.history(user_id).await);
    }
    let after: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.happening {
            Happening::Operation(recorded) => recorded.reservation_after.map(|after| after.captured),
            Happening::Fact(_) => None,
        })
        .collect();
    assert_eq!(after, [0, 20, 20], "reservations come as the request left them");
}

/// Pages of every size and from every place give the same list.
pub async fn any_place_of_the_feed_leads_on(teller: Teller) {
    teller.add_services(&[7, 8]).await;
    let mut batch: Vec<Submission> = (1..=4).map(|id| teller.fresh(deposit_of(id, 100)).into()).collect();
    for id in 1..=4 {
        batch.push(teller.fresh(transfer_of(id, id % 4 + 1, 10)).into());
        batch.push(teller.fresh(reserve_of(order(id, 7, 1), 10, 60)).into());
        batch.push(Command::Extend { reservation: order(id, 7, 1).into(), ttl: seconds(90) }.into());
        batch.push(teller.fresh(capture_of(order(id, 7, 1), None)).into());
    }
    let replies = teller.batch(batch).await;
    assert!(replies.iter().all(Result::is_ok), "{replies:?}");
    let whole = everything(&teller).await;
    assert_eq!(whole.len(), 4 + 8 + 4 + 4 + 4);
    for limit in [1, 2, 3, 7, 23, 24, 25] {
        assert_eq!(
            all(&teller, EventPosition::EARLIEST, limit, EventFilter::default()).await,
            whole,
            "{limit}"
        );
    }
    for (at, event) in whole.iter().enumerate() {
        let rest = all(&teller, event.position, 1_000, EventFilter::default()).await;
        assert_eq!(rest, whole[at + 1..], "behind {event:?}");
    }
    assert_eq!(all(&teller, head(&teller).await, 5, EventFilter::default()).await, []);
}

/// A place that was given out stays good: what comes later is behind it, also what comes to accounts that were shown
/// before.
pub async fn what_comes_later_is_behind_every_place(teller: Teller) {
    teller.deposit(9, 100).await;
    let mut place = EventPosition::EARLIEST;
    let mut seen = Vec::new();
    for round in 0..5 {
        teller.deposit(9 - round, 100).await;
        teller.transfer(9, 1, 1).await;
        let next = page(&teller, query(place, 1_000, EventFilter::default())).await;
        assert!(next.is_end);
        place = next.next;
        seen.extend(next.events);
        assert!(head(&teller).await >= place, "what was shown is before the head");
    }
    assert_eq!(seen, everything(&teller).await);
    let distinct: BTreeSet<String> = ids(&seen).into_iter().collect();
    assert_eq!(distinct.len(), seen.len());
}

/// `latest` is behind everything that was answered.
pub async fn the_head_is_behind_what_was_answered(teller: Teller) {
    let at_first = head(&teller).await;
    teller.deposit(1, 100).await;
    let behind = head(&teller).await;
    assert!(behind > at_first);
    assert_eq!(all(&teller, behind, 10, EventFilter::default()).await, []);
    teller.deposit(1, 5).await;
    assert_eq!(ids(&all(&teller, behind, 10, EventFilter::default()).await), ["1-2"]);
}

/// What a filter leaves out is passed over, not shown and not read again.
pub async fn filters_of_the_feed_leave_out(teller: Teller) {
    teller.add_services(&[7, 8]).await;
    for id in 1..=3 {
        teller.deposit(id, 100).await;
        teller.reserve(order(id, 7, 1), 10, 60).await;
        teller.reserve(order(id, 8, 2), 10, 60).await;
        teller.capture(order(id, 7, 1), None).await;
    }
    let of_types =
        |types: &[EventType]| EventFilter { types: Some(types.to_vec()), ..EventFilter::default() };
    let captures = of_types(&[EventType::Operation(OperationKind::Capture)]);
    let of_user = EventFilter { user_id: Some(user(2)), ..EventFilter::default() };
    let of_service = EventFilter { service_id: Some(service(8)), ..EventFilter::default() };
    let nothing = EventFilter { user_id: Some(user(77)), ..of_service.clone() };
    teller.extend(order(1, 8, 2), 90).await;
    let whole = everything(&teller).await;
    let facts =
        of_types(&[EventType::Fact(FactKind::ReservationExtended), EventType::Fact(FactKind::KeyCreated)]);
    for (filter, count) in [(captures, 3), (of_user, 4), (of_service, 4), (nothing, 0), (facts, 1)] {
        let wanted: Vec<Event> = whole.iter().filter(|event| filter.takes(event)).cloned().collect();
        assert_eq!(wanted.len(), count, "{filter:?}");
        for limit in [1, 2, 100] {
            assert_eq!(
                all(&teller, EventPosition::EARLIEST, limit, filter.clone()).await,
                wanted,
                "{filter:?}"
            );
        }
        let last = page(&teller, query(EventPosition::EARLIEST, 1_000, filter.clone())).await;
        assert_eq!((last.is_end, last.next), (true, whole[whole.len() - 1].position), "{filter:?}");
    }
}

/// A place that was never reached is refused: what its owner saw was taken back.
pub async fn a_place_behind_the_head_is_refused(teller: Teller) {
    teller.deposit(1, 100).await;
    let head = head(&teller).await;
    for after in [
        EventPosition { batch: head.batch + 1, ..head },
        EventPosition { batch: i64::MAX, ..EventPosition::EARLIEST },
    ] {
        let refused = teller.store().events(query(after, 10, EventFilter::default())).await;
        assert!(matches!(refused, Err(FeedError::Ahead)), "{after:?}: {refused:?}");
    }
}

/// A rejected command and a repeat leave nothing; an expiry that is written late comes when it is written.
pub async fn only_what_happened_is_in_the_feed(teller: Teller) {
    teller.add_services(&[7]).await;
    let deposit = teller.fresh(deposit_of(1, 100));
    teller.accepted(deposit.clone()).await;
    teller.reserve(order(1, 7, 1), 60, 60).await;
    let before = everything(&teller).await;
    teller.accepted(deposit).await;
    teller.rejected(Command::Close { user_id: user(1) }).await;
    teller.refused(withdrawal_of(1, 41)).await;
    let atomic = vec![
        Command::Extend { reservation: order(1, 7, 1).into(), ttl: seconds(90) },
        Command::Money(teller.fresh(withdrawal_of(1, 41))),
    ];
    teller.rejected(atomic).await;
    assert_eq!(everything(&teller).await, before);
    teller.pass(60);
    teller.withdraw(1, 100).await;
    let rest = everything(&teller).await.split_off(before.len());
    assert_eq!(kinds(&rest), ["operation.expire", "operation.withdrawal"]);
    let Happening::Operation(expiry) = &rest[0].happening else { panic!("{rest:?}") };
    assert_eq!(expiry.operation.actor, Actor::Expiry);
}

/// Facts say what happened, to what, and who did it; a change that changes nothing leaves none.
pub async fn facts_say_who_did_what(teller: Teller) {
    let key = Actor::Key(ApiKeyId::new("0123456789ab").unwrap_or_else(|invalid| panic!("{invalid}")));
    teller.deposit(1, 10).await;
    teller.withdraw(1, 10).await;
    let close = Submission::from(Command::Close { user_id: user(1) }).by(key);
    assert!(teller.submit(close).await.is_ok());
    teller
        .store()
        .add_facts(vec![Fact::access_refused(
            ApiKeyId::new("0123456789ab").unwrap_or_else(|invalid| panic!("{invalid}")),
            None,
            3,
            teller.now(),
        )])
        .await
        .unwrap_or_else(|error| failed(&error));
    let facts: Vec<_> = everything(&teller)
        .await
        .into_iter()
        .filter_map(|event| match event.happening {
            Happening::Fact(recorded) => {
                Some((recorded.fact.kind, recorded.fact.subject, recorded.fact.actor))
            }
            Happening::Operation(_) => None,
        })
        .collect();
    assert_eq!(
        facts,
        [
            (FactKind::AccountClosed, "users/1".to_owned(), key),
            (FactKind::AccessRefused, "keys/0123456789ab".to_owned(), key),
        ]
    );
}

/// Many writers beside a reader: the reader sees every event once, each account's in order, and skips none.
pub async fn a_follower_beside_writers_misses_nothing(teller: Teller) {
    const WRITERS: i64 = 8;
    const ROUNDS: i64 = 25;
    let teller = Arc::new(teller);
    let writers = (1..=WRITERS).map(|writer| {
        let teller = Arc::clone(&teller);
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let (one, other) = (1 + (writer + round) % 5, 1 + (writer + round + 1) % 5);
                let batch = vec![
                    teller.fresh(deposit_of(one, 10)).into(),
                    teller.fresh(transfer_of(one, other, 3)).into(),
                    // Refused: aborts nothing, and leaves nothing.
                    teller.fresh(withdrawal_of(90 + writer, 1)).into(),
                ];
                teller.batch(batch).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let (mut place, mut seen) = (EventPosition::EARLIEST, Vec::new());
    loop {
        let is_over = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let next = page(&teller, query(place, 7, EventFilter::default())).await;
        seen.extend(next.events);
        place = next.next;
        if is_over && next.is_end {
            break;
        }
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap_or_else(|error| panic!("{error}"));
    }
    let distinct: BTreeSet<String> = ids(&seen).into_iter().collect();
    assert_eq!(distinct.len(), seen.len(), "every event once");
    assert_eq!(i64::try_from(seen.len()).ok(), Some(WRITERS * ROUNDS * 3));
    for (user_id, seqs) in seqs(&seen) {
        assert!(seqs.iter().copied().eq((1..).take(seqs.len())), "user {user_id}: {seqs:?}");
    }
    assert_eq!(seen, everything(&teller).await);
}
