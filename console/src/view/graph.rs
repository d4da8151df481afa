//! Graphs made of characters.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use unicode_width::UnicodeWidthStr;

use super::theme::Theme;
use crate::{clock, state::server::GraphMark};

/// One column of a graph over time.
#[derive(Debug, Clone, Copy, Default)]
pub struct GraphColumn {
    /// The height; absent if nothing was measured.
    pub value: Option<f64>,
    /// The event to mark.
    pub mark: Option<GraphMark>,
}

/// What the axes of a graph over time say.
#[derive(Debug, Clone, Copy)]
pub struct GraphScale {
    /// The value at the top; the highest one if absent. The bottom is 0.
    pub top: Option<f64>,
    /// A value with its unit.
    pub label: fn(Option<f64>) -> String,
    /// Seconds from the first column to the last.
    pub seconds: u64,
}

/// Columns below which a graph has no room for its axes.
const LEAST_COLUMNS: u16 = 8;
/// Rows from which on the last one is the axis of time.
const ROWS_WITH_TIME: u16 = 4;

/// Draws bars over time, with the values at the top and at the bottom on their left and, where there is room, the time
/// below them.
pub fn draw_with_axes(buffer: &mut Buffer, area: Rect, columns: &[GraphColumn], scale: GraphScale, theme: &Theme) {
    let highest =
        columns.iter().filter_map(|column| column.value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let top = scale.top.unwrap_or(highest);
    let labels = [(scale.label)(Some(top)), (scale.label)(Some(0.0))];
    let gutter = narrow(labels.iter().map(|label| label.width()).max().unwrap_or(0) + 1);
    if area.width < gutter + LEAST_COLUMNS || highest <= 0.0 && scale.top.is_none() {
        return draw_over_time(buffer, area, columns, Some(top), theme);
    }
    let mut bars = Rect { x: area.x + gutter, width: area.width - gutter, ..area };
    if area.height >= ROWS_WITH_TIME {
        bars.height -= 1;
        time_axis(buffer, Rect { y: bars.bottom(), height: 1, ..bars }, columns.len(), scale.seconds, theme);
    }
    let rows = [bars.top(), bars.bottom() - 1];
    for (label, y) in labels.iter().zip(rows).take(usize::from(bars.height)) {
        let x = bars.x - 1 - narrow(label.width());
        buffer.set_string(x, y, label, theme.dim);
    }
    draw_over_time(buffer, bars, columns, Some(top), theme);
}

fn time_axis(buffer: &mut Buffer, area: Rect, columns: usize, seconds: u64, theme: &Theme) {
    let now = "now";
    buffer.set_string(area.right() - narrow(now.len()), area.y, now, theme.dim);
    let drawn = narrow(columns.min(usize::from(area.width)));
    let since = format!("-{}", clock::short_duration(seconds));
    if usize::from(drawn) > since.len() + now.len() + 1 {
        buffer.set_string(area.right() - drawn, area.y, since, theme.dim);
    }
}

/// Draws bars over time, the newest at the right end, scaled to `top` or else to the highest of them. If there are too
/// many for the width, neighbors share a column.
pub fn draw_over_time(buffer: &mut Buffer, area: Rect, columns: &[GraphColumn], top: Option<f64>, theme: &Theme) {
    let width = usize::from(area.width);
    let shown = downsample(columns, width);
    let finite = |column: &GraphColumn| column.value.filter(|value| value.is_finite());
    let highest = shown.iter().filter_map(finite).fold(0.0, f64::max);
    let top = top.unwrap_or(highest).max(f64::MIN_POSITIVE);
    let offset = width - shown.len();
    for (n, column) in shown.iter().enumerate() {
        let x = area.x + narrow(offset + n);
        if let Some(value) = finite(column) {
            draw_bar(buffer, area, x, value / top, theme.bar, &theme.symbols.bars);
        }
        let (symbol, style) = match column.mark {
            Some(GraphMark::Revision(_)) => (theme.symbols.revision, theme.accent),
            Some(GraphMark::Restart) => (theme.symbols.restart, theme.warn),
            None => continue,
        };
        for y in area.top()..area.bottom() {
            buffer.set_string(x, y, symbol, style);
        }
    }
}

/// Reduces the columns to at most `width` by taking the mean of neighbors and the newest of their marks.
fn downsample(columns: &[GraphColumn], width: usize) -> Vec<GraphColumn> {
    let share = columns.len().div_ceil(width.max(1)).max(1);
    let mut reduced: Vec<_> = columns
        .rchunks(share)
        .map(|near| {
            let values: Vec<f64> = near.iter().filter_map(|column| column.value).filter(|v| v.is_finite()).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            GraphColumn {
                value: (!values.is_empty()).then_some(mean),
                mark: near.iter().rev().find_map(|column| column.mark),
            }
        })
        .collect();
    reduced.reverse();
    reduced
}

/// Draws a vertical bar that fills this fraction of the area's height.
pub fn draw_bar(buffer: &mut Buffer, area: Rect, x: u16, fraction: f64, style: Style, steps: &[&str]) {
    let parts = (steps.len() - 1) as f64;
    let full = f64::from(area.height) * parts;
    let mut left = (fraction.clamp(0.0, 1.0) * full).round();
    if fraction > 0.0 {
        left = left.max(1.0);
    }
    for y in (area.top()..area.bottom()).rev() {
        let here = left.clamp(0.0, parts);
        if here > 0.0 {
            buffer.set_string(x, y, steps[index(here).min(steps.len() - 1)], style);
        }
        left -= here;
    }
}

/// The column of a value from 0 to 1.
#[must_use]
pub fn column_of(area: Rect, value: f64) -> u16 {
    let at = (value.clamp(0.0, 1.0) * f64::from(area.width)).floor();
    area.x + narrow(index(at)).min(area.width.saturating_sub(1))
}

/// The value in the middle of a column.
#[must_use]
pub fn value_at(area: Rect, x: u16) -> f64 {
    (f64::from(x - area.x) + 0.5) / f64::from(area.width.max(1))
}

/// The row of a fraction; 1 is the top row.
#[must_use]
pub fn row_of(area: Rect, fraction: f64) -> u16 {
    let rows = f64::from(area.height.saturating_sub(1));
    area.bottom() - 1 - narrow(index((fraction.clamp(0.0, 1.0) * rows).round())).min(area.height - 1)
}

/// Digits of three rows, made of ASCII characters.
#[must_use]
pub fn big_digits(text: &str) -> [String; 3] {
    let mut rows = [String::new(), String::new(), String::new()];
    for c in text.chars() {
        let glyph = match c {
            '0' => [" _ ", "| |", "|_|"],
            '1' => ["   ", "  |", "  |"],
            '2' => [" _ ", " _|", "|_ "],
            '3' => [" _ ", " _|", " _|"],
            '4' => ["   ", "|_|", "  |"],
            '5' => [" _ ", "|_ ", " _|"],
            '6' => [" _ ", "|_ ", "|_|"],
            '7' => [" _ ", "  |", "  |"],
            '8' => [" _ ", "|_|", "|_|"],
            '9' => [" _ ", "|_|", " _|"],
            '-' => ["   ", " _ ", "   "],
            '.' => [" ", " ", "."],
            ' ' => [" ", " ", " "],
            other => {
                rows[0].push(' ');
                rows[1].push(' ');
                rows[2].push(other);
                continue;
            }
        };
        for (row, part) in rows.iter_mut().zip(glyph) {
            row.push_str(part);
        }
    }
    rows
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rounded number of cells, not negative")]
fn index(cells: f64) -> usize {
    cells.max(0.0) as usize
}

fn narrow(cells: usize) -> u16 {
    u16::try_from(cells).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::theme::ThemeName;

    #[test]
    fn gaps_stay_gaps_and_marks_are_drawn_over_bars() {
        let mut columns: Vec<_> = [0.0, 0.5, 1.0].map(|v| GraphColumn { value: Some(v), mark: None }).into();
        columns.insert(1, GraphColumn { value: None, mark: None });
        columns.insert(2, GraphColumn { value: Some(f64::NAN), mark: Some(GraphMark::Revision(3)) });
        let area = Rect::new(0, 0, 6, 2);
        let mut buffer = Buffer::empty(area);
        draw_over_time(&mut buffer, area, &columns, None, &Theme::new(ThemeName::Mono, false));
        let row = |y| (0..6).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        assert_eq!((row(0), row(1)), ("   ┃ █".into(), "   ┃██".into()));
    }

    #[test]
    fn a_value_and_its_column_belong_together() {
        let area = Rect::new(5, 0, 40, 3);
        for x in area.left()..area.right() {
            assert_eq!(column_of(area, value_at(area, x)), x);
        }
        assert_eq!((column_of(area, -1.0), column_of(area, 2.0)), (5, 44));
        assert_eq!((row_of(area, 0.0), row_of(area, 1.0)), (2, 0));
    }

    #[test]
    fn neighbors_share_a_column_where_there_are_too_many() {
        let mut columns: Vec<_> = (0..7).map(|n| GraphColumn { value: Some(f64::from(n)), mark: None }).collect();
        columns[3].mark = Some(GraphMark::Restart);
        columns[6].value = None;
        let found: Vec<_> = downsample(&columns, 3).iter().map(|c| (c.value, c.mark)).collect();
        assert_eq!(found, [(Some(0.0), None), (Some(2.0), Some(GraphMark::Restart)), (Some(4.5), None)]);
    }

    #[test]
    fn axes_say_what_the_height_and_the_width_mean() {
        let columns: Vec<_> = (1..=20).map(|n| GraphColumn { value: Some(f64::from(n)), mark: None }).collect();
        let label = |value: Option<f64>| format!("{:.0} s", value.unwrap_or(0.0));
        let scale = GraphScale { top: None, label, seconds: 90 };
        let rows = |width: u16, height: u16| {
            let area = Rect::new(0, 0, width, height);
            let mut buffer = Buffer::empty(area);
            draw_with_axes(&mut buffer, area, &columns, scale, &Theme::new(ThemeName::Mono, true));
            let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
            (0..height).map(row).collect::<Vec<_>>()
        };
        let high = rows(25, 4);
        assert!(high[0].starts_with("20 s ") && high[2].starts_with(" 0 s "), "{high:?}");
        assert_eq!(high[3], "     -90 s            now");
        assert!(rows(25, 1)[0].starts_with("20 s "));
        assert!(!rows(11, 2)[0].contains('s'), "there is no room for labels");
    }

    #[test]
    fn big_digits_are_three_rows() {
        assert_eq!(big_digits("4.2 x"), ["     _   ", "|_|  _|  ", "  |.|_  x"]);
    }
}
