//! Numbers as the three languages write them.

/// The shortest decimal that reads back as `value`: positional with at least one decimal for
/// `1e-4 <= |value| < 1e16` and for 0, else d.ddde+XX with at least two digits of exponent: `0.1`,
/// `1e-06`. Infinities and NaN as `inf`, `-inf`, `nan`.
pub fn repr(value: f64) -> String {
    if !value.is_finite() {
        return non_finite(value).to_string();
    }
    // Rust's `{:e}` has the shortest digits; of two equally close decimals of that length it takes
    // the larger, Python the even one, as the exact form does.
    let shortest = format!("{value:e}");
    let digits = shortest
        .bytes()
        .take_while(|byte| *byte != b'e')
        .filter(u8::is_ascii_digit)
        .count();
    let exact = format!("{value:.*e}", digits.saturating_sub(1));
    let text = if exact.parse() == Ok(value) {
        exact
    } else {
        shortest
    };
    let (sign, text) = text
        .strip_prefix('-')
        .map_or(("", text.as_str()), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    format!("{sign}{}", layout(&digits, exponent, -4, 16, true))
}

/// `value` with `precision` significant digits, trailing zeros cut, as C's `%g`.
pub fn general(value: f64, precision: usize) -> String {
    if !value.is_finite() {
        return non_finite(value).to_string();
    }
    let precision = precision.max(1);
    let text = format!("{value:.*e}", precision - 1);
    let (sign, text) = text
        .strip_prefix('-')
        .map_or(("", text.as_str()), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let digits = digits.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    format!(
        "{sign}{}",
        layout(digits, exponent, -4, precision as i32, false)
    )
}

/// An integer with a comma between groups of three digits.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn non_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "nan"
    } else if value > 0.0 {
        "inf"
    } else {
        "-inf"
    }
}

/// d1.d2d3... 10^exponent, positional while `least <= exponent < most`.
fn layout(digits: &str, exponent: i32, least: i32, most: i32, decimal: bool) -> String {
    let n = digits.len() as i32;
    if exponent < least || exponent >= most {
        let sign = if exponent < 0 { '-' } else { '+' };
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{first}{point}{rest}e{sign}{:02}", exponent.abs());
    }
    if exponent < 0 {
        return format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    if n <= exponent + 1 {
        let zeros = "0".repeat((exponent + 1 - n) as usize);
        return format!("{digits}{zeros}{}", if decimal { ".0" } else { "" });
    }
    let (whole, part) = digits.split_at((exponent + 1) as usize);
    format!("{whole}.{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_does() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (-123456.789, "-123456.789"),
            (5e-324, "5e-324"),
            // Halfway between two decimals of 16 digits.
            (8.220779418945312, "8.220779418945312"),
            (2251799813685248.5, "2251799813685248.5"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
        ] {
            assert_eq!(repr(value), text);
        }
    }

    #[test]
    fn general_is_percent_g() {
        for (value, text) in [
            (0.0, "0"),
            (1e6, "1e+06"),
            (1e30, "1e+30"),
            (1.0, "1"),
            (123456.7, "123457"),
            (0.00012345678, "0.000123457"),
            (0.00001, "1e-05"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(general(value, 6), text);
        }
        assert_eq!(grouped(1234567), "1,234,567");
        assert_eq!(grouped(12), "12");
    }
}
