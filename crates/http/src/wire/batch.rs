//! Batches: up to a thousand commands of any kind in one request, and one result for each.
//!
//! On the wire a command is flat: its kind, and the fields of that kind. Which fields a kind has is said once, in
//! the tables of the single requests.

use balance_domain::{
    Action, Amount, Comment, Hold, IdempotencyKey, MoneyCommand, OrderId, Receipt, ReservationKey, Scope,
    ServiceId, Ttl, UserId,
};
use paperclip::{
    actix::Apiv2Schema,
    v2::{models::DefaultSchemaRaw, schema::Apiv2Schema as Schema},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    api::HttpSettings,
    extract::{Faults, Field, Fields, Items, Request, check_items, check_object, optional, required},
    problem::{Code, Problem},
    wire::{
        OperationBody, ReservationBody, Seq, Wire,
        commands::{fields, is_final, plain, time_limit},
        present,
    },
};

/// How the commands of a batch hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Apiv2Schema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BatchMode {
    Independent,
    Atomic,
}

/// The scopes of all kinds of commands, each once.
pub(crate) fn command_scopes() -> Vec<Scope> {
    let mut scopes: Vec<Scope> = CommandKind::ALL.into_iter().map(CommandKind::scope).collect();
    scopes.dedup();
    scopes
}

/// What a command of a batch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Apiv2Schema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CommandKind {
    Deposit,
    Withdrawal,
    Transfer,
    Reserve,
    Capture,
    Release,
    Refund,
    Extend,
}

impl CommandKind {
    const ALL: [Self; 8] = [
        Self::Deposit,
        Self::Withdrawal,
        Self::Transfer,
        Self::Reserve,
        Self::Capture,
        Self::Release,
        Self::Refund,
        Self::Extend,
    ];

    const NAMES: &'static str = "deposit, withdrawal, transfer, reserve, capture, release, refund, extend";

    /// The fields of this kind besides `kind` itself.
    const fn fields(self) -> [&'static [Field]; 3] {
        const KEY: &[Field] = &[required::<IdempotencyKey>("idempotency_key")];
        const KEY_IF_ANY: &[Field] = &[optional::<IdempotencyKey>("idempotency_key")];
        match self {
            Self::Deposit | Self::Withdrawal => [KEY, fields::USER, fields::MOVE],
            Self::Transfer => [KEY, fields::TRANSFER, fields::MOVE],
            Self::Reserve => [KEY, fields::RESERVATION, fields::RESERVE],
            Self::Capture => [KEY, fields::RESERVATION, fields::CAPTURE],
            Self::Release => [KEY, fields::RESERVATION, fields::RELEASE],
            Self::Refund => [KEY, fields::RESERVATION, fields::REFUND],
            Self::Extend => [KEY_IF_ANY, fields::RESERVATION, fields::EXTEND],
        }
    }

    /// What a caller needs for it.
    const fn scope(self) -> Scope {
        match self {
            Self::Deposit => Scope::Deposit,
            Self::Withdrawal => Scope::Withdraw,
            Self::Transfer => Scope::Transfer,
            Self::Reserve | Self::Capture | Self::Release | Self::Extend => Scope::Reserve,
            Self::Refund => Scope::Refund,
        }
    }
}

/// Each kind's name with its fields besides `kind` itself, for the OpenAPI document.
pub(crate) fn command_kinds() -> impl Iterator<Item = (&'static str, impl Iterator<Item = &'static Field>)> {
    CommandKind::NAMES.split(", ").filter_map(|name| {
        let kind: CommandKind = serde_json::from_value(name.into()).ok()?;
        Some((name, kind.fields().into_iter().flatten()))
    })
}

/// Commands to execute.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchBody {
    /// `independent`: each command succeeds or fails by itself. `atomic`: all happen or none.
    mode: BatchMode,
    /// 1 to 1000 commands; those that touch the same user are executed in this order.
    commands: Items<BatchCommand>,
}

/// One command: its kind, and the fields of that kind as in the single call.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchCommand {
    /// What to do.
    kind: CommandKind,
    /// As the header Idempotency-Key of the single call. An extend needs none.
    #[serde(default, deserialize_with = "present")]
    idempotency_key: Option<Wire<IdempotencyKey>>,
    /// Whose money; for all kinds but transfer.
    #[serde(default, deserialize_with = "present")]
    user_id: Option<Wire<UserId>>,
    /// Who pays; for a transfer.
    #[serde(default, deserialize_with = "present")]
    from_user_id: Option<Wire<UserId>>,
    /// Who receives; for a transfer.
    #[serde(default, deserialize_with = "present")]
    to_user_id: Option<Wire<UserId>>,
    /// The service; for commands on a reservation.
    #[serde(default, deserialize_with = "present")]
    service_id: Option<Wire<ServiceId>>,
    /// The order; for commands on a reservation.
    #[serde(default, deserialize_with = "present")]
    order_id: Option<Wire<OrderId>>,
    /// Which hold of the order is meant; for capture, release, refund and extend.
    #[serde(default, deserialize_with = "present")]
    reserve_seq: Option<Wire<Seq>>,
    /// How much, in minor units; for all kinds but release and extend, for capture and refund all that is left
    /// if left out.
    #[serde(default, deserialize_with = "present")]
    amount: Option<Wire<Amount>>,
    /// For a capture: give the rest back and end the reservation; true if left out.
    #[serde(default, deserialize_with = "present", rename = "final")]
    is_final: Option<Wire<bool>>,
    /// For reserve and extend: the time limit.
    #[serde(default, deserialize_with = "present")]
    expires_in_seconds: Option<Wire<Ttl>>,
    /// What it is for; not for an extend.
    #[serde(default, deserialize_with = "present")]
    comment: Option<Wire<Comment>>,
}

impl BatchCommand {
    /// The names of the fields that were sent.
    fn sent(&self) -> [(&'static str, bool); 11] {
        [
            ("idempotency_key", self.idempotency_key.is_some()),
            ("user_id", self.user_id.is_some()),
            ("from_user_id", self.from_user_id.is_some()),
            ("to_user_id", self.to_user_id.is_some()),
            ("service_id", self.service_id.is_some()),
            ("order_id", self.order_id.is_some()),
            ("reserve_seq", self.reserve_seq.is_some()),
            ("amount", self.amount.is_some()),
            ("final", self.is_final.is_some()),
            ("expires_in_seconds", self.expires_in_seconds.is_some()),
            ("comment", self.comment.is_some()),
        ]
    }

    /// Whether every field of the kind that must be there is, and no field of another kind.
    fn fits_its_kind(&self) -> bool {
        let tables = self.kind.fields();
        self.sent().into_iter().all(|(name, is_sent)| {
            let field = tables.iter().copied().flatten().find(|field| field.name == name);
            field.map_or(!is_sent, |field| is_sent || !field.is_required)
        })
    }

    /// What it asks of the ledger; `None` if a field is missing or does not belong.
    fn into_command(self, ttl_default: Ttl) -> Option<balance_domain::Command> {
        if !self.fits_its_kind() {
            return None;
        }
        let user_id = plain(self.user_id);
        let reservation = || {
            Some(ReservationKey {
                user_id: user_id?,
                service_id: self.service_id.as_ref()?.0,
                order_id: self.order_id.as_ref()?.0,
            })
        };
        let reserve_seq = self.reserve_seq.as_ref().map(|seq| seq.0.get());
        let hold = || Some(Hold { key: reservation()?, reserve_seq });
        let amount = plain(self.amount);
        let action = match self.kind {
            CommandKind::Deposit => Action::Deposit { user_id: user_id?, amount: amount? },
            CommandKind::Withdrawal => Action::Withdraw { user_id: user_id?, amount: amount? },
            CommandKind::Transfer => {
                Action::Transfer { from: self.from_user_id?.0, to: self.to_user_id?.0, amount: amount? }
            }
            CommandKind::Reserve => Action::Reserve {
                reservation: reservation()?,
                amount: amount?,
                time_limit: time_limit(self.expires_in_seconds, ttl_default),
            },
            CommandKind::Capture => {
                Action::Capture { reservation: hold()?, amount, is_final: is_final(self.is_final.as_ref()) }
            }
            CommandKind::Release => Action::Release { reservation: hold()? },
            CommandKind::Refund => Action::Refund { reservation: hold()?, amount },
            CommandKind::Extend => {
                return Some(balance_domain::Command::Extend {
                    reservation: hold()?,
                    ttl: self.expires_in_seconds?.0,
                });
            }
        };
        let (key, comment) = (self.idempotency_key?.0, plain(self.comment));
        Some(balance_domain::Command::Money(MoneyCommand { action, key, comment }))
    }
}

/// A batch as the ledger takes it.
pub(crate) struct BatchRequest {
    pub(crate) mode: BatchMode,
    pub(crate) commands: Vec<balance_domain::Command>,
    /// What a caller needs for all of it, each scope once.
    pub(crate) scopes: Vec<Scope>,
}

impl Schema for BatchRequest {
    fn name() -> Option<String> {
        BatchBody::name()
    }

    fn raw_schema() -> DefaultSchemaRaw {
        BatchBody::raw_schema()
    }
}

impl Request for BatchRequest {
    type Raw = BatchBody;

    fn bytes_max(settings: &HttpSettings) -> usize {
        settings.batch_bytes_max
    }

    fn accept(raw: BatchBody, settings: &HttpSettings) -> Option<Self> {
        let mut scopes: Vec<Scope> = raw.commands.0.iter().map(|command| command.kind.scope()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        let ttl_default = settings.reservation_ttl_default;
        let commands: Option<Vec<_>> =
            raw.commands.0.into_iter().map(|command| command.into_command(ttl_default)).collect();
        Some(Self { mode: raw.mode, commands: commands?, scopes })
    }

    fn check(body: &RawValue, faults: &mut Faults) {
        const FIELDS: &[Field] = &[Field::list("mode"), Field::list("commands")];
        let Some(fields) = check_object(body, "", &[FIELDS], faults) else { return };
        if let Some(mode) = fields.get("mode")
            && serde_json::from_str::<BatchMode>(mode.get()).is_err()
        {
            faults.add("/mode", Code::InvalidMode, "this must be independent or atomic");
        }
        check_items(fields.get("commands"), "/commands", faults, check_command);
    }
}

fn check_command(command: &RawValue, pointer: &str, faults: &mut Faults) {
    const KIND: &[Field] = &[Field::list("kind")];
    let Ok(given) = serde_json::from_str::<Fields<'_>>(command.get()) else {
        return faults.add(pointer, Code::InvalidType, "this must be a JSON object");
    };
    // Nothing else can be said before the kind is known.
    let at = || format!("{pointer}/kind");
    let Some(kind) = given.get("kind") else {
        return faults.add(at(), Code::MissingField, "this field is required");
    };
    let Ok(kind) = serde_json::from_str::<CommandKind>(kind.get()) else {
        let names = CommandKind::NAMES;
        return faults.add(at(), Code::InvalidKind, format!("this must be one of {names}"));
    };
    let [key, of_whom, of_what] = kind.fields();
    check_object(command, pointer, &[KIND, key, of_whom, of_what], faults);
}

/// What became of a batch.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct BatchAnswer {
    /// As asked.
    pub(crate) mode: BatchMode,
    /// One per command, in order.
    pub(crate) results: Vec<BatchResult>,
}

/// What became of one command.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct BatchResult {
    /// Which command, from 0.
    index: i64,
    /// The status that the single call would have answered.
    status: i64,
    /// The command happened before; this is its first answer again.
    replayed: bool,
    /// For an accepted deposit, withdrawal or transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<OperationBody>,
    /// For an accepted command on a reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation: Option<ReservationBody>,
    /// For a refused or failed command: the stable code to branch on.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// For a refused or failed command: what happened this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// For a refused or failed command: `no` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    executed: Option<String>,
}

impl BatchResult {
    /// An accepted command, with the status of the single call.
    pub(crate) fn accepted(index: usize, status: u16, is_replay: bool, receipt: Receipt) -> Self {
        let mut result = Self::bare(index, status);
        result.replayed = is_replay;
        match receipt {
            Receipt::Operation(operation) => result.operation = Some(operation.into()),
            Receipt::Reservation { reservation, operation_seq } => {
                result.reservation = Some(ReservationBody::new(&reservation, operation_seq));
            }
            // No command of a batch answers with an account.
            Receipt::Account(_) => {}
        }
        result
    }

    /// A refused or failed command.
    pub(crate) fn failed(index: usize, problem: &Problem) -> Self {
        let mut result = Self::bare(index, problem.code().status());
        result.code = Some(problem.code().as_str().to_owned());
        result.detail = Some(problem.detail().to_owned());
        result.executed = Some(problem.executed().as_str().to_owned());
        result
    }

    fn bare(index: usize, status: u16) -> Self {
        Self {
            index: i64::try_from(index).unwrap_or(i64::MAX),
            status: status.into(),
            replayed: false,
            operation: None,
            reservation: None,
            code: None,
            detail: None,
            executed: None,
        }
    }
}
