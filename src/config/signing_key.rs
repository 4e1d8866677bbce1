//! The key that signs checkpoints of the audit, as administrators write it.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Reads an Ed25519 key: PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it, or its seed of 32 bytes in
/// base64. The error never quotes the key.
pub(crate) fn signing_key(text: &str) -> Result<Ed25519KeyPair, String> {
    let text = text.trim();
    let wanted = "expected an Ed25519 key: PKCS#8 in PEM, or a seed of 32 bytes in base64";
    let pem = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
    let base64: String = pem.unwrap_or(text).split_whitespace().collect();
    let bytes = STANDARD.decode(base64).map_err(|_| wanted)?;
    let key = match pem {
        Some(_) => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes),
        None => Ed25519KeyPair::from_seed_unchecked(&bytes),
    };
    key.map_err(|_| wanted.to_owned())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::KeyPair as _;

    use super::*;

    // The first of RFC 8032's test vectors.
    const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    const PKCS8: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";

    #[test]
    fn a_key_is_pem_or_a_seed() {
        for text in [format!(" {SEED}\n"), format!("{BEGIN}\n{PKCS8}\n{END}\n")] {
            let key = signing_key(&text).unwrap();
            assert_eq!(key.public_key().as_ref()[..4], [0xd7, 0x5a, 0x98, 0x01]);
        }
    }

    #[test]
    fn nothing_else_is_a_key_and_none_is_quoted() {
        for text in
            ["", "hush", "aHVzaA==", PKCS8, &format!("{BEGIN}\n{SEED}\n{END}"), &format!("{BEGIN}\n{PKCS8}")]
        {
            let error = signing_key(text).unwrap_err();
            assert!(error.starts_with("expected an Ed25519 key"), "{error}");
        }
    }
}
