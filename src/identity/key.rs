//! Callers' keys: `tg_`, 43 random characters (256 bits) and a checksum of 6, so that a key is recognised by
//! secret scanners and a damaged one by us.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// What every key starts with.
pub const PREFIX: &str = "tg_";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 is more than 2^256.
const RANDOM_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;

/// The system has no random numbers to give.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers: {0}")]
pub struct NoRandomness(getrandom::Error);

/// Makes a key.
pub fn generate() -> Result<SecretString, NoRandomness> {
    let mut key = String::from(PREFIX);
    while key.len() < PREFIX.len() + RANDOM_CHARS {
        let mut bytes = [0; RANDOM_CHARS];
        getrandom::fill(&mut bytes).map_err(NoRandomness)?;
        // Bytes from 248 on would make the first letters of the alphabet likelier than the others.
        let missing = PREFIX.len() + RANDOM_CHARS - key.len();
        key.extend(bytes.iter().filter(|byte| **byte < 248).take(missing).map(|byte| letter(*byte)));
    }
    key.push_str(&checksum(&key));
    Ok(key.into())
}

/// SHA-256 of a key. A key has 256 random bits, so a slow hash would add nothing.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// The hash as the configuration wants it: 64 hexadecimal digits.
pub fn hash_in_hex(key: &SecretString) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 0xf)]);
    hash(key.expose_secret()).iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Is this a whole key of ours, by its form and checksum?
pub fn is_intact(key: &str) -> bool {
    key.is_ascii()
        && key.starts_with(PREFIX)
        && key.len() == PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS
        && checksum(&key[..PREFIX.len() + RANDOM_CHARS]) == key[PREFIX.len() + RANDOM_CHARS..]
}

fn checksum(text: &str) -> String {
    hash(text).iter().take(CHECKSUM_CHARS).map(|byte| letter(*byte)).collect()
}

fn letter(byte: u8) -> char {
    char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_and_its_damage_too() {
        let key = generate().unwrap();
        let key = key.expose_secret();
        assert_eq!(key.len(), 52);
        assert!(is_intact(key));
        for damaged in [&key[..51], &key[1..], &format!("{key}x"), &key.replace('_', "-"), ""] {
            assert!(!is_intact(damaged), "{damaged}");
        }
        let mut swapped = key.to_owned().into_bytes();
        swapped[10] = if swapped[10] == b'a' { b'b' } else { b'a' };
        assert!(!is_intact(&String::from_utf8(swapped).unwrap()));
    }

    #[test]
    fn no_two_keys_are_alike() {
        assert_ne!(generate().unwrap().expose_secret(), generate().unwrap().expose_secret());
    }

    #[test]
    fn the_hash_is_plain_sha_256() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            hash_in_hex(&"abc".into()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
