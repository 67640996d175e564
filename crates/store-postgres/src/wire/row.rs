//! One row of an answer, in the binary format.

use std::{ops::Range, sync::Arc};

use balance_domain::ports::Cause;
use postgres_protocol::message::backend::DataRowBody;
use tokio_postgres::{
    fallible_iterator::FallibleIterator,
    types::{FromSql, Type, WrongType},
};

/// A row; values are read out of the bytes that came in.
pub(crate) struct Row {
    body: DataRowBody,
    values: Vec<Option<Range<usize>>>,
    columns: Arc<[Type]>,
}

impl Row {
    pub(super) fn new(body: DataRowBody, columns: Arc<[Type]>) -> Result<Self, Cause> {
        let values: Vec<_> = body.ranges().collect()?;
        if values.len() == columns.len() {
            Ok(Self { body, values, columns })
        } else {
            Err(format!("{} values in {} columns", values.len(), columns.len()).into())
        }
    }

    /// The value of a column, counted from 0.
    pub(crate) fn try_get<'a, T: FromSql<'a>>(&'a self, index: usize) -> Result<T, Cause> {
        let (Some(value), Some(of)) = (self.values.get(index), self.columns.get(index)) else {
            return Err(format!("there is no column {index}").into());
        };
        if !T::accepts(of) {
            return Err(WrongType::new::<T>(of.clone()).into());
        }
        let raw = value.clone().map(|range| &self.body.buffer()[range]);
        T::from_sql_nullable(of, raw).map_err(Cause::from)
    }
}
