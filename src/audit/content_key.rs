//! The key of one person, under which what is kept of that person's texts is sealed: who throws it away has erased them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use zstd::{bulk, zstd_safe};

use super::bounds::CONTENT;
use crate::seal::{Sealer, random};

const NONCE: usize = 24;

// What keys are derived for; another word would be another key.
const IDS: &str = "toolgate 2026-11-21 audit content ids";
const TEXTS: &str = "toolgate 2026-11-21 audit content";
const PROOFS: &str = "toolgate 2026-11-21 audit identity";

/// The context in which a person's key is sealed, followed by the person's id.
const CONTEXT: &[u8] = b"toolgate person";

/// Texts below this are not compressed, bytes.
const TINY: usize = 192;
/// The fastest level.
const LEVEL: i32 = 1;

/// How a text stands in its seal.
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;

/// One person's key, and the keys derived from it. Prints none of them.
pub struct ContentKey {
    ids: [u8; 32],
    proofs: [u8; 32],
    texts: XChaCha20Poly1305,
}

/// Compresses texts, with memory that is used again.
pub(super) struct Compressor(Option<bulk::Compressor<'static>>);

impl ContentKey {
    /// A new person's key, and how it is stored: sealed, base64.
    pub(super) fn generate(sealer: &Sealer, person: &str) -> (Self, String) {
        let secret = random::<32>();
        (Self::of(&secret), STANDARD.encode(sealer.seal(&context(person), &secret)))
    }

    /// The key as it is stored; `None` where it was sealed with another key or for another person.
    pub fn open(sealer: &Sealer, person: &str, sealed: &str) -> Option<Self> {
        let secret = sealer.open(&context(person), &STANDARD.decode(sealed).ok()?)?;
        Some(Self::of(secret.as_slice().try_into().ok()?))
    }

    fn of(secret: &[u8; 32]) -> Self {
        Self {
            ids: blake3::derive_key(IDS, secret),
            proofs: blake3::derive_key(PROOFS, secret),
            texts: XChaCha20Poly1305::new(&blake3::derive_key(TEXTS, secret).into()),
        }
    }

    /// The id of a text: its digest under this key, hexadecimal. Nobody without the key can tell whether a text that he
    /// guesses is the one.
    pub fn content_id(&self, text: &str) -> String {
        blake3::keyed_hash(&self.ids, text.as_bytes()).to_hex().to_string()
    }

    /// Commits to these parts, each with its length, without telling them.
    pub fn proof(&self, parts: &[&[u8]]) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.proofs);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Compresses and seals a text under its id.
    pub(super) fn seal(&self, id: &str, text: &str, compressor: &mut Compressor) -> Vec<u8> {
        let plain = compressor.pack(text);
        let nonce = random::<NONCE>();
        let payload = Payload { msg: &plain, aad: id.as_bytes() };
        // Only a text of more than 256 GiB cannot be sealed.
        let sealed = self.texts.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        let mut body = Vec::with_capacity(NONCE + sealed.len());
        body.extend_from_slice(&nonce);
        body.extend_from_slice(&sealed);
        body
    }

    /// The text that was sealed under this id; `None` for anything else.
    pub fn text(&self, id: &str, body: &[u8]) -> Option<String> {
        let (nonce, sealed) = body.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: id.as_bytes() };
        let plain = self.texts.decrypt(&XNonce::from(*nonce), payload).ok()?;
        let (form, bytes) = plain.split_first()?;
        let text = match *form {
            PLAIN => bytes.to_vec(),
            COMPRESSED => bulk::decompress(bytes, size(bytes)?).ok()?,
            _ => return None,
        };
        String::from_utf8(text).ok()
    }
}

/// The size of what was compressed, if it can be one of our texts, which redaction may have made longer.
fn size(compressed: &[u8]) -> Option<usize> {
    let size = zstd_safe::get_frame_content_size(compressed).ok().flatten()?;
    usize::try_from(size).ok().filter(|size| *size <= 2 * CONTENT)
}

fn context(person: &str) -> Vec<u8> {
    [CONTEXT, person.as_bytes()].concat()
}

impl Compressor {
    pub(super) fn new() -> Self {
        Self(bulk::Compressor::new(LEVEL).ok())
    }

    /// The text behind a byte that says how it stands there.
    fn pack(&mut self, text: &str) -> Vec<u8> {
        let compressor = self.0.as_mut().filter(|_| text.len() >= TINY);
        let compressed = compressor.and_then(|compressor| compressor.compress(text.as_bytes()).ok());
        let (form, bytes) = match &compressed {
            Some(compressed) if compressed.len() < text.len() => (COMPRESSED, compressed.as_slice()),
            _ => (PLAIN, text.as_bytes()),
        };
        let mut packed = Vec::with_capacity(1 + bytes.len());
        packed.push(form);
        packed.extend_from_slice(bytes);
        packed
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey")
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compressor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_opens_under_its_key_and_id_alone() {
        let sealer = Sealer::random();
        let (alice, _) = ContentKey::generate(&sealer, "a");
        let (bob, _) = ContentKey::generate(&sealer, "b");
        let mut compressor = Compressor::new();
        for text in ["", "short", &"long and dull ".repeat(1000), &"x\0é".repeat(100)] {
            let id = alice.content_id(text);
            let body = alice.seal(&id, text, &mut compressor);
            assert_eq!(alice.text(&id, &body).as_deref(), Some(text));
            assert_eq!(bob.text(&id, &body), None);
            assert_eq!(alice.text("another", &body), None);
            assert_ne!(bob.content_id(text), id);
            assert_eq!(alice.content_id(text), id);
        }
    }

    #[test]
    fn dull_texts_become_small_and_the_largest_one_opens() {
        let (key, _) = ContentKey::generate(&Sealer::random(), "a");
        let text = "0123456789abcdef".repeat(CONTENT / 16);
        let body = key.seal("id", &text, &mut Compressor::new());
        assert!(body.len() < CONTENT / 100, "{}", body.len());
        assert_eq!(key.text("id", &body).unwrap().len(), CONTENT);
    }

    #[test]
    fn a_stored_key_belongs_to_its_person() {
        let sealer = Sealer::random();
        let (key, stored) = ContentKey::generate(&sealer, "a");
        let again = ContentKey::open(&sealer, "a", &stored).unwrap();
        assert_eq!(again.content_id("x"), key.content_id("x"));
        assert_eq!(again.proof(&[b"a", b"b"]), key.proof(&[b"a", b"b"]));
        assert_ne!(again.proof(&[b"a", b"b"]), key.proof(&[b"ab", b""]));
        assert!(ContentKey::open(&sealer, "b", &stored).is_none());
        assert!(ContentKey::open(&Sealer::random(), "a", &stored).is_none());
    }
}
