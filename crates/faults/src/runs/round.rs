//! A round: a load with users and services of its own on a stage that breaks, and the check when it is over.
//! A run is made of several, so that each history stays short and the first bad one names its faults.

use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::task::JoinHandle;

use crate::{
    checker::{Rules, Verdict, check},
    final_state::{FinalState, Scope},
    follower::Follower,
    history::write_log,
    load::{Load, LoadOptions, Weights},
    report::Reporter,
    supervisor::{Instance, Stage},
    target::usual_zone,
};

/// How long a key may stay undecided once all faults are over.
const RESOLVE_WITHIN: Duration = Duration::from_mins(1);
/// How long no call may be accepted once all faults are over.
const PROGRESS_WITHIN: Duration = Duration::from_secs(30);

/// How a round's load looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) processes: u32,
    pub(super) users: i64,
    pub(super) weights: Weights,
    pub(super) calls_max: u64,
    pub(super) repeats_percent: u32,
    /// Nothing is broken, so every call must be decided.
    pub(super) is_faultless: bool,
    /// Of a hundred keys, how many are asked for by key at the end.
    pub(super) key_share_percent: u64,
}

impl Shape {
    /// A mixed load under faults, until it is stopped.
    pub(super) const MIXED: Self = Self {
        processes: 8,
        users: 12,
        weights: Weights::ALL,
        calls_max: u64::MAX,
        repeats_percent: 30,
        is_faultless: false,
        key_share_percent: 100,
    };
}

/// A load that runs.
pub(super) struct Round {
    pub(super) load: Load,
    /// None where each message to the database counts.
    follower: Option<Follower>,
    running: Option<JoinHandle<()>>,
    number: u64,
    scope: Scope,
    shape: Shape,
}

impl Round {
    /// Prepares a load on all instances. `number` distinguishes the rounds of one database.
    pub(super) async fn prepare(stage: &Stage, number: u64, seed: u64, shape: Shape) -> anyhow::Result<Self> {
        let base = i64::try_from(number)? * 1_000;
        let scope = Scope {
            users: (1..=shape.users).map(|user| base + user).collect(),
            services: (1..=3).map(|service| base + service).collect(),
            zone: usual_zone()?,
        };
        let targets = stage.targets()?;
        if let Some(target) = targets.first() {
            target.add_services(&scope.services).await?;
        }
        let options = LoadOptions {
            seed: seed.wrapping_add(number),
            processes: shape.processes,
            users: scope.users.clone(),
            services: scope.services.clone(),
            weights: shape.weights,
            repeats_percent: shape.repeats_percent,
            calls_max: shape.calls_max,
            pause: Duration::from_millis(5),
        };
        Ok(Self { load: Load::new(targets, options), follower: None, running: None, number, scope, shape })
    }

    /// Prepares a load and starts it, with a consumer of the feed beside it.
    pub(super) async fn start(stage: &Stage, number: u64, seed: u64, shape: Shape) -> anyhow::Result<Self> {
        let mut round = Self::prepare(stage, number, seed, shape).await?;
        let followed = stage.instances.iter().map(Instance::target).collect::<anyhow::Result<_>>()?;
        round.follower = Some(Follower::start(followed, seed.wrapping_add(number)).await?);
        let load = round.load.clone();
        round.running = Some(tokio::spawn(async move { load.run().await }));
        Ok(round)
    }

    /// How many events were followed so far.
    pub(super) fn events(&self) -> u64 {
        self.follower.as_ref().map_or(0, Follower::events)
    }

    /// The users of this round.
    pub(super) fn users(&self) -> &[i64] {
        &self.scope.users
    }

    /// The services of this round.
    pub(super) fn services(&self) -> &[i64] {
        &self.scope.services
    }

    /// Waits until `calls` more are accepted; returns how long that took.
    pub(super) async fn await_progress(&self, calls: u64) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let wanted = self.load.accepted() + calls;
        while self.load.accepted() < wanted {
            if started.elapsed() > PROGRESS_WITHIN {
                bail!("no progress: {} of {wanted} accepted after {PROGRESS_WITHIN:?}", self.load.accepted());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(started.elapsed())
    }

    /// Waits until the load is done by itself.
    pub(super) async fn join(&mut self) -> anyhow::Result<()> {
        if let Some(running) = self.running.take() {
            running.await?;
        }
        Ok(())
    }

    /// Ends all faults and the load, resolves what is unknown, reads everything and judges it.
    pub(super) async fn finish(mut self, stage: &mut Stage, reporter: &mut Reporter) -> anyhow::Result<()> {
        stage.heal().await?;
        self.load.stop();
        self.join().await?;
        self.load.resolve(RESOLVE_WITHIN).await;
        let verdict = self.judge(stage, reporter).await?;
        reporter.checked(&verdict);
        if !verdict.is_clean() {
            for (number, instance) in stage.instances.iter().enumerate() {
                reporter
                    .note(format!("log of instance {number}, last line first: {:?}", instance.log_tail(8)));
            }
        }
        if let crate::supervisor::Database::Sqlite(_) = stage.database {
            for instance in &mut stage.instances {
                instance.kill().await?;
            }
            reporter.audited(stage.audit().await);
            stage.heal().await?;
        } else {
            reporter.audited(stage.audit().await);
        }
        Ok(())
    }

    async fn judge(&self, stage: &Stage, reporter: &mut Reporter) -> anyhow::Result<Verdict> {
        let records = self.load.records();
        let Some(target) = stage.targets()?.into_iter().next() else { bail!("no instance runs") };
        let finals =
            FinalState::read(target.as_ref(), &records, &self.scope, self.shape.key_share_percent).await;
        if let Some(follower) = &self.follower {
            reporter.figure("events_followed", follower.events());
            reporter.figure("pages_not_answered", follower.failures());
            for what in follower.compare(&finals.operations).await {
                reporter.problem(format!("the feed: {what}"));
            }
        }
        if let Some(folder) = stage.keep() {
            let stem = format!("{}-{}", reporter.file_stem(), self.number);
            std::fs::create_dir_all(folder)?;
            write_log(&folder.join(format!("{stem}.history.jsonl")), &records)?;
            std::fs::write(folder.join(format!("{stem}.finals.json")), serde_json::to_vec(&finals)?)?;
        }
        let rules = Rules { zone: self.scope.zone, is_faultless: self.shape.is_faultless };
        let checked = tokio::task::spawn_blocking(move || check(&records, &finals, &rules));
        Ok(checked.await?)
    }
}
