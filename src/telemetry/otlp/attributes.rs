//! Attributes of spans and metrics.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};

/// Attributes in the making; what is not known is left out.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    pub(super) fn text(&mut self, key: &str, text: impl AsRef<str>) {
        let text = text.as_ref();
        if !text.is_empty() {
            self.put(key, Value::StringValue(text.to_owned()));
        }
    }

    pub(super) fn text_if(&mut self, key: &str, text: Option<impl AsRef<str>>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    pub(super) fn texts(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            let value = AnyValue { value: Some(Value::StringValue(text.to_owned())) };
            self.put(key, Value::ArrayValue(ArrayValue { values: vec![value] }));
        }
    }

    pub(super) fn number(&mut self, key: &str, number: u64) {
        self.put(key, Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)));
    }

    pub(super) fn seconds(&mut self, key: &str, micros: Option<u64>) {
        if let Some(micros) = micros {
            self.put(key, Value::DoubleValue(seconds(micros)));
        }
    }

    fn put(&mut self, key: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    }
}

impl From<Attributes> for Vec<KeyValue> {
    fn from(attributes: Attributes) -> Self {
        attributes.0
    }
}

pub(super) fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}
