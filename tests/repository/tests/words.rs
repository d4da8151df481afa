//! What people read uses the field's words: accept and reject, prefill and decode, score and decision, speedup.
#![allow(clippy::unwrap_used, clippy::panic)]

use regex::Regex;
use rsd_repository::{crates, files, is_test, root, shown, text};
use syn::visit::Visit;

/// Words that this project does not use, and what it says instead.
const AVOIDED: &[(&str, &str)] = &[
    (r"\bkept\b", "accepted (of steps and tokens), else stored or left"),
    (r"\bverdicts?\b", "score (the number) or decision (accept, reject)"),
    (r"\bspeed[-_ ]ups?\b", "speedup"),
    (r"\brefus\w+ (every |each |the |a |an )?(draft(ed)? )?(steps?|tokens?)\b", "rejected"),
    (r"\b(steps?|tokens?) (are |is |were |was |be |been )?refused\b", "rejected"),
    (r"\b(tok(ens)?/s|seconds|s|ms) (reading|writing)\b", "prefill or decode"),
    (r"\b(reading|writing) speeds?\b", "prefill or decode speed"),
    (r"\bthrown[- ]away\b|\bin vain\b|\bwasted (draft )?tokens\b", "discarded draft tokens"),
];

fn search(place: &str, text: &str, found: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        for (pattern, instead) in avoided() {
            for hit in pattern.find_iter(line) {
                found.push(format!("{place}:{}: `{}`: say {instead}: {}", number + 1, hit.as_str(), line.trim()));
            }
        }
    }
}

fn avoided() -> &'static [(Regex, &'static str)] {
    static WORDS: std::sync::OnceLock<Vec<(Regex, &'static str)>> = std::sync::OnceLock::new();
    WORDS.get_or_init(|| {
        let word =
            |(pattern, instead): &(&str, &'static str)| (Regex::new(&format!("(?i){pattern}")).unwrap(), *instead);
        AVOIDED.iter().map(word).collect()
    })
}

fn report(found: &[String]) {
    assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n"));
}

#[test]
fn documents_configuration_and_generated_help() {
    let mut found = Vec::new();
    let mut paths = Vec::new();
    for folder in ["docs", "config", "examples", "plugin", "console"] {
        paths.extend(files(folder, &["md", "yaml", "yml", "json", "txt", "sh", "py", "svg", "snap"]));
    }
    for name in ["README.md", "ARCHITECTURE.md", "BENCHMARKS.md", "CONTRIBUTING.md"] {
        paths.push(root().join(name));
    }
    // The help of `mistralrs serve` is mistral.rs's own text, fixtures are recorded answers.
    let others = |path: &std::path::Path| {
        let path = shown(path);
        path.ends_with("mistralrs-serve-help.txt") || path.contains("fixtures/") || path.contains("fuzz/")
    };
    for path in paths.iter().filter(|path| !others(path)) {
        search(&shown(path), &text(path), &mut found);
    }
    report(&found);
}

/// Texts and names in a source file that people may see: string literals, and identifiers of public items.
#[derive(Default)]
struct Visible(Vec<String>);

impl<'ast> Visit<'ast> for Visible {
    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.0.push(literal.value());
    }

    // Old names that are still accepted stand in attributes.
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let Ok(value) = attribute.meta.require_name_value()
            && attribute.path().is_ident("doc")
            && let syn::Expr::Lit(literal) = &value.value
        {
            self.visit_expr_lit(literal);
        }
    }

    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (visibility, name) = match item {
            syn::Item::Fn(item) => (&item.vis, item.sig.ident.to_string()),
            syn::Item::Struct(item) => (&item.vis, item.ident.to_string()),
            syn::Item::Enum(item) => (&item.vis, item.ident.to_string()),
            syn::Item::Trait(item) => (&item.vis, item.ident.to_string()),
            syn::Item::Const(item) => (&item.vis, item.ident.to_string()),
            syn::Item::Mod(item) if item.ident == "tests" => return,
            _ => return syn::visit::visit_item(self, item),
        };
        if matches!(visibility, syn::Visibility::Public(_)) {
            self.0.push(spaced(&name));
        }
        syn::visit::visit_item(self, item);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let (syn::Visibility::Public(_), Some(name)) = (&field.vis, &field.ident) {
            self.0.push(spaced(&name.to_string()));
        }
        syn::visit::visit_field(self, field);
    }
}

/// `KeptStep` and `kept_step` as `kept step`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter == '_' {
            words.push(' ');
        } else if letter.is_uppercase() && words.chars().last().is_some_and(char::is_lowercase) {
            words.extend([' ', letter]);
        } else {
            words.push(letter);
        }
    }
    words
}

#[test]
fn texts_and_public_names_in_the_sources() {
    let mut found = Vec::new();
    for each in crates() {
        for path in files(&shown(&each.sources), &["rs"]).into_iter().filter(|path| !is_test(path)) {
            let mut visible = Visible::default();
            visible.visit_file(&syn::parse_file(&text(&path)).unwrap());
            for words in visible.0 {
                search(&shown(&path), &words, &mut found);
            }
        }
    }
    report(&found);
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let mut found = Vec::new();
    let wrong = "86 % of the steps kept\na verdict\nspeed-up\nrefuse every step\n12 tok/s writing\nthrown away";
    search("x", wrong, &mut found);
    assert_eq!(found.len(), 6, "{found:#?}");
    found.clear();
    search("x", "the speedup of accepted steps; the request was refused; speedups", &mut found);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!((spaced("KeptStep"), spaced("kept_step")), ("Kept Step".to_owned(), "kept step".to_owned()));
}
