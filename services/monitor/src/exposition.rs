//! Reader of the text in which services tell their metrics: Prometheus' text format 0.0.4 and
//! OpenMetrics 1.0, which differ only in what is skipped here (comments, timestamps, exemplars).
//!
//! What another process sends is not trusted: lines, labels and samples are bounded, and a
//! malformed line refuses the whole text rather than half of it being believed.

use std::borrow::Cow;

use crate::error::Error;

/// The most samples one text may have.
pub const MAX_SAMPLES: usize = 20_000;
/// The most labels one sample may have.
pub const MAX_LABELS: usize = 32;
/// The longest line in bytes.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// With its suffix, for example `alina_grpc_requests_total`.
    pub name: &'a str,
    /// Names and values in the order they were sent.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// In the metric's own unit; may be infinite or NaN.
    pub value: f64,
}

impl Sample<'_> {
    /// The value of a label, if it has one of that name.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_ref())
    }
}

/// Reads all samples of a text.
///
/// # Errors
/// [`Error::Exposition`] names the first line that is malformed or past a bound.
pub fn parse(text: &str) -> Result<Vec<Sample<'_>>, Error> {
    let mut samples = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let refuse = |problem| Error::Exposition { line: index + 1, problem };
        if line.len() > MAX_LINE_BYTES {
            return Err(refuse("longer than 16 KiB"));
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if samples.len() == MAX_SAMPLES {
            return Err(refuse("more than 20,000 samples"));
        }
        samples.push(sample(line).map_err(refuse)?);
    }
    Ok(samples)
}

fn sample(line: &str) -> Result<Sample<'_>, &'static str> {
    let (name, rest) = identifier(line, true)?;
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().ok_or("no value")?;
    let value = value.parse().map_err(|_| "the value is no number")?;
    match words.next() {
        None => {}
        Some(exemplar) if exemplar.starts_with('#') => {}
        Some(time) if time.parse::<f64>().is_ok() => {}
        Some(_) => return Err("text after the value"),
    }
    Ok(Sample { name, labels, value })
}

/// Reads labels up to and with the closing brace.
#[expect(clippy::type_complexity, reason = "the labels and what is left of the line")]
fn labels(mut rest: &str) -> Result<(Vec<(&str, Cow<'_, str>)>, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        if labels.len() == MAX_LABELS {
            return Err("more than 32 labels");
        }
        let (name, after) = identifier(rest, false)?;
        let after = after.trim_start().strip_prefix('=').ok_or("no = after a label's name")?;
        let after = after.trim_start().strip_prefix('"').ok_or("no \" before a label's value")?;
        let (value, after) = quoted(after)?;
        labels.push((name, value));
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return Err("neither , nor } after a label"),
        }
    }
}

fn identifier(text: &str, colons: bool) -> Result<(&str, &str), &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    let end = text.find(|c| !allowed(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("no name where one must be");
    }
    Ok((name, rest))
}

/// Reads up to and with the closing quote, undoing `\\`, `\"` and `\n`.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let end = text.find(['"', '\\']).ok_or("a label's value has no end")?;
    let (plain, rest) = text.split_at(end);
    if let Some(rest) = rest.strip_prefix('"') {
        return Ok((Cow::Borrowed(plain), rest));
    }
    let mut value = String::from(plain);
    let mut letters = rest.chars();
    loop {
        match letters.next().ok_or("a label's value has no end")? {
            '"' => return Ok((Cow::Owned(value), letters.as_str())),
            '\\' => match letters.next() {
                Some('n') => value.push('\n'),
                Some(c @ ('\\' | '"')) => value.push(c),
                _ => return Err("an unknown escape in a label's value"),
            },
            letter => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_a_service_sends() {
        let text = "# HELP x Requests\n# TYPE x counter\n\
            x_total{method=\"a.b/C\",code=\"OK\"} 3\n\
            y 1.5e3 1700000000\n\
            z_bucket{le=\"+Inf\",} +Inf 12.5 # {trace=\"1\"} 0.2\n\
            odd { a = \"q\\\"\\\\\\n\" } NaN\n# EOF\n";
        let samples = parse(text).unwrap();
        assert_eq!(samples.len(), 4);
        assert_eq!((samples[0].name, samples[0].value), ("x_total", 3.0));
        assert_eq!(samples[0].label("code"), Some("OK"));
        assert_eq!(samples[0].label("none"), None);
        assert_eq!(samples[1], Sample { name: "y", labels: vec![], value: 1500.0 });
        assert_eq!(samples[2].value, f64::INFINITY);
        assert_eq!(samples[3].label("a"), Some("q\"\\\n"));
        assert!(samples[3].value.is_nan());
    }

    #[test]
    fn malformed_text_is_refused_with_its_line() {
        for bad in [
            "x",
            "x one",
            "1x 1",
            "{a=\"b\"} 1",
            "x{a} 1",
            "x{a=b} 1",
            "x{a=\"b} 1",
            "x{a=\"b\"",
            "x{a=\"b\" c=\"d\"} 1",
            "x{a=\"\\q\"} 1",
            "x 1 soon",
            "<html>",
        ] {
            let error = parse(&format!("ok 1\n{bad}\n")).unwrap_err().to_string();
            assert!(error.contains("line 2"), "{bad}: {error}");
        }
    }

    #[test]
    fn bounds_hold() {
        let many = "x 1\n".repeat(MAX_SAMPLES);
        assert_eq!(parse(&many).unwrap().len(), MAX_SAMPLES);
        assert!(parse(&format!("{many}x 1\n")).is_err());
        assert!(parse(&format!("x{{a=\"{}\"}} 1", "b".repeat(MAX_LINE_BYTES))).is_err());
        let labels: String = (0..=MAX_LABELS).map(|i| format!("l{i}=\"\",")).collect();
        assert!(parse(&format!("x{{{labels}}} 1")).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_label_value_survives(value in any::<String>(), number in any::<i32>()) {
            prop_assume!(!value.contains(['\n', '\r']));
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("m{{v=\"{escaped}\"}} {number}");
            let samples = parse(&text).unwrap();
            prop_assert_eq!(samples[0].label("v"), Some(value.as_str()));
            prop_assert_eq!(samples[0].value, f64::from(number));
        }
    }
}
