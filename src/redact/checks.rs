//! Whether what looks like a number or a secret can be one.

/// Whether the check digit of a card's number is right, and its beginning and length are those of a brand.
pub(super) fn is_card(digits: &[u8]) -> bool {
    let starts = |length: usize| digits[..length].iter().fold(0_u32, |n, digit| n * 10 + u32::from(*digit));
    if !(13..=19).contains(&digits.len()) {
        return false;
    }
    let has_brand = match (starts(1), starts(2), starts(4)) {
        (4, ..) => matches!(digits.len(), 13 | 16 | 19),
        (_, 51..=55, _) | (_, _, 2221..=2720) => digits.len() == 16,
        (_, 34 | 37, _) => digits.len() == 15,
        (_, _, 6011 | 6440..=6499) | (_, 65, _) => matches!(digits.len(), 16 | 19),
        (_, 36 | 38 | 39, _) | (_, _, 3000..=3059) => digits.len() == 14,
        (_, _, 3528..=3589) => matches!(digits.len(), 16 | 19),
        (_, 62, _) => (16..=19).contains(&digits.len()),
        (_, _, 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763) => true,
        _ => false,
    };
    has_brand && luhn(digits)
}

/// The check of ISO/IEC 7812-1.
fn luhn(digits: &[u8]) -> bool {
    let sum = digits.iter().rev().enumerate().fold(0_u32, |sum, (place, digit)| {
        let doubled = u32::from(*digit) << (place % 2);
        sum + doubled / 10 + doubled % 10
    });
    sum % 10 == 0
}

/// Lengths of account numbers by country (ISO 13616).
const IBAN_LENGTHS: &[(usize, &str)] = &[
    (15, "NO"),
    (16, "BE"),
    (18, "DK FO FI GL NL"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT"),
    (26, "IS TR"),
    (27, "FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO EG GT HU LB LC NI PL SV"),
    (29, "BR PS QA UA"),
    (30, "JO KW MU"),
    (31, "MT SC"),
];

/// How long the account number is that a text begins with, with the spaces in it, bytes.
pub(super) fn iban(text: &str) -> Option<usize> {
    let country = text.get(..2)?;
    let (length, _) =
        IBAN_LENGTHS.iter().find(|(_, countries)| countries.split(' ').any(|c| c == country))?;
    let (mut number, mut end) = (Vec::with_capacity(*length), 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' => number.push(byte),
            b' ' => continue,
            _ => return None,
        }
        end = at + 1;
        if number.len() == *length {
            break;
        }
    }
    let ends = text.as_bytes().get(end).is_none_or(|next| !next.is_ascii_alphanumeric());
    (number.len() == *length && ends && mod_97(&number) == 1).then_some(end)
}

fn mod_97(number: &[u8]) -> u32 {
    let (head, tail) = number.split_at(4);
    tail.iter().chain(head).fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}

/// Whether these are the digits of an international telephone number, without its `+`.
pub(super) fn is_phone(digits: &[u8]) -> bool {
    match digits {
        // North America: area and exchange begin with no 0 or 1.
        [1, area, _, _, exchange, ..] => digits.len() == 11 && *area > 1 && *exchange > 1,
        [2..=9, ..] => (10..=15).contains(&digits.len()),
        _ => false,
    }
}

/// Whether nobody has thought of this word: a digit in it and long, but no UUID.
pub(super) fn is_made_up(text: &str) -> bool {
    text.len() >= 16
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && !is_uuid(text)
        && !text.contains("://")
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12] && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether a run of base64's characters is random enough to be a key: all kinds of characters, in no order that
/// words, paths or digests have.
pub(super) fn is_random(run: &str) -> bool {
    let kind = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let mut counts = [0_usize; 4];
    run.bytes().for_each(|byte| counts[kind(byte)] += 1);
    // A capital before a small letter begins a word.
    let is_change =
        |pair: &&[u8]| !matches!((kind(pair[0]), kind(pair[1])), (1, 0)) && kind(pair[0]) != kind(pair[1]);
    let changes = run.as_bytes().windows(2).filter(is_change).count();
    (40..=128).contains(&run.len())
        && counts[..3].iter().all(|count| *count >= 3)
        && changes * 100 >= run.len() * 36
        && entropy(run) >= 4.2
}

/// Bits a character.
#[expect(clippy::cast_precision_loss, reason = "a short text has few characters")]
fn entropy(text: &str) -> f64 {
    let mut counts = [0_usize; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let share = |count: &usize| *count as f64 / text.len() as f64;
    -counts.iter().filter(|count| **count > 0).map(share).map(|share| share * share.log2()).sum::<f64>()
}
