//! A program does not panic where its output cannot be written, as on a closed pipe or a full disk: `println!` and
//! `eprintln!` do, so what people read is printed by functions that return the error or ignore it.
#![allow(clippy::unwrap_used, clippy::panic)]

use regex::Regex;
use rsd_repository::{crates, files, is_test, shown, text};
use syn::{Attribute, Item, Macro, visit::Visit};

/// The macros that panic, in the source of a file without its unit tests.
struct PanickingPrints {
    name: Regex,
    found: Vec<String>,
}

impl PanickingPrints {
    fn of(source: &str) -> Vec<String> {
        // Most files print nothing, and parsing takes the time of this test.
        if !source.contains("print") {
            return Vec::new();
        }
        let mut prints = Self { name: Regex::new(r"\be?print(ln)?\s*!").unwrap(), found: Vec::new() };
        prints.visit_file(&syn::parse_file(source).unwrap());
        prints.found
    }
}

impl<'ast> Visit<'ast> for PanickingPrints {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(each) => &each.attrs,
            Item::Impl(each) => &each.attrs,
            Item::Mod(each) => &each.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if !attributes.iter().any(is_for_tests) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        // What stands inside the call of another macro, such as `select!`, is known as tokens only.
        let path = called.path.segments.last().map(|name| format!("{}!", name.ident));
        for text in [path.unwrap_or_default(), called.tokens.to_string()] {
            self.found.extend(self.name.find_iter(&text).map(|found| found.as_str().to_owned()));
        }
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|cfg| cfg == "test")
}

#[test]
fn nothing_is_printed_by_macros_that_panic() {
    let mut found = Vec::new();
    for each in crates() {
        for path in files(&shown(&each.sources), &["rs"]).into_iter().filter(|path| !is_test(path)) {
            found.extend(PanickingPrints::of(&text(&path)).iter().map(|name| format!("{}: {name}", shown(&path))));
        }
    }
    let instead = "use output::print of mistralrs-rsd, rsd_head::progress::note, or writeln!";
    assert!(found.is_empty(), "{instead}:\n{}", found.join("\n"));
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let source = r#"
        /// `println!("a comment")`
        fn main() {
            eprintln!("one");
            std::print!("two");
            select! { _ = stop => { println!("three") } }
            writeln!(out, "eprint");
        }
        #[cfg(test)]
        mod tests {
            fn show() { println!("in a test"); }
        }
    "#;
    assert_eq!(PanickingPrints::of(source), ["eprintln!", "print!", "println !"]);
}
