//! API keys.

use balance_domain::{ApiKey, ApiKeyId, KeyDays, KeyName, NewApiKey, Timestamp};
use paperclip::actix::Apiv2Schema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    api::HttpSettings,
    extract::{Faults, Request, check_object, optional, required},
    wire::{Scopes, Wire, present},
};

/// A wish for a key.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKeyRequest {
    /// Whom or what it is for.
    name: Wire<KeyName>,
    /// What it may be used for.
    scopes: Wire<Scopes>,
    /// After how many days it is worthless; never if left out.
    #[serde(default, deserialize_with = "present")]
    expires_in_days: Option<Wire<KeyDays>>,
}

impl CreateKeyRequest {
    /// What is wished for.
    pub(crate) fn into_new_key(self) -> NewApiKey {
        NewApiKey {
            name: self.name.0,
            scopes: self.scopes.0.0,
            expires_in_days: self.expires_in_days.map(|days| days.0),
        }
    }
}

impl Request for CreateKeyRequest {
    type Raw = Self;

    fn accept(raw: Self, _: &HttpSettings) -> Option<Self> {
        Some(raw)
    }

    fn check(body: &RawValue, faults: &mut Faults) {
        let fields = &[
            required::<KeyName>("name"),
            required::<Scopes>("scopes"),
            optional::<KeyDays>("expires_in_days"),
        ];
        check_object(body, "", &[fields], faults);
    }
}

/// An API key; nothing in it lets anybody in.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct KeyBody {
    /// Its id: the 12 hexadecimal digits after `bal_` in the token.
    id: Wire<ApiKeyId>,
    /// Whom or what it is for.
    name: String,
    /// What it may be used for.
    scopes: Wire<Scopes>,
    /// When it was made.
    created_at: Wire<Timestamp>,
    /// From this instant on it is worthless.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Wire<Timestamp>>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Wire<Timestamp>>,
    /// When it was used last, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Wire<Timestamp>>,
}

impl From<&ApiKey> for KeyBody {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: Wire(key.id),
            name: key.name.clone(),
            scopes: Wire(Scopes(key.scopes.clone())),
            created_at: Wire(key.created_at),
            expires_at: key.expires_at.map(Wire),
            revoked_at: key.revoked_at.map(Wire),
            last_used_at: key.last_used_at.map(Wire),
        }
    }
}

/// A key that was just made.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct CreatedKeyBody {
    /// Its id.
    id: Wire<ApiKeyId>,
    /// Whom or what it is for.
    name: String,
    /// What it may be used for.
    scopes: Wire<Scopes>,
    /// What callers send as `Authorization: Bearer`; shown this once.
    token: String,
    /// When it was made.
    created_at: Wire<Timestamp>,
    /// From this instant on it is worthless.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Wire<Timestamp>>,
}

impl CreatedKeyBody {
    /// The key with its token.
    pub(crate) fn new(key: &ApiKey, token: String) -> Self {
        let KeyBody { id, name, scopes, created_at, expires_at, .. } = key.into();
        Self { id, name, scopes, token, created_at, expires_at }
    }
}

/// All keys.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct KeyList {
    /// By the time they were made.
    pub(crate) data: Vec<KeyBody>,
}
