//! What the load sends next: every kind of call, over users and orders that collide often.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};

use crate::history::{Call, MoneyAction, MoneyCall, OrderRef};

/// How many orders are kept for captures, releases, refunds and extensions.
const ORDERS_MAX: usize = 64;

/// How often each kind of call is made, relative to the others.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is the weight of the call of its name")]
pub struct Weights {
    pub deposit: u32,
    pub withdraw: u32,
    pub transfer: u32,
    pub reserve: u32,
    pub capture: u32,
    pub release: u32,
    pub refund: u32,
    pub extend: u32,
    pub balance: u32,
    pub operations: u32,
    /// The longest time limit of a reservation, in seconds; short ones expire during the run.
    pub seconds_max: u32,
    /// What every user starts with, in minor units: little, so that money runs out now and then, or plenty.
    pub first_deposit: i64,
}

impl Weights {
    /// Everything.
    pub const ALL: Self = Self {
        deposit: 12,
        withdraw: 10,
        transfer: 20,
        reserve: 16,
        capture: 12,
        release: 4,
        refund: 6,
        extend: 2,
        balance: 12,
        operations: 6,
        seconds_max: 3,
        first_deposit: 50_000,
    };

    /// Transfers and now and then a read.
    pub const TRANSFERS: Self = Self {
        deposit: 0,
        withdraw: 0,
        transfer: 97,
        reserve: 0,
        capture: 0,
        release: 0,
        refund: 0,
        extend: 0,
        balance: 3,
        operations: 0,
        seconds_max: 1,
        first_deposit: 1_000_000_000_000,
    };

    const fn each(&self) -> [u32; 10] {
        [
            self.deposit,
            self.withdraw,
            self.transfer,
            self.reserve,
            self.capture,
            self.release,
            self.refund,
            self.extend,
            self.balance,
            self.operations,
        ]
    }
}

/// Chooses calls. Shared by all processes, so that they meet at the same orders.
pub struct Mix {
    users: Vec<i64>,
    services: Vec<i64>,
    weights: Weights,
    seed: u64,
    orders: Mutex<VecDeque<OrderRef>>,
    next_order: AtomicI64,
    next_key: AtomicU64,
}

impl Mix {
    /// A mix over these users and services. Keys carry the seed, so that two runs never share one.
    pub fn new(users: Vec<i64>, services: Vec<i64>, weights: Weights, seed: u64) -> Self {
        Self {
            users,
            services,
            weights,
            seed,
            orders: Mutex::default(),
            next_order: AtomicI64::new(1),
            next_key: AtomicU64::new(0),
        }
    }

    /// A deposit to each of this process's share of the users.
    pub fn first_calls(&self, process: u32, processes: u32) -> Vec<Call> {
        let ours = self.users.iter().skip(process as usize).step_by(processes.max(1) as usize);
        ours.map(|user_id| {
            self.money(
                process,
                MoneyAction::Deposit { user_id: *user_id, amount: self.weights.first_deposit },
            )
        })
        .collect()
    }

    /// The next call.
    pub fn next(&self, process: u32, random: &mut SmallRng) -> Call {
        let user_id = self.user(random);
        let weights = self.weights.each();
        let mut ticket = random.random_range(0..weights.iter().sum::<u32>().max(1));
        let kind = weights.iter().position(|weight| match ticket.checked_sub(*weight) {
            Some(rest) => {
                ticket = rest;
                false
            }
            None => true,
        });
        match kind {
            Some(7) => Call::Extend {
                order: self.order(user_id, random),
                expires_in_seconds: random.random_range(1..=self.weights.seconds_max + 60),
            },
            Some(8) => Call::Balance { user_id },
            Some(9) | None => Call::Operations { user_id },
            Some(kind) => self.money(process, self.action(kind, user_id, random)),
        }
    }

    /// Keeps an order that something was reserved for.
    pub fn learn(&self, action: &MoneyAction) {
        if let MoneyAction::Reserve { order, .. } = action {
            let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            orders.push_back(*order);
            if orders.len() > ORDERS_MAX {
                orders.pop_front();
            }
        }
    }

    fn action(&self, kind: usize, user_id: i64, random: &mut SmallRng) -> MoneyAction {
        let amount = random.random_range(1..=3_000);
        let part = random.random_bool(0.5).then_some(amount / 3 + 1);
        match kind {
            0 => MoneyAction::Deposit { user_id, amount },
            1 => MoneyAction::Withdraw { user_id, amount },
            2 => MoneyAction::Transfer {
                from_user_id: user_id,
                to_user_id: self.other(user_id, random),
                amount,
            },
            3 => MoneyAction::Reserve {
                order: self.new_order(user_id, random),
                amount,
                expires_in_seconds: random.random_range(1..=self.weights.seconds_max),
            },
            4 => MoneyAction::Capture {
                order: self.order(user_id, random),
                amount: part,
                is_final: random.random_bool(0.5),
            },
            5 => MoneyAction::Release { order: self.order(user_id, random) },
            _ => MoneyAction::Refund { order: self.order(user_id, random), amount: part },
        }
    }

    fn money(&self, process: u32, action: MoneyAction) -> Call {
        let number = self.next_key.fetch_add(1, Ordering::Relaxed);
        let key = format!("{:x}-{process}-{number}", self.seed);
        Call::Money(MoneyCall { comment: format!("for {key}"), key, action })
    }

    /// The first users are the hottest.
    fn user(&self, random: &mut SmallRng) -> i64 {
        let bound = random.random_range(1..=self.users.len());
        self.users[random.random_range(0..bound)]
    }

    fn other(&self, user_id: i64, random: &mut SmallRng) -> i64 {
        loop {
            let other = self.user(random);
            if other != user_id || self.users.len() < 2 {
                return other;
            }
        }
    }

    /// Now and then one that exists already.
    fn new_order(&self, user_id: i64, random: &mut SmallRng) -> OrderRef {
        if random.random_ratio(1, 10) {
            return self.order(user_id, random);
        }
        let service_id = self.services.choose(random).copied().unwrap_or(1);
        OrderRef { user_id, service_id, order_id: self.next_order.fetch_add(1, Ordering::Relaxed) }
    }

    fn order(&self, user_id: i64, random: &mut SmallRng) -> OrderRef {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let any = OrderRef { user_id, service_id: self.services.first().copied().unwrap_or(1), order_id: 1 };
        if orders.is_empty() { any } else { orders[random.random_range(0..orders.len())] }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Rounds on one database have users and services of their own; the report is compared for these only.
    #[test]
    fn a_mix_stays_with_its_users_and_services_from_the_first_call_on() {
        let mix = Mix::new(vec![2_001, 2_002], vec![2_001, 2_002], Weights::ALL, 1);
        let mut random = SmallRng::seed_from_u64(1);
        let mut kinds = std::collections::BTreeSet::new();
        for round in 0..2_000 {
            let call = mix.next(0, &mut random);
            if let Call::Money(call) = &call {
                kinds.insert(call.action.kind());
                let order = call.action.order();
                assert!(call.action.user_id() > 2_000, "{call:?}");
                assert!(order.is_none_or(|order| order.service_id > 2_000), "{call:?}");
                if round > 1_000 {
                    mix.learn(&call.action);
                }
            }
        }
        assert_eq!(kinds.len(), 7, "{kinds:?}");
    }
}
