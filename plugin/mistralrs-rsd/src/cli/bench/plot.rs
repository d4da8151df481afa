//! Draws the parts that have a course: `acceptance`, `lookahead`, `clients` and `scaling`.

use rsd_evaluation::svg::{Axis, MarkShape, MarkStyle, Panel, color, document};

use crate::bench::{BenchReport, LengthRow, MedianRange, ScalingTables, StepLengthRow};

/// A line through points with their ranges.
struct PlotSeries {
    name: String,
    look: MarkStyle,
    points: Vec<(f64, MedianRange)>,
}

/// All panels for which something was measured. `None` if there are none.
pub(super) fn measured(report: &BenchReport) -> Option<String> {
    let mut panels = courses(report);
    panels.extend(report.scaling.iter().flat_map(scaling));
    (!panels.is_empty()).then(|| document(panels))
}

/// Speedup by acceptance rate, time by lookahead, and tokens per second by number of clients.
fn courses(report: &BenchReport) -> Vec<Panel> {
    let blue = MarkStyle::new(color::BLUE, MarkShape::Disc);
    let black = MarkStyle::new(color::BLACK, MarkShape::Square);
    let speedups = PlotSeries {
        name: "RSD".to_owned(),
        look: blue,
        points: report.acceptance.iter().map(|row| (100.0 * row.token_acceptance, row.speedup)).collect(),
    };
    let colors = [color::BLUE, color::VERMILION, color::GREEN, color::PURPLE];
    let rates = report.lookahead.chunk_by(|a, b| a.acceptance.total_cmp(&b.acceptance).is_eq());
    let times = rates.zip(colors.into_iter().cycle()).map(|(rows, color)| PlotSeries {
        name: format!("{:.0} % accepted", 100.0 * rows[0].acceptance),
        look: MarkStyle::new(color, MarkShape::Disc),
        points: rows.iter().map(|row| (row.lookahead as f64, row.time)).collect(),
    });
    let times: Vec<PlotSeries> = times.collect();
    let clients = [("RSD", blue, false), ("target", black, true)].map(|(name, look, target_only)| PlotSeries {
        name: name.to_owned(),
        look,
        points: report
            .clients
            .iter()
            .filter(|row| row.target_only == target_only)
            .map(|row| {
                let rate = row.tokens_per_second;
                (row.clients as f64, MedianRange { median: rate, low: rate, high: rate })
            })
            .collect(),
    });
    let panels = [
        panel("Speedup", "acceptance rate (tokens), %", "over the target alone", &[speedups]),
        panel("Lookahead", "steps.lookahead", "time over lookahead 0", &times),
        panel("Clients", "clients", "tokens per second", &clients),
    ];
    panels.into_iter().flatten().collect()
}

/// Four panels: prefill and decode at a length, an answer in steps, and the first token beside cached answers.
fn scaling(tables: &ScalingTables) -> Vec<Panel> {
    let looks = [
        ("draft", MarkStyle::new(color::BLUE, MarkShape::Disc)),
        ("target", MarkStyle::new(color::BLACK, MarkShape::Square)),
    ];
    let lengths = |value: fn(&LengthRow) -> MedianRange| -> Vec<PlotSeries> {
        let series = looks.iter().map(|&(name, look)| {
            let rows = tables.lengths.iter().filter(|row| row.role == name);
            PlotSeries {
                name: name.to_owned(),
                look,
                points: rows.map(|row| (row.tokens as f64, value(row))).collect(),
            }
        });
        series.collect()
    };
    let steps = |name: &str, look, value: fn(&StepLengthRow) -> MedianRange| PlotSeries {
        name: name.to_owned(),
        look,
        points: tables.steps.iter().map(|row| (row.step_tokens as f64, value(row))).collect(),
    };
    let in_steps = [
        steps("all accepted", MarkStyle::new(color::BLUE, MarkShape::Disc), |row| row.accepted),
        steps("all rejected", MarkStyle::new(color::VERMILION, MarkShape::Diamond), |row| row.rejected),
    ];
    let beside = [PlotSeries {
        name: "draft".to_owned(),
        look: looks[0].1,
        points: tables.prefixes.iter().map(|row| (row.cached as f64, row.first_token)).collect(),
    }];
    let panels = [
        panel("Prefill", "tokens of the prompt", "ms per token", &lengths(|row| row.prefill)),
        panel("Decode", "tokens in the context", "ms per token", &lengths(|row| row.decode)),
        panel("An answer in steps", "tokens of a step", "ms per token", &in_steps),
        panel("First token", "answers cached", "ms", &beside),
    ];
    panels.into_iter().flatten().collect()
}

/// A panel whose axes begin at 0, so that proportional cost is a straight line through the origin. `None` without
/// points.
fn panel(title: &str, x: &str, y: &str, series: &[PlotSeries]) -> Option<Panel> {
    let points = || series.iter().flat_map(|series| &series.points);
    points().next()?;
    let right = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let top = points().map(|(_, range)| range.high).fold(f64::MIN_POSITIVE, f64::max);
    let number = |at: f64| ((1e6 * at).round() / 1e6).to_string();
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
    use crate::bench::{AcceptanceRow, CachedPrefixRow, ConcurrencyRow};

    #[test]
    fn each_table_with_rows_has_a_panel() {
        let value = MedianRange { median: 2.0, low: 1.0, high: 3.0 };
        let length = |role: &str, tokens| LengthRow { role: role.to_owned(), tokens, prefill: value, decode: value };
        let mut scaling = ScalingTables {
            lengths: vec![length("draft", 100), length("target", 100), length("draft", 200)],
            prefixes: vec![CachedPrefixRow { cached: 0, first_token: value }],
            ..ScalingTables::default()
        };
        let draw = |scaling: &ScalingTables| {
            measured(&BenchReport { scaling: Some(scaling.clone()), ..BenchReport::default() }).unwrap()
        };
        let text = draw(&scaling);
        assert!(["Prefill", "Decode", "First token"].iter().all(|title| text.contains(title)), "{text}");
        assert!(!text.contains("An answer in steps"), "{text}");
        assert_eq!(text.matches("<polyline").count(), 5, "{text}");
        scaling.lengths.clear();
        assert!(!draw(&scaling).contains("Decode"));
    }

    #[test]
    fn a_report_without_a_course_has_no_picture() {
        assert_eq!(measured(&BenchReport::default()), None);
    }

    #[test]
    fn speedups_and_clients_are_drawn() {
        let value = MedianRange { median: 2.0, low: 1.0, high: 3.0 };
        let rate = |acceptance: f64| AcceptanceRow {
            acceptance,
            token_acceptance: acceptance,
            speedup: value,
            predicted: value,
        };
        let clients = |clients, target_only| ConcurrencyRow {
            clients,
            target_only,
            tokens_per_second: 12.5,
            latency: (1.0, 2.0),
            client_seconds: (3.0, 4.0),
            resident_bytes: None,
        };
        let report = BenchReport {
            acceptance: vec![rate(0.2), rate(0.8)],
            clients: vec![clients(1, false), clients(1, true), clients(2, false), clients(2, true)],
            ..BenchReport::default()
        };
        let text = measured(&report).unwrap();
        assert!(["Speedup", "Clients"].iter().all(|title| text.contains(title)), "{text}");
        assert!(!text.contains("Lookahead") && !text.contains("Prefill"), "{text}");
        assert_eq!(text.matches("<polyline").count(), 3, "{text}");
    }
}
