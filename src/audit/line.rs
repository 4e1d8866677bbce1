//! One batch as a line of a file: the digest of its JSON, a blank, its JSON. It counts when its digest fits.

use std::io;

use crate::store::batch::Batch;

/// The most that one line may hold, bytes; a batch holds far less.
pub(super) const LONGEST: u64 = 256 << 20;

/// Hexadecimal digits of a line's digest.
const DIGEST: usize = 64;

/// The line of a batch.
pub(super) fn line_of(batch: &Batch) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(batch)?;
    let mut line = Vec::with_capacity(DIGEST + 1 + json.len() + 1);
    line.extend_from_slice(blake3::hash(&json).to_hex().as_bytes());
    line.push(b' ');
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// The batch of a line, if it is whole; an error where that cannot be read.
pub(super) fn batch_of(line: &[u8]) -> Option<serde_json::Result<Batch>> {
    let (digest, rest) = line.split_at_checked(DIGEST)?;
    let json = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    let fits = blake3::hash(json).to_hex().as_bytes() == digest;
    fits.then(|| serde_json::from_slice(json))
}
