use crate::dialect::Showing;
use crate::dialect::raw;

use super::texts::SEPARATOR;

/// The lines about calls, joined and escaped; this API has no other form for calls that the server runs.
pub fn lines(showing: &Showing<'_>) -> Option<String> {
    let line = |line: &String| raw::inner(&raw::quote(line)).map(str::to_owned);
    let lines: Vec<String> =
        showing.calls.iter().filter_map(|call| call.line.as_ref().and_then(line)).collect();
    Some(lines.join(SEPARATOR)).filter(|lines| !lines.is_empty())
}
