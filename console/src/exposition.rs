//! A tolerant parser of the Prometheus text format: it skips and counts invalid lines, and no input makes it panic.
//! Metric names may contain colons, label values may contain braces, commas and escapes.
//!
//! A sample borrows its names and values from the text: a console of twenty servers parses thousands of samples a second.

use std::borrow::Cow;

/// Name and value of a label.
pub type SampleLabel<'a> = (&'a str, Cow<'a, str>);

/// One sample, which is one line.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpositionSample<'a> {
    pub name: &'a str,
    /// Name and value of each label, in the order of the line.
    pub labels: Vec<SampleLabel<'a>>,
    /// May be NaN or infinite, as the server wrote it.
    pub value: f64,
}

/// A parsed exposition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposition<'a> {
    pub samples: Vec<ExpositionSample<'a>>,
    /// Lines that are neither samples nor comments.
    pub bad_lines: usize,
}

/// Bytes of the longest line that is parsed.
const MAX_LINE_SIZE: usize = 16 * 1024;
/// Samples beyond this number are not stored; they count as bad lines.
const MAX_SAMPLES: usize = 50_000;

/// Parses every line that is valid.
#[must_use]
pub fn parse(text: &str) -> Exposition<'_> {
    let mut found = Exposition::default();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match sample(line) {
            Some(sample) if found.samples.len() < MAX_SAMPLES => found.samples.push(sample),
            _ => found.bad_lines += 1,
        }
    }
    found
}

fn sample(line: &str) -> Option<ExpositionSample<'_>> {
    if line.len() > MAX_LINE_SIZE {
        return None;
    }
    let end = line.find(|c: char| !is_name(c)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let rest = rest.trim_start();
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None if rest.len() == line.len() - end => return None,
        None => (Vec::new(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = number(words.next()?)?;
    // A timestamp may follow, and an exemplar after "#".
    match words.next() {
        Some(word) if !word.starts_with('#') => {
            word.parse::<f64>().ok()?;
            if words.next().is_some_and(|word| !word.starts_with('#')) {
                return None;
            }
        }
        _ => {}
    }
    Some(ExpositionSample { name, labels, value })
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Parses the labels up to the closing brace; returns them and the rest of the line.
fn labels(mut text: &str) -> Option<(Vec<SampleLabel<'_>>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let end = text.find(|c: char| !is_name(c))?;
        let (name, rest) = text.split_at(end);
        if name.is_empty() {
            return None;
        }
        let rest = rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
        let (value, rest) = quoted(rest)?;
        labels.push((name, value));
        text = rest.trim_start();
        text = match text.strip_prefix(',') {
            Some(rest) => rest,
            None if text.starts_with('}') => text,
            None => return None,
        };
    }
}

/// Parses a label's value up to the closing quote, with the escapes resolved; returns it and the rest of the line.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text[end..].starts_with('"') {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = text[..end].to_owned();
    let mut chars = text[end..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(value), &text[end + at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other @ ('\\' | '"') => value.push(other),
                other => {
                    value.push('\\');
                    value.push(other);
                }
            },
            other => value.push(other),
        }
    }
    None
}

fn number(word: &str) -> Option<f64> {
    match word {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) => word.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_with_colons_and_values_with_braces_survive() {
        let text = r#"
# HELP a:b:rate5m A recording rule.
a:b:rate5m{job="x{y}",path="/a,\"b\"\\\n}"} 1.5 1700000000000
plain 2
spaced { a = "1" , b = "2" , } 3
exemplar_bucket{le="+Inf"} 4 # {trace="x"} 0.5
"#;
        let found = parse(text);
        assert_eq!(found.bad_lines, 0, "{found:?}");
        let all: Vec<_> = found.samples.iter().map(|s| (s.name, s.labels.len(), s.value)).collect();
        assert_eq!(all, [("a:b:rate5m", 2, 1.5), ("plain", 0, 2.0), ("spaced", 2, 3.0), ("exemplar_bucket", 1, 4.0)]);
        assert_eq!(found.samples[0].labels[0].1, "x{y}");
        assert_eq!(found.samples[0].labels[1].1, "/a,\"b\"\\\n}");
    }

    #[test]
    fn what_is_no_number_or_no_line_is_counted() {
        let found =
            parse("a NaN\nb +Inf\nc -Inf\nd\ne{x=\"1\" 2\nf 1 2 3\n9g 1\nh nothing\ni{x=\"1\"}\nj{} 1\nk1x 1\nl=3");
        assert!(found.samples[0].value.is_nan());
        assert_eq!(found.samples.len(), 5, "{found:?}");
        assert_eq!(found.bad_lines, 7);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let text = String::from_utf8_lossy(&bytes);
            prop_assert!(parse(&text).samples.len() <= text.lines().count());
        }

        #[test]
        fn no_near_miss_makes_it_panic(text in r#"([a-z:_]{0,4}(\{([a-z]{0,2}="?[^"]{0,3}"?,?){0,2}\}?)? ?[0-9NaInf.+-]{0,4}\n?){0,8}"#) {
            let found = parse(&text);
            prop_assert!(found.samples.len() + found.bad_lines <= text.lines().count());
        }

        #[test]
        fn what_is_written_by_the_rules_is_read_back(
            name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,12}", label in "[a-z_]{1,6}", value in any::<String>(), number in any::<f64>(),
        ) {
            let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "");
            let line = format!("{name}{{{label}=\"{escaped}\"}} {number}");
            let found = parse(&line);
            prop_assume!(number.is_finite());
            prop_assert_eq!(found.bad_lines, 0);
            prop_assert_eq!(&*found.samples[0].labels[0].1, value.replace('\r', ""));
            prop_assert_eq!(found.samples[0].value.to_bits(), number.to_bits());
        }
    }
}
