//! Answers that say yes.

use std::rc::Rc;

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, Responder, body::BoxBody, http::StatusCode, http::header,
    web::Data,
};
use paperclip::{
    actix::OperationModifier,
    v2::{
        models::{DataType, DefaultOperationRaw, DefaultSchemaRaw, Either, Response},
        schema::Apiv2Schema,
    },
};
use serde::Serialize;

use crate::{api::Shared, context::Context, wire};

/// The header that marks the first answer given again.
pub(crate) const IDEMPOTENCY_REPLAYED: header::HeaderName =
    header::HeaderName::from_static("idempotency-replayed");

/// A JSON body with its status.
pub(crate) struct Answer<T, const STATUS: u16> {
    body: T,
    location: Option<String>,
    is_replay: bool,
}

/// 200 with a body.
pub(crate) type Ok<T> = Answer<T, 200>;
/// 201 with a body.
pub(crate) type Created<T> = Answer<T, 201>;

impl<T, const STATUS: u16> Answer<T, STATUS> {
    /// This body, for the first time.
    pub(crate) fn new(body: T) -> Self {
        Self { body, location: None, is_replay: false }
    }

    /// With the address of what was made.
    pub(crate) fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    /// Marked as given before.
    pub(crate) fn replayed(mut self, is_replay: bool) -> Self {
        self.is_replay = is_replay;
        self
    }
}

/// The answer to a dry run: that of the call, and what it was.
#[derive(Serialize)]
struct DryRunAnswer<'a, T> {
    #[serde(flatten)]
    body: &'a T,
    dry_run: bool,
}

impl<T: Serialize, const STATUS: u16> Responder for Answer<T, STATUS> {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        let shared = request.app_data::<Data<Shared>>();
        let ids_as_strings = shared.is_some_and(|shared| shared.api.settings.ids_as_strings);
        let is_dry_run =
            request.extensions().get::<Rc<Context>>().is_some_and(|context| context.is_dry_run.get());
        let bytes = if is_dry_run {
            wire::json(&DryRunAnswer { body: &self.body, dry_run: true }, ids_as_strings)
        } else {
            wire::json(&self.body, ids_as_strings)
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return HttpResponse::from_error(actix_web::error::ErrorInternalServerError(error)),
        };
        let mut answer = HttpResponse::build(StatusCode::from_u16(STATUS).unwrap_or(StatusCode::OK));
        answer.insert_header((header::CONTENT_TYPE, header::HeaderValue::from_static("application/json")));
        // What a dry run would have made is nowhere.
        if let Some(location) = self.location.filter(|_| !is_dry_run) {
            answer.insert_header((header::LOCATION, location));
        }
        if self.is_replay {
            answer.insert_header((IDEMPOTENCY_REPLAYED, header::HeaderValue::from_static("true")));
        }
        answer.body(bytes)
    }
}

impl<T: Apiv2Schema, const STATUS: u16> Apiv2Schema for Answer<T, STATUS> {
    fn name() -> Option<String> {
        T::name()
    }

    fn raw_schema() -> DefaultSchemaRaw {
        T::raw_schema()
    }
}

impl<T: Apiv2Schema, const STATUS: u16> OperationModifier for Answer<T, STATUS> {
    fn update_response(operation: &mut DefaultOperationRaw) {
        let mut schema = T::schema_with_ref();
        schema.retain_ref();
        document(operation, STATUS, Some(schema));
    }
}

/// 204.
pub(crate) struct NoContent;

impl Responder for NoContent {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::NoContent().finish()
    }
}

impl Apiv2Schema for NoContent {}

impl OperationModifier for NoContent {
    fn update_response(operation: &mut DefaultOperationRaw) {
        document(operation, 204, None);
    }
}

/// A CSV file to save.
pub(crate) struct CsvFile {
    /// The name to save it under.
    pub(crate) name: String,
    /// All of it.
    pub(crate) bytes: Vec<u8>,
}

impl Responder for CsvFile {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let disposition = format!("attachment; filename=\"{}\"", self.name);
        HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/csv; charset=utf-8"))
            .insert_header((header::CONTENT_DISPOSITION, disposition))
            .body(self.bytes)
    }
}

impl Apiv2Schema for CsvFile {}

impl OperationModifier for CsvFile {
    /// The finishing rules give it its media type.
    fn update_response(operation: &mut DefaultOperationRaw) {
        document(
            operation,
            200,
            Some(DefaultSchemaRaw { data_type: Some(DataType::String), ..DefaultSchemaRaw::default() }),
        );
    }
}

fn document(operation: &mut DefaultOperationRaw, status: u16, schema: Option<DefaultSchemaRaw>) {
    let description = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    operation.responses.insert(
        status.to_string(),
        Either::Right(Response {
            description: description.map(str::to_owned),
            schema,
            ..Response::default()
        }),
    );
}
