//! JSON numbers read by value.

/// The integer that a JSON number stands for: `20`, `20.0` and `2e1` are the same, `1.5` is none, and neither is what
/// does not fit 64 bits or is not a number at all.
///
/// Read from the number's digits. As a floating-point number, which is what JSON libraries make of the last two forms,
/// `9223372036854775807.0` would be a different integer.
pub fn integer(json: &str) -> Option<i64> {
    let (sign, number) = json.split_at(usize::from(json.starts_with('-')));
    if !number.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // The value is `significant` followed by this many zeros. An exponent beyond 64 bits makes it none in any case:
    // no body is long enough to make up for it with its digits.
    let exponent: i64 = exponent.parse().ok()?;
    let scale = i64::try_from(whole.len()).ok()?.checked_sub(i64::try_from(significant.len()).ok()?)?;
    let zeros = usize::try_from(exponent.checked_add(scale)?).ok()?;
    let longest = i64::MIN.to_string().len();
    let significant = significant.trim_start_matches('0');
    if significant.len().checked_add(zeros)? > longest {
        return None;
    }
    format!("{sign}{significant}{:0<zeros$}", "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn the_same_value_is_the_same_integer() {
        for number in ["20", "20.0", "2e1", "2E+1", "200e-1", "0.2e2", "0.0020e4", "20.000", "2000000e-5"] {
            assert_eq!(integer(number), Some(20), "{number}");
        }
        for zero in ["0", "-0", "0.0", "-0.0e7", "0e99999999999999999999", "0e-99999999999999999999"] {
            assert_eq!(integer(zero), Some(0), "{zero}");
        }
        assert_eq!(integer("-1"), Some(-1));
    }

    #[test]
    fn the_ends_of_the_range_are_exact() {
        for number in
            ["9223372036854775807", "9223372036854775807.0", "92233720368547758070e-1", "922337203685477580.7e1"]
        {
            assert_eq!(integer(number), Some(i64::MAX), "{number}");
        }
        for number in
            ["9223372036854775808", "9223372036854775807.5", "1e19", "1e999999999999999999999", "18446744073709551616"]
        {
            assert_eq!(integer(number), None, "{number}");
        }
    }

    #[test]
    fn what_is_no_integer_is_none() {
        for json in ["1.5", "1e-1", "0.1e-99999999999999999999", "\"2\"", "true", "[2]", "{}", "null", ""] {
            assert_eq!(integer(json), None, "{json}");
        }
    }
}
