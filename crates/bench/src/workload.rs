//! The requests. A request is a template made once; per call only its fixed-width numbers are
//! written over, so that the generator's own work stays small and the same for the roofline.

use clap::ValueEnum;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Zipf};

/// A mix of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Deposits to random users.
    Deposit,
    /// A reservation and then its final capture, counted as two requests.
    ReserveCapture,
    /// Reservations alone.
    Reserve,
    /// Transfers between random users.
    Transfer,
    /// 40 % deposits, 25 % reserve and 25 % capture, 10 % transfers.
    Mix,
    /// Deposits, 90 % of them to one user.
    HotAccount,
    /// Deposits to users by a Zipf law (exponent 1.2).
    Zipf,
    /// Balances of random users.
    BalanceRead,
    /// The latest page of random users' histories.
    HistoryPage,
    /// Batches of 10 deposits.
    Batch10,
    /// Batches of 100 deposits.
    Batch100,
    /// Batches of 1,000 deposits.
    Batch1000,
}

impl Workload {
    /// The name on the command line and in reports.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Commands in one request.
    pub(crate) const fn commands_per_request(self) -> u64 {
        match self {
            Self::Batch10 => 10,
            Self::Batch100 => 100,
            Self::Batch1000 => 1000,
            _ => 1,
        }
    }
}

/// The service that every reservation of the benchmark is for.
pub(crate) const SERVICE_ID: u64 = 1;

/// The user of nine of ten calls of [`Workload::HotAccount`].
const HOT_USER: u64 = 0;

const USER_DIGITS: usize = 12;
const SERIAL_DIGITS: usize = 16;

/// A prepared request whose fixed-width numbers are written over.
struct Template {
    bytes: Vec<u8>,
    users: Vec<usize>,
    serials: Vec<usize>,
}

impl Template {
    /// `U` × 12 marks a user id with a leading 1, `S` × 16 a serial number with a leading 1.
    fn new(method: &str, path: &str, has_key: bool, body: Option<&str>, authorization: Option<&str>) -> Self {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        if let Some(authorization) = authorization {
            text.push_str("Authorization: ");
            text.push_str(authorization);
            text.push_str("\r\n");
        }
        if has_key {
            text.push_str("Idempotency-Key: bench-SSSSSSSSSSSSSSSS\r\n");
        }
        if let Some(body) = body {
            text.push_str("Content-Type: application/json\r\nContent-Length: ");
            text.push_str(&body.len().to_string());
            text.push_str("\r\n\r\n");
            text.push_str(body);
        } else {
            text.push_str("\r\n");
        }
        let users = positions(&text, &"U".repeat(USER_DIGITS));
        let serials = positions(&text, &"S".repeat(SERIAL_DIGITS));
        Self { bytes: text.into_bytes(), users, serials }
    }

    fn write(&mut self, mut user: impl FnMut() -> u64, mut serial: impl FnMut() -> u64) -> &[u8] {
        for &at in &self.users {
            digits(&mut self.bytes[at..at + USER_DIGITS], user());
        }
        for &at in &self.serials {
            digits(&mut self.bytes[at..at + SERIAL_DIGITS], serial());
        }
        &self.bytes
    }
}

fn positions(text: &str, mark: &str) -> Vec<usize> {
    text.match_indices(mark).map(|(at, _)| at).collect()
}

/// Writes a number in full width: `1`, zeros, the number. JSON allows no leading zero.
fn digits(slot: &mut [u8], mut number: u64) {
    for place in slot.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
    slot[0] = b'1';
}

/// The id of the n-th user of the benchmark.
pub(crate) fn user_id(index: u64) -> u64 {
    100_000_000_000 + index
}

/// The users of requests: some of a store's users, spread evenly over all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Users {
    count: u64,
    step: u64,
}

impl Users {
    /// The first `count`, which are all in most stores.
    pub(crate) const fn first(count: u64) -> Self {
        Self { count, step: 1 }
    }

    /// `count` out of a store's users.
    pub(crate) fn some(count: u64, of: u64) -> Self {
        Self { count: count.min(of), step: (of / count).max(1) }
    }

    fn at(self, position: u64) -> u64 {
        position % self.count * self.step
    }

    fn any(self, rng: &mut SmallRng) -> u64 {
        self.at(rng.random_range(0..self.count))
    }
}

/// One connection's stream of requests.
pub(crate) struct Requests {
    workload: Workload,
    users: Users,
    rng: SmallRng,
    serial: u64,
    zipf: Option<Zipf<f64>>,
    deposit: Template,
    reserve: Template,
    capture: Template,
    transfer: Template,
    read: Template,
    batch: Template,
    /// The reservation that is to be captured next: its user and serial number.
    reserved: Option<(u64, u64)>,
    /// Whether the last request was for another account than the hot one.
    is_other: bool,
}

impl Requests {
    /// `lane` is different for every connection and run, so that keys never repeat.
    pub(crate) fn new(workload: Workload, users: Users, lane: u64, authorization: Option<&str>) -> Self {
        let user = "U".repeat(USER_DIGITS);
        let serial = "S".repeat(SERIAL_DIGITS);
        let of_user = |resource: &str| format!("/api/v1/users/{user}/{resource}");
        let reservation = format!(r#""user_id":{user},"service_id":{SERVICE_ID},"order_id":{serial}"#);
        let deposit_body = r#"{"amount":100,"comment":"bench"}"#;
        let command = format!(
            r#"{{"kind":"deposit","idempotency_key":"bench-{serial}","user_id":{user},"amount":100,"comment":"bench"}}"#
        );
        let commands = vec![command; usize::try_from(workload.commands_per_request()).unwrap_or(1)].join(",");
        let read_path =
            if workload == Workload::HistoryPage { of_user("operations") } else { of_user("balance") };
        let post =
            |path: &str, has_key, body: &str| Template::new("POST", path, has_key, Some(body), authorization);
        Self {
            workload,
            users,
            rng: SmallRng::seed_from_u64(lane),
            serial: lane * 1_000_000_000,
            zipf: (workload == Workload::Zipf).then(|| Zipf::new(users.count as f64, 1.2).ok()).flatten(),
            deposit: post(&of_user("deposits"), true, deposit_body),
            reserve: post("/api/v1/reservations", true, &format!(r#"{{{reservation},"amount":10}}"#)),
            capture: post("/api/v1/reservations/capture", true, &format!("{{{reservation}}}")),
            transfer: post(
                "/api/v1/transfers",
                true,
                &format!(r#"{{"from_user_id":{user},"to_user_id":{user},"amount":1}}"#),
            ),
            read: Template::new("GET", &read_path, false, None, authorization),
            batch: post(
                "/api/v1/batches",
                false,
                &format!(r#"{{"mode":"independent","commands":[{commands}]}}"#),
            ),
            reserved: None,
            is_other: false,
        }
    }

    /// Whether there is a hot account and the last request was for another.
    pub(crate) fn is_other(&self) -> bool {
        self.is_other
    }

    /// The next request, ready to be sent.
    pub(crate) fn next(&mut self) -> &[u8] {
        match self.workload {
            Workload::Deposit | Workload::HotAccount | Workload::Zipf => self.deposit(),
            Workload::Reserve => self.reserve(),
            Workload::ReserveCapture => self.reserve_or_capture(),
            Workload::Transfer => self.transfer(),
            Workload::Mix => match self.rng.random_range(0..100) {
                _ if self.reserved.is_some() => self.reserve_or_capture(),
                0..53 => self.deposit(),
                53..86 => self.reserve_or_capture(),
                _ => self.transfer(),
            },
            Workload::BalanceRead | Workload::HistoryPage => {
                let user = self.user();
                self.read.write(|| user, || 0)
            }
            Workload::Batch10 | Workload::Batch100 | Workload::Batch1000 => {
                let (rng, users, serial) = (&mut self.rng, self.users, &mut self.serial);
                self.batch.write(
                    || users.any(rng),
                    || {
                        *serial += 1;
                        *serial
                    },
                )
            }
        }
    }

    fn deposit(&mut self) -> &[u8] {
        let (user, serial) = (self.user(), self.serial());
        self.is_other = self.workload == Workload::HotAccount && user != HOT_USER;
        self.deposit.write(|| user, || serial)
    }

    fn reserve(&mut self) -> &[u8] {
        let (user, serial) = (self.user(), self.serial());
        self.reserve.write(|| user, || serial)
    }

    fn reserve_or_capture(&mut self) -> &[u8] {
        if let Some((user, serial)) = self.reserved.take() {
            // The order keeps its number; the key is a new one, made different by its distance.
            let key = serial + 500_000_000;
            let mut first = true;
            return self
                .capture
                .write(|| user, move || if std::mem::take(&mut first) { key } else { serial });
        }
        let (user, serial) = (self.user(), self.serial());
        self.reserved = Some((user, serial));
        self.reserve.write(|| user, || serial)
    }

    fn transfer(&mut self) -> &[u8] {
        let from = self.rng.random_range(0..self.users.count);
        let to = from + self.rng.random_range(1..self.users.count);
        let serial = self.serial();
        let mut parties = [from, to].map(|position| self.users.at(position)).into_iter();
        self.transfer.write(|| parties.next().unwrap_or_default(), || serial)
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn user(&mut self) -> u64 {
        match (&self.zipf, self.workload) {
            (Some(zipf), _) => self.users.at(zipf.sample(&mut self.rng) as u64 - 1),
            (None, Workload::HotAccount) if self.rng.random_bool(0.9) => HOT_USER,
            _ => self.users.any(&mut self.rng),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn request(requests: &mut Requests) -> String {
        String::from_utf8(requests.next().to_vec()).unwrap()
    }

    /// The text after a word.
    fn after<'a>(text: &'a str, word: &str) -> &'a str {
        let rest = text.split_once(word).unwrap().1;
        &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())]
    }

    #[test]
    fn keys_never_repeat_over_connections_and_a_capture_names_the_order_that_was_reserved() {
        let mut keys = HashSet::new();
        for lane in [0, 1] {
            let mut requests = Requests::new(Workload::ReserveCapture, Users::first(10), lane, None);
            for _ in 0..500 {
                let (reserve, capture) = (request(&mut requests), request(&mut requests));
                assert!(reserve.starts_with("POST /api/v1/reservations HTTP"), "{reserve}");
                assert!(capture.starts_with("POST /api/v1/reservations/capture HTTP"), "{capture}");
                for name in [r#""user_id":"#, r#""order_id":"#] {
                    assert_eq!(after(&reserve, name), after(&capture, name));
                }
                keys.insert(after(&reserve, "Idempotency-Key: bench-").to_owned());
                keys.insert(after(&capture, "Idempotency-Key: bench-").to_owned());
            }
        }
        assert_eq!(keys.len(), 2 * 500 * 2);
    }

    #[test]
    fn nine_of_ten_calls_are_for_the_hot_account_and_the_rest_are_others() {
        let mut requests = Requests::new(Workload::HotAccount, Users::first(1_000_000), 7, None);
        let hot = format!("/users/{}/", user_id(HOT_USER));
        let (mut on_hot, mut others) = (0, 0);
        for _ in 0..10_000 {
            let is_hot = request(&mut requests).contains(&hot);
            assert_eq!(is_hot, !requests.is_other());
            if is_hot { on_hot += 1 } else { others += 1 }
        }
        assert!((8_800..9_200).contains(&on_hot), "{on_hot} and {others}");
    }

    #[test]
    fn some_users_are_spread_over_all_of_them() {
        let mut requests = Requests::new(Workload::Transfer, Users::some(10, 1_005), 7, None);
        let mut seen = HashSet::new();
        for _ in 0..1_000 {
            let text = request(&mut requests);
            let parties =
                [r#""from_user_id":"#, r#""to_user_id":"#].map(|name| after(&text, name).to_owned());
            assert_ne!(parties[0], parties[1]);
            seen.extend(parties);
        }
        let expected: HashSet<_> = (0..10).map(|place| user_id(place * 100).to_string()).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_request_says_how_long_its_body_is() {
        for workload in Workload::value_variants() {
            let mut requests = Requests::new(*workload, Users::first(100), 3, Some("Bearer x"));
            let text = request(&mut requests);
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let length = if body.is_empty() { 0 } else { after(head, "Content-Length: ").parse().unwrap() };
            assert_eq!(body.len(), length, "{workload:?}");
            assert_eq!(body.matches("\"kind\"").count() as u64 > 0, workload.commands_per_request() > 1);
        }
    }
}
