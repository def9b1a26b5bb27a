//! Finds the common length to which a page's longest texts are cut if the response would be too large for Lambda.

use super::text::{Text, TextLimit};

/// Marks the end of a text that was cut.
pub const ELLIPSIS: char = '…';

/// The number of characters to which texts are cut, unless [`TextLimit::uncut_chars`] is larger.
pub type Length = usize;

/// The distance between the lengths that the first pass compares. The second pass compares every length in between.
const STEP: usize = 1_024;

/// The size of a text's byte in the response, in bytes: it is escaped in the body, which is JSON, and again in the envelope,
/// which has the body as a string.
fn size(byte: u8) -> i64 {
    match byte {
        b'"' | b'\\' => 4,
        0x08 | b'\t' | b'\n' | 0x0C | b'\r' => 3,
        ..b' ' => 7,
        _ => 1,
    }
}

/// The size of [`ELLIPSIS`], and of U+FFFD, which replaces invalid bytes: each is three bytes in UTF-8.
const MARK_SIZE: i64 = 3;

/// The largest [`size`] of a byte.
pub const MAX_SIZE_OF_BYTE: usize = 7;

/// The greatest length at which the texts take at most `budget` bytes of the response; [`Length::MAX`] if they fit
/// uncut, 0 if they do not fit even at [`TextLimit::uncut_chars`].
///
/// Reads each text twice: the first pass compares lengths that are [`STEP`] apart, the second those between two of them.
pub fn length<'a, T: Iterator<Item = (Text<'a>, TextLimit)>>(texts: impl Fn() -> T, budget: i64) -> Length {
    let total = |mut steps: Steps| {
        texts().for_each(|(text, limit)| steps.add(text, limit));
        steps
    };
    let coarse = total(Steps { from: 0, width: STEP, base: 0, more: Vec::new() });
    let Some(from) = coarse.last_that_fits(budget) else { return Length::MAX };
    let fine = total(Steps { from, width: 1, base: 0, more: Vec::new() });
    fine.last_that_fits(budget).unwrap_or(from)
}

/// The size of all texts at lengths that are `width` apart.
struct Steps {
    /// The first length.
    from: Length,
    width: usize,
    /// The size at the first length.
    base: i64,
    /// The growth of the size from each length to the next.
    more: Vec<i64>,
}

impl Steps {
    fn add(&mut self, text: Text<'_>, limit: TextLimit) {
        // The number of characters so far, the last one of the same step, and the size of the step so far.
        let (mut length, mut end, mut sum) = (0, limit.uncut_chars.max(self.from), 0);
        // The second pass ends after its last step, because the first has ruled out every longer length.
        let last = if self.width == 1 { (self.from + STEP).max(limit.uncut_chars) } else { Length::MAX };
        let mut begin_char = |steps: &mut Self, sum: &mut i64| {
            if length == end {
                steps.add_at(length, limit, *sum);
                *sum = 0;
                end = steps.from + ((length - steps.from) / steps.width + 1) * steps.width;
            }
            length += 1;
            length <= last
        };
        'text: for chunk in text.bytes().utf8_chunks() {
            for byte in chunk.valid().bytes() {
                let is_continuation = byte & 0xC0 == 0x80;
                if !is_continuation && !begin_char(self, &mut sum) {
                    break 'text;
                }
                sum += size(byte);
            }
            if !chunk.invalid().is_empty() {
                if !begin_char(self, &mut sum) {
                    break;
                }
                sum += MARK_SIZE;
            }
        }
        self.add_at(length, limit, sum);
        let is_long = length > limit.uncut_chars;
        if text.is_cut() || is_long {
            self.base += MARK_SIZE;
        }
        if !text.is_cut() && is_long {
            self.add_at(length, limit, -MARK_SIZE);
        }
    }

    /// Adds `size` at this length and at all longer ones.
    fn add_at(&mut self, length: Length, limit: TextLimit, size: i64) {
        if length <= limit.uncut_chars || length <= self.from {
            self.base += size;
            return;
        }
        let step = (length - self.from - 1) / self.width;
        if step >= self.more.len() {
            if self.width == 1 && step >= STEP {
                return;
            }
            self.more.resize(step + 1, 0);
        }
        self.more[step] += size;
    }

    /// The last length at which the texts fit; `None` if they fit at every length.
    fn last_that_fits(&self, budget: i64) -> Option<Length> {
        let (mut total, mut last) = (self.base, self.from);
        for (step, more) in (1..).zip(&self.more) {
            total += more;
            if total <= budget {
                last = self.from + step * self.width;
            }
        }
        (total > budget).then_some(last)
    }
}
