//! Whether text can be read in the colors of a theme: the contrast ratio of WCAG 2.2
//! (<https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>), from 1 to 21.

use ratatui::style::{Color, Modifier, Style};

use super::theme::Theme;

/// Contrast below which text is called unreadable: what WCAG asks for at least, of large text.
pub const LEAST_CONTRAST: f64 = 3.0;

/// One sentence for each kind of text that is hard to read on this background, which the terminal has where the theme
/// says nothing about it. A color that only the terminal knows is not checked.
#[must_use]
pub fn unreadable_texts(theme: &Theme, background: Color) -> Vec<String> {
    let texts = theme.roles().into_iter().filter(|(name, _)| *name != "bar");
    let warning = |(name, style): (&str, Style)| {
        let style = theme.text.patch(style);
        let (front, back) = (color_or(style.fg, Color::Reset), color_or(style.bg, background));
        let (front, back) = if style.add_modifier.contains(Modifier::REVERSED) { (back, front) } else { (front, back) };
        let found = contrast(xterm_rgb(front)?, xterm_rgb(back)?);
        (found < LEAST_CONTRAST).then(|| {
            format!(
                "`{name}` is hard to read: {front} on {back} has a contrast of {found:.1}, and text needs {LEAST_CONTRAST}"
            )
        })
    };
    texts.filter_map(warning).collect()
}

fn color_or(color: Option<Color>, other: Color) -> Color {
    color.filter(|color| *color != Color::Reset).unwrap_or(other)
}

/// The contrast ratio of two colors, in any order.
#[must_use]
pub fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Relative luminance, from 0 for black to 1 for white.
fn luminance(color: [u8; 3]) -> f64 {
    let linear = |part: u8| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = color.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// Red, green and blue as xterm shows the color; other terminals have similar ones. `None` for the terminal's own default.
#[must_use]
pub fn xterm_rgb(color: Color) -> Option<[u8; 3]> {
    Some(match color {
        Color::Reset => return None,
        Color::Rgb(red, green, blue) => [red, green, blue],
        Color::Black => [0, 0, 0],
        Color::Red => [205, 0, 0],
        Color::Green => [0, 205, 0],
        Color::Yellow => [205, 205, 0],
        Color::Blue => [0, 0, 238],
        Color::Magenta => [205, 0, 205],
        Color::Cyan => [0, 205, 205],
        Color::Gray => [229, 229, 229],
        Color::DarkGray => [127, 127, 127],
        Color::LightRed => [255, 0, 0],
        Color::LightGreen => [0, 255, 0],
        Color::LightYellow => [255, 255, 0],
        Color::LightBlue => [92, 92, 255],
        Color::LightMagenta => [255, 0, 255],
        Color::LightCyan => [0, 255, 255],
        Color::White => [255, 255, 255],
        Color::Indexed(index) => indexed(index)?,
    })
}

/// The colors of xterm's palette of 256 behind the first sixteen: a cube of six steps, then grays.
fn indexed(index: u8) -> Option<[u8; 3]> {
    const NAMED: [Color; 16] = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::Gray,
        Color::DarkGray,
        Color::LightRed,
        Color::LightGreen,
        Color::LightYellow,
        Color::LightBlue,
        Color::LightMagenta,
        Color::LightCyan,
        Color::White,
    ];
    let step = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
    match index {
        0..=15 => xterm_rgb(*NAMED.get(usize::from(index))?),
        16..=231 => {
            let cube = index - 16;
            Some([step(cube / 36), step(cube / 6 % 6), step(cube % 6)])
        }
        232..=255 => Some([8 + 10 * (index - 232); 3]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::theme::ThemeName;

    #[test]
    fn contrast_is_that_of_the_standard() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
        assert!((contrast([255; 3], [255; 3]) - 1.0).abs() < 1e-9);
        // Published pairs: #777777 on white has 4.48, #767676 has 4.54.
        let with_white = |gray: u8| contrast([gray; 3], [255; 3]);
        assert!((with_white(0x77) - 4.48).abs() < 0.01 && (with_white(0x76) - 4.54).abs() < 0.01);
        assert_eq!((indexed(16), indexed(231), indexed(28)), (Some([0; 3]), Some([255; 3]), Some([0, 135, 0])));
        assert_eq!((indexed(232), indexed(255), indexed(9)), (Some([8; 3]), Some([238; 3]), Some([255, 0, 0])));
    }

    #[test]
    fn the_themes_that_are_built_in_can_be_read() {
        for (name, background) in [(ThemeName::Dark, Color::Black), (ThemeName::Light, Color::White)] {
            let found = unreadable_texts(&Theme::new(name, false), background);
            assert!(found.is_empty(), "{name:?}: {found:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_colors() {
        let mut theme = Theme::new(ThemeName::Dark, false);
        theme.dim = Style::new().fg(Color::Rgb(40, 40, 40));
        theme.bar = Style::new().fg(Color::Black);
        theme.chosen = Style::new().fg(Color::Yellow).bg(Color::White);
        insta::assert_snapshot!(unreadable_texts(&theme, Color::Black).join("\n"), @r"
        `dim` is hard to read: #282828 on Black has a contrast of 1.4, and text needs 3
        `chosen` is hard to read: Yellow on White has a contrast of 1.7, and text needs 3
        ");
        let reversed =
            Theme { chosen: theme.dim.add_modifier(Modifier::REVERSED), ..Theme::new(ThemeName::Dark, false) };
        assert_eq!(unreadable_texts(&reversed, Color::Black).len(), 1, "black on dark gray");
        assert!(unreadable_texts(&Theme::new(ThemeName::Mono, false), Color::Black).is_empty(), "not known");
    }
}
