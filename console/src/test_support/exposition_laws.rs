//! Properties of the parser that hold for every text.

use crate::exposition::{ExpositionSample, parse};

/// Panics if a property does not hold for this text.
pub fn check(text: &str) {
    let found = parse(text);
    assert!(found.samples.len() + found.bad_lines <= text.lines().count(), "more was read than there are lines");
    for sample in &found.samples {
        assert!(!sample.name.is_empty() && !sample.name.starts_with(|c: char| c.is_ascii_digit()), "{sample:?}");
        let line = to_line(sample);
        // Escapes may have made the line longer than the parser accepts.
        if line.len() <= 16 * 1024 {
            let again = parse(&line);
            assert!(again.bad_lines == 0 && again.samples.len() == 1, "{sample:?} was read and {line:?} is not");
            assert!(same(&again.samples[0], sample), "{:?} is not {sample:?}", again.samples[0]);
        }
    }
}

/// The sample in the text format.
fn to_line(sample: &ExpositionSample<'_>) -> String {
    let escaped = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<_> = sample.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let value = match sample.value {
        value if value.is_nan() => "NaN".to_owned(),
        value if value.is_infinite() => if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        value => format!("{value:e}"),
    };
    format!("{}{{{}}} {value}", sample.name, labels.join(","))
}

fn same(one: &ExpositionSample<'_>, other: &ExpositionSample<'_>) -> bool {
    let values = one.value.to_bits() == other.value.to_bits() || (one.value.is_nan() && other.value.is_nan());
    one.name == other.name && one.labels == other.labels && values
}
