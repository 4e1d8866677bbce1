//! What a client is shown of calls that the gateway ran.

use crate::dialect::{Showing, raw};
use crate::domain::Form;

/// The lines about a round's calls, escaped. This API has no form for calls that the server runs.
pub fn show(showing: &Showing<'_>, _form: Form) -> Vec<String> {
    let line = |line: &String| raw::inner(&raw::quote(line)).map(str::to_owned);
    showing.calls.iter().filter_map(|call| call.line.as_ref().and_then(line)).collect()
}
