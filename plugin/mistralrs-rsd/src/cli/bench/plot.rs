//! Draws the part `scaling`.

use rsd_evaluation::svg::{Axis, MarkShape, MarkStyle, Panel, color, document};

use crate::bench::{LengthRow, MedianRange, ScalingTables, StepLengthRow};

/// A line through points with their ranges.
struct PlotSeries<'a> {
    name: &'a str,
    look: MarkStyle,
    points: Vec<(f64, MedianRange)>,
}

/// Four panels: prefill and decode at a length, an answer in steps, and the first token beside cached answers.
pub(super) fn scaling(tables: &ScalingTables) -> String {
    let looks = [
        ("draft", MarkStyle::new(color::BLUE, MarkShape::Disc)),
        ("target", MarkStyle::new(color::BLACK, MarkShape::Square)),
    ];
    let lengths = |value: fn(&LengthRow) -> MedianRange| -> Vec<PlotSeries<'_>> {
        let series = looks.iter().map(|&(name, look)| {
            let rows = tables.lengths.iter().filter(|row| row.role == name);
            PlotSeries { name, look, points: rows.map(|row| (row.tokens as f64, value(row))).collect() }
        });
        series.collect()
    };
    let steps = |name, look, value: fn(&StepLengthRow) -> MedianRange| PlotSeries {
        name,
        look,
        points: tables.steps.iter().map(|row| (row.step_tokens as f64, value(row))).collect(),
    };
    let in_steps = [
        steps("all accepted", MarkStyle::new(color::BLUE, MarkShape::Disc), |row| row.accepted),
        steps("all rejected", MarkStyle::new(color::VERMILION, MarkShape::Diamond), |row| row.rejected),
    ];
    let beside = [PlotSeries {
        name: "draft",
        look: looks[0].1,
        points: tables.prefixes.iter().map(|row| (row.cached as f64, row.first_token)).collect(),
    }];
    let panels = [
        panel("Prefill", "tokens of the prompt", "ms per token", &lengths(|row| row.prefill)),
        panel("Decode", "tokens in the context", "ms per token", &lengths(|row| row.decode)),
        panel("An answer in steps", "tokens of a step", "ms per token", &in_steps),
        panel("First token", "answers cached", "ms", &beside),
    ];
    document(panels.into_iter().flatten().collect())
}

/// A panel whose axes begin at 0, so that proportional cost is a straight line through the origin. `None` without
/// points.
fn panel(title: &str, x: &str, y: &str, series: &[PlotSeries<'_>]) -> Option<Panel> {
    let points = || series.iter().flat_map(|series| &series.points);
    points().next()?;
    let right = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let top = points().map(|(_, range)| range.high).fold(f64::MIN_POSITIVE, f64::max);
    let number = |at: f64| format!("{at:.0}");
    let mut panel =
        Panel::new(title, Axis::linear(x, 0.0, right, number), Axis::linear(y, 0.0, top, number), (300.0, 240.0));
    for PlotSeries { name, look, points } in series.iter().filter(|series| !series.points.is_empty()) {
        let medians: Vec<(f64, f64)> = points.iter().map(|(x, range)| (*x, range.median)).collect();
        panel.line(&medians, look.color, "");
        for (x, range) in points {
            panel.whisker(*x, (range.low, range.high), look.color);
            panel.mark((*x, range.median), *look);
        }
        panel.explain(name, *look);
    }
    Some(panel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::CachedPrefixRow;

    #[test]
    fn each_table_with_rows_has_a_panel() {
        let value = MedianRange { median: 2.0, low: 1.0, high: 3.0 };
        let length = |role: &str, tokens| LengthRow { role: role.to_owned(), tokens, prefill: value, decode: value };
        let mut scaling = ScalingTables {
            lengths: vec![length("draft", 100), length("target", 100), length("draft", 200)],
            prefixes: vec![CachedPrefixRow { cached: 0, first_token: value }],
            ..ScalingTables::default()
        };
        let text = super::scaling(&scaling);
        assert!(["Prefill", "Decode", "First token"].iter().all(|title| text.contains(title)), "{text}");
        assert!(!text.contains("An answer in steps"), "{text}");
        assert_eq!(text.matches("<polyline").count(), 5, "{text}");
        scaling.lengths.clear();
        assert!(!super::scaling(&scaling).contains("Decode"));
    }
}
