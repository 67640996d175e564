//! What operators see.

use balance_domain::ports::BalanceRepo;
use balance_group_commit::{GroupCommit, GroupCommitOptions, describe};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::sync::Arc;

use crate::fake::{Fake, call, user};

#[tokio::test(start_paused = true)]
async fn batches_queues_and_refusals_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let prometheus = recorder.handle();
    let fake = Fake::gated();
    let options =
        GroupCommitOptions { queue_commands_max: 3, read_batches_max: 1, ..GroupCommitOptions::default() };
    let group = metrics::with_local_recorder(&recorder, || {
        describe();
        Arc::new(GroupCommit::new(fake.clone(), options))
    });

    for users in [&[1][..], &[2, 2], &[3], &[4]] {
        call(&group, users).await;
    }
    let waiting = prometheus.render();
    fake.release(3).await;
    group.accounts(vec![user(1), user(2)]).await.unwrap();
    let done = prometheus.render();

    let assert_has = |text: &str, line: &str| assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    assert_has(&waiting, "balance_queue_commands{lane=\"0\"} 3");
    assert_has(&waiting, "balance_overloaded_total{work=\"write\"} 1");
    assert_has(&done, "balance_queue_commands{lane=\"0\"} 0");
    assert_has(&done, "balance_batch_commands_count 2");
    assert_has(&done, "balance_batch_commands_sum 4");
    assert_has(&done, "balance_batch_wait_seconds_count 2");
    assert_has(&done, "balance_batch_duration_seconds_count 2");
    assert_has(&done, "balance_read_batch_accounts_sum 2");
    assert!(done.contains("# HELP balance_overloaded_total Calls refused"), "{done}");
}
