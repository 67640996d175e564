//! One connection's bytes: many statements leave in one write, and all their answers come back in one read.
//!
//! The driver answers each statement with a round of its own: a `Sync`, which has the server flush, wake us and
//! look for more. That costs more than a small batch's statements do. Here a whole [`Pipeline`] ends with
//! one `Sync`, which also makes the server skip everything after an error, the COMMIT first of all. The
//! driver still opens connections (`takeover`), and migrations and audits still run on it.

mod pipeline;
mod row;
mod takeover;

use std::{collections::HashMap, io, sync::Arc};

use balance_domain::ports::Cause;
use bytes::BytesMut;
use futures::{FutureExt, join};
use postgres_protocol::message::{
    backend::{ErrorFields, Message},
    frontend,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio_postgres::{error::SqlState, fallible_iterator::FallibleIterator, tls::TlsStream, types::Type};

use crate::failure::Failure;

pub(crate) use pipeline::{Answers, Pipeline, Place};
pub(crate) use row::Row;
pub(crate) use takeover::take_over;

/// So much is read at a time at least.
const READ_BYTES: usize = 16 * 1024;

/// What a connection runs on: TCP, a socket of this machine, or TLS.
trait Link: TlsStream + Send + Sync + Unpin {}

impl<T: TlsStream + Send + Sync + Unpin> Link for T {}

/// A connection that is ready for statements. Whoever drops it closes it.
pub(crate) struct Wire {
    reader: ReadHalf<Box<dyn Link>>,
    writer: WriteHalf<Box<dyn Link>>,
    incoming: BytesMut,
    prepared: HashMap<String, Arc<Prepared>>,
    /// Types of parameters that are not built in, by their number.
    types: HashMap<u32, Type>,
    has_warned: bool,
}

/// A statement that the server knows by name.
pub(crate) struct Prepared {
    name: String,
    parameters: Vec<Type>,
    columns: Arc<[Type]>,
}

/// What the server says about an error. Its detail is left out: it quotes values.
#[derive(Debug, thiserror::Error)]
#[error("{severity} {}: {message}", state.code())]
pub(crate) struct ServerError {
    pub(crate) state: SqlState,
    severity: String,
    message: String,
}

impl Wire {
    /// Takes a connection on which nothing is outstanding.
    fn new(link: Box<dyn Link>) -> Self {
        let (reader, writer) = split(link);
        Self {
            reader,
            writer,
            incoming: BytesMut::with_capacity(READ_BYTES),
            prepared: HashMap::new(),
            types: HashMap::new(),
            has_warned: false,
        }
    }

    /// Statements without values or rows, separated by semicolons.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        let mut outgoing = BytesMut::new();
        frontend::query(sql, &mut outgoing).map_err(defect)?;
        self.exchange(&outgoing, |_| Ok(())).await
    }

    /// Has the server parse the statements that it does not know yet, in one round trip.
    pub(crate) async fn prepare<'a>(
        &mut self,
        all: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Failure> {
        let unknown: Vec<&str> = all.into_iter().filter(|sql| !self.prepared.contains_key(*sql)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let first = self.prepared.len();
        let mut outgoing = BytesMut::new();
        for (index, sql) in unknown.iter().enumerate() {
            let name = name(first + index);
            frontend::parse(&name, sql, [], &mut outgoing).map_err(defect)?;
            frontend::describe(b'S', &name, &mut outgoing).map_err(defect)?;
        }
        frontend::sync(&mut outgoing);
        let described = self.describe(&outgoing, unknown.len()).await?;
        for (index, (sql, (parameters, columns))) in unknown.into_iter().zip(described).enumerate() {
            let prepared = Prepared { name: name(first + index), parameters, columns: columns.into() };
            self.prepared.insert(sql.to_owned(), prepared.into());
        }
        Ok(())
    }

    /// From now on statements may have parameters of these types.
    pub(crate) fn learn(&mut self, types: impl IntoIterator<Item = Type>) {
        self.types.extend(types.into_iter().map(|learned| (learned.oid(), learned)));
    }

    /// Parameters and columns of each statement that `outgoing` has parsed and described.
    async fn describe(
        &mut self,
        outgoing: &BytesMut,
        count: usize,
    ) -> Result<Vec<(Vec<Type>, Vec<Type>)>, Failure> {
        let mut described = Vec::with_capacity(count);
        let types = self.types.clone();
        let type_of = |oid| {
            let known = Type::from_oid(oid).or_else(|| types.get(&oid).cloned());
            known.ok_or_else(|| defect(format!("type {oid} is not known here")))
        };
        self.exchange(outgoing, |message| {
            match message {
                Message::ParameterDescription(body) => {
                    let types = collected(body.parameters(), type_of)?;
                    described.push((types, Vec::new()));
                }
                Message::RowDescription(body) => {
                    let types = collected(body.fields(), |field| type_of(field.type_oid()))?;
                    if let Some((_, columns)) = described.last_mut() {
                        *columns = types;
                    }
                }
                _ => {}
            }
            Ok(())
        })
        .await?;
        if described.len() == count { Ok(described) } else { Err(out_of_step()) }
    }

    /// Gathers statements that are to be sent together.
    pub(crate) fn pipeline(&mut self) -> Pipeline<'_> {
        Pipeline::new(self)
    }

    /// Whether the server has warned since this was asked last. A warning comes before the answer that it
    /// belongs to; the one that matters tells of a commit that a standby did not confirm.
    pub(crate) fn take_warning(&mut self) -> bool {
        std::mem::take(&mut self.has_warned)
    }

    /// Whether the other side has closed an idle connection, or said something that is not a mere notice.
    pub(crate) fn is_closed(&mut self) -> bool {
        while let Some(read) = self.reader.read_buf(&mut self.incoming).now_or_never() {
            if !matches!(read, Ok(1..)) {
                return true;
            }
        }
        loop {
            match Message::parse(&mut self.incoming) {
                Ok(Some(Message::NoticeResponse(_) | Message::ParameterStatus(_))) => {}
                Ok(None) => return !self.incoming.is_empty(),
                _ => return true,
            }
        }
    }

    /// Sends, and gives every answer up to `ReadyForQuery` to `take`. Both at once: a server that waits for us
    /// to read does not read what we write.
    ///
    /// The first error is the failure, but all answers are read first, so that the exchange is over either way.
    async fn exchange(
        &mut self,
        outgoing: &BytesMut,
        mut take: impl FnMut(Message) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Self { reader, writer, incoming, has_warned, .. } = self;
        let sending = async {
            writer.write_all(outgoing).await?;
            writer.flush().await
        };
        let receiving = async {
            let mut result = Ok(());
            loop {
                match receive(reader, incoming).await {
                    Ok(Message::ReadyForQuery(_)) => return result,
                    Ok(Message::ErrorResponse(body)) => {
                        result = result.and_then(|()| Err(server_error(body.fields())?.into()));
                    }
                    Ok(Message::NoticeResponse(body)) => *has_warned |= is_warning(body.fields()),
                    Ok(Message::ParameterStatus(_)) => {}
                    Ok(message) => result = result.and_then(|()| take(message)),
                    // What the server said before it closed tells more than that it did.
                    Err(failure) => return result.and(Err(failure)),
                }
            }
        };
        let (sent, received) = join!(sending, receiving);
        received?;
        sent.map_err(|error| Failure::Lost(error.into()))
    }
}

/// The next message, whole.
async fn receive(reader: &mut ReadHalf<Box<dyn Link>>, incoming: &mut BytesMut) -> Result<Message, Failure> {
    loop {
        if let Some(message) = Message::parse(incoming).map_err(|error| Failure::Lost(error.into()))? {
            return Ok(message);
        }
        incoming.reserve(READ_BYTES);
        match reader.read_buf(incoming).await {
            Ok(0) => return Err(Failure::Lost("the server closed the connection".into())),
            Ok(_) => {}
            Err(error) => return Err(Failure::Lost(error.into())),
        }
    }
}

fn name(number: usize) -> String {
    format!("s{number}")
}

fn collected<T, U>(
    items: impl FallibleIterator<Item = T, Error = io::Error>,
    of: impl Fn(T) -> Result<U, Failure>,
) -> Result<Vec<U>, Failure> {
    items.iterator().map(|item| of(item.map_err(|error| Failure::Lost(error.into()))?)).collect()
}

fn server_error(fields: ErrorFields<'_>) -> Result<ServerError, Failure> {
    let mut error =
        ServerError { state: SqlState::INTERNAL_ERROR, severity: String::new(), message: String::new() };
    for (field, value) in all_fields(fields)? {
        match field {
            b'C' => error.state = SqlState::from_code(&value),
            b'V' => error.severity = value,
            b'M' => error.message = value,
            _ => {}
        }
    }
    Ok(error)
}

/// Tells the log of a notice; whether it is a warning.
fn is_warning(fields: ErrorFields<'_>) -> bool {
    let Ok(notice) = server_error(fields) else { return false };
    let is_warning = notice.severity == "WARNING";
    if is_warning {
        tracing::warn!(code = notice.state.code(), notice = notice.message, "the database warns");
    }
    is_warning
}

fn all_fields(fields: ErrorFields<'_>) -> Result<Vec<(u8, String)>, Failure> {
    collected(fields, |field| Ok((field.type_(), String::from_utf8_lossy(field.value_bytes()).into_owned())))
}

/// The other side does not speak the protocol as agreed, so that nobody knows what it has done.
fn out_of_step() -> Failure {
    Failure::Lost("the server's answers do not fit what it was asked".into())
}

fn defect(cause: impl Into<Cause>) -> Failure {
    Failure::Defect(cause.into())
}
