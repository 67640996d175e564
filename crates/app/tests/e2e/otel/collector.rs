//! A collector that keeps what it is sent, or one that never answers.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span as WireSpan,
};
use prost::Message;

/// What was sent, request by request.
type Bodies = Arc<Mutex<Vec<Vec<u8>>>>;

/// A running collector.
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    bodies: Bodies,
}

/// A span as it came over the wire. Ids are in hexadecimal digits.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) kind: i32,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The spans that it is linked to.
    pub(crate) links: Vec<String>,
    pub(crate) is_error: bool,
    pub(crate) nanos: (u64, u64),
}

impl Collector {
    /// A collector that takes everything.
    pub(crate) fn start() -> Self {
        Self::listen(|bodies, stream| {
            std::thread::spawn(move || while take(&stream, &bodies).is_some() {});
        })
    }

    /// A collector that accepts connections and says nothing, ever.
    pub(crate) fn silent() -> Self {
        Self::listen(|_, stream| std::mem::forget(stream))
    }

    fn listen(serve: impl Fn(Bodies, TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let bodies = Bodies::default();
        let kept = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(Arc::clone(&kept), stream.unwrap());
            }
        });
        Self { endpoint, bodies }
    }

    /// Everything that was sent, as it was sent.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bodies.lock().unwrap().concat()
    }

    /// Everything that was sent, understood.
    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let bodies = self.bodies.lock().unwrap();
        bodies.iter().map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap()).collect()
    }

    /// What each request says of its sender.
    pub(crate) fn resources(&self) -> Vec<BTreeMap<String, String>> {
        let requests = self.requests().into_iter();
        requests
            .flat_map(|request| request.resource_spans)
            .map(|spans| texts(&spans.resource.unwrap().attributes))
            .collect()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        let requests = self.requests().into_iter();
        requests
            .flat_map(|request| request.resource_spans)
            .flat_map(|spans| spans.scope_spans)
            .flat_map(|spans| spans.spans)
            .map(Span::from)
            .collect()
    }

    /// The only span of this name.
    #[track_caller]
    pub(crate) fn span(&self, name: &str) -> Span {
        let spans = self.spans();
        let mut named = spans.iter().filter(|span| span.name == name);
        let span = named.next().unwrap_or_else(|| panic!("there is no {name} in {spans:#?}"));
        assert!(named.next().is_none(), "{name} is there twice: {spans:#?}");
        span.clone()
    }
}

impl From<WireSpan> for Span {
    fn from(span: WireSpan) -> Self {
        Self {
            attributes: texts(&span.attributes),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
            is_error: span.status.is_some_and(|status| status.code == 2),
            nanos: (span.start_time_unix_nano, span.end_time_unix_nano),
            name: span.name,
            kind: span.kind,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref()))).collect()
}

/// Numbers without quotes, so that a number sent as text is not taken for one.
fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => format!("{text:?}"),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// Reads one request, keeps its body and says thanks; nothing at the end of the connection.
fn take(mut stream: &TcpStream, bodies: &Bodies) -> Option<()> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    let (head, length) = loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        if let Ok(httparse::Status::Complete(head)) = request.parse(&bytes) {
            assert_eq!((request.method, request.path), (Some("POST"), Some("/v1/traces")));
            let value = |name: &str| {
                let header = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                std::str::from_utf8(header.unwrap().value).unwrap().to_owned()
            };
            assert_eq!(value("content-type"), "application/x-protobuf");
            break (head, value("content-length").parse::<usize>().unwrap());
        }
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
    };
    let mut body = bytes.split_off(head);
    let missing = length - body.len();
    let at = body.len();
    body.resize(length, 0);
    stream.read_exact(&mut body[at..at + missing]).ok()?;
    bodies.lock().unwrap().push(body);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(answer).ok()
}
