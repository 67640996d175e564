//! Request bodies: `application/json`, bounded in size and time.

use std::{future::Future, pin::Pin, rc::Rc};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    web::{Bytes, BytesMut, Data, Json},
};
use futures::{FutureExt, StreamExt};
use paperclip::{
    actix::OperationModifier,
    v2::{
        models::{DefaultOperationRaw, DefaultSchemaRaw},
        schema::Apiv2Schema,
    },
};

use crate::{
    api::Shared,
    bodies::Room,
    context::Context,
    extract::{Request, json},
    limits::Caller,
    problem::{Code, Problem},
};

/// A body, parsed once.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: Request + 'static> FromRequest for Body<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let missing = || Problem::new(Code::Internal);
            let shared = request.app_data::<Data<Shared>>().ok_or_else(missing)?;
            let context = request.extensions().get::<Rc<Context>>().cloned().ok_or_else(missing)?;
            let settings = &shared.api.settings;
            check_head(&request, T::bytes_max(settings))?;
            let key = context.key.get();
            let caller = Caller::of(key.map(|key| &**key), context.peer);
            // The timer is only set when the body is not there at once.
            let mut is_slow = false;
            let reading = read(payload, T::bytes_max(settings), shared.bodies.room(caller), &mut is_slow);
            let bytes = tokio::time::timeout(shared.body_timeout, reading)
                .await
                .map_err(|_| Problem::new(Code::RequestTimeout))??;
            if is_slow {
                // The key may have been revoked meanwhile.
                shared.api.access.check_again(key.map(|key| &**key))?;
            }
            json::parse(&bytes, settings).map(Self)
        })
    }
}

/// What can be refused before the first byte of the body.
fn check_head(request: &HttpRequest, bytes_max: usize) -> Result<(), Problem> {
    let headers = request.headers();
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|value| is_json(value.as_bytes()));
    if !is_json || headers.contains_key(CONTENT_ENCODING) {
        return Err(Problem::new(Code::UnsupportedMediaType));
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(announced) if announced > bytes_max as u64 => Err(too_large(bytes_max)),
        _ => Ok(()),
    }
}

/// `application/json`, with nothing or `charset=utf-8` behind it.
fn is_json(content_type: &[u8]) -> bool {
    if content_type == b"application/json" {
        return true;
    }
    let Ok(text) = std::str::from_utf8(content_type) else { return false };
    let mut parts = text.split(';').map(str::trim);
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
        && parts.all(|parameter| {
            parameter.is_empty()
                || parameter.eq_ignore_ascii_case("charset=utf-8")
                || parameter.eq_ignore_ascii_case("charset=\"utf-8\"")
        })
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::with_detail(Code::PayloadTooLarge, format!("the body is larger than {bytes_max} bytes"))
}

/// The whole body, and whether any of it had to be waited for.
async fn read(
    mut payload: Payload,
    bytes_max: usize,
    mut room: Room<'_>,
    is_slow: &mut bool,
) -> Result<Bytes, Problem> {
    let mut next = payload.next();
    let first = if let Some(first) = (&mut next).now_or_never() {
        first
    } else {
        *is_slow = true;
        next.await
    };
    let Some(first) = first else { return Ok(Bytes::new()) };
    let first = first.map_err(|error| broken(&error, bytes_max))?;
    if first.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    // Nearly every body is one piece, which is then used where it lies.
    let Some(second) = payload.next().await else { return Ok(first) };
    *is_slow = true;
    room.grow(first.len())?;
    let mut bytes = BytesMut::from(&first[..]);
    let mut next = Some(second);
    while let Some(piece) = next {
        let piece = piece.map_err(|error| broken(&error, bytes_max))?;
        if bytes.len() + piece.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        room.grow(piece.len())?;
        bytes.extend_from_slice(&piece);
        next = payload.next().await;
    }
    Ok(bytes.freeze())
}

fn broken(error: &PayloadError, bytes_max: usize) -> Problem {
    match error {
        PayloadError::Overflow => too_large(bytes_max),
        _ => Problem::with_detail(Code::BadRequest, "the body was not sent to its end"),
    }
}

impl<T: Apiv2Schema> Apiv2Schema for Body<T> {
    fn name() -> Option<String> {
        T::name()
    }

    fn raw_schema() -> DefaultSchemaRaw {
        T::raw_schema()
    }
}

impl<T: Apiv2Schema> OperationModifier for Body<T> {
    fn update_parameter(operation: &mut DefaultOperationRaw) {
        Json::<T>::update_parameter(operation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf_8_is_json() {
        for accepted in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;charset=UTF-8",
            "application/json;",
        ] {
            assert!(is_json(accepted.as_bytes()), "{accepted}");
        }
        for refused in
            ["", "text/plain", "application/jsonx", "application/json; charset=latin1", "application/xml"]
        {
            assert!(!is_json(refused.as_bytes()), "{refused}");
        }
    }
}
