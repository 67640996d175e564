//! A store against the model: the same batches, answer for answer.

use std::{collections::BTreeMap, sync::Arc};

use balance_domain::{CatalogueError, Submission, UserId};

use super::{
    Plan, Tally,
    generator::script,
    namespace::Namespace,
    observe::{Observed, glance, inspect},
    reply::ComparedReply,
    script::{Script, Step},
};
use crate::{MemoryStore, Pages, SetClock, Store, audit, snapshot};

/// Runs every history of the plan on the store and on a model of its own, then compares the whole ledgers.
///
/// The store must be empty at the start and must be used by nobody else; `clock` is the one it reads.
///
/// # Panics
///
/// At the first difference: with the seed, the step, both answers and the command that runs the seed again.
pub async fn differential(store: Arc<dyn Store>, clock: SetClock, plan: &Plan) -> Tally {
    let mut tally = Tally::default();
    let mut expected: BTreeMap<UserId, Pages> = BTreeMap::new();
    for seed in plan.seeds() {
        let script = script(seed, &plan.commands);
        let model: Arc<dyn Store> = Arc::new(MemoryStore::with_clock(clock.clone()));
        let run = Run { clock: &clock, store: &store, model: &model, script: &script, plan };
        for (step, what) in script.steps.iter().enumerate() {
            run.step(step, what, &mut tally).await;
        }
        clock.set(script.end());
        let found = (inspect(&model, &script).await, inspect(&store, &script).await);
        run.compare(script.steps.len(), found);
        expected.extend(snapshot(&model).await);
        tally.sequences += 1;
        tally.commands += script.commands();
    }
    compare_ledgers(&expected, &snapshot(&store).await, plan);
    audit(&store).await;
    tally
}

struct Run<'a> {
    clock: &'a SetClock,
    store: &'a Arc<dyn Store>,
    model: &'a Arc<dyn Store>,
    script: &'a Script,
    plan: &'a Plan,
}

impl Run<'_> {
    async fn step(&self, number: usize, step: &Step, tally: &mut Tally) {
        match step {
            Step::Submit { now, submissions } => {
                self.clock.set(*now);
                let expected = compared(self.model, submissions).await;
                let answered = compared(self.store, submissions).await;
                self.compare_replies(number, submissions, &expected, &answered);
                for reply in &expected {
                    tally.count(reply);
                }
            }
            Step::Look { now } => {
                self.clock.set(*now);
                let seed = self.script.seed;
                self.compare(number, (glance(self.model, seed).await, glance(self.store, seed).await));
            }
            _ => {
                let expected = change_catalogue(self.model, step).await;
                let answered = change_catalogue(self.store, step).await;
                if expected != answered {
                    self.differs(number, &format!("{step:?}"), &expected, &answered);
                }
            }
        }
    }

    fn compare_replies(
        &self,
        number: usize,
        submissions: &[Submission],
        expected: &[ComparedReply],
        answered: &[ComparedReply],
    ) {
        for (position, (expected, answered)) in expected.iter().zip(answered).enumerate() {
            if expected != answered {
                let what =
                    format!("submission {position} of {}: {:?}", submissions.len(), submissions[position]);
                self.differs(number, &what, &format!("{expected:?}"), &format!("{answered:?}"));
            }
        }
        if expected.len() != answered.len() {
            self.differs(
                number,
                "number of replies",
                &expected.len().to_string(),
                &answered.len().to_string(),
            );
        }
    }

    fn compare(&self, number: usize, (expected, answered): (Vec<Observed>, Vec<Observed>)) {
        for (expected, answered) in expected.iter().zip(&answered) {
            if expected != answered {
                let what = format!("{} (asked of the store: {})", expected.question, answered.question);
                self.differs(number, &what, &expected.answer, &answered.answer);
            }
        }
        if expected.len() != answered.len() {
            self.differs(
                number,
                "number of answers",
                &expected.len().to_string(),
                &answered.len().to_string(),
            );
        }
    }

    fn differs(&self, step: usize, what: &str, model: &str, store: &str) -> ! {
        let seed = self.script.seed;
        panic!(
            "the store differs from the model in seed {seed}, step {step} of {}\n{what}\nmodel: {model}\nstore: {store}\nrun again: {}",
            self.script.steps.len(),
            self.plan.replay(seed),
        )
    }
}

async fn compared(store: &Arc<dyn Store>, submissions: &[Submission]) -> Vec<ComparedReply> {
    match store.execute(submissions.to_vec()).await {
        Ok(replies) => replies.into_iter().map(ComparedReply::from).collect(),
        Err(error) => vec![ComparedReply::Failed(error.to_string())],
    }
}

/// Does the step and puts its answer in words.
pub(super) async fn change_catalogue(store: &Arc<dyn Store>, step: &Step) -> String {
    fn words<T: std::fmt::Debug>(answer: &Result<Result<T, CatalogueError>, impl std::fmt::Debug>) -> String {
        format!("{answer:?}")
    }
    match step {
        Step::AddService { id, name } => words(&store.add_services(vec![(*id, name.clone())]).await),
        Step::RenameService { id, name } => words(&store.rename_service(*id, name.clone()).await),
        Step::RemoveService { id } => words(&store.remove_service(*id).await),
        Step::Submit { .. } | Step::Look { .. } => String::new(),
    }
}

fn compare_ledgers(expected: &BTreeMap<UserId, Pages>, scanned: &BTreeMap<UserId, Pages>, plan: &Plan) {
    for user in expected.keys().chain(scanned.keys()) {
        let (model, store) = (expected.get(user), scanned.get(user));
        assert!(
            model == store,
            "the scan of user {user} differs in seed {}\nmodel: {model:#?}\nstore: {store:#?}\nrun again: {}",
            Namespace::seed_of(*user),
            plan.replay(Namespace::seed_of(*user).try_into().unwrap_or_default()),
        );
    }
}
