//! Rows on their way to the server: all rows of a statement are one value, an array of a composite type. The server
//! then unnests one array instead of one per column, and here no row is taken apart into columns.
//!
//! The types are those of `migrations/postgres`. Fields travel by position.

use std::error::Error;

use balance_domain::{
    Account, AccountStatus, Actor, Comment, Fact, IdempotencyKey, OrderId, RecordedOperation, Reservation,
    ReservationKey, ServiceId, UserId,
};
use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::facts;
use crate::values::{At, RowVersion, bucket, state_name};

/// Something that is written as a value of a composite type.
pub(crate) trait Record {
    /// The type's name.
    const TYPE: &'static str;
    /// How many fields it has.
    const FIELDS: i32;

    /// Writes every field, in the order of the type.
    fn write(&self, to: &mut Fields<'_>);
}

/// Records as one array.
#[derive(Debug)]
pub(crate) struct Records<'a, T>(pub(crate) &'a [T]);

impl<T: Record + std::fmt::Debug> ToSql for Records<'_, T> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Kind::Array(element) = of.kind() else { return Err("not an array".into()) };
        // One dimension, no null elements, counted from 1.
        for head in [1, 0, element.oid().cast_signed(), self.0.len().try_into()?, 1] {
            out.put_i32(head);
        }
        for record in self.0 {
            sized(out, |out| {
                out.put_i32(T::FIELDS);
                record.write(&mut Fields(out));
            })?;
        }
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        matches!(of.kind(), Kind::Array(element) if element.name() == T::TYPE)
    }

    to_sql_checked!();
}

/// Writes what `write` does, with its size in bytes before it.
fn sized(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) -> Result<(), std::num::TryFromIntError> {
    let start = out.len();
    out.put_i32(0);
    write(out);
    let size = i32::try_from(out.len() - start - 4)?;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

/// The fields of one record.
pub(crate) struct Fields<'a>(&'a mut BytesMut);

impl Fields<'_> {
    fn bytes(&mut self, of: &Type, value: Option<&[u8]>) {
        self.0.put_u32(of.oid());
        match value {
            // No text or hash of the domain comes near the bound.
            Some(value) => {
                self.0.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
                self.0.put_slice(value);
            }
            None => self.0.put_i32(-1),
        }
    }

    fn smallint(&mut self, value: i16) {
        self.bytes(&Type::INT2, Some(&value.to_be_bytes()));
    }

    fn bigint(&mut self, value: impl Into<Option<i64>>) {
        let value = value.into().map(i64::to_be_bytes);
        self.bytes(&Type::INT8, value.as_ref().map(<[u8; 8]>::as_slice));
    }

    fn version(&mut self, value: Option<RowVersion>) {
        self.bigint(value.map(|version| version.number));
        self.bytes(&Type::TID, value.as_ref().map(|version| version.place.0.as_slice()));
    }

    fn time(&mut self, value: impl Into<Option<At>>) {
        let value = value.into().map(|at| at.as_stored().to_be_bytes());
        self.bytes(&Type::TIMESTAMPTZ, value.as_ref().map(<[u8; 8]>::as_slice));
    }

    fn boolean(&mut self, value: bool) {
        self.bytes(&Type::BOOL, Some(&[value.into()]));
    }

    fn text<'b>(&mut self, value: impl Into<Option<&'b str>>) {
        self.bytes(&Type::TEXT, value.into().map(str::as_bytes));
    }

    fn bytea(&mut self, value: Option<&[u8]>) {
        self.bytes(&Type::BYTEA, value);
    }

    fn user(&mut self, user_id: UserId) {
        self.smallint(bucket(user_id));
        self.bigint(user_id.get());
    }

    fn reservation_key(&mut self, key: ReservationKey) {
        self.user(key.user_id);
        self.bigint(key.service_id.get());
        self.bigint(key.order_id.get());
    }
}

impl Record for UserId {
    const TYPE: &'static str = "account_ref";
    const FIELDS: i32 = 2;

    fn write(&self, to: &mut Fields<'_>) {
        to.user(*self);
    }
}

impl Record for (UserId, IdempotencyKey) {
    const TYPE: &'static str = "key_ref";
    const FIELDS: i32 = 3;

    fn write(&self, to: &mut Fields<'_>) {
        to.user(self.0);
        to.text(self.1.as_str());
    }
}

impl Record for ReservationKey {
    const TYPE: &'static str = "reservation_ref";
    const FIELDS: i32 = 4;

    fn write(&self, to: &mut Fields<'_>) {
        to.reservation_key(*self);
    }
}

/// An account to write.
#[derive(Debug)]
pub(crate) struct AccountRow<'a> {
    pub(crate) account: &'a Account,
    /// The number that its row gets.
    pub(crate) number: i64,
    /// The version that its row must still have; none if there must be no row.
    pub(crate) expected: Option<RowVersion>,
}

impl Record for AccountRow<'_> {
    const TYPE: &'static str = "account_row";
    const FIELDS: i32 = 10;

    fn write(&self, to: &mut Fields<'_>) {
        let account = self.account;
        to.user(account.user_id);
        to.bigint(account.available);
        to.bigint(account.reserved);
        to.bigint(account.seq);
        to.time(At(account.last_at));
        to.boolean(account.status == AccountStatus::Closed);
        to.bigint(self.number);
        to.version(self.expected);
    }
}

/// An account to be read unless its row is still of this version.
#[derive(Debug)]
pub(crate) struct AccountVersion {
    pub(crate) user_id: UserId,
    pub(crate) version: Option<RowVersion>,
}

impl Record for AccountVersion {
    const TYPE: &'static str = "account_version";
    const FIELDS: i32 = 4;

    fn write(&self, to: &mut Fields<'_>) {
        to.user(self.user_id);
        to.version(self.version);
    }
}

impl Record for &Reservation {
    const TYPE: &'static str = "reservation_row";
    const FIELDS: i32 = 12;

    fn write(&self, to: &mut Fields<'_>) {
        to.reservation_key(self.key);
        to.bigint(self.amount.get());
        to.bigint(self.captured);
        to.bigint(self.released);
        to.bigint(self.refunded);
        to.time(At(self.created_at));
        to.time(At(self.expires_at));
        to.text(state_name(self.state));
        to.bigint(self.reserve_seq);
    }
}

impl Record for Fact {
    const TYPE: &'static str = "fact_row";
    const FIELDS: i32 = 8;

    fn write(&self, to: &mut Fields<'_>) {
        to.text(self.kind.as_str());
        to.text(self.subject.as_str());
        to.bigint(self.user_id.map(UserId::get));
        to.bigint(self.seq);
        to.bigint(self.service_id.map(ServiceId::get));
        to.text(self.actor.write_to(&mut [0; Actor::BYTES_MAX]));
        to.time(At(self.at));
        to.text(facts::to_json(&self.details).as_str());
    }
}

impl Record for RecordedOperation {
    const TYPE: &'static str = "operation_row";
    const FIELDS: i32 = 23;

    fn write(&self, to: &mut Fields<'_>) {
        let operation = &self.operation;
        to.user(operation.user_id);
        to.bigint(operation.seq);
        to.text(operation.kind.as_str());
        to.bigint(operation.amount.get());
        to.bigint(operation.available_after);
        to.bigint(operation.reserved_after);
        to.bigint(operation.service_id.map(ServiceId::get));
        to.bigint(operation.order_id.map(OrderId::get));
        to.bigint(operation.counterparty_user_id.map(UserId::get));
        to.text(operation.comment.as_ref().map(Comment::as_str));
        to.text(operation.idempotency_key.as_ref().map(IdempotencyKey::as_str));
        to.time(At(operation.created_at));
        to.text(operation.actor.write_to(&mut [0; Actor::BYTES_MAX]));
        to.bytea(self.fingerprint.as_ref().map(|fingerprint| fingerprint.0.as_slice()));
        let reservation = self.reservation_after.as_ref();
        to.bigint(reservation.map(|r| r.amount.get()));
        to.bigint(reservation.map(|r| r.captured));
        to.bigint(reservation.map(|r| r.released));
        to.bigint(reservation.map(|r| r.refunded));
        to.time(reservation.map(|r| At(r.created_at)));
        to.time(reservation.map(|r| At(r.expires_at)));
        to.text(reservation.map(|r| state_name(r.state)));
        to.bigint(reservation.map(|r| r.reserve_seq));
    }
}
