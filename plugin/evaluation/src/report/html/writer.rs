//! HTML as it is written: elements by name, and text that gets in escaped only.

use crate::markup::escaped;

/// A page being written. Names of elements and attributes come from this program; what comes from elsewhere is text or
/// the value of an attribute, and both are escaped. Elements close in the order in which they were opened.
#[derive(Default)]
pub(super) struct HtmlWriter {
    text: String,
    open: Vec<&'static str>,
}

impl HtmlWriter {
    /// Begins an element. An empty `class` is none.
    pub(super) fn open(&mut self, element: &'static str, class: &'static str) {
        let attributes: &[(&'static str, &str)] = if class.is_empty() { &[] } else { &[("class", class)] };
        self.open_with(element, attributes);
    }

    /// Begins an element with these attributes.
    pub(super) fn open_with(&mut self, element: &'static str, attributes: &[(&'static str, &str)]) {
        self.tag(element, attributes);
        self.open.push(element);
    }

    /// Ends the innermost element.
    pub(super) fn close(&mut self) {
        if let Some(element) = self.open.pop() {
            self.text.extend(["</", element, ">"]);
            if !["code", "span", "strong", "a", "b"].contains(&element) {
                self.text.push('\n');
            }
        }
    }

    /// An element that has no end.
    pub(super) fn tag(&mut self, element: &'static str, attributes: &[(&'static str, &str)]) {
        self.text.extend(["<", element]);
        for (name, value) in attributes {
            self.text.extend([" ", name, "=\"", &escaped(value), "\""]);
        }
        self.text.push('>');
    }

    /// An element with a text.
    pub(super) fn leaf(&mut self, element: &'static str, class: &'static str, text: &str) {
        self.open(element, class);
        self.text(text);
        self.close();
    }

    pub(super) fn text(&mut self, text: &str) {
        self.text.push_str(&escaped(text));
    }

    /// A style sheet of this program.
    pub(super) fn style(&mut self, sheet: &'static str) {
        self.text.extend(["<style>\n", sheet, "</style>\n"]);
    }

    /// A picture made by [`crate::svg`], which escapes the texts in it.
    pub(super) fn picture(&mut self, svg: &str) {
        self.text.push_str(svg);
    }

    /// The number of bytes so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The finished page. Closes what is still open.
    pub(super) fn end(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }
}
