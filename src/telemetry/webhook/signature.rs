//! What proves to a receiver that a delivery is the gateway's and new: HMAC-SHA256 over id, time and body, in the headers
//! of Standard Webhooks, for which there are libraries in every language.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretSlice};

/// Signs deliveries.
pub(super) struct Signer(Option<hmac::Key>);

impl Signer {
    /// With this key; without one, deliveries have an id and a time alone.
    pub(super) fn new(key: Option<&SecretSlice<u8>>) -> Self {
        Self(key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret())))
    }

    /// The headers of one delivery at this time.
    pub(super) fn headers(&self, id: &str, at: Timestamp, body: &[u8]) -> HeaderMap {
        let time = at.as_second().to_string();
        let signature = self.0.as_ref().map(|key| {
            let mut signed = hmac::Context::with_key(key);
            for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
                signed.update(part);
            }
            format!("v1,{}", STANDARD.encode(signed.sign()))
        });
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", Some(id.to_owned())),
            ("webhook-timestamp", Some(time)),
            ("webhook-signature", signature),
        ] {
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(name, value);
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let key = SecretSlice::from(STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        let headers =
            Signer::new(Some(&key)).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        let plain = Signer::new(None).headers("m", at, b"");
        assert!(!plain.contains_key("webhook-signature") && plain["webhook-id"] == "m");
    }
}
