use candle_core::Tensor;

use super::*;
use crate::gguf::{
    requantized,
    test_files::{read_tensor, write_file},
    verify_requantized,
};

const TYPES: [(&str, GgmlDType); 5] = [
    ("blk.0.five", GgmlDType::Q5_0),
    ("blk.0.five_one", GgmlDType::Q5_1),
    ("blk.0.eight", GgmlDType::Q8_0),
    ("norm", GgmlDType::F32),
    ("blk.0.four", GgmlDType::Q4_0),
];

fn metadata() -> Vec<(&'static str, Value)> {
    let strings = |list: &[&str]| Value::Array(list.iter().map(|s| Value::String((*s).to_owned())).collect());
    vec![
        ("general.architecture", Value::String("qwen2".into())),
        ("general.file_type", Value::U32(15)),
        ("qwen2.rope.freq_base", Value::F32(1_000_000.0)),
        ("tokenizer.ggml.tokens", strings(&["<s>", "Ġthe", "é", "日本", ""])),
        ("tokenizer.ggml.token_type", Value::Array(vec![Value::I32(1), Value::I32(-3)])),
        ("tokenizer.ggml.scores", Value::Array(vec![Value::F32(-0.5), Value::F32(f32::NAN)])),
        ("tokenizer.ggml.add_bos_token", Value::Bool(false)),
        ("empty", Value::Array(Vec::new())),
        ("big", Value::U64(u64::MAX)),
    ]
}

fn tensor(seed: f32, dtype: GgmlDType) -> QTensor {
    let values: Vec<f32> = (0..6u8 * 32).map(|i| (f32::from(i) * 0.37 + seed).sin()).collect();
    let tensor = Tensor::from_vec(values, (3, 64), &Device::Cpu).unwrap();
    QTensor::quantize(&tensor, dtype).unwrap()
}

fn write(path: &Path, types: &[(&str, GgmlDType)], metadata: &[(&str, Value)]) {
    let tensors: Vec<(&str, QTensor)> =
        types.iter().zip(1u8..).map(|((name, dtype), seed)| (*name, tensor(f32::from(seed), *dtype))).collect();
    write_file(path, &tensors, metadata);
}

fn values(tensor: &QTensor) -> Vec<f32> {
    tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn files_of(dir: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn manifest(output: &Path) -> CopyManifest {
    CopyManifest::load(&manifest_path(output)).unwrap()
}

#[test]
fn slow_types_become_q8_0_and_the_rest_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    write(&source, &TYPES, &metadata());
    let output = requantized(&source, &ProgressReporter::silent()).unwrap();
    assert_eq!(output, dir.path().join("model.q8_0.gguf"));

    for name in ["blk.0.five", "blk.0.five_one"] {
        let (before, after) = (read_tensor(&source, name), read_tensor(&output, name));
        assert_eq!(after.dtype(), GgmlDType::Q8_0);
        assert_eq!(after.shape(), before.shape());
        // A block's largest value is at most 1.2 here, so half a step of Q8_0 is below 1.2 / 127 / 2, and its f16
        // scale adds a little.
        for (a, b) in values(&before).iter().zip(values(&after)) {
            assert!((a - b).abs() < 0.0055, "{name}: {a} became {b}");
        }
    }
    for name in ["blk.0.eight", "norm", "blk.0.four"] {
        let (before, after) = (read_tensor(&source, name), read_tensor(&output, name));
        assert_eq!(after.dtype(), before.dtype());
        assert_eq!(after.data().unwrap(), before.data().unwrap(), "{name}");
    }
    let copied = read_header(&output).unwrap().metadata;
    assert_eq!(copied.len(), metadata().len());
    for (key, value) in metadata() {
        assert!(same(&value, &copied[key]), "{key}");
    }
}

#[test]
fn the_manifest_says_what_was_done() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    write(&source, &TYPES, &metadata());
    let output = requantized(&source, &ProgressReporter::silent()).unwrap();
    let manifest = manifest(&output);
    assert_eq!(manifest.source.file, "model.gguf");
    assert_eq!(manifest.source.stamp.sha256, digest::sha256(&source, |_| ()).unwrap());
    assert_eq!(manifest.output.file, "model.q8_0.gguf");
    assert_eq!(manifest.output.stamp.sha256, digest::sha256(&output, |_| ()).unwrap());
    assert_eq!(manifest.output.stamp.size, fs::metadata(&output).unwrap().len());
    insta::assert_snapshot!(format!("{:?}\n{:?}", manifest.tensors_before, manifest.tensors_after), @r#"
    {"F32": 1, "Q4_0": 1, "Q5_0": 1, "Q5_1": 1, "Q8_0": 1}
    {"F32": 1, "Q4_0": 1, "Q8_0": 3}
    "#);
}

#[test]
fn it_is_made_once_and_again_only_when_needed() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    write(&source, &TYPES, &metadata());
    let output = requantized(&source, &ProgressReporter::silent()).unwrap();
    let first = manifest(&output);
    requantized(&source, &ProgressReporter::silent()).unwrap();
    assert_eq!(manifest(&output), first, "reused");

    // Touched only: the copy stays, the record follows.
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    File::options().write(true).open(&source).unwrap().set_modified(later).unwrap();
    requantized(&source, &ProgressReporter::silent()).unwrap();
    let touched = manifest(&output);
    assert_eq!(touched.output, first.output);
    assert_ne!(touched.source.stamp.modified_ns, first.source.stamp.modified_ns);

    // Another source: another copy.
    write(&source, &TYPES[..2], &metadata());
    requantized(&source, &ProgressReporter::silent()).unwrap();
    assert_ne!(manifest(&output).output.stamp.sha256, first.output.stamp.sha256);

    // A copy cut short is made again.
    File::options().write(true).open(&output).unwrap().set_len(100).unwrap();
    assert!(verify_requantized(&source, &ProgressReporter::silent()).is_err());
    requantized(&source, &ProgressReporter::silent()).unwrap();
    assert_eq!(verify_requantized(&source, &ProgressReporter::silent()).unwrap(), Some(output));
}

#[test]
fn a_file_of_another_origin_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (source, other) = (dir.path().join("model.gguf"), dir.path().join("model.q8_0.gguf"));
    write(&source, &TYPES, &metadata());
    fs::write(&other, "a published file").unwrap();
    let error = requantized(&source, &ProgressReporter::silent()).unwrap_err().to_string();
    assert!(error.contains("model.q8_0.gguf") && error.contains("not written by this program"), "{error}");
    assert_eq!(fs::read(&other).unwrap(), b"a published file");
}

#[test]
fn a_file_without_slow_types_is_used_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    write(&source, &TYPES[2..], &metadata());
    assert_eq!(requantized(&source, &ProgressReporter::silent()).unwrap(), source);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(verify_requantized(&source, &ProgressReporter::silent()).unwrap(), None);
}

#[test]
fn another_alignment_becomes_the_writers() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    // Three more bytes of metadata would do no harm at 32, but shift the data at 64 unless the copy says 32.
    let header = dir.path().join("header.gguf");
    write(&header, &TYPES[..1], &[(ALIGNMENT_KEY, Value::U32(64))]);
    let mut bytes = fs::read(&header).unwrap();
    let data = tensor(1.0, GgmlDType::Q5_0).storage_size_in_bytes();
    let padded = data.div_ceil(32) * 32;
    let content = bytes.split_off(bytes.len() - padded);
    bytes.resize(bytes.len().div_ceil(64) * 64, 0);
    bytes.extend(content);
    fs::write(&source, bytes).unwrap();
    let output = requantized(&source, &ProgressReporter::silent()).unwrap();
    let (before, after) = (values(&read_tensor(&source, "blk.0.five")), values(&read_tensor(&output, "blk.0.five")));
    assert!(before.iter().zip(after).all(|(a, b)| (a - b).abs() < 0.0055));
}

#[test]
fn a_tensor_cut_short_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    write(&source, &TYPES, &metadata());
    fs::write(dir.path().join("model.q8_0.gguf.part"), "left by a killed attempt").unwrap();
    let size = fs::metadata(&source).unwrap().len();
    File::options().write(true).open(&source).unwrap().set_len(size - 64).unwrap();
    requantized(&source, &ProgressReporter::silent()).unwrap_err();
    assert_eq!(files_of(dir.path()), ["model.gguf", "model.q8_0.gguf.lock"]);
}

/// Copies every tensor, and changes the source meanwhile as a download that goes on does.
struct SourceGrows<'a>(&'a Path);

impl GgufRewrite for SourceGrows<'_> {
    fn suffix(&self) -> &'static str {
        "copy"
    }

    fn version(&self) -> u32 {
        1
    }

    fn task(&self) -> &'static str {
        "copying"
    }

    fn changes(&self, _: &Content) -> bool {
        true
    }

    fn rewrite(&self, _: &Content, name: &str, tensor: QTensor) -> candle_core::Result<Vec<(String, QTensor)>> {
        let mut file = File::options().append(true).open(self.0)?;
        file.write_all(b"more")?;
        Ok(vec![(name.to_owned(), tensor)])
    }
}

#[test]
fn a_source_that_changes_meanwhile_is_an_error_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    write(&source, &TYPES, &metadata());
    let error = rewritten_copy(&source, &SourceGrows(&source), &ProgressReporter::silent()).unwrap_err().to_string();
    assert!(error.contains("model.gguf") && error.contains("changed while it was copied"), "{error}");
    assert_eq!(files_of(dir.path()), ["model.copy.gguf.lock", "model.gguf"]);
}

#[test]
fn a_file_that_is_not_a_gguf_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    fs::write(&source, b"<html>").unwrap();
    let error = requantized(&source, &ProgressReporter::silent()).unwrap_err().to_string();
    assert!(error.contains("model.gguf") && error.contains("GGUF"), "{error}");
}

#[test]
fn folders_whose_paths_differ_in_a_separator_do_not_share_copies() {
    let names = ["/a/b/c", "/a/b_c", "/a_b/c", "/a/b-c", "/x/c"].map(|folder| folder_name(Path::new(folder)));
    let different: std::collections::HashSet<&String> = names.iter().collect();
    assert_eq!(different.len(), names.len(), "{names:?}");
    assert!(names[0].starts_with("c-") && names[0] == folder_name(Path::new("/a/b/c")), "{names:?}");
}

#[test]
fn a_copy_or_a_manifest_of_another_version_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    write(&source, &TYPES, &metadata());
    let output = requantized(&source, &ProgressReporter::silent()).unwrap();
    let now = manifest(&output);
    let path = manifest_path(&output);
    let text = std::fs::read_to_string(&path).unwrap();
    let older = text.replace(&format!("\"recipe\": {}", now.recipe), "\"recipe\": 0");
    assert_ne!(older, text);
    for outdated in [older.as_str(), "{\"tool\": \"a version without the other fields\"}", &text[..text.len() / 2], ""]
    {
        std::fs::write(&path, outdated).unwrap();
        assert_eq!(requantized(&source, &ProgressReporter::silent()).unwrap(), output);
        let again = manifest(&output);
        assert_eq!((again.recipe, &again.output.stamp.sha256), (now.recipe, &now.output.stamp.sha256), "{outdated}");
    }
}
