//! The figures of `cargo dev bench`: samples, a table of ratios, goals and plots.

pub mod goal;
pub mod plot;
pub mod sample;
pub mod table;

/// Formats a number with three significant digits and separated thousands: `0.0123`, `4.56`, `78.9`, `1,234`.
pub fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    #[expect(clippy::cast_possible_truncation, reason = "an exponent is small")]
    let before_point = value.abs().log10().floor() as i32 + 1;
    let decimals = usize::try_from(3 - before_point).unwrap_or_default();
    let text = format!("{value:.decimals$}");
    match text.split_once('.') {
        Some((whole, part)) => format!("{}.{part}", thousands(whole)),
        None => thousands(&text),
    }
}

/// Formats a count with separated thousands.
pub fn count(count: u32) -> String {
    thousands(&count.to_string())
}

/// Formats an amount in whole units with separated thousands.
pub fn money(amount: f64) -> String {
    thousands(&format!("{amount:.0}"))
}

/// Inserts a comma before every third digit from the end.
fn thousands(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && digits.as_bytes()[place - 1].is_ascii_digit() && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
