//! A bar chart as a PNG with two colours, without compression (PNG, third edition; RFC 1950 and 1951).

const HEIGHT: u8 = 96;
const BAR: usize = 6;
const GAP: usize = 2;
const MOST_BARS: usize = 40;
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The palette: paper and bars.
const COLOURS: &[u8] = &[0xff, 0xff, 0xff, 0x1f, 0x5f, 0xbf];

/// Draws one bar for each value; the highest takes the whole height, negative ones count as zero.
pub(super) fn draw(values: &[f64]) -> Result<Vec<u8>, String> {
    if values.is_empty() || values.len() > MOST_BARS {
        return Err(format!("A chart has 1 to {MOST_BARS} values, not {}.", values.len()));
    }
    let width = GAP + values.len() * (BAR + GAP);
    let top = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let line_bytes = width.div_ceil(8);
    let height = usize::from(HEIGHT);
    let mut lines = vec![0u8; height * (1 + line_bytes)];
    for (index, value) in values.iter().enumerate() {
        let empty = height - bar_height(*value, top);
        let left = GAP + index * (BAR + GAP);
        for y in empty..height {
            for x in left..left + BAR {
                // Each line starts with a byte for its filter, which is none.
                lines[y * (1 + line_bytes) + 1 + x / 8] |= 0x80 >> (x % 8);
            }
        }
    }
    let mut png = SIGNATURE.to_vec();
    let mut header = Vec::new();
    header.extend(u32::try_from(width).unwrap_or(u32::MAX).to_be_bytes());
    header.extend(u32::from(HEIGHT).to_be_bytes());
    // One bit a pixel, with a palette, and the only methods there are.
    header.extend([1, 3, 0, 0, 0]);
    chunk(&mut png, *b"IHDR", &header);
    chunk(&mut png, *b"PLTE", COLOURS);
    chunk(&mut png, *b"IDAT", &zlib_stored(&lines));
    chunk(&mut png, *b"IEND", &[]);
    Ok(png)
}

/// In pixels.
fn bar_height(value: f64, top: f64) -> usize {
    let share = (value / top).clamp(0.0, 1.0);
    (1..=HEIGHT).filter(|pixels| f64::from(*pixels) <= share * f64::from(HEIGHT)).count()
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    png.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    let checked_from = png.len();
    png.extend(kind);
    png.extend(data);
    png.extend(crc32(&png[checked_from..]).to_be_bytes());
}

fn zlib_stored(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        stream.push(u8::from(blocks.peek().is_none()));
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(data).to_be_bytes());
    stream
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

fn adler32(data: &[u8]) -> u32 {
    let (low, high) = data.iter().fold((1u32, 0u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    high << 16 | low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksums_are_those_of_their_standards() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn a_chart_is_a_png_of_its_size() {
        let png = draw(&[1.0, 2.0, -3.0]).unwrap();
        assert!(png.starts_with(SIGNATURE) && png.ends_with(&crc32(b"IEND").to_be_bytes()));
        assert_eq!(png[16..24], [0, 0, 0, 26, 0, 0, 0, 96]);
        assert!(draw(&[]).is_err() && draw(&[0.0; 41]).is_err());
        assert!(draw(&[0.0, f64::NAN]).is_ok());
    }

    #[test]
    fn bars_have_the_height_of_their_values() {
        assert_eq!(bar_height(2.0, 2.0), 96);
        assert_eq!(bar_height(1.0, 2.0), 48);
        assert_eq!(bar_height(-1.0, 2.0), 0);
        assert_eq!(bar_height(f64::NAN, 2.0), 0);
    }
}
