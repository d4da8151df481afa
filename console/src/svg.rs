//! A terminal screen as an SVG image: monospace text on a dark background.

use std::fmt::Write;

use ratatui::{
    buffer::{Buffer, Cell},
    style::{Color, Modifier},
};
use unicode_width::UnicodeWidthStr;

use crate::view::contrast::xterm_rgb;

/// Width of a cell in pixels. `textLength` stretches every run of text to its cells, whatever font the viewer has.
const CELL_WIDTH: f64 = 8.4;
/// Height of a cell in pixels.
const CELL_HEIGHT: f64 = 18.0;
const FONT_SIZE: f64 = 14.0;
/// Distance from the top of a cell to the baseline of its text.
const BASELINE: f64 = 13.5;
/// Space around the screen.
const MARGIN: f64 = 12.0;

const BACKGROUND: &str = "#1b1f27";
const FOREGROUND: &str = "#d7dae0";
/// Color of text with the modifier DIM.
const DIMMED: &str = "#8b93a1";

/// How a run of cells looks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CellLook {
    foreground: String,
    background: Option<String>,
    bold: bool,
}

/// The SVG image of a screen.
#[must_use]
pub fn image_of(buffer: &Buffer) -> String {
    let area = buffer.area;
    let width = 2.0 * MARGIN + CELL_WIDTH * f64::from(area.width);
    let height = 2.0 * MARGIN + CELL_HEIGHT * f64::from(area.height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.1} {height:.1}\" font-family=\"Menlo,Consolas,'DejaVu Sans Mono',monospace\" \
         font-size=\"{FONT_SIZE}\" fill=\"{FOREGROUND}\" shape-rendering=\"crispEdges\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\" shape-rendering=\"auto\"/>\n"
    );
    for y in area.top()..area.bottom() {
        for run in runs_of_row(buffer, y) {
            let top = MARGIN + CELL_HEIGHT * f64::from(y - area.top());
            let left = MARGIN + CELL_WIDTH * f64::from(run.column - area.left());
            run.write_to(&mut svg, left, top);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Neighboring cells with the same look.
struct CellRun {
    column: u16,
    columns: u16,
    text: String,
    look: CellLook,
}

fn runs_of_row(buffer: &Buffer, y: u16) -> Vec<CellRun> {
    let mut runs: Vec<CellRun> = Vec::new();
    let mut x = buffer.area.left();
    while x < buffer.area.right() {
        let cell = &buffer[(x, y)];
        let columns = u16::try_from(cell.symbol().width()).unwrap_or(1).max(1);
        let look = look_of(cell);
        // A character that draws a part of a cell, or is wider than one, gets its own position.
        let exact = columns > 1 || cell.symbol().chars().any(|c| ('\u{2500}'..='\u{259f}').contains(&c));
        match runs.last_mut() {
            Some(last) if last.look == look && !exact && !last.is_exact() => {
                last.text.push_str(cell.symbol());
                last.columns += columns;
            }
            Some(last) if last.look == look && is_seamless(cell.symbol()) && last.text.starts_with(cell.symbol()) => {
                last.text.push_str(cell.symbol());
                last.columns += columns;
            }
            _ => runs.push(CellRun { column: x, columns, text: cell.symbol().to_owned(), look }),
        }
        x += columns;
    }
    runs.retain(|run| run.look.background.is_some() || !run.text.trim().is_empty());
    runs
}

/// Whether neighbors with this character make one shape: horizontal lines and bars.
fn is_seamless(symbol: &str) -> bool {
    symbol.chars().all(|c| matches!(c, '─' | '░' | '\u{2581}'..='\u{2588}'))
}

impl CellRun {
    /// Whether it consists of box-drawing or block characters or of one wide character.
    fn is_exact(&self) -> bool {
        usize::from(self.columns) > self.text.chars().count()
            || self.text.chars().any(|c| ('\u{2500}'..='\u{259f}').contains(&c))
    }

    fn write_to(&self, svg: &mut String, left: f64, top: f64) {
        let width = CELL_WIDTH * f64::from(self.columns);
        if let Some(background) = &self.look.background {
            // Writing to a string cannot fail.
            let _ = writeln!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{CELL_HEIGHT}\" fill=\"{background}\"/>"
            );
        }
        if self.text.trim().is_empty() {
            return;
        }
        if let Some(shape) = self.block_shape(left, top, width) {
            svg.push_str(&shape);
            return;
        }
        let start = self.text.len() - self.text.trim_start().len();
        let skipped = CELL_WIDTH * f64::from(u16::try_from(self.text[..start].width()).unwrap_or(0));
        let text = self.text.trim();
        let wide = CELL_WIDTH * f64::from(u16::try_from(text.width()).unwrap_or(1));
        let fill = if self.look.foreground == FOREGROUND {
            String::new()
        } else {
            format!(" fill=\"{}\"", self.look.foreground)
        };
        let bold = if self.look.bold { " font-weight=\"bold\"" } else { "" };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" textLength=\"{wide:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
             xml:space=\"preserve\"{fill}{bold}>{}</text>",
            left + skipped,
            top + BASELINE,
            escaped(text)
        );
    }

    /// Bars and frames as shapes: fonts draw these characters with gaps between rows.
    fn block_shape(&self, left: f64, top: f64, width: f64) -> Option<String> {
        let symbol = self.text.chars().next()?;
        if self.text.chars().any(|c| c != symbol) {
            return None;
        }
        let color = &self.look.foreground;
        let rect = |x: f64, y: f64, w: f64, h: f64| {
            Some(format!("<rect x=\"{x:.1}\" y=\"{y:.2}\" width=\"{w:.1}\" height=\"{h:.2}\" fill=\"{color}\"/>\n"))
        };
        let (middle_x, middle_y) = (left + CELL_WIDTH / 2.0, top + CELL_HEIGHT / 2.0);
        let (right, bottom) = (left + width, top + CELL_HEIGHT);
        let line = |points: String| Some(format!("<path d=\"{points}\" stroke=\"{color}\" fill=\"none\"/>\n"));
        match symbol {
            '\u{2581}'..='\u{2588}' => {
                let height = CELL_HEIGHT * f64::from(u32::from(symbol) - 0x2580) / 8.0;
                rect(left, bottom - height, width, height)
            }
            '░' => Some(format!(
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{CELL_HEIGHT}\" fill=\"{color}\" \
                 opacity=\".3\"/>\n"
            )),
            '─' => line(format!("M{left:.1} {middle_y:.1}H{right:.1}")),
            // Vertical lines stand alone in their cell.
            '│' if self.columns == 1 => line(format!("M{middle_x:.1} {top:.1}V{bottom:.1}")),
            '┆' if self.columns == 1 => Some(format!(
                "<path d=\"M{middle_x:.1} {top:.1}V{bottom:.1}\" stroke=\"{color}\" stroke-dasharray=\"3 3\" fill=\"none\"/>\n"
            )),
            '┃' if self.columns == 1 => rect(middle_x - 1.0, top, 2.0, CELL_HEIGHT),
            '┌' if self.columns == 1 => line(format!("M{right:.1} {middle_y:.1}H{middle_x:.1}V{bottom:.1}")),
            '┐' if self.columns == 1 => line(format!("M{left:.1} {middle_y:.1}H{middle_x:.1}V{bottom:.1}")),
            '└' if self.columns == 1 => line(format!("M{right:.1} {middle_y:.1}H{middle_x:.1}V{top:.1}")),
            '┘' if self.columns == 1 => line(format!("M{left:.1} {middle_y:.1}H{middle_x:.1}V{top:.1}")),
            _ => None,
        }
    }
}

fn look_of(cell: &Cell) -> CellLook {
    let dim = cell.modifier.contains(Modifier::DIM);
    let foreground = color_of(cell.fg).unwrap_or(if dim { DIMMED } else { FOREGROUND }.to_owned());
    let background = color_of(cell.bg);
    let bold = cell.modifier.contains(Modifier::BOLD);
    if cell.modifier.contains(Modifier::REVERSED) {
        let background_color = background.unwrap_or_else(|| BACKGROUND.to_owned());
        return CellLook { foreground: background_color, background: Some(foreground), bold };
    }
    CellLook { foreground, background, bold }
}

/// `None` for the terminal's default color.
fn color_of(color: Color) -> Option<String> {
    let named = match color {
        Color::Reset => return None,
        Color::Rgb(r, g, b) => return Some(format!("#{r:02x}{g:02x}{b:02x}")),
        Color::Black => "#1b1f27",
        Color::Red | Color::LightRed => "#ff7b72",
        Color::Green | Color::LightGreen => "#7ee787",
        Color::Yellow | Color::LightYellow => "#e3b341",
        Color::Blue => "#4078b8",
        Color::LightBlue => "#79c0ff",
        Color::Magenta | Color::LightMagenta => "#d2a8ff",
        Color::Cyan | Color::LightCyan => "#56d4dd",
        Color::DarkGray => "#7d8590",
        Color::Gray => "#b1bac4",
        Color::Indexed(_) => return xterm_rgb(color).map(|[r, g, b]| format!("#{r:02x}{g:02x}{b:02x}")),
        Color::White => FOREGROUND,
    };
    Some(named.to_owned())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use ratatui::{layout::Rect, style::Style};

    use super::*;

    #[test]
    fn text_keeps_its_columns_and_its_colors_and_is_escaped() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "a<b", Style::new().fg(Color::Green));
        buffer.set_string(4, 0, "数x", Style::new());
        let svg = image_of(&buffer);
        assert!(svg.contains("fill=\"#7ee787\">a&lt;b</text>"), "{svg}");
        let x = |column: f64| format!("x=\"{:.1}\"", MARGIN + CELL_WIDTH * column);
        let wide = svg.lines().find(|line| line.contains('数')).unwrap();
        assert!(wide.contains(&x(4.0)) && wide.contains("textLength=\"16.8\""), "two columns: {wide}");
        let after = svg.lines().find(|line| line.contains(">x<")).unwrap();
        assert!(after.contains(&x(6.0)), "the text after a wide character is in its column: {after}");
    }

    #[test]
    fn bars_are_shapes_without_gaps_and_reversed_text_has_a_background() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 2));
        buffer.set_string(0, 0, "▄▄", Style::new());
        buffer.set_string(0, 1, "██", Style::new());
        buffer.set_string(3, 0, "y", Style::new().add_modifier(Modifier::REVERSED));
        let svg = image_of(&buffer);
        assert!(svg.contains("y=\"21.00\" width=\"16.8\" height=\"9.00\""), "{svg}");
        assert!(svg.contains("y=\"30.00\" width=\"16.8\" height=\"18.00\""), "{svg}");
        assert!(svg.contains(&format!("fill=\"{BACKGROUND}\">y</text>")), "{svg}");
    }
}
