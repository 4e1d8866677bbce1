//! W3C trace context: of which trace a request is part, and as which span it goes on.
//!
//! What is not exactly as the specification has it counts as not sent: a new trace begins. Every span's id follows from
//! the id of what it is of, so that who reads the records can name it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::hex::{Hex, read_hex};
use super::{InterceptionId, ToolUseId};

/// The header and the key of `_meta` that name the trace and the span.
pub const TRACEPARENT: &str = "traceparent";
/// The header and the key of `_meta` with what tracing systems say besides.
pub const TRACESTATE: &str = "tracestate";
/// The header and the key of `_meta` with what an application says of its users to those it calls. The gateway's
/// providers and servers are other companies: it goes to nobody.
pub const BAGGAGE: &str = "baggage";

/// The most that a `tracestate` may be, bytes: what everyone passes on.
const MAX_STATE: usize = 512;
/// The most entries that it may have.
const MAX_MEMBERS: usize = 32;
/// Of the flags, those that are known: sampled and random.
const KNOWN_FLAGS: u8 = 0b11;

/// Where an interception stands in its trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub id: [u8; 16],
    /// The interception's own span.
    pub span: SpanId,
    /// The client's span, where the client told of one.
    pub parent: Option<SpanId>,
    /// Whether who follows this trace wants its spans.
    pub is_sampled: bool,
    /// Whether the trace's id is random, so that it may be sampled by.
    is_random: bool,
    /// What tracing systems said besides, as it came.
    state: Option<Arc<str>>,
}

/// One span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

impl SpanId {
    /// The interception's.
    pub fn of_interception(id: InterceptionId) -> Self {
        Self::of_uuid(id.as_uuid())
    }

    /// That of one round, from 1.
    pub fn of_round(id: InterceptionId, round: u32) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("toolgate span of a round");
        hasher.update(id.as_uuid().as_bytes()).update(&round.to_be_bytes());
        let mut span = [0; 8];
        hasher.finalize_xof().fill(&mut span);
        // No id is all zeros.
        span[0] |= 0x80;
        Self(span)
    }

    /// That of one tool call.
    pub fn of_call(id: ToolUseId) -> Self {
        Self::of_uuid(id.as_uuid())
    }

    /// The random half of a UUIDv7, which the variant's bits keep from being zero.
    fn of_uuid(id: uuid::Uuid) -> Self {
        let mut span = [0; 8];
        span.copy_from_slice(&id.as_bytes()[8..]);
        Self(span)
    }

    fn parse(text: &str) -> Option<Self> {
        read_hex(text).filter(|bytes: &[u8; 8]| *bytes != [0; 8]).map(Self)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl Trace {
    /// That of a request with these headers; a new one where they tell none.
    pub fn of_request(headers: &HeaderMap, id: InterceptionId) -> Self {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = match (parents.next(), parents.next()) {
            (Some(only), None) => only.to_str().ok(),
            _ => None,
        };
        let states: Option<Vec<&str>> =
            headers.get_all(TRACESTATE).iter().map(|state| state.to_str().ok()).collect();
        let state = states.map(|states| states.join(","));
        Self::told(parent, state.as_deref(), id)
    }

    /// That of an MCP request with this `_meta`.
    pub fn of_message(meta: &Map<String, Value>, id: InterceptionId) -> Self {
        let text = |key: &str| meta.get(key).and_then(Value::as_str);
        Self::told(text(TRACEPARENT), text(TRACESTATE), id)
    }

    /// Gives an MCP request whose `_meta` tells no trace the one that its HTTP request's headers tell.
    pub fn carry_into_meta(headers: &HeaderMap, meta: &mut Map<String, Value>) {
        if meta.contains_key(TRACEPARENT) || !headers.contains_key(TRACEPARENT) {
            return;
        }
        for name in [TRACEPARENT, TRACESTATE] {
            let values: Result<Vec<&str>, _> =
                headers.get_all(name).iter().map(HeaderValue::to_str).collect();
            if let Some(text) = values.ok().filter(|values| !values.is_empty()).map(|values| values.join(","))
            {
                meta.insert(name.to_owned(), text.into());
            }
        }
    }

    fn told(parent: Option<&str>, state: Option<&str>, id: InterceptionId) -> Self {
        let span = SpanId::of_interception(id);
        match parent.and_then(read_parent) {
            Some((trace, parent, flags)) => Self {
                id: trace,
                span,
                parent: Some(parent),
                is_sampled: flags & 0b01 != 0,
                is_random: flags & 0b10 != 0,
                state: state.filter(|state| is_state(state)).map(Arc::from),
            },
            None => Self {
                id: *id.as_uuid().as_bytes(),
                span,
                parent: None,
                is_sampled: true,
                is_random: false,
                state: None,
            },
        }
    }

    /// The trace's id, hexadecimal.
    pub fn id_hex(&self) -> String {
        Hex(&self.id).to_string()
    }

    /// What goes to whom this span asks something.
    pub fn traceparent(&self, span: SpanId) -> String {
        format!("00-{}-{span}-{:02x}", Hex(&self.id), self.flags())
    }

    /// Puts it into a request's headers.
    pub fn put_into_headers(&self, span: SpanId, headers: &mut HeaderMap) {
        let state = self.state.as_deref().map(|state| (TRACESTATE, HeaderValue::try_from(state)));
        let parent = (TRACEPARENT, HeaderValue::try_from(self.traceparent(span)));
        for (name, value) in std::iter::once(parent).chain(state) {
            if let Ok(value) = value {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }

    /// Takes out of the `_meta` of a request that is passed on what does not go on: baggage, and a trace that is none.
    pub fn clean_meta(meta: &mut Map<String, Value>) {
        meta.shift_remove(BAGGAGE);
        let parent = meta.get(TRACEPARENT).and_then(Value::as_str);
        if parent.and_then(read_parent).is_none() {
            meta.shift_remove(TRACEPARENT);
            meta.shift_remove(TRACESTATE);
        }
    }

    /// Puts it into the `_meta` of a request to an MCP server.
    pub fn put_into_meta(&self, span: SpanId, meta: &mut Map<String, Value>) {
        meta.insert(TRACEPARENT.to_owned(), self.traceparent(span).into());
        match &self.state {
            Some(state) => meta.insert(TRACESTATE.to_owned(), Value::from(&**state)),
            None => meta.shift_remove(TRACESTATE),
        };
    }

    fn flags(&self) -> u8 {
        u8::from(self.is_sampled) | u8::from(self.is_random) << 1
    }
}

/// As it stands in the records: the trace, the interception's span, the flags, and the client's span, if there is one.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:02x}", Hex(&self.id), self.span, self.flags())?;
        self.parent.map_or(Ok(()), |parent| write!(f, "-{parent}"))
    }
}

/// This is no trace of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a trace")]
pub struct NoTrace;

impl FromStr for Trace {
    type Err = NoTrace;

    /// Reads it as it stands in the records.
    fn from_str(text: &str) -> Result<Self, NoTrace> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(NoTrace);
        let id = read_hex(part()?).ok_or(NoTrace)?;
        let span = SpanId::parse(part()?).ok_or(NoTrace)?;
        let [flags] = read_hex(part()?).ok_or(NoTrace)?;
        let parent = parts.next().map(|parent| SpanId::parse(parent).ok_or(NoTrace)).transpose()?;
        let (is_sampled, is_random) = (flags & 0b01 != 0, flags & 0b10 != 0);
        Ok(Self { id, span, parent, is_sampled, is_random, state: None })
    }
}

/// Trace, span and known flags of a `traceparent` of version 00, or of a later one as far as it is the same.
fn read_parent(text: &str) -> Option<([u8; 16], SpanId, u8)> {
    let (first, rest) = (text.get(..55)?, text.get(55..)?);
    let mut parts = first.split('-');
    let [version] = read_hex(parts.next()?)?;
    let trace = read_hex(parts.next()?).filter(|id: &[u8; 16]| *id != [0; 16])?;
    let span = SpanId::parse(parts.next()?)?;
    let [flags] = read_hex(parts.next()?)?;
    let ends_here = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    (ends_here && parts.next().is_none()).then_some((trace, span, flags & KNOWN_FLAGS))
}

/// Whether this is a `tracestate`, of a size that everyone passes on.
fn is_state(text: &str) -> bool {
    let mut keys = Vec::new();
    let mut is_member = |member: &str| match member.trim_matches([' ', '\t']) {
        "" => true,
        member => member.split_once('=').is_some_and(|(key, value)| {
            let is_new = !keys.contains(&key.to_owned());
            keys.push(key.to_owned());
            is_new && keys.len() <= MAX_MEMBERS && is_state_key(key) && is_state_value(value)
        }),
    };
    !text.is_empty() && text.len() <= MAX_STATE && text.split(',').all(&mut is_member)
}

fn is_state_key(key: &str) -> bool {
    let is_part = |part: &str, longest: usize, may_begin_with_digit: bool| {
        let begins =
            part.starts_with(|c: char| c.is_ascii_lowercase() || may_begin_with_digit && c.is_ascii_digit());
        let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-*/".contains(c);
        begins && part.len() <= longest && part.chars().all(is_legal)
    };
    match key.split_once('@') {
        Some((tenant, system)) => is_part(tenant, 241, true) && is_part(system, 14, false),
        None => is_part(key, 256, false),
    }
}

fn is_state_value(value: &str) -> bool {
    let is_legal = |c: char| (' '..='~').contains(&c) && c != ',' && c != '=';
    !value.is_empty() && value.len() <= 256 && value.chars().all(is_legal) && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::try_from(*value).unwrap());
        }
        headers
    }

    fn of(pairs: &[(&'static str, &str)]) -> Trace {
        Trace::of_request(&headers(pairs), InterceptionId::new())
    }

    #[test]
    fn a_clients_trace_goes_on_with_a_span_of_ours() {
        let id = InterceptionId::new();
        let sent = headers(&[("traceparent", PARENT), ("tracestate", "a=1,b@c=2"), ("tracestate", "d=3")]);
        let trace = Trace::of_request(&sent, id);
        assert_eq!(trace.id_hex(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace.parent.unwrap().to_string(), "b7ad6b7169203331");
        assert!(trace.is_sampled);
        let mut up = sent.clone();
        trace.put_into_headers(SpanId::of_round(id, 1), &mut up);
        let round = SpanId::of_round(id, 1);
        assert_eq!(up["traceparent"], format!("00-0af7651916cd43dd8448eb211c80319c-{round}-01"));
        assert_eq!(up.get_all("tracestate").iter().collect::<Vec<_>>(), ["a=1,b@c=2,d=3"]);
        assert_ne!(SpanId::of_round(id, 1), SpanId::of_round(id, 2));

        let mut meta = json!({"tracestate": "old=1", "progressToken": 1}).as_object().unwrap().clone();
        of(&[("traceparent", PARENT)]).put_into_meta(round, &mut meta);
        assert_eq!(meta["traceparent"], up["traceparent"].to_str().unwrap());
        assert!(!meta.contains_key("tracestate") && meta.contains_key("progressToken"));
    }

    #[test]
    fn a_message_that_is_passed_on_keeps_a_trace_that_is_one_and_no_baggage() {
        let cleaned = |parent: &str| {
            let meta = json!({"traceparent": parent, "tracestate": "a=1", "baggage": "user=x", "x": 1});
            let mut meta = meta.as_object().unwrap().clone();
            Trace::clean_meta(&mut meta);
            Value::Object(meta).to_string()
        };
        assert_eq!(cleaned(PARENT), json!({"traceparent": PARENT, "tracestate": "a=1", "x": 1}).to_string());
        assert_eq!(cleaned("00-nonsense-01"), r#"{"x":1}"#);
    }

    #[test]
    fn a_broken_traceparent_begins_a_new_trace() {
        let digits = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        for broken in [
            String::new(),
            format!("00-{digits}"),
            format!("00-{digits}-0"),
            format!("00-{digits}-01-more"),
            format!("ff-{digits}-01"),
            format!("0g-{digits}-01"),
            format!("00-{}-01", digits.to_uppercase()),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16)),
            format!("00-{digits}-é1"),
        ] {
            let id = InterceptionId::new();
            let trace = Trace::told(Some(&broken), Some("a=1"), id);
            assert_eq!((trace.parent, &trace.state), (None, &None), "{broken}");
            assert_eq!(trace.id, *id.as_uuid().as_bytes());
        }
        assert!(
            of(&[("traceparent", PARENT), ("traceparent", PARENT)]).parent.is_none(),
            "twice is nobody's word"
        );
        assert!(of(&[("traceparent", &format!("cc-{digits}-03-later"))]).parent.is_some(), "a later version");
    }

    #[test]
    fn flags_that_are_not_known_are_not_passed_on() {
        let trace = of(&[("traceparent", &PARENT.replace("-01", "-fe"))]);
        assert!(!trace.is_sampled);
        assert!(trace.traceparent(trace.span).ends_with("-02"));
    }

    #[test]
    fn a_tracestate_that_is_none_is_left_out_and_the_trace_goes_on() {
        let too_many = (0..33).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        let too_long = format!("a={}", "x".repeat(511));
        for state in ["a", "A=1", "a=1,a=2", "a=\u{7f}", "1a=1", "a=", "a=b=c", &too_many, &too_long] {
            let trace = Trace::told(Some(PARENT), Some(state), InterceptionId::new());
            assert!(trace.parent.is_some() && trace.state.is_none(), "{state}");
        }
        assert!(of(&[("traceparent", PARENT), ("tracestate", "0t@s=1, ,x=y z")]).state.is_some());
    }

    #[test]
    fn the_records_hold_it_and_give_it_back() {
        let trace = of(&[("traceparent", PARENT)]);
        assert_eq!(trace.to_string().parse(), Ok(trace.clone()));
        assert!(trace.to_string().ends_with("-01-b7ad6b7169203331"));
        let new = of(&[]);
        assert_eq!(new.to_string().parse(), Ok(new));
        assert_eq!("nonsense".parse::<Trace>(), Err(NoTrace));
    }

    #[test]
    fn the_meta_of_a_message_counts_before_the_headers_of_its_connection() {
        let id = InterceptionId::new();
        let sent = headers(&[("traceparent", PARENT)]);
        let mut own = json!({"traceparent": PARENT.replace("0af7", "1af7")}).as_object().unwrap().clone();
        Trace::carry_into_meta(&sent, &mut own);
        assert!(Trace::of_message(&own, id).id_hex().starts_with("1af7"));
        let mut none = Map::new();
        Trace::carry_into_meta(&headers(&[]), &mut none);
        assert!(Trace::of_message(&none, id).parent.is_none());
        Trace::carry_into_meta(&sent, &mut none);
        assert!(Trace::of_message(&none, id).id_hex().starts_with("0af7"));
    }
}
