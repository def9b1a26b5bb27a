//! What becomes of a page whose texts would make the answer too large for Lambda: the longest are cut to a common length.

use super::{
    chat_session::ChatSession,
    text::{Text, TextLimit, TextLimits},
};
use crate::error::Error;

/// What stands at the end of a text that was cut.
pub const ELLIPSIS: char = '…';

/// How much of each text an answer has, in characters, unless more of it is never cut.
pub type Length = usize;

/// How many lengths are told apart at first; the second look is at each of as many.
const STEP: usize = 1_024;

/// What a byte of a text takes in the answer, in bytes: it is escaped in the body, which is JSON, and again in the answer
/// around it, which has the body as a string.
fn size(byte: u8) -> i64 {
    match byte {
        b'"' | b'\\' => 4,
        0x08 | b'\t' | b'\n' | 0x0C | b'\r' => 3,
        ..b' ' => 7,
        _ => 1,
    }
}

/// What the mark of a cut takes, and the character that stands for bytes that are none: three bytes in UTF-8 both.
const MARK_SIZE: i64 = 3;

/// The most bytes that [`size`] makes of a byte of a text.
pub const MAX_SIZE_OF_BYTE: usize = 7;

/// The greatest length at which the sessions' texts take no more than `budget` bytes of the answer, and at one character
/// more would; [`Length::MAX`] if they fit uncut, 0 if not even what [`TextLimit::uncut_chars`] says does.
///
/// Looks at each text twice: which of some lengths it is that fits, and then which of those from there to the next.
///
/// # Errors
///
/// Those of `sessions`.
pub fn length<'a, S: Iterator<Item = Result<ChatSession<'a>, Error>>>(
    sessions: impl Fn() -> S,
    limits: TextLimits,
    budget: i64,
) -> Result<Length, Error> {
    let total = |mut steps: Steps| -> Result<Steps, Error> {
        for session in sessions() {
            texts(&session?, limits).for_each(|(text, limit)| steps.add(text, limit));
        }
        Ok(steps)
    };
    let coarse = total(Steps { from: 0, width: STEP, base: 0, more: Vec::new() })?;
    let Some(from) = coarse.last_that_fits(budget) else { return Ok(Length::MAX) };
    let fine = total(Steps { from, width: 1, base: 0, more: Vec::new() })?;
    Ok(fine.last_that_fits(budget).unwrap_or(from))
}

fn texts<'a>(session: &ChatSession<'a>, limits: TextLimits) -> impl Iterator<Item = (Text<'a>, TextLimit)> {
    let ChatSession { widget_name, visitor_id, visitor_name, visitor_email, status, last_message, page_url, .. } =
        *session;
    let others = [widget_name, Some(visitor_id), visitor_name, visitor_email, status, page_url];
    let others = others.into_iter().flatten().map(move |text| (text, limits.other));
    others.chain(last_message.map(|text| (text, limits.message)))
}

/// What all texts take at lengths that are a step apart.
struct Steps {
    /// The first of the lengths.
    from: Length,
    width: usize,
    /// At the first of them.
    base: i64,
    /// How much more it is at each of the next ones than at the one before it.
    more: Vec<i64>,
}

impl Steps {
    fn add(&mut self, text: Text<'_>, limit: TextLimit) {
        // The length so far, and the last one that counts towards the same step.
        let (mut length, mut end, mut sum) = (0, limit.uncut_chars.max(self.from), 0);
        // What the second look finds behind its last step is only what the first one has ruled out.
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

    /// From this length on a text takes so much more.
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

    /// The last length at which the texts fit, or none if they do at every one.
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
