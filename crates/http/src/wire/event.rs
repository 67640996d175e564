//! Events: `CloudEvents` 1.0 in JSON.

use balance_domain::{
    Detail, Details, Event, EventFilter, EventLimit, EventPosition, Happening, ServiceId, Timestamp, UserId,
};
use paperclip::{
    actix::Apiv2Schema,
    v2::{
        models::{DataType, DefaultSchemaRaw},
        schema::Apiv2Schema as Schema,
    },
};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    cursor::{self, List},
    extract::{Pairs, QueryParameters},
    wire::{Cursor, EventTypes, OperationBody, ReservationBody, WaitSeconds, Wire},
};

/// Something that happened, as a `CloudEvent`.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct EventBody {
    /// The version of `CloudEvents`.
    specversion: &'static str,
    /// The same in every delivery, after a restore and over stores: drop doubles by it. `<user>-<seq>` of an operation.
    id: String,
    /// The ledger.
    source: String,
    /// What kind of event it is, for example `balance.operation.capture`.
    #[serde(rename = "type")]
    kind: String,
    /// What it happened to, for example `users/42`.
    subject: String,
    /// When it happened.
    time: Wire<Timestamp>,
    /// The media type of `data`.
    datacontenttype: &'static str,
    /// An operation exactly as history shows it, with its `reservation` as the request left it; or the values of
    /// a fact, with its `actor`.
    data: EventData,
}

impl EventBody {
    /// The event of this ledger.
    pub(crate) fn new(event: Event, source: &str) -> Self {
        Self {
            specversion: "1.0",
            id: event.id(),
            source: source.to_owned(),
            kind: event.kind().to_string(),
            subject: event.subject(),
            time: Wire(event.at()),
            datacontenttype: "application/json",
            data: event.happening.into(),
        }
    }
}

/// What an event carries.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum EventData {
    Operation(Box<OperationData>),
    Fact(FactData),
}

#[derive(Serialize)]
pub(crate) struct OperationData {
    #[serde(flatten)]
    operation: OperationBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation: Option<ReservationBody>,
}

pub(crate) struct FactData {
    actor: String,
    details: Details,
}

impl Serialize for FactData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("actor", &self.actor)?;
        for (name, detail) in &self.details {
            match detail {
                Detail::Number(number) => map.serialize_entry(name, number)?,
                Detail::Text(text) => map.serialize_entry(name, text)?,
                Detail::Texts(texts) => map.serialize_entry(name, texts)?,
            }
        }
        map.end()
    }
}

impl From<Happening> for EventData {
    fn from(happening: Happening) -> Self {
        match happening {
            Happening::Operation(recorded) => Self::Operation(Box::new(OperationData {
                reservation: recorded
                    .reservation_after
                    .map(|reservation| ReservationBody::new(&reservation, Some(recorded.operation.seq))),
                operation: recorded.operation.into(),
            })),
            Happening::Fact(recorded) => Self::Fact(FactData {
                actor: recorded.fact.actor.to_string(),
                details: recorded.fact.details,
            }),
        }
    }
}

impl Schema for EventData {
    fn raw_schema() -> DefaultSchemaRaw {
        DefaultSchemaRaw { data_type: Some(DataType::Object), ..DefaultSchemaRaw::default() }
    }
}

/// A part of the feed.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct EventPageBody {
    /// The events, in their order.
    pub(crate) data: Vec<EventBody>,
    /// Where the next part starts. Never null: the feed has no end.
    pub(crate) next_cursor: String,
}

/// The cursor of a place in the feed of this ledger.
pub(crate) fn cursor_of(position: &EventPosition, source: &str) -> String {
    cursor::encode(List::events(source), position)
}

/// The place of a cursor of this ledger.
pub(crate) fn place_of(cursor: &str, source: &str) -> Option<EventPosition> {
    cursor::decode(List::events(source), cursor)
}

/// Which part of the feed.
#[derive(Apiv2Schema)]
pub(crate) struct EventParameters {
    /// Where to start: `earliest` (the default), `latest` (what happens from now on), or `next_cursor` of an earlier
    /// answer.
    pub(crate) cursor: Option<Wire<Cursor>>,
    /// At most this many events.
    pub(crate) limit: Option<Wire<EventLimit>>,
    /// Only these types, separated by commas; `balance.operation.*` is all that begin so.
    pub(crate) types: Option<Wire<EventTypes>>,
    /// Only events of this user's account.
    pub(crate) user_id: Option<Wire<UserId>>,
    /// Only events of this service.
    pub(crate) service_id: Option<Wire<ServiceId>>,
    /// Seconds to wait for an event if there is none: 0 (the default) to 25.
    pub(crate) wait: Option<Wire<WaitSeconds>>,
}

impl QueryParameters for EventParameters {
    fn take(pairs: &mut Pairs) -> Option<Self> {
        Some(Self {
            cursor: pairs.optional("cursor").map(Wire),
            limit: pairs.optional("limit").map(Wire),
            types: pairs.optional("types").map(Wire),
            user_id: pairs.optional("user_id").map(Wire),
            service_id: pairs.optional("service_id").map(Wire),
            wait: pairs.optional("wait").map(Wire),
        })
    }
}

impl EventParameters {
    /// The filters.
    pub(crate) fn filter(&self) -> EventFilter {
        EventFilter {
            types: self.types.as_ref().map(|types| types.0.0.clone()),
            user_id: self.user_id.as_ref().map(|user| user.0),
            service_id: self.service_id.as_ref().map(|service| service.0),
        }
    }
}
