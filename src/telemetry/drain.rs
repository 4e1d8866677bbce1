//! A thread that writes what is logged: who logs never waits for who reads the log. What does not fit meanwhile is lost,
//! counted, and said in the log.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// The most events that wait.
const EVENTS: usize = 8_192;
/// How long the end waits for who reads the log.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Takes events, each in one piece.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    pieces: SyncSender<Piece>,
    lost: Arc<AtomicU64>,
}

enum Piece {
    Event(Vec<u8>),
    /// All that came before has been written: who waits is told.
    Flush(SyncSender<()>),
}

/// Held while the log is of use: it is flushed when this is dropped.
#[derive(Debug)]
pub struct Log(Drain);

/// Begins to write to `target`.
pub(super) fn start(target: impl Write + Send + 'static) -> io::Result<(Drain, Log)> {
    let (pieces, taken) = sync_channel(EVENTS);
    let drain = Drain { pieces, lost: Arc::default() };
    let lost = Arc::clone(&drain.lost);
    std::thread::Builder::new().name("log".into()).spawn(move || write(&taken, target, &lost))?;
    Ok((drain.clone(), Log(drain)))
}

fn write(taken: &Receiver<Piece>, mut target: impl Write, lost: &AtomicU64) {
    while let Ok(piece) = taken.recv() {
        match piece {
            Piece::Event(event) => {
                // There is nowhere to say that this cannot be written.
                let _ = target.write_all(&event);
            }
            Piece::Flush(written) => {
                let _ = target.flush();
                let _ = written.try_send(());
            }
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "lines of this log were lost, because it was not read in time");
        }
    }
}

impl Write for Drain {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if self.pieces.try_send(Piece::Event(event.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Returns when what was logged so far has been written, if anyone reads it.
    pub fn flush(&self) {
        let (written, done) = sync_channel(1);
        // Where there is no room, nobody reads.
        if self.0.pieces.try_send(Piece::Flush(written)).is_ok() {
            let _ = done.recv_timeout(LAST_WORDS);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use super::*;

    /// Takes nothing before it is let to.
    struct Stuck {
        may_go_on: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stuck {
        fn write(&mut self, event: &[u8]) -> io::Result<usize> {
            let _ = self.may_go_on.recv();
            self.written.lock().unwrap().extend_from_slice(event);
            Ok(event.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_holds_up_nobody() {
        let (go_on, may_go_on) = mpsc::channel();
        let written = Arc::new(Mutex::default());
        let (mut drain, log) = start(Stuck { may_go_on, written: Arc::clone(&written) }).unwrap();
        for n in 0..EVENTS + 100 {
            drain.write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        // One may be in the writer's hands.
        assert!((99..=100).contains(&drain.lost.load(Ordering::Relaxed)));
        drop(go_on);
        drop(log);
        // Whether the end found a place depends on how fast the writer is; what was written is whole and in order.
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(text.lines().enumerate().all(|(n, line)| line == n.to_string()), "{text}");
    }

    #[test]
    fn at_the_end_everything_is_written() {
        let (go_on, may_go_on) = mpsc::channel();
        drop(go_on);
        let written = Arc::new(Mutex::default());
        let (mut drain, log) = start(Stuck { may_go_on, written: Arc::clone(&written) }).unwrap();
        for _ in 0..100 {
            drain.write_all(b"x\n").unwrap();
        }
        drop(log);
        assert_eq!(written.lock().unwrap().len(), 200);
    }
}
