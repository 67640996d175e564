//! A store against itself: how a history is cut into batches, and which instance gets which of them, makes no
//! difference to any answer.

use std::sync::Arc;

use balance_domain::Submission;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    Plan, Tally,
    differential::change_catalogue,
    generator::script,
    observe::{Observed, glance, inspect},
    reply::ComparedReply,
    script::{Script, Step},
};
use crate::{SetClock, Store, audit, snapshot};

/// How the first ways cut: one submission per batch, all of one time in one batch, then at random.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Single,
    Whole,
    Random,
}

/// Runs every history of the plan on each of the `ways`, cut otherwise each time, and compares all answers.
///
/// A way is the instances of one ledger, which must be empty, and the clock that they read; each batch goes to a
/// random one of them. The first way gets every submission alone, the second all of one time together, the others
/// random cuts.
///
/// # Panics
///
/// At the first difference between two ways: with the seed and both answers.
pub async fn metamorphic(ways: Vec<(Vec<Arc<dyn Store>>, SetClock)>, plan: &Plan) -> Tally {
    assert!(ways.len() > 1, "two ways at least are compared");
    let mut tally = Tally::default();
    for seed in plan.seeds() {
        let script = script(seed, &plan.commands);
        let mut first: Option<Walked> = None;
        for (number, (instances, clock)) in ways.iter().enumerate() {
            let cut = [Cut::Single, Cut::Whole].get(number).copied().unwrap_or(Cut::Random);
            let rng = SmallRng::seed_from_u64(seed ^ (number as u64) << 40);
            let walked = Way { instances, clock, cut, rng }.walk(&script).await;
            match &first {
                None => first = Some(walked),
                Some(first) => compare(first, &walked, number, cut, seed, plan),
            }
        }
        for reply in first.iter().flat_map(|walked| &walked.compared) {
            tally.count(reply);
        }
        tally.sequences += 1;
        tally.commands += script.commands();
    }
    let mut ledgers = Vec::new();
    for (instances, _) in &ways {
        audit(&instances[0]).await;
        ledgers.push(snapshot(&instances[0]).await);
    }
    for (number, ledger) in ledgers.iter().enumerate() {
        assert!(*ledger == ledgers[0], "the whole ledger of way {number} differs from the first");
    }
    tally
}

/// All answers of one way.
#[derive(Default)]
struct Walked {
    submissions: Vec<Submission>,
    compared: Vec<ComparedReply>,
    observed: Vec<Observed>,
}

struct Way<'a> {
    instances: &'a [Arc<dyn Store>],
    clock: &'a SetClock,
    cut: Cut,
    rng: SmallRng,
}

impl Way<'_> {
    async fn walk(mut self, script: &Script) -> Walked {
        let mut walked = Walked::default();
        for step in &script.steps {
            match step {
                Step::Submit { now, submissions } => {
                    walked.submissions.extend(submissions.iter().cloned());
                    self.clock.set(*now);
                    walked.compared.extend(self.submit(submissions).await);
                }
                Step::Look { now } => {
                    self.clock.set(*now);
                    walked.observed.extend(glance(self.instance(), script.seed).await);
                }
                _ => {
                    let answer = change_catalogue(self.instance(), step).await;
                    walked.observed.push(Observed { question: format!("{step:?}"), answer });
                }
            }
        }
        self.clock.set(script.end());
        walked.observed.extend(inspect(self.instance(), script).await);
        walked
    }

    fn instance(&mut self) -> &Arc<dyn Store> {
        &self.instances[self.rng.random_range(0..self.instances.len())]
    }

    async fn submit(&mut self, mut submissions: &[Submission]) -> Vec<ComparedReply> {
        let mut compared = Vec::new();
        while !submissions.is_empty() {
            let size = match self.cut {
                Cut::Single => 1,
                Cut::Whole => submissions.len(),
                Cut::Random => self.rng.random_range(1..=submissions.len()),
            };
            let (batch, rest) = submissions.split_at(size);
            submissions = rest;
            match self.instance().execute(batch.to_vec()).await {
                Ok(replies) => compared.extend(replies.into_iter().map(ComparedReply::from)),
                Err(error) => compared.push(ComparedReply::Failed(error.to_string())),
            }
        }
        compared
    }
}

fn compare(first: &Walked, other: &Walked, way: usize, cut: Cut, seed: u64, plan: &Plan) {
    let differs = |what: &str, one: &str, another: &str| -> ! {
        panic!(
            "way {way} ({cut:?}) differs from the first in seed {seed}\n{what}\nfirst: {one}\nthis: {another}\nrun again: {}",
            plan.replay(seed),
        )
    };
    for (position, (one, another)) in first.compared.iter().zip(&other.compared).enumerate() {
        if one != another {
            let what = format!("submission {position}: {:?}", first.submissions[position]);
            differs(&what, &format!("{one:?}"), &format!("{another:?}"));
        }
    }
    for (one, another) in first.observed.iter().zip(&other.observed) {
        if one != another {
            differs(&one.question, &one.answer, &another.answer);
        }
    }
    let counts =
        |walked: &Walked| format!("{} replies, {} reads", walked.compared.len(), walked.observed.len());
    if counts(first) != counts(other) {
        differs("number of answers", &counts(first), &counts(other));
    }
}
