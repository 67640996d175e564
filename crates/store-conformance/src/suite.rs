//! The list of all cases, and the macro that makes tests of them.

/// Makes one `#[tokio::test]` of every case of the suite, for one [`Harness`](crate::Harness).
///
/// The test crate needs `tokio` with `macros` and `rt-multi-thread`. A failing test is named
/// `theme::behaviour`.
#[macro_export]
macro_rules! conformance {
    ($harness:ty) => {
        $crate::conformance! { @list $harness;
            (store) money {
                a_deposit_opens_the_account
                a_rejection_opens_no_account
                a_withdrawal_takes_available_money_to_the_last_unit
                reserved_money_cannot_be_withdrawn
                the_largest_balance_is_exact
                the_largest_amount_is_exact
                recorded_time_never_runs_backwards
                accounts_come_in_the_order_asked
                an_empty_batch_is_answered_with_nothing
                defect_06_every_movement_is_in_history
            }
            (store) transfers {
                both_histories_show_a_transfer
                the_receiver_may_be_new
                the_key_belongs_to_the_payer
                payer_and_receiver_may_use_one_key
                a_transfer_needs_two_users
                a_refused_transfer_touches_neither_side
                the_receiver_cannot_hold_more_than_the_largest_balance
                closed_accounts_take_no_part
                a_transfer_is_never_before_either_history
            }
            (store) reservations {
                a_reserve_sets_money_aside
                a_reserve_needs_account_service_and_money
                an_active_reservation_is_not_made_twice
                defect_11_two_services_of_one_order
                defect_09_a_reservation_is_found_by_all_three_ids
                an_order_may_be_reserved_again_after_release_or_expiry
                a_captured_order_is_not_reserved_again
                reservations_are_listed_latest_first
                reservations_are_listed_by_their_state_now
                a_late_command_does_not_act_on_a_later_hold
                answers_say_which_hold_they_are_about
            }
            (store) captures {
                a_capture_takes_all_that_is_left
                a_final_capture_gives_the_rest_back
                both_operations_keep_the_reservation_as_the_command_left_it
                captures_in_parts_end_with_the_last_unit
                no_more_is_captured_than_is_reserved
                what_is_over_stays_over
                defect_01_release_pays_back_what_was_reserved
                a_release_after_a_partial_capture_gives_the_rest_back
                refunds_never_exceed_the_capture
                a_part_can_be_refunded_while_the_rest_is_reserved
                the_account_comes_before_the_reservation
                an_extension_moves_the_deadline_and_nothing_else
                an_extension_follows_the_time_of_the_account
            }
            (store) expiry {
                readers_see_the_expiry_exactly_at_the_deadline
                a_capture_is_in_time_until_the_deadline
                due_money_can_be_spent_without_the_sweeper
                an_expiry_is_recorded_at_its_deadline
                a_late_expiry_follows_the_time_of_the_account
                nothing_is_recorded_on_a_reservation_past_its_deadline
                due_reservations_expire_in_the_order_of_their_deadlines
                defect_05_second_reserve_keeps_its_own_deadline
                a_rejected_command_does_not_undo_the_expiry
                only_touched_accounts_are_written
                expiring_twice_changes_nothing
                due_users_come_longest_due_first
            }
            (store) idempotency {
                defect_07_a_repeated_deposit_deposits_once
                every_command_repeats_its_first_answer
                a_key_with_another_meaning_is_refused_over_every_field
                optional_fields_are_part_of_the_meaning
                a_default_time_limit_is_not_part_of_the_meaning
                a_rejected_key_may_be_tried_again
                keys_of_two_users_are_apart
                similar_keys_are_different_keys
                a_duplicate_in_one_batch_has_one_effect
                a_key_reused_in_one_batch_is_refused
                a_key_rejected_in_a_batch_is_free_again
                a_repeat_comes_before_every_rule
                a_submission_repeats_as_a_whole
                operations_say_who_did_them
            }
            (store) batches {
                a_batch_happens_in_order
                one_rejected_neighbour_disturbs_nobody
                a_thousand_commands_on_one_account
                a_thousand_accounts_in_one_batch
                an_atomic_submission_is_accepted_whole
                an_atomic_submission_leaves_no_trace_if_one_command_is_rejected
                a_rejected_atomic_submission_does_not_disturb_its_batch
                an_atomic_submission_repeats
                commands_of_every_kind_share_a_batch
            }
            (store) history {
                pages_of_every_size_give_the_same_list
                a_full_last_page_has_no_next
                a_history_holds_only_its_users_operations
                filters_keep_what_they_name
                any_position_is_a_place
            }
            (store) services {
                services_are_added_together
                one_bad_service_keeps_all_out
                services_are_listed_by_id
                services_are_renamed
                an_unused_service_is_deleted
                a_rejected_reserve_uses_no_service
                a_used_service_is_retired
                defect_13_awkward_names_are_only_names
            }
            (store) closing {
                defect_12_a_user_can_be_deleted
                an_unknown_user_cannot_be_closed
                an_account_with_money_stays_open
                a_closed_account_refuses_everything
                closing_erases_free_text
                closing_erases_the_text_of_its_own_batch
                nothing_confirms_a_guess_of_an_erased_comment
            }
            (store) reports {
                revenue_is_captures_and_refunds_per_service
                defect_08_report_month_is_half_open
                revenue_is_wider_than_any_balance
                a_quiet_period_has_no_lines
                a_refund_belongs_to_its_own_month
                closing_an_account_keeps_its_revenue
                a_report_comes_back_as_given
                a_final_report_is_kept_for_ever
                nothing_is_dated_into_a_closed_month
                a_late_expiry_is_dated_behind_a_closed_month
                an_earlier_month_opens_no_later_one
            }
            (store) dry_runs {
                a_dry_run_answers_and_leaves_no_trace
                a_dry_run_of_many_sees_its_own_steps
                a_dry_run_expires_what_is_due
                active_reservations_of_all_are_found_by_deadline
            }
            (store) api_keys {
                keys_are_listed_in_order
                a_revoked_key_keeps_its_time
                an_id_is_kept_once
                the_latest_use_of_a_key_is_kept
            }
            (store) events {
                the_feed_shows_everything_in_order
                any_place_of_the_feed_leads_on
                what_comes_later_is_behind_every_place
                the_head_is_behind_what_was_answered
                filters_of_the_feed_leave_out
                a_place_behind_the_head_is_refused
                only_what_happened_is_in_the_feed
                facts_say_who_did_what
                a_follower_beside_writers_misses_nothing
            }
            (store) identity {
                a_new_ledger_stays_what_it_became
            }
            (store) texts {
                comments_are_kept_byte_for_byte
                awkward_comments_share_a_batch
                keys_are_kept_byte_for_byte
                the_largest_ids_work
                amounts_are_exact_at_every_size
                times_are_kept_to_the_microsecond
                defect_10_an_instant_stays_the_same_instant
            }
            (store) rejections {
                every_rejection_is_given
                a_refund_may_meet_the_largest_balance
            }
            (store) books {
                an_empty_ledger_is_clean
                a_busy_ledger_is_clean
                the_scan_tells_what_is_recorded
                operations_are_kept_with_their_request
            }
            (store) concurrency {
                defect_17_parallel_withdrawals_never_overdraw
                parallel_movements_add_up
                one_key_from_many_tasks_has_one_effect
                one_key_with_many_meanings_is_given_once
                opposing_transfers_complete
                an_account_is_opened_once
                a_reservation_ends_once
                paging_while_others_write_has_no_gap_and_no_repeat
                balances_of_two_accounts_are_of_one_moment
                a_reader_sees_every_answer_given_before
                a_scan_while_others_write_adds_up
            }
            (harness) reopening {
                everything_survives
                defect_05_a_deadline_survives_a_restart
                catalogue_reports_and_api_keys_survive
                a_closed_account_stays_closed
            }
            (harness) instances {
                one_key_at_every_instance_has_one_effect
                opposing_batches_at_every_instance_complete
                instances_share_one_ledger
                instances_find_the_same_ledger
                a_month_is_closed_for_every_instance
                final_sums_hold_while_instances_write
            }
        }
    };
    (@list $harness:ty; $(($kind:ident) $theme:ident { $($case:ident)* })*) => {
        $(
            mod $theme {
                #[allow(unused_imports, reason = "the harness may be named by a full path")]
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $case() {
                        let harness = <$harness as $crate::Harness>::fresh().await;
                        $crate::conformance! { @run $kind harness, $crate::cases::$theme::$case }
                    }
                )*
            }
        )*
    };
    (@run store $harness:ident, $case:path) => {
        $case($crate::Teller::new($crate::Harness::store(&$harness), $crate::Harness::clock(&$harness))).await;
        drop($harness);
    };
    (@run harness $harness:ident, $case:path) => {
        $case($harness).await;
    };
}

/// Makes two tests of random histories for one [`Harness`](crate::Harness): against the model, and against itself
/// with the batches cut otherwise and spread over three instances.
///
/// `sequences` is how many histories an ordinary test run takes. The environment of the test run may ask for
/// more with `BALANCE_CONFORMANCE_SEQUENCES`, or for one seed again with `BALANCE_CONFORMANCE_SEED`.
#[macro_export]
macro_rules! random_histories {
    ($harness:ty, $sequences:expr) => {
        mod random_histories {
            #[allow(unused_imports, reason = "the harness may be named by a full path")]
            use super::*;

            #[allow(clippy::disallowed_methods, reason = "a test run is configured by its environment")]
            fn plan() -> $crate::Plan {
                let sequences = std::env::var("BALANCE_CONFORMANCE_SEQUENCES").ok();
                let seed = std::env::var("BALANCE_CONFORMANCE_SEED").ok();
                let package = env!("CARGO_PKG_NAME");
                $crate::Plan::new($sequences, sequences.as_deref(), seed.as_deref(), package)
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn the_store_answers_as_the_model() {
                let mut tally = $crate::Tally::default();
                for part in plan().parts() {
                    let harness = <$harness as $crate::Harness>::fresh().await;
                    let (store, clock) = ($crate::Harness::store(&harness), $crate::Harness::clock(&harness));
                    tally += $crate::differential(store, clock, &part).await;
                }
                println!("{tally:?}");
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn cuts_and_instances_make_no_difference() {
                let mut tally = $crate::Tally::default();
                for part in plan().parts() {
                    let harnesses = [
                        <$harness as $crate::Harness>::fresh().await,
                        <$harness as $crate::Harness>::fresh().await,
                        <$harness as $crate::Harness>::fresh().await,
                    ];
                    let mut ways = Vec::new();
                    for (harness, count) in harnesses.iter().zip([1, 1, 3]) {
                        let instances = $crate::Harness::instances(harness, count).await;
                        ways.push((instances, $crate::Harness::clock(harness)));
                    }
                    tally += $crate::metamorphic(ways, &part).await;
                }
                println!("{tally:?}");
            }
        }
    };
}

#[cfg(test)]
mod tests {
    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        let list = include_str!("suite.rs");
        let themes = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cases")).unwrap();
        let mut cases = 0;
        for theme in themes {
            let path = theme.unwrap().path();
            let source = std::fs::read_to_string(&path).unwrap();
            let theme = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let (_, listed) = list.split_once(&format!(") {theme} {{")).expect(&theme);
            let (listed, _) = listed.split_once('}').unwrap();
            let listed: Vec<&str> = listed.split_whitespace().collect();
            let written: Vec<&str> = source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn "))
                .filter_map(|line| line.split(['(', '<']).next())
                .collect();
            assert_eq!(listed, written, "{theme}");
            cases += written.len();
        }
        assert!(cases > 100, "{cases}");
    }
}
