//! Statements that leave together and are answered together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::{
    backend::Message,
    frontend::{self, BindError},
};
use tokio_postgres::types::{ToSql, Type};

use super::{Prepared, Row, Wire, defect, out_of_step};
use crate::failure::Failure;

/// Statements on their way out. The server works them off in the order in which they were added; after an error it
/// skips the rest, and within a transaction that is then to be rolled back.
pub(crate) struct Pipeline<'a> {
    wire: &'a mut Wire,
    outgoing: BytesMut,
    columns: Vec<Arc<[Type]>>,
}

/// Where in the pipeline a statement stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(usize);

impl Place {
    /// How many statements stand before it.
    pub(crate) const fn index(self) -> usize {
        self.0
    }
}

/// A pipeline that failed.
pub(crate) struct Broken {
    pub(crate) failure: Failure,
    /// How many statements had been answered before: the one that failed comes next.
    pub(crate) answered: usize,
}

/// What the statements of a pipeline were answered.
#[derive(Default)]
pub(crate) struct Answers(Vec<Answer>);

#[derive(Default)]
struct Answer {
    rows: Vec<Row>,
    tag: Bytes,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(wire: &'a mut Wire) -> Self {
        Self { wire, outgoing: BytesMut::new(), columns: Vec::new() }
    }

    /// Adds a statement that [`Wire::prepare`] has prepared.
    pub(crate) fn add(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Place, Failure> {
        let prepared = self.wire.prepared.get(sql);
        let prepared = prepared.ok_or_else(|| defect("a statement was not prepared"))?;
        if prepared.parameters.len() != values.len() {
            return Err(defect(format!(
                "{} values for {} parameters",
                values.len(),
                prepared.parameters.len()
            )));
        }
        bind(prepared, values, &mut self.outgoing)?;
        frontend::execute("", 0, &mut self.outgoing).map_err(defect)?;
        self.columns.push(prepared.columns.clone());
        Ok(Place(self.columns.len() - 1))
    }

    /// Sends all, and waits for all answers.
    pub(crate) async fn send(self) -> Result<Answers, Broken> {
        let Self { wire, mut outgoing, columns } = self;
        frontend::sync(&mut outgoing);
        let mut answers = Answers(Vec::with_capacity(columns.len()));
        let mut rows = Vec::new();
        let exchanged = wire
            .exchange(&outgoing, |message| {
                match message {
                    Message::BindComplete => {}
                    Message::DataRow(body) => {
                        let columns = columns.get(answers.0.len()).ok_or_else(out_of_step)?;
                        rows.push(Row::new(body, columns.clone()).map_err(Failure::Lost)?);
                    }
                    Message::CommandComplete(body) => {
                        let tag = body.tag().map_err(|error| Failure::Lost(error.into()))?;
                        let tag = Bytes::copy_from_slice(tag.as_bytes());
                        answers.0.push(Answer { rows: std::mem::take(&mut rows), tag });
                    }
                    _ => return Err(out_of_step()),
                }
                Ok(())
            })
            .await;
        let answered = answers.0.len();
        match exchanged {
            Ok(()) if answered == columns.len() => Ok(answers),
            Ok(()) => Err(Broken { failure: out_of_step(), answered }),
            Err(failure) => Err(Broken { failure, answered }),
        }
    }
}

/// Values and answers travel in the binary format.
fn bind(prepared: &Prepared, values: &[&(dyn ToSql + Sync)], outgoing: &mut BytesMut) -> Result<(), Failure> {
    let values = values.iter().zip(&prepared.parameters);
    let write = |(value, of): (&&(dyn ToSql + Sync), &Type), outgoing: &mut BytesMut| {
        let is_null = value.to_sql_checked(of, outgoing)?;
        Ok(match is_null {
            tokio_postgres::types::IsNull::Yes => postgres_protocol::IsNull::Yes,
            tokio_postgres::types::IsNull::No => postgres_protocol::IsNull::No,
        })
    };
    frontend::bind("", &prepared.name, [1], values, write, [1], outgoing).map_err(|error| match error {
        BindError::Conversion(cause) => defect(cause),
        BindError::Serialization(cause) => defect(cause),
    })
}

impl Answers {
    /// The rows of a statement; none if it was not part of the pipeline.
    pub(crate) fn rows(&mut self, place: impl Into<Option<Place>>) -> Vec<Row> {
        let answer = place.into().and_then(|Place(index)| self.0.get_mut(index));
        answer.map(|answer| std::mem::take(&mut answer.rows)).unwrap_or_default()
    }

    /// How many rows a statement wrote; none if it was not part of the pipeline.
    pub(crate) fn written(&self, place: impl Into<Option<Place>>) -> u64 {
        let tag = self.tag(place);
        tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default()
    }

    /// What the server says that a statement did: `INSERT 0 5`, `COMMIT`.
    pub(crate) fn tag(&self, place: impl Into<Option<Place>>) -> &str {
        let answer = place.into().and_then(|Place(index)| self.0.get(index));
        answer.and_then(|answer| std::str::from_utf8(&answer.tag).ok()).unwrap_or_default()
    }
}
