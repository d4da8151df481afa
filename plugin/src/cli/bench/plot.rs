//! The part `scaling` as a picture.

use rsd_evaluation::svg::{Axis, Look, Panel, Shape, colour, document};

use crate::bench::{Scaling, Spread};

/// A row of points with their spread.
struct Series<'a> {
    name: &'a str,
    look: Look,
    points: Vec<(f64, Spread)>,
}

/// Four panels: reading and writing at a length, an answer in steps, a first token beside cached answers.
pub(super) fn scaling(of: &Scaling) -> String {
    let looks = [("draft", Look::new(colour::BLUE, Shape::Disc)), ("target", Look::new(colour::BLACK, Shape::Square))];
    let lengths = |value: fn(&crate::bench::Length) -> Spread| -> Vec<Series<'_>> {
        let series = looks.iter().map(|&(name, look)| {
            let rows = of.lengths.iter().filter(|row| row.role == name);
            Series { name, look, points: rows.map(|row| (row.tokens as f64, value(row))).collect() }
        });
        series.collect()
    };
    let steps = |name, look, value: fn(&crate::bench::Steps) -> Spread| Series {
        name,
        look,
        points: of.steps.iter().map(|row| (row.step_tokens as f64, value(row))).collect(),
    };
    let in_steps = [
        steps("all kept", Look::new(colour::BLUE, Shape::Disc), |row| row.kept),
        steps("all refused", Look::new(colour::VERMILION, Shape::Diamond), |row| row.refused),
    ];
    let beside = [Series {
        name: "draft",
        look: looks[0].1,
        points: of.prefixes.iter().map(|row| (row.cached as f64, row.first_token)).collect(),
    }];
    let panels = [
        panel("Reading", "tokens of the prompt", "ms per token", &lengths(|row| row.read)),
        panel("Writing", "tokens that are there", "ms per token", &lengths(|row| row.write)),
        panel("An answer in steps", "tokens of a step", "ms per token", &in_steps),
        panel("First token", "answers cached", "ms", &beside),
    ];
    document(panels.into_iter().flatten().collect())
}

/// Both axes begin at 0, so that a straight line is seen to be one. None without points.
fn panel(title: &str, x: &str, y: &str, series: &[Series<'_>]) -> Option<Panel> {
    let points = || series.iter().flat_map(|series| &series.points);
    points().next()?;
    let right = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let top = points().map(|(_, spread)| spread.high).fold(f64::MIN_POSITIVE, f64::max);
    let number = |at: f64| format!("{at:.0}");
    let mut panel =
        Panel::new(title, Axis::linear(x, 0.0, right, number), Axis::linear(y, 0.0, top, number), (300.0, 240.0));
    for Series { name, look, points } in series.iter().filter(|series| !series.points.is_empty()) {
        let medians: Vec<(f64, f64)> = points.iter().map(|(x, spread)| (*x, spread.median)).collect();
        panel.line(&medians, look.colour, "");
        for (x, spread) in points {
            panel.whisker(*x, (spread.low, spread.high), look.colour);
            panel.mark((*x, spread.median), *look);
        }
        panel.explain(name, *look);
    }
    Some(panel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Length, Prefixes};

    #[test]
    fn a_panel_for_each_table_that_is_there() {
        let figure = Spread { median: 2.0, low: 1.0, high: 3.0 };
        let length = |role: &str, tokens| Length { role: role.to_owned(), tokens, read: figure, write: figure };
        let mut scaling = Scaling {
            lengths: vec![length("draft", 100), length("target", 100), length("draft", 200)],
            prefixes: vec![Prefixes { cached: 0, first_token: figure }],
            ..Scaling::default()
        };
        let text = super::scaling(&scaling);
        assert!(["Reading", "Writing", "First token"].iter().all(|title| text.contains(title)), "{text}");
        assert!(!text.contains("An answer in steps"), "{text}");
        assert_eq!(text.matches("<polyline").count(), 5, "{text}");
        scaling.lengths.clear();
        assert!(!super::scaling(&scaling).contains("Writing"));
    }
}
