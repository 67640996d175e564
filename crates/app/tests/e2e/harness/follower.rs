//! A reader of the feed that keeps its place, whatever becomes of the service.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::Api;

/// What it has seen, and where it goes on.
#[derive(Default)]
pub(crate) struct Follower {
    cursor: Option<String>,
    /// Every event, in the order in which it came; each once by its id.
    pub(crate) events: Vec<Value>,
    ids: HashSet<String>,
    /// How often an event came again.
    pub(crate) doubles: usize,
}

impl Follower {
    /// One page, waiting up to `wait` seconds for it; `false` if there was none or no answer.
    pub(crate) async fn step(&mut self, api: &Api, wait: u32) -> bool {
        let cursor = self.cursor.as_deref().unwrap_or("earliest");
        let path = format!("/api/v1/events?limit=100&wait={wait}&cursor={cursor}");
        let Ok(answer) = Api::try_send(api.request(reqwest::Method::GET, &path)).await else { return false };
        if answer.status == 503 {
            return false;
        }
        let page = answer.expect(200);
        let events = page["data"].as_array().unwrap();
        for event in events {
            if self.ids.insert(event["id"].as_str().unwrap().to_owned()) {
                self.events.push(event.clone());
            } else {
                self.doubles += 1;
            }
        }
        self.cursor = Some(page["next_cursor"].as_str().unwrap().to_owned());
        !events.is_empty()
    }

    /// Everything up to now.
    pub(crate) async fn catch_up(&mut self, api: &Api) {
        while self.step(api, 1).await {}
    }

    /// Insists that what it saw is what the histories of these users say: all of it, each account in its order.
    #[track_caller]
    pub(crate) fn insists_on(&self, histories: &[(i64, Vec<Value>)]) {
        let mut seen: HashMap<i64, Vec<&Value>> = HashMap::new();
        for event in self.events.iter().filter(|event| event["data"]["seq"].is_i64()) {
            seen.entry(event["data"]["user_id"].as_i64().unwrap()).or_default().push(event);
        }
        assert_eq!(seen.len(), histories.iter().filter(|(_, history)| !history.is_empty()).count());
        for (user, history) in histories {
            let events = seen.remove(user).unwrap_or_default();
            assert_eq!(events.len(), history.len(), "events of user {user}");
            for (event, operation) in events.iter().zip(history) {
                for (name, value) in operation.as_object().unwrap() {
                    assert_eq!(&event["data"][name], value, "{name} of {event}");
                }
                assert_eq!(event["id"], format!("{user}-{}", operation["seq"]));
            }
        }
    }
}
