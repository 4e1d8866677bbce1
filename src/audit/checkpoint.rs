//! Checkpoints: the heads of all chains, signed, and told to places that whoever can write to the store cannot reach.
//! What was recorded before a checkpoint cannot be changed or taken away later without contradicting it.

use std::fmt;
use std::fs::OpenOptions as StdOpenOptions;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, Unit};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::chain::HeadOf;
use super::{Clock, Outlets};
use crate::config::signing_key;
use crate::domain::Digest;
use crate::seal::random;
use crate::store::checkpoints::Checkpoint;
use crate::store::column::micros;
use crate::store::{Store, checkpoints, links};

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The form of this text.
    pub version: u32,
    /// When it was made.
    #[serde(with = "micros")]
    pub made_at: Timestamp,
    /// Who signs it: the public key, base64.
    pub public_key: String,
    /// The checkpoint before it.
    pub previous: Option<Previous>,
    /// The last link of every chain, by gateway and run.
    pub heads: Vec<HeadOf>,
}

/// The checkpoint before another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// When it was made.
    #[serde(with = "micros")]
    pub made_at: Timestamp,
    /// SHA-256 of its body, hexadecimal.
    pub digest: String,
}

/// Signs checkpoints. Prints no key.
pub struct Signer {
    key: Ed25519KeyPair,
}

/// The file of the key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path} as the file of the signing key: {reason}")]
pub struct SigningKeyError {
    path: PathBuf,
    reason: String,
}

impl Signer {
    /// With the configured key; `None` where it is no key.
    pub fn new(key: &SecretString) -> Option<Self> {
        signing_key(key.expose_secret()).ok().map(|key| Self { key })
    }

    /// With the key in this file, which is made, for its owner alone, where it is missing.
    pub fn from_file(path: &Path) -> Result<Self, SigningKeyError> {
        let failed = |reason: String| SigningKeyError { path: path.to_owned(), reason };
        if let Err(error) = create(path) {
            return Err(failed(error.to_string()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        signing_key(&text).map(|key| Self { key }).map_err(failed)
    }

    /// The public key, base64.
    pub fn public_key(&self) -> String {
        STANDARD.encode(self.key.public_key())
    }

    fn sign(&self, text: &str) -> String {
        STANDARD.encode(self.key.sign(text.as_bytes()))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("public_key", &self.public_key()).finish_non_exhaustive()
    }
}

/// Makes the file with a new seed, unless it is there.
fn create(path: &Path) -> io::Result<()> {
    let mut options = StdOpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => {
            writeln!(file, "{}", STANDARD.encode(random::<32>()))?;
            file.sync_all()
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// SHA-256 of a body, hexadecimal.
pub fn digest(body: &str) -> String {
    Digest(Sha256::digest(body).into()).to_string()
}

/// Whether the owner of this public key (base64) signed the checkpoint.
pub fn is_signed_by(checkpoint: &Checkpoint, public_key: &str) -> bool {
    let (Ok(key), Ok(signature)) =
        (STANDARD.decode(public_key.trim()), STANDARD.decode(&checkpoint.signature))
    else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, key).verify(checkpoint.body.as_bytes(), &signature).is_ok()
}

/// Makes checkpoints and tells them.
#[derive(Debug)]
pub struct Notary {
    /// Whose chains they are.
    pub store: Store,
    /// Who signs.
    pub signer: Signer,
    /// The file to which they are appended.
    pub file: Option<PathBuf>,
    /// Where else they go.
    pub outlets: Outlets,
    /// What time it is.
    pub clock: Clock,
}

impl Notary {
    /// Makes checkpoints until `stop`, and a last one is up to [`Notary::checkpoint`].
    pub async fn keep(&self, every: Duration, stop: CancellationToken) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.checkpoint_or_complain().await;
        }
    }

    /// Makes a checkpoint where there is anything new; says so in the log where that fails.
    pub async fn checkpoint_or_complain(&self) {
        if let Err(error) = self.checkpoint().await {
            tracing::error!(target: "toolgate::audit", %error, "no checkpoint could be made");
        }
    }

    /// Makes a checkpoint where there is anything new since the last one, and tells it.
    pub async fn checkpoint(&self) -> Result<Option<Checkpoint>, sqlx::Error> {
        let heads = heads(&self.store).await?;
        let last = checkpoints::newest(&self.store).await?;
        if heads.is_empty() || last.as_ref().and_then(read).is_some_and(|last| last.heads == heads) {
            return Ok(None);
        }
        // As it is read back.
        let now = self.clock.now();
        let made_at = now.round(Unit::Microsecond).unwrap_or(now);
        let body = Body {
            version: 1,
            made_at,
            public_key: self.signer.public_key(),
            previous: last.map(|last| Previous { made_at: last.made_at, digest: digest(&last.body) }),
            heads,
        };
        let body = serde_json::to_string(&body).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let signature = self.signer.sign(&body);
        let checkpoint = Checkpoint { id: Uuid::now_v7().to_string(), made_at, body, signature };
        checkpoints::insert(&self.store, &checkpoint).await?;
        self.tell(&checkpoint).await;
        Ok(Some(checkpoint))
    }

    async fn tell(&self, checkpoint: &Checkpoint) {
        tracing::info!(
            target: "toolgate::audit",
            record_type = "audit_checkpoint",
            id = checkpoint.id,
            body = checkpoint.body,
            signature = checkpoint.signature,
            "audit checkpoint"
        );
        if let Some(file) = &self.file
            && let Err(error) = append(file, checkpoint).await
        {
            let file = file.display();
            tracing::error!(target: "toolgate::audit", %file, %error, "a checkpoint could not be appended");
        }
        self.outlets.checkpoint(checkpoint);
    }
}

/// What a checkpoint says; `None` where nobody made it so.
pub fn read(checkpoint: &Checkpoint) -> Option<Body> {
    serde_json::from_str(&checkpoint.body).ok()
}

/// The heads of all chains, by gateway and run.
async fn heads(store: &Store) -> Result<Vec<HeadOf>, sqlx::Error> {
    let mut heads = Vec::new();
    for run in links::runs(store).await? {
        let last = links::last_in(&mut *store.readers().acquire().await?, &run).await?;
        heads.extend(last.as_ref().map(HeadOf::link));
    }
    Ok(heads)
}

/// One line of JSON.
async fn append(path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    let mut line = serde_json::to_vec(checkpoint)?;
    line.push(b'\n');
    let mut file = tokio::fs::OpenOptions::new().create(true).append(true).open(path).await?;
    file.write_all(&line).await?;
    file.sync_data().await
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::audit::event::visit;
    use crate::audit::{Outlet, Published};
    use crate::store::records::events::Action;

    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<Checkpoint>>);

    impl Outlet for Told {
        fn publish(&self, _: &[Published]) {}

        fn checkpoint(&self, checkpoint: &Checkpoint) {
            self.0.lock().unwrap().push(checkpoint.clone());
        }
    }

    struct World {
        folder: tempfile::TempDir,
        told: Arc<Told>,
        notary: Notary,
    }

    async fn world() -> World {
        let folder = tempfile::tempdir().unwrap();
        let told = Arc::new(Told::default());
        let notary = Notary {
            store: Store::in_memory().await.unwrap(),
            signer: Signer::from_file(&folder.path().join("key")).unwrap(),
            file: Some(folder.path().join("heads.jsonl")),
            outlets: Outlets::new([told.clone() as Arc<dyn Outlet>]),
            clock: Clock::default(),
        };
        World { folder, told, notary }
    }

    async fn something_happens(store: &Store) {
        visit(store, Action::Read, json!({}), Timestamp::now()).await.unwrap();
    }

    #[tokio::test]
    async fn a_checkpoint_is_made_when_there_is_anything_new() {
        let World { folder, told, notary } = world().await;
        assert_eq!(notary.checkpoint().await.unwrap(), None);
        something_happens(&notary.store).await;
        let first = notary.checkpoint().await.unwrap().unwrap();
        assert_eq!(notary.checkpoint().await.unwrap(), None);
        something_happens(&notary.store).await;
        let second = notary.checkpoint().await.unwrap().unwrap();

        let (one, two) = (read(&first).unwrap(), read(&second).unwrap());
        assert_eq!((one.heads[0].instance.as_str(), one.heads[0].seq, two.heads[0].seq), ("cli", 1, 2));
        assert_eq!(one.previous, None);
        assert_eq!(two.previous, Some(Previous { made_at: first.made_at, digest: digest(&first.body) }));
        let both = vec![first, second];
        assert_eq!(checkpoints::after(&notary.store, "", 9).await.unwrap(), both);
        assert_eq!(*told.0.lock().unwrap(), both);
        let file = std::fs::read_to_string(folder.path().join("heads.jsonl")).unwrap();
        let lines: Vec<Checkpoint> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, both);
    }

    #[tokio::test]
    async fn nobody_else_can_sign() {
        let World { folder, notary, .. } = world().await;
        something_happens(&notary.store).await;
        let checkpoint = notary.checkpoint().await.unwrap().unwrap();
        let key = notary.signer.public_key();
        assert!(is_signed_by(&checkpoint, &key));
        let other = Signer::from_file(&folder.path().join("other")).unwrap();
        assert!(!is_signed_by(&checkpoint, &other.public_key()));
        assert!(!is_signed_by(
            &Checkpoint { body: format!("{} ", checkpoint.body), ..checkpoint.clone() },
            &key
        ));
        assert!(!is_signed_by(&Checkpoint { signature: "x".into(), ..checkpoint }, &key));
    }

    #[tokio::test]
    async fn the_key_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("toolgate.db.signing-key");
        let key = Signer::from_file(&path).unwrap().public_key();
        assert_eq!(Signer::from_file(&path).unwrap().public_key(), key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(Signer::new(&SecretString::from(text.clone())).unwrap().public_key(), key);
        assert!(!format!("{:?}", Signer::from_file(&path).unwrap()).contains(text.trim()));
        std::fs::write(&path, "hush").unwrap();
        let error = Signer::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("expected an Ed25519 key") && !error.contains("hush"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_keeps_nobody_from_the_checkpoint() {
        let World { folder, told, mut notary } = world().await;
        notary.file = Some(folder.path().join("no/such/folder"));
        something_happens(&notary.store).await;
        assert!(notary.checkpoint().await.unwrap().is_some());
        assert_eq!(told.0.lock().unwrap().len(), 1);
    }
}
