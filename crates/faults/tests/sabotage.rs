//! The checker is only worth what it catches: every sabotaged ledger must be found out by the condition that
//! is made for its bug, and the same ledger without a bug must pass.

use balance_faults::sabotage::{Bug, Proof, prove, prove_all};

/// Fixed, so that a failure can be reproduced.
const SEED: u64 = 20_261_124;

fn words(proof: &Proof) -> String {
    let first = proof.verdict.violations.iter().take(5).map(|violation| format!("\n  {}", violation.what));
    format!(
        "{:?} (crashes: {}): {:?}{}",
        proof.bug,
        proof.has_crashes,
        proof.broken,
        first.collect::<String>()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bug_is_caught_and_the_sound_twin_passes() {
    let proofs = prove_all(SEED, |_| ()).await.unwrap();
    assert_eq!(proofs.len(), 2 + Bug::ALL.len());
    let failed: Vec<String> = proofs.iter().filter(|proof| !proof.is_proven).map(words).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sound_twin_passes_with_other_seeds_and_its_load_reaches_every_outcome() {
    for seed in 1..=3 {
        let proof = prove(None, true, seed).await.unwrap();
        assert!(proof.is_proven, "seed {seed}: {}", words(&proof));
        let facts = proof.verdict.facts;
        assert!(facts.accepted > 500 && facts.rejected > 50 && facts.replayed > 50, "{facts:?}");
        assert!(facts.unknown > 0 && facts.keys_unknown > 0, "{facts:?}");
    }
}
