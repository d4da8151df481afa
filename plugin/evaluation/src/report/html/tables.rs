//! The sections of `report.md` as HTML, with the pictures in place of the links to them.

use pulldown_cmark::{Alignment, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::writer::HtmlWriter;

/// Writes Markdown that this crate made. What is no table, list, code or picture in it, HTML above all, is shown as
/// text.
pub(super) fn write(page: &mut HtmlWriter, markdown: &str, pictures: &[(&'static str, String)]) {
    let mut events = Parser::new_ext(markdown, Options::ENABLE_TABLES).peekable();
    let mut table = TablePlace::default();
    // A picture stands in a paragraph of its own, and in HTML a figure cannot stand in one.
    let mut is_figure = false;
    while let Some(event) = events.next() {
        match event {
            Event::Start(Tag::Image { dest_url, .. }) => {
                let mut caption = String::new();
                while let Some(event) = events.next_if(|event| *event != Event::End(TagEnd::Image)) {
                    if let Event::Text(text) = event {
                        caption.push_str(&text);
                    }
                }
                let picture = pictures.iter().find(|(name, _)| *name == &*dest_url);
                figure(page, &caption, picture.map_or("", |(_, svg)| svg));
            }
            Event::Start(Tag::Paragraph) if matches!(events.peek(), Some(Event::Start(Tag::Image { .. }))) => {
                is_figure = true;
            }
            Event::End(TagEnd::Paragraph) if is_figure => is_figure = false,
            Event::Start(tag) => start(page, &tag, &mut table),
            Event::End(tag) => end(page, tag, &mut table),
            Event::Code(text) => page.leaf("code", "", &text),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => page.text(&text),
            Event::SoftBreak | Event::HardBreak => page.text("\n"),
            _ => {}
        }
    }
}

/// Where in a table the next cell is.
#[derive(Default)]
struct TablePlace {
    alignments: Vec<Alignment>,
    column: usize,
    in_head: bool,
}

fn start(page: &mut HtmlWriter, tag: &Tag, table: &mut TablePlace) {
    match tag {
        Tag::Heading { level: HeadingLevel::H1 | HeadingLevel::H2, .. } => page.open("h2", ""),
        Tag::Heading { .. } => page.open("h3", ""),
        Tag::Paragraph => page.open("p", ""),
        Tag::List(_) => page.open("ul", ""),
        Tag::Item => page.open("li", ""),
        Tag::Strong => page.open("strong", ""),
        Tag::CodeBlock(_) => {
            page.open("pre", "");
            page.open("code", "");
        }
        Tag::Table(alignments) => {
            table.alignments.clone_from(alignments);
            page.open_with("div", &[("class", "wide"), ("tabindex", "0")]);
            page.open("table", "");
        }
        Tag::TableHead => {
            (table.in_head, table.column) = (true, 0);
            page.open("thead", "");
            page.open("tr", "");
        }
        Tag::TableRow => {
            table.column = 0;
            page.open("tr", "");
        }
        Tag::TableCell => {
            let number = table.alignments.get(table.column) == Some(&Alignment::Right);
            page.open(if table.in_head { "th" } else { "td" }, if number { "number" } else { "" });
            table.column += 1;
        }
        _ => {}
    }
}

fn end(page: &mut HtmlWriter, tag: TagEnd, table: &mut TablePlace) {
    match tag {
        TagEnd::Heading(_)
        | TagEnd::Paragraph
        | TagEnd::List(_)
        | TagEnd::Item
        | TagEnd::Strong
        | TagEnd::TableRow
        | TagEnd::TableCell => page.close(),
        TagEnd::CodeBlock => {
            page.close();
            page.close();
        }
        TagEnd::TableHead => {
            table.in_head = false;
            page.close();
            page.close();
            page.open("tbody", "");
        }
        TagEnd::Table => {
            page.close();
            page.close();
            page.close();
        }
        _ => {}
    }
}

fn figure(page: &mut HtmlWriter, caption: &str, svg: &str) {
    page.open("figure", "");
    page.open_with("div", &[("class", "wide"), ("tabindex", "0"), ("role", "img"), ("aria-label", caption)]);
    page.picture(svg);
    page.close();
    page.leaf("figcaption", "", caption);
    page.close();
}
