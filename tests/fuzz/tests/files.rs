//! Files: no content makes the reader of a deployment file, a GGUF header or a reward head panic.
#![allow(clippy::unwrap_used)]

use std::fs;

use rsd_config::{TargetRule, load};
use rsd_fuzz::{files, fuzz};
use rsd_head::{gguf::read_header, training::HeadFile};

#[test]
fn every_deployment_file_loads_or_is_refused() {
    const PIECES: [&[u8]; 18] = [
        b"- ",
        b"? ",
        b": ",
        b"{",
        b"[",
        b"}",
        b"&a ",
        b"*a",
        b"<<: *a",
        b"!!int ",
        b"|\n",
        b"\"",
        b"\t",
        b"\n  ",
        b"~",
        b"1e999",
        b"\0",
        "\u{85}\u{feff}".as_bytes(),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployment.yaml");
    fuzz(&files("config", "yaml"), &PIECES, |bytes| {
        fs::write(&path, bytes).unwrap();
        if let Err(error) = load(Some(&path), [], &[], TargetRule::FromCommandLine) {
            assert!(!error.to_string().is_empty());
        }
    });
}

/// A header of one text, one list and one tensor, with its data.
fn gguf() -> Vec<u8> {
    let text = |text: &str| [(text.len() as u64).to_le_bytes().as_slice(), text.as_bytes()].concat();
    let (one, two, eight) = (1_u64.to_le_bytes(), 2_u64.to_le_bytes(), 8_u64.to_le_bytes());
    let kind = u32::to_le_bytes;
    let parts: [&[u8]; 18] = [
        b"GGUF",
        &kind(3),
        &one,
        &two,
        &text("general.name"),
        &kind(8),
        &text("a model"),
        &text("words"),
        &kind(9),
        &kind(8),
        &two,
        &text("a"),
        &text("b"),
        &text("w"),
        &kind(1),
        &eight,
        &kind(0),
        &0_u64.to_le_bytes(),
    ];
    let mut file = parts.concat();
    file.resize(file.len().next_multiple_of(32) + 32, 0);
    file
}

/// Counts at which sizes overflow, or memory ends.
const COUNTS: [&[u8]; 7] = [
    &[0xff; 8],
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
    &[0, 0, 0, 0, 0, 0, 0, 0x20],
    &[0, 0, 0, 0, 1, 0, 0, 0],
    &[9, 0, 0, 0],
    &[8, 0, 0, 0],
    &[0; 8],
];

#[test]
fn every_gguf_header_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, gguf()).unwrap();
    assert_eq!(read_header(&path).unwrap().tensor_infos.len(), 1);
    fuzz(&[gguf()], &COUNTS, |bytes| {
        fs::write(&path, bytes).unwrap();
        if let Ok(content) = read_header(&path) {
            assert!(content.metadata.len() + content.tensor_infos.len() <= bytes.len());
        }
    });
}

#[test]
fn every_head_file_is_read_or_refused() {
    const PIECES: [&[u8]; 9] = [b"{", b"[", b"\"", b":", b"0", b"-1", b"1e999", b"NaN", &[0xff; 8]];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.safetensors");
    fuzz(&files("config", "safetensors"), &PIECES, |bytes| {
        fs::write(&path, bytes).unwrap();
        if let Ok(head) = HeadFile::read(&path) {
            assert!(head.hidden_size > 0);
        }
    });
}
