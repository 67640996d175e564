//! Proof that the random histories find faults: deciders that are wrong in one small way are caught.

use std::sync::Arc;

use balance_domain::{
    Actor, Changes, Command, Decision, Moment, Receipt, Rejection, State, Timestamp, decide,
};
use balance_store_conformance::{Plan, Store, differential, metamorphic};

use crate::tables::{DecidedStore, Decider};

type Decided = Result<Decision, Rejection>;

fn plan() -> Plan {
    Plan::new(50, None, None, "balance-store-conformance")
}

async fn caught(decider: Decider) {
    let store = DecidedStore::new(decider);
    let clock = store.clock.clone();
    differential(Arc::new(store), clock, &plan()).await;
}

fn committed(decided: Decided, sabotage: impl FnOnce(&mut Changes, &mut Receipt)) -> Decided {
    decided.map(|mut decision| {
        if let Decision::Commit(changes, receipt) = &mut decision {
            sabotage(changes, receipt);
        }
        decision
    })
}

fn one_microsecond_late(state: &State, command: &Command, actor: Actor, moment: Moment) -> Decided {
    let later = Timestamp::from_micros(moment.now().micros() + 1).unwrap();
    decide(state, command, actor, Moment::new(later, Moment::TOLERANCE))
}

fn forgets_who_did_it(state: &State, command: &Command, _: Actor, moment: Moment) -> Decided {
    decide(state, command, Actor::Anonymous, moment)
}

fn forgets_that_services_are_used(state: &State, command: &Command, actor: Actor, moment: Moment) -> Decided {
    committed(decide(state, command, actor, moment), |changes, _| changes.services_used.clear())
}

fn keeps_the_text_of_closed_accounts(
    state: &State,
    command: &Command,
    actor: Actor,
    moment: Moment,
) -> Decided {
    committed(decide(state, command, actor, moment), |changes, _| changes.closed.clear())
}

fn ignores_that_a_key_was_reused(state: &State, command: &Command, actor: Actor, moment: Moment) -> Decided {
    if let Command::Money(money) = command
        && let Some(first) = state.answered(money.action.user_id(), &money.key)
    {
        return Ok(Decision::Replay(first.receipt.clone()));
    }
    decide(state, command, actor, moment)
}

fn calls_expired_released(state: &State, command: &Command, actor: Actor, moment: Moment) -> Decided {
    decide(state, command, actor, moment).map_err(|rejection| match rejection {
        Rejection::ReservationExpired => Rejection::ReservationReleased,
        other => other,
    })
}

fn refuses_the_last_unit(state: &State, command: &Command, actor: Actor, moment: Moment) -> Decided {
    let decided = decide(state, command, actor, moment);
    if let Ok(Decision::Commit(changes, Receipt::Operation(_))) = &decided
        && let Some(payer) = changes.accounts.first()
        && payer.available == 0
    {
        return Err(Rejection::InsufficientFunds { available: state.account(payer.user_id).available });
    }
    decided
}

fn loses_the_comment_of_the_receiver(
    state: &State,
    command: &Command,
    actor: Actor,
    moment: Moment,
) -> Decided {
    committed(decide(state, command, actor, moment), |changes, _| {
        if let [_, income] = changes.operations.as_mut_slice() {
            income.operation.comment = None;
        }
    })
}

fn keeps_the_reservation_of_the_first_half(
    state: &State,
    command: &Command,
    actor: Actor,
    moment: Moment,
) -> Decided {
    committed(decide(state, command, actor, moment), |changes, _| {
        if let [first, _] = changes.operations.as_mut_slice()
            && let Some(reservation) = &mut first.reservation_after
        {
            reservation.released = 0;
        }
    })
}

macro_rules! caught {
    ($($decider:ident)*) => {
        $(
            mod $decider {
                #[tokio::test]
                #[should_panic(expected = "differs")]
                async fn is_caught() {
                    super::caught(super::$decider).await;
                }
            }
        )*
    };
}

caught! {
    one_microsecond_late
    forgets_who_did_it
    forgets_that_services_are_used
    keeps_the_text_of_closed_accounts
    ignores_that_a_key_was_reused
    calls_expired_released
    refuses_the_last_unit
    loses_the_comment_of_the_receiver
    keeps_the_reservation_of_the_first_half
}

#[tokio::test]
#[should_panic(expected = "differs from the first")]
async fn a_batch_with_a_clock_of_its_own_is_caught() {
    let sound = DecidedStore::new(decide);
    let mut faulty = DecidedStore::new(decide);
    faulty.batches_ahead = 1;
    let way = |store: DecidedStore| {
        let clock = store.clock.clone();
        (vec![Arc::new(store) as Arc<dyn Store>], clock)
    };
    metamorphic(vec![way(sound), way(faulty)], &plan()).await;
}
