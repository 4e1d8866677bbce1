//! Durations and sizes as people write them.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: [(&str, usize); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];

/// What a schema accepts for a duration: also a reference.
pub(super) const DURATION_PATTERN: &str = r"^([0-9]+(ms|s|m|h|d)|.*\$\{.*\}.*)$";
/// What a schema accepts for a size: also a reference.
pub(super) const SIZE_PATTERN: &str = r"^([0-9]+(KiB|MiB|GiB)?|.*\$\{.*\}.*)$";

/// `500ms`, `10s`, `4m`, `1h` or `30d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wanted = "expected a duration such as `500ms`, `10s`, `4m`, `1h` or `30d`";
    let (number, unit) = split(text);
    let (_, millis) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or(wanted)?;
    let count: u64 = number.parse().map_err(|_| wanted)?;
    count.checked_mul(*millis).map(Duration::from_millis).ok_or_else(|| "this duration is too long".into())
}

/// `64KiB`, `32MiB`, `1GiB`, or plain bytes; the result is in bytes.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let wanted = "expected a size such as `64KiB`, `32MiB`, `1GiB`, or a number of bytes";
    let (number, unit) = split(text);
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(wanted)?;
    let count: usize = number.parse().map_err(|_| wanted)?;
    count.checked_mul(*bytes).ok_or_else(|| "this size is too large".into())
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("4m"), Ok(Duration::from_mins(4)));
        assert_eq!(duration("1h"), Ok(Duration::from_hours(1)));
        assert_eq!(duration("30d"), Ok(Duration::from_hours(720)));
        for bad in ["", "10", "s", "-1s", "1.5s", "10 parsecs", "18446744073709551615h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1 GiB"), Ok(1 << 30));
        assert_eq!(size("1000"), Ok(1000));
        for bad in ["", "MiB", "-1", "1MB", "99999999999999999999GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
