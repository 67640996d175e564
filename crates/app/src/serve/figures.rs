//! What `/metrics` tells of the store: its connections, how its batches fare, and how many reservations are active.

use std::{sync::Arc, time::Duration};

use balance_domain::ports::{AccountReads, Connections, OperationTotal, OptimisticBatches, StoreFigures};
use balance_http::Access;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use tokio::time::{MissedTickBehavior, interval};

use super::console::Figures;
use crate::{
    folders::Folder,
    settings::Database,
    version::{COMMIT, VERSION},
};

/// How often active reservations are counted: reading so much of an index is too much for every scrape.
const COUNT_EVERY: Duration = Duration::from_secs(30);

/// What is beyond is not counted, so that the count stays cheap however many there are.
const COUNT_MAX: u32 = 100_000;

/// How often the room on disks is looked at.
const ROOM_EVERY: Duration = Duration::from_secs(15);

/// Shows how long each API key lives; one that was revoked has no figure.
pub(super) fn record_keys(access: &Access) {
    for (id, seconds) in access.lifetimes() {
        gauge!("balance_api_key_expires_in_seconds", "key_id" => id.to_string())
            .set(seconds.unwrap_or(f64::NAN));
    }
}

/// Registers the help texts.
pub(super) fn describe() {
    describe_gauge!("balance_build_info", "1, with the version, commit and store of this instance as labels");
    describe_counter!("balance_operations_total", "Operations that this instance has committed, by kind");
    describe_counter!(
        "balance_operations_amount_total",
        "Money that these operations moved, by kind, in minor units"
    );
    describe_gauge!("balance_disk_free_bytes", "Room left for the database, the reports and the logs");
    describe_gauge!(
        "balance_api_key_expires_in_seconds",
        "Seconds until an API key expires, negative once it has"
    );
    describe_gauge!("balance_store_connections", "Connections to the store, by what they do");
    describe_gauge!("balance_store_connections_max", "Connections to the store that there may be");
    describe_gauge!("balance_store_waiting", "Calls that wait for a connection to the store");
    describe_counter!(
        "balance_store_optimistic_batches_total",
        "Batches decided on cached accounts: confirmed, or repeated on a snapshot"
    );
    describe_counter!(
        "balance_store_account_reads_total",
        "Balances read: confirmed from the cache, or looked up"
    );
    describe_gauge!("balance_api_keys_age_seconds", "Time since the API keys were read that are in force");
    describe_gauge!(
        "balance_reservations_active",
        "Active reservations, counted twice a minute and up to 100,000"
    );
}

/// Which instance this is: for dashboards, and to see which version answers.
pub(super) fn record_build(database: &Database) {
    gauge!("balance_build_info", "version" => VERSION, "commit" => COMMIT, "store" => database.kind())
        .set(1.0);
}

/// Tells of connections, batches and reads. They are looked at when somebody asks.
#[expect(clippy::cast_precision_loss, reason = "a gauge takes nothing else; no store has 2^53 connections")]
pub(super) fn record_store(store: &dyn StoreFigures) {
    let Connections { max, in_use, idle, waiting } = store.connections();
    gauge!("balance_store_connections_max").set(max as f64);
    gauge!("balance_store_connections", "state" => "in_use").set(in_use as f64);
    gauge!("balance_store_connections", "state" => "idle").set(idle as f64);
    gauge!("balance_store_waiting").set(waiting as f64);
    for OperationTotal { kind, count, amount } in store.operations() {
        counter!("balance_operations_total", "kind" => kind.as_str()).absolute(count);
        counter!("balance_operations_amount_total", "kind" => kind.as_str()).absolute(amount);
    }
    let OptimisticBatches { confirmed, repeated } = store.optimistic_batches();
    counter!("balance_store_optimistic_batches_total", "outcome" => "confirmed").absolute(confirmed);
    counter!("balance_store_optimistic_batches_total", "outcome" => "repeated").absolute(repeated);
    let AccountReads { confirmed, looked_up } = store.account_reads();
    counter!("balance_store_account_reads_total", "outcome" => "confirmed").absolute(confirmed);
    counter!("balance_store_account_reads_total", "outcome" => "looked_up").absolute(looked_up);
}

/// Tells how old the API keys are that are in force.
pub(super) fn record_access(access: &Access) {
    // Endless before they were read for the first time: nobody is let in.
    let age = access.age().map_or(f64::INFINITY, |age| age.as_secs_f64());
    gauge!("balance_api_keys_age_seconds").set(age);
}

/// Counts active reservations for ever. While they cannot be counted, the last count stands.
#[expect(clippy::cast_precision_loss, reason = "counted up to a hundred thousand")]
pub(super) async fn count_reservations(store: Arc<dyn StoreFigures>, shown: Arc<Figures>) {
    let mut ticks = interval(COUNT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match store.active_reservations(COUNT_MAX).await {
            Ok(count) => {
                shown.note_holds(count);
                gauge!("balance_reservations_active").set(count as f64);
            }
            Err(error) => tracing::debug!(%error, "active reservations could not be counted"),
        }
    }
}

/// Looks at the room on disks for ever, on a thread of its own each time: a file system that hangs holds up nobody.
#[expect(clippy::cast_precision_loss, reason = "a gauge takes nothing else")]
pub(super) async fn measure_disks(folders: Vec<Folder>) {
    let mut ticks = interval(ROOM_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let folders = folders.clone();
        let looking = tokio::task::spawn_blocking(move || {
            for folder in folders {
                if let Ok(free) = folder.free_bytes() {
                    gauge!("balance_disk_free_bytes", "place" => folder.place).set(free as f64);
                }
            }
        });
        // It ends early only with the process.
        drop(looking.await);
    }
}
