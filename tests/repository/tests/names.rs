//! Type names explain themselves: most have two words, and no crate has one public name twice.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use rsd_repository::{crates, files, is_test, shown, text};
use syn::{Item, Visibility};

/// The largest share of type names with one word.
const MOST_ONE_WORD: f64 = 0.35;

#[test]
fn most_type_names_have_two_words_and_public_ones_are_unique_in_their_crate() {
    let (mut all, mut single) = (0.0, Vec::new());
    for each in crates() {
        let mut public = BTreeMap::<String, String>::new();
        for path in files(&shown(&each.sources), &["rs"]).into_iter().filter(|path| !is_test(path)) {
            for item in syn::parse_file(&text(&path)).unwrap().items {
                let (name, visibility) = match &item {
                    Item::Struct(item) => (&item.ident, &item.vis),
                    Item::Enum(item) => (&item.ident, &item.vis),
                    Item::Trait(item) => (&item.ident, &item.vis),
                    Item::Type(item) => (&item.ident, &item.vis),
                    _ => continue,
                };
                let name = name.to_string();
                all += 1.0;
                if name.chars().filter(|letter| letter.is_uppercase()).count() < 2 {
                    single.push(format!("{}: {name}", shown(&path)));
                }
                if matches!(visibility, Visibility::Public(_))
                    && let Some(other) = public.insert(name.clone(), shown(&path))
                {
                    panic!("{name} is in {other} and in {}", shown(&path));
                }
            }
        }
    }
    let share = single.len() as f64 / all;
    println!("{} of {all} type names have one word ({:.0} %)", single.len(), 100.0 * share);
    assert!(share < MOST_ONE_WORD, "{share:.2} of {all} type names have one word:\n{}", single.join("\n"));
}
