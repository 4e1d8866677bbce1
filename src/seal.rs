//! Seals what the gateway gives out of its hands and must get back unread and unchanged: what is kept of
//! conversations, and what clients carry for it.
//!
//! XChaCha20-Poly1305, whose nonces may be random. Every seal is made for a context, such as a caller, and opens
//! in no other. Keys are rotated by putting a new one in front: it seals, all of them open.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};

const NONCE: usize = 24;

/// What the keys are derived for; another word would be another key.
const PURPOSE: &str = "toolgate 2026-11-21 seals";

/// Seals and opens. Cheap to share; prints no key.
pub struct Sealer {
    /// The newest first, each with a byte by which its seals are recognised.
    keys: Vec<(u8, XChaCha20Poly1305)>,
}

/// The file of the key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path} as the file of the sealing key: {reason}")]
pub struct KeyFileError {
    path: PathBuf,
    reason: String,
}

impl Sealer {
    /// A sealer with these keys, the newest first; `None` where there is none.
    pub fn new(secrets: &[SecretString]) -> Option<Self> {
        let key = |secret: &SecretString| {
            let key = blake3::derive_key(PURPOSE, secret.expose_secret().trim().as_bytes());
            (blake3::hash(&key).as_bytes()[0], XChaCha20Poly1305::new(&key.into()))
        };
        let keys: Vec<_> = secrets.iter().map(key).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// A sealer with the keys in this file, one a line, the newest first; the file is made, for its owner alone,
    /// where it is missing.
    pub fn from_file(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |reason: String| KeyFileError { path: path.to_owned(), reason };
        if !path.exists() {
            create(path).map_err(|error| failed(error.to_string()))?;
        }
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets: Vec<SecretString> = lines.map(|line| SecretString::from(line.to_owned())).collect();
        if let Some(short) = secrets.iter().position(|secret| secret.expose_secret().len() < 32) {
            return Err(failed(format!("its key {} has fewer than 32 characters", short + 1)));
        }
        Self::new(&secrets)
            .ok_or_else(|| failed("it is empty: remove it, and a new key is made at the next start".into()))
    }

    /// A sealer with a key of its own, for what does not outlive it.
    pub fn random() -> Self {
        let key = random::<32>();
        Self { keys: vec![(0, XChaCha20Poly1305::new(&key.into()))] }
    }

    /// Seals for this context.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let Some((mark, cipher)) = self.keys.first() else { return Vec::new() };
        let nonce = random::<NONCE>();
        let payload = Payload { msg: plain, aad: context };
        // Only a text of more than 256 GiB cannot be sealed.
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        let mut out = Vec::with_capacity(1 + NONCE + sealed.len());
        out.push(*mark);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        out
    }

    /// Opens what was sealed for this context; `None` for anything else.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (mark, rest) = sealed.split_first()?;
        let (nonce, text) = rest.split_first_chunk::<NONCE>()?;
        let nonce = XNonce::from(*nonce);
        let mut keys = self.keys.iter().filter(|(known, _)| known == mark);
        keys.find_map(|(_, cipher)| cipher.decrypt(&nonce, Payload { msg: text, aad: context }).ok())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.keys.len()).finish()
    }
}

/// Makes the file with one key; where another process was faster, its file stays.
fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => {
            writeln!(file, "{}", STANDARD.encode(random::<32>()))?;
            file.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Bytes that nobody can guess.
#[expect(clippy::expect_used, reason = "without the system's randomness nothing can be sealed safely")]
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's source of randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(keys: &[&str]) -> Sealer {
        let secrets: Vec<_> = keys.iter().map(|key| SecretString::from((*key).to_owned())).collect();
        Sealer::new(&secrets).unwrap()
    }

    #[test]
    fn a_seal_opens_in_its_context_alone_and_unchanged() {
        let sealer = sealer(&["first"]);
        let sealed = sealer.seal(b"alice", b"42");
        assert_eq!(sealer.open(b"alice", &sealed).as_deref(), Some(&b"42"[..]));
        assert_eq!(sealer.open(b"bob", &sealed), None);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(sealer.open(b"alice", &forged), None, "byte {at}");
            assert_eq!(sealer.open(b"alice", &sealed[..at]), None, "cut at {at}");
        }
        assert_ne!(sealer.seal(b"alice", b"42"), sealed);
    }

    #[test]
    fn old_keys_still_open() {
        let old = sealer(&["old"]).seal(b"", b"kept");
        let both = sealer(&["new", "old"]);
        assert_eq!(both.open(b"", &old).as_deref(), Some(&b"kept"[..]));
        assert_eq!(sealer(&["new"]).open(b"", &both.seal(b"", b"x")).as_deref(), Some(&b"x"[..]));
        assert_eq!(sealer(&["old"]).open(b"", &both.seal(b"", b"x")), None);
    }

    #[test]
    fn the_file_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toolgate.db.key");
        let sealed = Sealer::from_file(&path).unwrap().seal(b"", b"x");
        assert!(Sealer::from_file(&path).unwrap().open(b"", &sealed).is_some());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&path, "short\n").unwrap();
        let error = Sealer::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("fewer than 32") && !error.contains("short"), "{error}");
        fs::write(&path, "\n").unwrap();
        assert!(Sealer::from_file(&path).unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn no_key_is_printed() {
        assert_eq!(format!("{:?}", sealer(&["very-secret"])), "Sealer { keys: 1 }");
    }
}
