//! Text that goes into HTML and SVG: special characters escaped, control characters made visible.

/// A text whose control characters, which HTML and SVG forbid or hide, are the pictures that Unicode has for them.
/// Tabs and line feeds stay. Marks that reverse the direction of writing become a replacement character, so that no
/// text can show itself in another order than it was generated.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(picture).collect()
}

fn picture(c: char) -> char {
    match c {
        '\t' | '\n' => c,
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        // Noncharacters are errors in both.
        c if u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c) => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// A text for the content of an element or the value of an attribute.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match picture(c) {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped_and_control_characters_are_seen() {
        assert_eq!(escaped("<a href=\"x\">'R&D'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;R&amp;D&#39;&lt;/a&gt;");
        assert_eq!(escaped("a\0b\u{1b}[1m\r\n\tc\u{7f}"), "a␀b␛[1m␍\n\tc␡");
        assert_eq!(escaped("\u{202e}evil\u{85}\u{ffff}"), "\u{fffd}evil\u{fffd}\u{fffd}");
        assert_eq!(escaped("größer ≥ 3 😀"), "größer ≥ 3 😀");
    }
}
