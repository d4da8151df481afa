//! Links between documents lead somewhere, the book's index names every page, and the page of environment variables
//! names every variable.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use regex::Regex;
use rsd_repository::{crates, files, is_test, root, shown, text};

fn documents() -> Vec<PathBuf> {
    files("", &["md"])
}

/// The anchors that GitHub and mdBook give to a document's headings.
fn anchors(document: &str) -> BTreeSet<String> {
    let (mut anchors, mut heading) = (BTreeSet::new(), None::<String>);
    for event in Parser::new_ext(document, Options::all()) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let text = heading.take().unwrap_or_default().to_lowercase();
                let letters = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                anchors.insert(letters.map(|c| if c == ' ' { '-' } else { c }).collect());
            }
            _ => {}
        }
    }
    anchors
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let own = text(&document);
        for event in Parser::new_ext(&own, Options::all()) {
            let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event else {
                continue;
            };
            if dest_url.contains("://") || dest_url.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = dest_url.split_once('#').unwrap_or((&dest_url, ""));
            let target = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            let is_document = target.extension().is_some_and(|extension| extension == "md");
            if !target.exists() {
                broken.push(format!("{}: {dest_url}: no such file", shown(&document)));
            } else if !anchor.is_empty() && is_document && !anchors(&text(&target)).contains(anchor) {
                broken.push(format!("{}: {dest_url}: no such heading", shown(&document)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_books_index_names_every_page() {
    let folder =
        ["docs/SUMMARY.md", "docs/src/SUMMARY.md"].map(|name| root().join(name)).into_iter().find(|p| p.exists());
    let index = folder.unwrap_or_else(|| panic!("docs has no SUMMARY.md"));
    let listed = text(&index);
    let base = index.parent().unwrap();
    for page in files(&shown(base), &["md"]).into_iter().filter(|page| *page != index) {
        let name = page.strip_prefix(base).unwrap().to_string_lossy().into_owned();
        let hidden = name.starts_with("results/") && name != "results/README.md";
        assert!(hidden || listed.contains(&format!("({name})")) || listed.contains(&format!("(./{name})")), "{name}");
    }
}

#[test]
fn the_page_of_environment_variables_names_every_one() {
    let page = files("docs", &["md"]).into_iter().find(|page| page.file_stem().unwrap() == "environment");
    let page = text(&page.unwrap_or_else(|| panic!("docs has no environment.md")));
    let variable = Regex::new(r#""(RSD_[A-Z][A-Z_]*[A-Z])"#).unwrap();
    let mut sources: Vec<PathBuf> = Vec::new();
    for each in crates() {
        sources.extend(files(&shown(&each.sources), &["rs"]).into_iter().filter(|path| !is_test(path)));
    }
    sources
        .extend(files("tests", &["rs"]).into_iter().filter(|path| !path.starts_with(root().join("tests/repository"))));
    let mut seen = 0;
    for path in &sources {
        for found in variable.captures_iter(&text(path)) {
            seen += 1;
            let name = &found[1];
            assert!(name.starts_with("RSD__") || page.contains(name), "{}: {name} is not documented", shown(path));
        }
    }
    assert!(seen > 5, "{seen}");
    assert!(Path::new(&root()).is_dir());
}
