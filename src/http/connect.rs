//! The pages on which callers connect their accounts to servers, and the two requests that clients make for it.
//!
//! `POST /connect/{server}/link` gives a caller a link; its page asks whether that is meant, sends the browser to the
//! authorization server, and `/connect/{server}/callback` takes it back. `DELETE /connect/{server}` forgets it all. Who
//! has no good link, and may see no tool of a server, does not learn here whether it exists.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::AppState;
use super::proxy::{failure_response, name_host};
use crate::dialect::Chat;
use crate::domain::{Caller, Failure};
use crate::gateway::Gateway;
use crate::mcp::{Callback, ConnectError, Departure, Desk, Whom};

/// The largest form that is read: a ticket.
const MAX_FORM: usize = 8 * 1024;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/connect/{server}", get(confirm).post(depart).delete(disconnect))
        .route("/connect/{server}/link", post(link))
        .route("/connect/{server}/callback", get(arrive))
        .route("/connect/{server}/client.json", get(client_document))
}

/// Gives a caller a link to open in a browser.
async fn link(State(state): State<AppState>, Path(server): Path<String>, request: Request) -> Response {
    let gateway = state.gateway();
    let caller = match caller_of(&gateway, request) {
        Ok(caller) => caller,
        Err(failure) => return failure_response(&Chat, &failure),
    };
    let link = if gateway.shows(&caller, &server) {
        gateway.fleet.link_for(&server, &caller)
    } else {
        Err(ConnectError::NoSuchServer)
    };
    match link {
        Ok(url) => answer(StatusCode::OK, &json!({"url": url, "expires_in": Desk::PATIENCE.as_secs()})),
        Err(error) => answer(status(&error), &json!({"error": error.to_string()})),
    }
}

fn caller_of(gateway: &Gateway, request: Request) -> Result<Arc<Caller>, Failure> {
    let (mut parts, _) = request.into_parts();
    name_host(&mut parts);
    gateway.identity.authenticate(&parts.headers)
}

/// Forgets what a caller's user granted.
async fn disconnect(State(state): State<AppState>, Path(server): Path<String>, request: Request) -> Response {
    let gateway = state.gateway();
    let caller = match caller_of(&gateway, request) {
        Ok(caller) => caller,
        Err(failure) => return failure_response(&Chat, &failure),
    };
    let disconnected = if gateway.shows(&caller, &server) {
        gateway.fleet.disconnect(&server, &caller).await
    } else {
        Err(ConnectError::NoSuchServer)
    };
    match disconnected {
        Ok(was_connected) => answer(StatusCode::OK, &json!({"disconnected": was_connected})),
        Err(error) => answer(status(&error), &json!({"error": error.to_string()})),
    }
}

/// Asks whether connecting is meant: the link may have come from someone else.
async fn confirm(State(state): State<AppState>, Path(server): Path<String>, request: Request) -> Response {
    let ticket = parameter(request.uri().query().unwrap_or_default(), "ticket").unwrap_or_default();
    match state.gateway().fleet.read_ticket(&server, &ticket) {
        Ok(whom) => page(StatusCode::OK, &format!("Connect to {server}?"), &question(&whom, &ticket)),
        Err(error) => failed(&error),
    }
}

fn question(whom: &Whom, ticket: &str) -> String {
    let (server, user, key) = (escaped(&whom.server), escaped(&whom.user), escaped(&whom.key));
    format!(
        "<p>From then on, whatever calls the tools of <b>{server}</b> with a key of the user <b>{user}</b> acts with the \
         account that you connect. (This link was made for the key <b>{key}</b>.)</p>\
         <p>Go on only if that user is you, and you asked for this.</p>\
         <form method=\"post\"><input type=\"hidden\" name=\"ticket\" value=\"{}\">\
         <button>Connect my account</button></form>",
        escaped(ticket)
    )
}

/// Sends the browser to the authorization server, if it comes from the page that asked.
async fn depart(State(state): State<AppState>, Path(server): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let gateway = state.gateway();
    let fleet = &gateway.fleet;
    // Another site could send this form for its visitors, with a link of its own.
    let origin = parts.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if origin.is_none() || origin != fleet.own_origin().as_deref() {
        let text = "<p>This form was not sent from the gateway's own page.</p>";
        return page(StatusCode::FORBIDDEN, "Not connected", text);
    }
    let form = to_bytes(body, MAX_FORM).await.unwrap_or_default();
    let ticket = parameter(&String::from_utf8_lossy(&form), "ticket").unwrap_or_default();
    match fleet.depart(&server, &ticket).await {
        Ok(Departure { location, cookie }) => {
            let mut response = page(StatusCode::SEE_OTHER, "Connecting", "");
            let headers = response.headers_mut();
            if let Ok(location) = HeaderValue::try_from(location.as_str()) {
                headers.insert(header::LOCATION, location);
            }
            set_cookie(headers, cookie.expose_secret(), Desk::PATIENCE.as_secs());
            response
        }
        Err(error) => failed(&error),
    }
}

/// Takes the browser back.
async fn arrive(State(state): State<AppState>, Path(server): Path<String>, request: Request) -> Response {
    let Some(callback) = callback(request.uri().query().unwrap_or_default()) else {
        return page(StatusCode::BAD_REQUEST, "Not connected", "<p>This answer says something twice.</p>");
    };
    let cookie = cookie(request.headers());
    let mut response = match state.gateway().fleet.arrive(&server, callback, cookie.as_ref()).await {
        Ok(connected) => {
            let (server, user) = (escaped(&connected.whom.server), escaped(&connected.whom.user));
            let text = format!(
                "<p>The tools of <b>{server}</b> are now called with your account, for the user <b>{user}</b>. You may \
                 close this page and go on where you were.</p>"
            );
            page(StatusCode::OK, "Connected", &text)
        }
        Err(error) => failed(&error),
    };
    if cookie.is_some() {
        set_cookie(response.headers_mut(), "", 0);
    }
    response
}

/// Says who the gateway is (a client id metadata document).
async fn client_document(State(state): State<AppState>, Path(server): Path<String>) -> Response {
    match state.gateway().fleet.client_document(&server) {
        Some(document) => answer(StatusCode::OK, &document),
        None => super::not_found(),
    }
}

/// What an authorization server adds to the URL; nothing of it may stand there twice.
fn callback(query: &str) -> Option<Callback> {
    let mut callback = Callback::default();
    let mut seen = Vec::new();
    for (name, value) in pairs(query) {
        if !matches!(name.as_str(), "state" | "code" | "error" | "iss") {
            continue;
        }
        if seen.contains(&name) {
            return None;
        }
        match name.as_str() {
            "state" => callback.state = value,
            "code" => callback.code = Some(value.into()),
            "error" => callback.error = Some(value),
            _ => callback.iss = Some(value),
        }
        seen.push(name);
    }
    Some(callback)
}

fn parameter(query: &str, name: &str) -> Option<String> {
    pairs(query).into_iter().find_map(|(key, value)| (key == name).then_some(value))
}

/// The names and values of a query; a form is written as a query is.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let Ok(mut url) = Url::parse("form:/") else { return Vec::new() };
    url.set_query(Some(query));
    url.query_pairs().into_owned().collect()
}

fn cookie(headers: &HeaderMap) -> Option<SecretString> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == Desk::COOKIE).then(|| value.into()))
}

fn set_cookie(headers: &mut HeaderMap, value: &str, seconds: u64) {
    let cookie =
        format!("{}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}", Desk::COOKIE);
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        headers.insert(header::SET_COOKIE, cookie);
    }
}

fn status(error: &ConnectError) -> StatusCode {
    match error {
        ConnectError::NoSuchServer => StatusCode::NOT_FOUND,
        ConnectError::BadLink | ConnectError::NotOnTheWay | ConnectError::Refused(_) => {
            StatusCode::BAD_REQUEST
        }
        ConnectError::NoPublicUrl => StatusCode::SERVICE_UNAVAILABLE,
        ConnectError::Unavailable(_) => StatusCode::BAD_GATEWAY,
    }
}

fn failed(error: &ConnectError) -> Response {
    page(status(error), "Not connected", &format!("<p>{}.</p>", escaped(&error.to_string())))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, body.to_string()).into_response()
}

/// A page without scripts, which no other page may show inside of it, and no cache may keep.
fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let title = escaped(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>body{{font:1.1rem/1.5 system-ui,sans-serif;\
         max-width:36rem;margin:4rem auto;padding:0 1rem}}button{{font:inherit;padding:.5rem 1rem}}</style>\
         <h1>{title}</h1>{text}</html>"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The page's own form must still say where it comes from.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    (status, headers, Body::from(html)).into_response()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_on_a_page_is_no_markup() {
        let whom = Whom { server: "s".into(), key: "<k>".into(), user: "\"a'&b\"".into() };
        let text = question(&whom, "\"><script>");
        assert!(!text.contains("<k>") && !text.contains("<script>"), "{text}");
        assert!(text.contains("&quot;a&#39;&amp;b&quot;"), "{text}");
    }

    #[test]
    fn an_answer_says_nothing_twice() {
        let callback = callback("code=a%2Bb&state=s&iss=https%3A%2F%2Fas.test&other=1&other=2").unwrap();
        assert_eq!(callback.code.unwrap().expose_secret(), "a+b");
        assert_eq!((callback.state.as_str(), callback.iss.as_deref()), ("s", Some("https://as.test")));
        assert!(super::callback("code=a&state=s&code=b").is_none());
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; __Host-toolgate-connect=x"));
        assert_eq!(cookie(&headers).unwrap().expose_secret(), "x");
        headers.clear();
        headers.append(header::COOKIE, HeaderValue::from_static("toolgate-connect=x"));
        assert!(cookie(&headers).is_none());
    }
}
