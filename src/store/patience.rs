//! How long an answer of the database is waited for, and what its errors say about trying again.

use std::io;

use tokio::time::{Duration, timeout};

/// After this a server that has taken a question is as good as away: one that is paused never answers.
const NO_ANSWER: Duration = Duration::from_secs(10);

/// The answer, if it comes in time.
pub(crate) async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let late = || Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()));
    timeout(NO_ANSWER, answer).await.unwrap_or_else(|_elapsed| late())
}

/// Whether the database has not answered at all: then no other try will fare better soon.
pub(crate) fn is_silence(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::TimedOut,
        _ => false,
    }
}

/// Whether the database will never take what it was given, however often it is tried.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
    /// SQLite: foreign key, check, not null, mismatch, too big; PostgreSQL: not null, foreign key, check.
    const CODES: [&str; 8] = ["787", "275", "1299", "20", "18", "23502", "23503", "23514"];
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // PostgreSQL's class 22: data that cannot be.
    code.is_some_and(|code| CODES.contains(&&*code) || (code.len() == 5 && code.starts_with("22")))
}
