//! The hash chain of one run: a commit adds one link, which names every row of the commit with its digest, and whose
//! hash covers the link before it.
//!
//! Everything here is SHA-256 over bytes that other programs can make as well, so that nobody has to trust this one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::Digest;
use crate::store::column::micros;
use crate::store::links::{Link, Run};
use crate::store::records::{Kind, Row, RowKey, Who};

/// Before everything that a link's hash covers; another form of links would have another word.
const PURPOSE: &[u8] = b"toolgate link 1";

/// The bytes of one leaf: the kind's letter, the id, the place (big-endian), the digest.
const LEAF: usize = 1 + 16 + 4 + 32;

/// One row of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// Which row.
    pub key: RowKey,
    /// Of its JSON.
    pub digest: [u8; 32],
}

/// The end of a chain as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The place of the last link; 0 before the first.
    pub seq: u64,
    /// The hash of the last link; zeros before the first.
    pub hash: [u8; 32],
}

/// A head, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadOf {
    /// Which gateway, or `cli`.
    pub instance: String,
    /// Which run of it.
    pub epoch: u64,
    /// The place of the link.
    pub seq: u64,
    /// The hash of the link, hexadecimal.
    pub hash: String,
    /// When the link was made.
    #[serde(with = "micros")]
    pub made_at: Timestamp,
}

impl HeadOf {
    /// The head that this link is.
    pub fn link(link: &Link) -> Self {
        let Link { instance, epoch, seq, made_at, hash, .. } = link;
        Self { instance: instance.clone(), epoch: *epoch, seq: *seq, hash: hash.clone(), made_at: *made_at }
    }

    /// Whose it is.
    pub fn run(&self) -> Run {
        Run { instance: self.instance.clone(), epoch: self.epoch }
    }

    /// Where a chain goes on that begins behind it.
    pub fn head(&self) -> Option<Head> {
        Some(Head { seq: self.seq, hash: Digest::from_hex(&self.hash)?.0 })
    }
}

/// Why a link does not go on from the head before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// One link or more is not there.
    #[error("the chain goes on with link {found}, where link {expected} should be")]
    Gap {
        /// Where a link is missing.
        expected: u64,
        /// The link that is there.
        found: u64,
    },
    /// The link was changed, or one before it.
    #[error("its hash does not fit what it says and the link before it")]
    Hash,
    /// The link names its rows in no way that is known.
    #[error("what it says of its rows cannot be read")]
    Leaves,
}

/// The leaf of a row.
pub fn leaf(row: &Row) -> Leaf {
    Leaf { key: row.key(), digest: digest(row) }
}

/// SHA-256 of a row's JSON, in which nobody is named: `who.person` and `who.caller` are null there, so that identities
/// can be pruned.
pub fn digest(row: &Row) -> [u8; 32] {
    match row {
        Row::Start(start) => {
            let mut start = start.clone();
            start.who = unnamed(&start.who);
            of_json(&Row::Start(start))
        }
        Row::Event(event) => {
            let mut event = event.clone();
            event.who = event.who.as_ref().map(unnamed);
            of_json(&Row::Event(event))
        }
        row => of_json(row),
    }
}

fn unnamed(who: &Who) -> Who {
    Who { proof: who.proof.clone(), person: None, caller: None }
}

fn of_json(row: &Row) -> [u8; 32] {
    // Rows are structs of texts and numbers, which can always be written.
    Sha256::digest(row.to_json().unwrap_or_default()).into()
}

impl Leaf {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.key.kind.letter());
        out.extend_from_slice(self.key.id.as_bytes());
        out.extend_from_slice(&self.key.seq.to_be_bytes());
        out.extend_from_slice(&self.digest);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (letter, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (seq, digest) = rest.split_first_chunk::<4>()?;
        let key = RowKey {
            kind: Kind::of_letter(*letter)?,
            id: Uuid::from_bytes(*id),
            seq: u32::from_be_bytes(*seq),
        };
        Some(Self { key, digest: digest.try_into().ok()? })
    }
}

/// The leaves of a link as they are stored, in order.
pub fn leaves(bytes: &[u8]) -> Result<Vec<Leaf>, Broken> {
    bytes.chunks(LEAF).map(|leaf| Leaf::read(leaf).ok_or(Broken::Leaves)).collect()
}

impl Head {
    /// Before the first link.
    pub const fn genesis() -> Self {
        Self { seq: 0, hash: [0; 32] }
    }

    /// The head that this link is.
    pub fn of(link: &Link) -> Option<Self> {
        Some(Self { seq: link.seq, hash: Digest::from_hex(&link.hash)?.0 })
    }

    /// Makes the next link, and goes on to it.
    pub fn link(&mut self, run: &Run, made_at: Timestamp, leaves: &[Leaf]) -> Link {
        let mut bytes = Vec::with_capacity(leaves.len() * LEAF);
        for leaf in leaves {
            leaf.write(&mut bytes);
        }
        let mut link = Link {
            instance: run.instance.clone(),
            epoch: run.epoch,
            seq: self.seq + 1,
            made_at,
            leaves: bytes,
            hash: String::new(),
        };
        *self = Self { seq: link.seq, hash: self.hash_of(&link) };
        link.hash = Digest(self.hash).to_string();
        link
    }

    /// Checks that this link is the next one, and goes on to it; tells which rows it names.
    pub fn follow(&mut self, link: &Link) -> Result<Vec<Leaf>, Broken> {
        let expected = self.seq + 1;
        if link.seq != expected {
            return Err(Broken::Gap { expected, found: link.seq });
        }
        let hash = self.hash_of(link);
        if Digest(hash).to_string() != link.hash {
            return Err(Broken::Hash);
        }
        let leaves = leaves(&link.leaves)?;
        *self = Self { seq: link.seq, hash };
        Ok(leaves)
    }

    /// The hash of a link behind this head. A name ends with a zero, which no name holds; numbers are big-endian.
    fn hash_of(&self, link: &Link) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(PURPOSE);
        hash.update(self.hash);
        hash.update(&link.instance);
        hash.update([0]);
        hash.update(link.epoch.to_be_bytes());
        hash.update(link.seq.to_be_bytes());
        hash.update(link.made_at.as_microsecond().to_be_bytes());
        hash.update(&link.leaves);
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{EventId, InterceptionId};
    use crate::store::records::events::Action;
    use crate::store::records::{Event, Prompt};

    fn run() -> Run {
        Run { instance: "here".into(), epoch: 3 }
    }

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    fn event(who: Option<Who>, detail: &str) -> Row {
        Row::Event(Box::new(Event {
            id: "01920000-0000-7000-8000-000000000001".parse::<EventId>().unwrap(),
            instance: "here".into(),
            epoch: 1,
            who,
            action: Action::Read,
            detail: serde_json::json!({ "what": detail }),
            at: time(1_700_000_000_123_456),
        }))
    }

    #[expect(clippy::unnecessary_wraps, reason = "as rows have it")]
    fn who(person: Option<&str>) -> Option<Who> {
        Some(Who { proof: "p".into(), person: person.map(str::to_owned), caller: person.map(str::to_owned) })
    }

    prop_compose! {
        fn any_leaf()(
            kind in 0..Kind::ALL.len(), id in any::<u128>(), seq in any::<u32>(), digest in any::<[u8; 32]>(),
        ) -> Leaf {
            Leaf { key: RowKey { kind: Kind::ALL[kind], id: Uuid::from_u128(id), seq }, digest }
        }
    }

    proptest! {
        #[test]
        fn what_is_linked_is_found_again(
            commits in prop::collection::vec((0..i64::from(u32::MAX), prop::collection::vec(any_leaf(), 0..5)), 1..6)
        ) {
            let (mut writing, mut reading) = (Head::genesis(), Head::genesis());
            for (at, leaves) in commits {
                let link = writing.link(&run(), time(at), &leaves);
                prop_assert_eq!(reading.follow(&link).unwrap(), leaves);
                prop_assert_eq!(reading, writing);
                prop_assert_eq!(Head::of(&link), Some(writing));
            }
        }

        #[test]
        fn no_part_of_a_link_can_be_changed(
            leaves in prop::collection::vec(any_leaf(), 1..4), part in 0..7, at in any::<prop::sample::Index>(),
        ) {
            let mut head = Head::genesis();
            let first = head.link(&run(), time(1), &leaves);
            let before = head;
            let mut link = head.link(&run(), time(2), &leaves);
            match part {
                0 => link.instance.push('x'),
                1 => link.epoch += 1,
                2 => link.seq += 1,
                3 => link.made_at = time(3),
                4 => { let at = at.index(link.leaves.len()); link.leaves[at] ^= 1; }
                5 => link.leaves.truncate(at.index(leaves.len()) * LEAF),
                _ => link.hash.clone_from(&first.hash),
            }
            let mut reading = before;
            prop_assert!(reading.follow(&link).is_err());
            prop_assert_eq!(reading, before);
        }
    }

    #[test]
    fn a_link_that_is_left_out_is_missed() {
        let mut head = Head::genesis();
        head.link(&run(), time(1), &[]);
        let second = head.link(&run(), time(2), &[]);
        let missed = Head::genesis().follow(&second);
        assert_eq!(missed, Err(Broken::Gap { expected: 1, found: 2 }));
        let moved = Link { seq: 1, ..second };
        assert_eq!(Head::genesis().follow(&moved), Err(Broken::Hash));
    }

    #[test]
    fn who_it_was_can_be_taken_out_and_nothing_else() {
        let named = digest(&event(who(Some("alice")), "x"));
        assert_eq!(digest(&event(who(None), "x")), named);
        assert_ne!(digest(&event(None, "x")), named);
        assert_ne!(digest(&event(who(Some("alice")), "y")), named);
    }

    #[test]
    fn digests_stay_as_they_are_for_ever() {
        let prompt = Row::Prompt(Prompt {
            interception_id: "01920000-0000-7000-8000-000000000002".parse::<InterceptionId>().unwrap(),
            seq: 7,
            role: crate::store::records::prompts::Role::User,
            body: crate::store::records::Body::default(),
            recorded_at: time(1_700_000_000_000_000),
        });
        let digests = [digest(&prompt), digest(&event(who(Some("a")), "x"))].map(|it| Digest(it).to_string());
        insta::assert_snapshot!(digests.join("\n"), @r"
        5a2bcae496d943a5e194e21ed8d374c1171d82eabb69f550f6fed16839dea41e
        b8d99069af3e0c0981688c1658068089184a3852f8a6c8d66c8ac1011cd143ec
        ");
        let mut head = Head::genesis();
        let link = head.link(&run(), time(1_700_000_000_000_001), &[leaf(&prompt)]);
        insta::assert_snapshot!(link.hash, @"65de85ca7ce430226c76dfba39b91d7197809b5fc521ab8758afd4945be79e49");
    }
}
