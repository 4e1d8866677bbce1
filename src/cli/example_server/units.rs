use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum Unit {
    Metre,
    Kilometre,
    Foot,
    Mile,
    Gram,
    Kilogram,
    Pound,
    Celsius,
    Fahrenheit,
    Kelvin,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Length,
    Mass,
    Temperature,
}

impl Unit {
    /// The kind, and the factor and offset to the kind's base unit.
    fn scale(self) -> (Kind, f64, f64) {
        match self {
            Self::Metre => (Kind::Length, 1.0, 0.0),
            Self::Kilometre => (Kind::Length, 1_000.0, 0.0),
            Self::Foot => (Kind::Length, 0.304_8, 0.0),
            Self::Mile => (Kind::Length, 1_609.344, 0.0),
            Self::Gram => (Kind::Mass, 0.001, 0.0),
            Self::Kilogram => (Kind::Mass, 1.0, 0.0),
            Self::Pound => (Kind::Mass, 0.453_592_37, 0.0),
            Self::Celsius => (Kind::Temperature, 1.0, 273.15),
            Self::Fahrenheit => (Kind::Temperature, 5.0 / 9.0, 459.67 * 5.0 / 9.0),
            Self::Kelvin => (Kind::Temperature, 1.0, 0.0),
        }
    }
}

/// Converts, rounded to nine decimals; units of different kinds are an error in words.
pub(super) fn convert(value: f64, from: Unit, to: Unit) -> Result<f64, String> {
    let (kind, factor, offset) = from.scale();
    let (to_kind, to_factor, to_offset) = to.scale();
    if kind != to_kind {
        return Err(format!(
            "{from:?} is a unit of {kind:?} and {to:?} one of {to_kind:?}: there is no conversion."
        ));
    }
    let converted = value.mul_add(factor, offset - to_offset) / to_factor;
    Ok((converted * 1e9).round() / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_one_kind_convert() {
        assert_eq!(convert(42.0, Unit::Kilometre, Unit::Metre), Ok(42_000.0));
        assert_eq!(convert(1.0, Unit::Mile, Unit::Kilometre), Ok(1.609_344));
        assert_eq!(convert(212.0, Unit::Fahrenheit, Unit::Celsius), Ok(100.0));
        assert_eq!(convert(0.0, Unit::Celsius, Unit::Kelvin), Ok(273.15));
        assert!(convert(1.0, Unit::Pound, Unit::Mile).unwrap_err().contains("Mass"));
    }
}
