//! Webhooks: a place in the feed with an address. What follows the place is sent there, page by page, and the place moves
//! when a page was taken.

use std::time::Duration;

use crate::{EventFilter, EventPosition, EventType, Invalid, ServiceId, Timestamp, WebhookId};

/// An address that may be sent to: `https`, or `http` to this machine for trying out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// The longest address, in bytes.
    pub const BYTES_MAX: usize = 2_048;

    /// Accepts `https://host…` and, to the loopback interface, `http://host…`: visible ASCII, no user, no fragment.
    pub fn new(url: impl Into<String>) -> Result<Self, Invalid> {
        let url = url.into();
        let is_plain = url.len() <= Self::BYTES_MAX && url.bytes().all(|b| b.is_ascii_graphic()) && !url.contains('#');
        let (is_secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(Invalid::WebhookUrl),
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let is_here = ["localhost", "127.0.0.1", "[::1]"].iter().any(|host| {
            authority.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':'))
        });
        let is_named = !authority.is_empty() && !authority.starts_with(':') && !authority.contains(['@', '\\']);
        if is_plain && is_named && (is_secure || is_here) { Ok(Self(url)) } else { Err(Invalid::WebhookUrl) }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What deliveries are signed with: 32 random bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WebhookSecret(pub [u8; 32]);

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// Why nothing is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Somebody asked for it.
    Requested,
    /// The address answered 410: it is gone for good.
    Gone,
    /// It failed for five days.
    Failing,
}

impl Pause {
    const ALL: [Self; 3] = [Self::Requested, Self::Gone, Self::Failing];

    /// The name in the API and in the stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// The reason of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pause| pause.as_str() == name)
    }
}

/// Where a webhook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Everything up to here was taken.
    pub cursor: EventPosition,
    /// The end of the page that is being sent, which repeats keep.
    pub page_end: Option<EventPosition>,
    /// How often that page failed.
    pub failures: u32,
    /// Since when nothing was taken.
    pub failing_since: Option<Timestamp>,
    /// When the next attempt is due.
    pub next_at: Timestamp,
    /// Why there is none.
    pub pause: Option<Pause>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The page was taken.
    Taken,
    /// It was not.
    Failed {
        /// The address is gone for good.
        is_gone: bool,
        /// How long the receiver asks to be left alone.
        retry_after: Option<Duration>,
    },
}

impl Delivery {
    /// The pauses between attempts at one page; the last one is kept to.
    pub const RETRIES: [Duration; 7] = [
        Duration::from_secs(5),
        Duration::from_secs(30),
        Duration::from_secs(5 * 60),
        Duration::from_secs(30 * 60),
        Duration::from_secs(2 * 60 * 60),
        Duration::from_secs(5 * 60 * 60),
        Duration::from_secs(10 * 60 * 60),
    ];
    /// A receiver may ask for a longer pause, up to this.
    pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
    /// Failing for so long pauses the webhook.
    pub const FAILING_MAX: Duration = Duration::from_secs(5 * 24 * 60 * 60);

    /// From this place on, at once.
    pub const fn from(cursor: EventPosition, now: Timestamp) -> Self {
        Self { cursor, page_end: None, failures: 0, failing_since: None, next_at: now, pause: None }
    }

    /// Whether an attempt is due.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.pause.is_none() && now >= self.next_at
    }

    /// After an attempt at the page up to `end`, or after passing over events that nobody wants. `jitter` spreads the
    /// retries: from -1 to 1.
    #[must_use]
    pub fn after(self, end: EventPosition, outcome: &Outcome, jitter: f64, now: Timestamp) -> Self {
        let Outcome::Failed { is_gone, retry_after } = *outcome else {
            return Self::from(end, now);
        };
        let failing_since = self.failing_since.unwrap_or(now);
        let last = Self::RETRIES.len() - 1;
        let step = usize::try_from(self.failures).unwrap_or(last).min(last);
        let spread = Self::RETRIES[step].mul_f64(1.0 + 0.2 * jitter.clamp(-1.0, 1.0));
        let asked = retry_after.unwrap_or_default().min(Self::RETRY_AFTER_MAX);
        let pause = if is_gone {
            Some(Pause::Gone)
        } else if later(failing_since, Self::FAILING_MAX) <= now {
            Some(Pause::Failing)
        } else {
            None
        };
        Self {
            cursor: self.cursor,
            page_end: Some(end),
            failures: self.failures.saturating_add(1),
            failing_since: Some(failing_since),
            next_at: later(now, spread.max(asked)),
            pause,
        }
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    let micros = time.micros().saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX));
    Timestamp::from_micros(micros).unwrap_or(Timestamp::MAX)
}

/// A webhook as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Where to.
    pub url: WebhookUrl,
    /// Only these types of events; `None` is all.
    pub types: Option<Vec<EventType>>,
    /// Only events of this service.
    pub service_id: Option<ServiceId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// What deliveries are signed with.
    pub secret: WebhookSecret,
    /// The secret before it, and until when deliveries are signed with that, too.
    pub old_secret: Option<(WebhookSecret, Timestamp)>,
    /// Where it stands.
    pub delivery: Delivery,
    /// Counts its changes: a delivery that began before one moves nothing.
    pub version: i64,
}

impl Webhook {
    /// How long a secret that was replaced still signs.
    pub const ROTATION: Duration = Duration::from_secs(24 * 60 * 60);

    /// Which events it is sent.
    pub fn filter(&self) -> EventFilter {
        EventFilter { types: self.types.clone(), user_id: None, service_id: self.service_id }
    }

    /// What a delivery at `now` is signed with: two secrets while one replaces the other.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = WebhookSecret> {
        let old = self.old_secret.filter(|(_, until)| now < *until).map(|(secret, _)| secret);
        [Some(self.secret), old].into_iter().flatten()
    }

    /// After a change at `now`.
    #[must_use]
    pub fn changed(mut self, change: WebhookChange, now: Timestamp) -> Self {
        self.version += 1;
        match change {
            WebhookChange::Settings { url, types, service_id } => {
                self.url = url.unwrap_or(self.url);
                self.types = types.unwrap_or(self.types);
                self.service_id = service_id.unwrap_or(self.service_id);
                // Another filter makes another page.
                self.delivery.page_end = None;
            }
            WebhookChange::Secret(secret) => {
                self.old_secret = Some((self.secret, later(now, Self::ROTATION)));
                self.secret = secret;
            }
            WebhookChange::Pause => self.delivery.pause = Some(Pause::Requested),
            WebhookChange::Resume => self.delivery = Delivery::from(self.delivery.cursor, now),
            WebhookChange::Replay(from) => self.delivery = Delivery::from(from, now),
        }
        self
    }
}

/// A change of a webhook; `None` leaves as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookChange {
    /// Its settings.
    Settings {
        /// Where to.
        url: Option<WebhookUrl>,
        /// Which types of events.
        types: Option<Option<Vec<EventType>>>,
        /// Of which service.
        service_id: Option<Option<ServiceId>>,
    },
    /// Another secret; the one before signs, too, for a day.
    Secret(WebhookSecret),
    /// Deliver nothing.
    Pause,
    /// Deliver again, from where it stands, at once.
    Resume,
    /// Deliver again from this place on, at once.
    Replay(EventPosition),
}

/// One attempt to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How many events it carried.
    pub events: u32,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// How long it took.
    pub milliseconds: u32,
    /// Why it failed, up to 256 bytes.
    pub error: Option<String>,
}

impl Attempt {
    /// How many are kept of a webhook.
    pub const KEPT: usize = 100;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000_000_000 + seconds * 1_000_000).unwrap()
    }

    const END: EventPosition = EventPosition { batch: 7, user_id: 0, seq: 0, fact: 0 };

    fn failed(retry_after: Option<u64>) -> Outcome {
        Outcome::Failed { is_gone: false, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn addresses_are_secure_or_of_this_machine() {
        for accepted in [
            "https://example.com",
            "https://example.com:8443/hooks?a=b",
            "http://127.0.0.1:9000/x",
            "http://localhost/",
            "http://[::1]:1/",
        ] {
            assert!(WebhookUrl::new(accepted).is_ok(), "{accepted}");
        }
        let long = format!("https://example.com/{}", "x".repeat(2048));
        for refused in [
            "",
            "https://",
            "https:///path",
            "https://:80/",
            "example.com",
            "ftp://example.com",
            "http://example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com/",
            "https://user:secret@example.com",
            "https://example.com\\@evil",
            "https://example.com/#part",
            "https://example.com/a b",
            "https://пример.рф",
            &long,
        ] {
            assert_eq!(WebhookUrl::new(refused), Err(Invalid::WebhookUrl), "{refused}");
        }
    }

    #[test]
    fn a_page_is_tried_again_later_and_later_and_its_end_stays() {
        let mut delivery = Delivery::from(EventPosition::EARLIEST, at(0));
        let mut now = 0;
        for pause in [5, 30, 300, 1_800, 7_200, 18_000, 36_000, 36_000] {
            delivery = delivery.after(END, &failed(None), 0.0, at(now));
            assert_eq!(delivery.next_at, at(now + pause));
            assert_eq!((delivery.page_end, delivery.cursor), (Some(END), EventPosition::EARLIEST));
            assert!(!delivery.is_due(at(now + pause - 1)) && delivery.is_due(at(now + pause)));
            now += pause;
        }
        assert_eq!(delivery.after(END, &Outcome::Taken, 0.0, at(now)), Delivery::from(END, at(now)));
    }

    #[test]
    fn retries_are_spread_and_a_receiver_is_left_alone_as_long_as_it_asks() {
        let first = Delivery::from(EventPosition::EARLIEST, at(0));
        let next = |retry_after, jitter| first.after(END, &failed(retry_after), jitter, at(0)).next_at;
        assert_eq!((next(None, -1.0), next(None, 1.0)), (at(4), at(6)));
        assert_eq!(next(Some(120), 0.0), at(120));
        assert_eq!(next(Some(1), 0.0), at(5), "not sooner than planned");
        assert_eq!(next(Some(1 << 40), 0.0), at(86_400));
    }

    #[test]
    fn what_is_gone_or_fails_for_five_days_is_paused() {
        let first = Delivery::from(EventPosition::EARLIEST, at(0));
        let gone = first.after(END, &Outcome::Failed { is_gone: true, retry_after: None }, 0.0, at(0));
        assert_eq!((gone.pause, gone.is_due(Timestamp::MAX)), (Some(Pause::Gone), false));
        let failing = first.after(END, &failed(None), 0.0, at(0));
        let days = |seconds: i64| failing.after(END, &failed(None), 0.0, at(seconds)).pause;
        assert_eq!(days(5 * 86_400 - 1), None);
        assert_eq!(days(5 * 86_400), Some(Pause::Failing));
    }
}
