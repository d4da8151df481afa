//! The parser's laws on inputs that have broken parsers, and on what is nearly such an input.

use std::path::Path;

use proptest::prelude::*;

use rsd_console::test_support::exposition_laws as laws;

/// The inputs that the fuzz target starts from.
fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.collect()
}

#[test]
fn the_laws_hold_for_every_seed() {
    let seeds = seeds();
    assert!(seeds.len() > 5);
    for seed in seeds {
        laws::check(&String::from_utf8_lossy(&seed));
    }
}

/// One change to some bytes: cut, doubled, lost, another byte, a piece put in.
#[derive(Debug, Clone)]
enum Cut {
    To,
    Double,
    Lose,
    Byte(u8),
    Piece(&'static str),
}

fn cuts() -> impl Strategy<Value = Vec<(prop::sample::Index, Cut)>> {
    let pieces =
        ["{", "}", "\"", "\\", "\\\"", "=", ",", " ", "\t", "\r", "\n", "#", "NaN", "+Inf", "1e999", "\u{2028}"];
    let cut = prop_oneof![
        Just(Cut::To),
        Just(Cut::Double),
        Just(Cut::Lose),
        any::<u8>().prop_map(Cut::Byte),
        prop::sample::select(pieces.to_vec()).prop_map(Cut::Piece),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), cut), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_laws_hold_for_what_is_nearly_a_seed(seed in prop::sample::select(seeds()), cuts in cuts()) {
        let mut bytes = seed;
        for (at, cut) in cuts {
            let at = at.index(bytes.len() + 1);
            match cut {
                Cut::To => bytes.truncate(at),
                Cut::Double => bytes.extend_from_within(at..),
                Cut::Lose if at < bytes.len() => drop(bytes.remove(at)),
                Cut::Byte(byte) if at < bytes.len() => bytes[at] = byte,
                Cut::Piece(piece) => drop(bytes.splice(at..at, piece.bytes())),
                Cut::Lose | Cut::Byte(_) => {}
            }
        }
        laws::check(&String::from_utf8_lossy(&bytes));
    }
}
