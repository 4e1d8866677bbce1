//! Headers that the administrator adds to requests.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::scope::Scope;
use super::yaml::At;

/// As written: names and values.
pub(super) type WrittenHeaders = BTreeMap<String, At<String>>;

/// Headers that the connection and the gateway set themselves.
const OWNED: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Checks names and values; `taken` are further names that the transport sets, with who sets them.
/// The names come out in lower case.
pub(super) fn build(
    written: &WrittenHeaders,
    taken: &[(&str, &str)],
    scope: &mut Scope<'_>,
) -> BTreeMap<String, SecretString> {
    let mut headers = BTreeMap::new();
    for (written_name, written_value) in written {
        let place = scope.key_place(written_name, written_value.place);
        let Ok(name) = HeaderName::try_from(written_name) else {
            scope.refuse(place, format!("`{written_name}` is not a header name"));
            continue;
        };
        let owner = taken.iter().find(|(taken, _)| *taken == name.as_str()).map(|(_, owner)| *owner);
        if OWNED.contains(&name.as_str()) || name.as_str().starts_with("x-toolgate-") {
            scope.refuse(place, format!("the gateway sets `{name}` itself"));
        } else if let Some(owner) = owner {
            scope.refuse(place, format!("`{name}` is set by {owner} already"));
        } else if let Some(value) = scope.named_value(written_name, written_value) {
            if HeaderValue::from_str(value.expose_secret()).is_err() {
                scope.refuse(
                    written_value.place,
                    format!(
                        "the value of `{name}` has a character that no header can carry, such as a line break"
                    ),
                );
            } else if headers.insert(name.to_string(), value).is_some() {
                scope.refuse(place, format!("`{name}` stands here twice: header names ignore case"));
            }
        }
    }
    headers
}
