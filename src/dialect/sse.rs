//! Server-sent events as frames that keep their raw bytes (WHATWG HTML, "Server-sent events").
//!
//! Lines end in LF, CRLF or CR; a frame ends with an empty line. Nothing is decoded that nobody asks for.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde_json::value::RawValue;

use super::raw::Patch;

/// Cuts a stream of bytes into frames, whatever the pieces it comes in.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// How far the buffer has been looked at.
    scanned: usize,
    /// Where the line under way began.
    line_start: usize,
    /// A line that is not empty has been seen in the frame under way.
    has_lines: bool,
    limit: usize,
}

/// A frame grew over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of the stream, or what follows its end, is larger than {limit} bytes")]
pub struct FrameTooLarge {
    /// Bytes.
    pub limit: usize,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// All its bytes, the empty line at its end included.
    pub raw: Bytes,
}

impl Framer {
    /// A framer that refuses frames of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, line_start: 0, has_lines: false, limit }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameTooLarge> {
        while let Some(found) = memchr::memchr2(b'\n', b'\r', &self.buffer[self.scanned..]) {
            let at = self.scanned + found;
            self.scanned = at + 1;
            let empty = at == self.line_start;
            let second_half = empty && self.buffer[at] == b'\n' && at > 0 && self.buffer[at - 1] == b'\r';
            self.line_start = at + 1;
            if !empty {
                self.has_lines = true;
            } else if self.has_lines && !second_half {
                return self.cut(at + 1).map(Some);
            }
        }
        self.scanned = self.buffer.len();
        if self.buffer.len() > self.limit { Err(FrameTooLarge { limit: self.limit }) } else { Ok(None) }
    }

    /// What is left at the end of the stream: a last frame whose empty line alone is missing, which it gets, or
    /// empty lines. One that breaks off within its data is no frame.
    pub fn rest(&mut self) -> Option<Frame> {
        let mut raw = self.buffer.split();
        (self.scanned, self.line_start, self.has_lines) = (0, 0, false);
        if raw.iter().all(u8::is_ascii_whitespace) {
            return (!raw.is_empty()).then(|| Frame { raw: raw.freeze() });
        }
        raw.extend_from_slice(b"\n\n");
        let frame = Frame { raw: raw.freeze() };
        let is_complete =
            |data: Cow<'_, str>| data == "[DONE]" || serde_json::from_str::<&RawValue>(&data).is_ok();
        frame.data().is_some_and(is_complete).then_some(frame)
    }

    fn cut(&mut self, mut end: usize) -> Result<Frame, FrameTooLarge> {
        if end > self.limit {
            return Err(FrameTooLarge { limit: self.limit });
        }
        if self.buffer[end - 1] == b'\r' && self.buffer.get(end) == Some(&b'\n') {
            end += 1;
        }
        let raw = self.buffer.split_to(end).freeze();
        (self.scanned, self.line_start, self.has_lines) = (0, 0, false);
        Ok(Frame { raw })
    }
}

impl Frame {
    /// The text of its `data:` lines, joined by newlines; `None` for a frame without, such as a comment, or
    /// one that is not UTF-8.
    pub fn data(&self) -> Option<Cow<'_, str>> {
        let mut values = lines(&self.raw).filter_map(|line| field(line, b"data"));
        let first = std::str::from_utf8(values.next()?).ok()?;
        let Some(second) = values.next() else { return Some(Cow::Borrowed(first)) };
        let mut data = first.to_owned();
        for value in std::iter::once(second).chain(values) {
            data.push('\n');
            data.push_str(std::str::from_utf8(value).ok()?);
        }
        Some(Cow::Owned(data))
    }

    /// Its data, where that is a JSON object, as the data of all events of the three APIs is.
    pub fn json(&self) -> Option<Cow<'_, str>> {
        self.data().filter(|data| data.trim_start().starts_with('{'))
    }

    /// The value of its `event:` line.
    pub fn event(&self) -> Option<&str> {
        let names = lines(&self.raw).filter_map(|line| field(line, b"event"));
        names.last().and_then(|name| std::str::from_utf8(name).ok())
    }

    /// Writes this frame with the changes that a patch makes to its data: as it came, where there are none.
    pub fn write_patched(&self, data: &str, patch: Patch, out: &mut BytesMut) {
        if patch.is_empty() {
            out.extend_from_slice(&self.raw);
        } else {
            self.write_with(&patch.apply(data), out);
        }
    }

    /// This frame with the changes that a patch makes to its data.
    #[must_use]
    pub fn patched(&self, data: &str, patch: Patch) -> Self {
        let mut raw = BytesMut::new();
        self.write_patched(data, patch, &mut raw);
        Self { raw: raw.freeze() }
    }

    /// Writes this frame with other data; its other lines stay as they are.
    pub fn write_with(&self, data: &str, out: &mut BytesMut) {
        for line in lines(&self.raw) {
            if !line.is_empty() && field(line, b"data").is_none() {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\n");
            }
        }
        write_data(data, out);
    }
}

/// The end of a round, held back until it is known whether another round follows.
#[derive(Debug)]
pub struct Tail {
    frames: Vec<Frame>,
    /// How many bytes it may still grow by.
    room: usize,
    limit: usize,
}

impl Tail {
    /// An empty tail that refuses to grow over `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { frames: Vec::new(), room: limit, limit }
    }

    /// Holds a frame back.
    pub fn push(&mut self, frame: Frame) -> Result<(), FrameTooLarge> {
        self.room = self.room.checked_sub(frame.raw.len()).ok_or(FrameTooLarge { limit: self.limit })?;
        self.frames.push(frame);
        Ok(())
    }

    /// Whether nothing is held back.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames held back, which are so no more.
    pub fn take(&mut self) -> Vec<Frame> {
        self.room = self.limit;
        std::mem::take(&mut self.frames)
    }
}

/// Writes a frame with an event name.
pub fn write(event: &str, data: &str, out: &mut BytesMut) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\n");
    write_data(data, out);
}

/// Writes a frame of data alone.
pub fn write_data(data: &str, out: &mut BytesMut) {
    for line in data.split('\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"\n");
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(raw.strip_prefix("\u{feff}".as_bytes()).unwrap_or(raw));
    std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memchr2(b'\n', b'\r', text);
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

#[cfg(test)]
mod tests;
