//! `limits`: the caps on everything.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::scope::Scope;
use super::units::{self, DURATION_PATTERN, SIZE_PATTERN};
use super::yaml::At;

/// The caps on everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Request body, bytes.
    pub max_body_bytes: usize,
    /// One frame of a provider's stream, bytes.
    pub max_frame_bytes: usize,
    /// A provider's whole answer, bytes.
    pub max_answer_bytes: usize,
    /// Rounds with executed tools in one interception.
    pub max_rounds: u32,
    /// Executed tool calls in one interception.
    pub max_calls: u32,
    /// One tool result as the model gets it, bytes.
    pub max_result_bytes: usize,
    /// One interception with a streamed answer, from its first byte.
    pub wall_clock_streamed: Duration,
    /// One interception with a whole answer: Node clients give up after 300 s.
    pub wall_clock_whole: Duration,
    /// How long a provider may take to its first header or between two pieces of its answer.
    pub provider_silence: Duration,
    /// After how much silence a stream gets a keep-alive.
    pub keep_alive: Duration,
    /// How long running interceptions have to finish at shutdown.
    pub drain: Duration,
    /// Interceptions at once; more are refused with 429.
    pub max_interceptions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 << 20,
            max_frame_bytes: 16 << 20,
            max_answer_bytes: 64 << 20,
            max_rounds: 10,
            max_calls: 50,
            max_result_bytes: 256 << 10,
            wall_clock_streamed: Duration::from_mins(30),
            wall_clock_whole: Duration::from_mins(4),
            provider_silence: Duration::from_mins(5),
            keep_alive: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            max_interceptions: 10_000,
        }
    }
}

/// The caps on everything. Sizes are written as `64KiB`, `32MiB`, `1GiB` or bytes, durations as
/// `10s`, `4m`, `1h`, from 1s to 24h.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Limits")]
pub(super) struct WrittenLimits {
    /// The largest request body; 32MiB by default.
    #[schemars(with = "Option<SizeSchema>")]
    max_body: Option<At<String>>,
    /// The largest frame of a provider's stream; 16MiB by default.
    #[schemars(with = "Option<SizeSchema>")]
    max_frame: Option<At<String>>,
    /// The largest whole answer of a provider; 64MiB by default.
    #[schemars(with = "Option<SizeSchema>")]
    max_answer: Option<At<String>>,
    /// Rounds with executed tools for one request; 10 by default.
    #[schemars(range(min = 1))]
    max_rounds: Option<At<u32>>,
    /// Executed tool calls for one request; 50 by default.
    #[schemars(range(min = 1))]
    max_calls: Option<At<u32>>,
    /// The largest tool result that a model gets, the rest is cut off with a notice; 256KiB by default.
    #[schemars(with = "Option<SizeSchema>")]
    max_result: Option<At<String>>,
    /// How long a request with a streamed answer may take in all; 30m by default.
    #[schemars(with = "Option<DurationSchema>")]
    wall_clock_streamed: Option<At<String>>,
    /// How long a request with a whole answer may take in all; 240s by default, because Node clients give up
    /// after 300s.
    #[schemars(with = "Option<DurationSchema>")]
    wall_clock_whole: Option<At<String>>,
    /// How long a provider may be silent; 300s by default.
    #[schemars(with = "Option<DurationSchema>")]
    provider_silence: Option<At<String>>,
    /// After how much silence a streamed answer gets a keep-alive; 10s by default.
    #[schemars(with = "Option<DurationSchema>")]
    keep_alive: Option<At<String>>,
    /// How long running requests have to finish at shutdown; 30s by default.
    #[schemars(with = "Option<DurationSchema>")]
    drain: Option<At<String>>,
    /// Requests at once; more are refused with 429. 10000 by default.
    #[schemars(range(min = 1))]
    max_interceptions: Option<At<usize>>,
}

/// A size: a number of bytes, or with `KiB`, `MiB` or `GiB`.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum SizeSchema {
    Bytes(#[schemars(range(min = 1))] u64),
    WithUnit(#[schemars(regex(pattern = SIZE_PATTERN))] String),
}

/// A duration: a number with `ms`, `s`, `m`, `h` or `d`.
#[derive(JsonSchema)]
#[schemars(transparent, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct DurationSchema(#[schemars(regex(pattern = DURATION_PATTERN))] String);

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

pub(super) fn build(written: &WrittenLimits, scope: &mut Scope<'_>) -> Limits {
    let default = Limits::default();
    let mut size = |written: &Option<At<String>>, default| size(written.as_ref(), scope).unwrap_or(default);
    let [max_body_bytes, max_frame_bytes, max_answer_bytes, max_result_bytes] = [
        size(&written.max_body, default.max_body_bytes),
        size(&written.max_frame, default.max_frame_bytes),
        size(&written.max_answer, default.max_answer_bytes),
        size(&written.max_result, default.max_result_bytes),
    ];
    let mut time =
        |written: &Option<At<String>>, default| duration(written.as_ref(), scope).unwrap_or(default);
    let [wall_clock_streamed, wall_clock_whole, provider_silence, keep_alive, drain] = [
        time(&written.wall_clock_streamed, default.wall_clock_streamed),
        time(&written.wall_clock_whole, default.wall_clock_whole),
        time(&written.provider_silence, default.provider_silence),
        time(&written.keep_alive, default.keep_alive),
        time(&written.drain, default.drain),
    ];
    Limits {
        max_body_bytes,
        max_frame_bytes,
        max_answer_bytes,
        max_rounds: count(written.max_rounds.as_ref(), scope).unwrap_or(default.max_rounds),
        max_calls: count(written.max_calls.as_ref(), scope).unwrap_or(default.max_calls),
        max_result_bytes,
        wall_clock_streamed,
        wall_clock_whole,
        provider_silence,
        keep_alive,
        drain,
        max_interceptions: count(written.max_interceptions.as_ref(), scope)
            .unwrap_or(default.max_interceptions),
    }
}

/// A duration of 1 s to 24 h: less or more is a slip of the pen.
pub(super) fn duration(written: Option<&At<String>>, scope: &mut Scope<'_>) -> Option<Duration> {
    scope.parsed(written?, |text| {
        let duration = units::duration(text)?;
        if (SECOND..=DAY).contains(&duration) { Ok(duration) } else { Err("expected 1s to 24h".into()) }
    })
}

/// A size of at least 1 KiB.
pub(super) fn size(written: Option<&At<String>>, scope: &mut Scope<'_>) -> Option<usize> {
    scope.parsed(written?, |text| {
        let size = units::size(text)?;
        if size >= 1024 { Ok(size) } else { Err("expected 1KiB or more".into()) }
    })
}

/// A number of at least 1.
pub(super) fn count<T: Copy + Default + PartialEq>(
    written: Option<&At<T>>,
    scope: &mut Scope<'_>,
) -> Option<T> {
    let written = written?;
    if written.value == T::default() {
        scope.refuse(written.place, "expected 1 or more");
        return None;
    }
    Some(written.value)
}
