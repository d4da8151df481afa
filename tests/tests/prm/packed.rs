//! The same models as GGUF files, made here from the checkpoints without their heads.

use std::{collections::HashMap, path::Path};

use candle_core::{Device, quantized::GgmlDType};
use mistralrs_rsd::{
    config::{Format, RoleConfig},
    reward::format::Family,
};
use rsd_tests::packed;
use tempfile::TempDir;

use crate::{
    exact::{F32, Q8_0, worst},
    rig::{Rig, fixture, role},
};

/// Where a GGUF's head and its tokenizer come from.
#[derive(Clone, Copy)]
enum Source {
    /// Both from the checkpoint's folder, named as the head's.
    Folder,
    /// The head from a file of its own; the tokenizer is the one in the GGUF.
    File,
    /// No head; the tokenizer from the checkpoint's folder.
    Tokenizer,
}

async fn check(name: &str, family: Family, source: Source) {
    let checkpoint = fixture(name);
    for (dtype, tolerance) in [(GgmlDType::F32, F32), (GgmlDType::F16, F32), (GgmlDType::Q8_0, Q8_0)] {
        let dir = TempDir::new().unwrap();
        packed::write(&checkpoint, &dir.path().join("model.gguf"), dtype).unwrap();
        let file = dir.path().join("head.safetensors");
        let head: Option<&Path> = match source {
            Source::Folder => Some(&checkpoint),
            Source::File => {
                write_head(&checkpoint, &file);
                Some(&file)
            }
            Source::Tokenizer => None,
        };
        let role = RoleConfig {
            model_id: Some(dir.path().to_string_lossy().into_owned()),
            quantized_file: Some("model.gguf".to_owned()),
            format: Some(Format::Gguf),
            tok_model_id: matches!(source, Source::Tokenizer).then(|| checkpoint.to_string_lossy().into_owned()),
            ..role(name)
        };
        // A head tells its family.
        let wanted = head.is_none().then_some(family);
        let rig = Rig::load_as(role, wanted, head, None).await;
        let worst = worst(&rig, name).await;
        println!("{name} as {dtype:?} GGUF: at most {worst:.2e} off");
        assert!(worst < tolerance, "{name} {dtype:?}: {worst}");
    }
}

/// The tensors of a checkpoint that are no part of the language model.
fn write_head(checkpoint: &Path, to: &Path) {
    let mut head = HashMap::new();
    for entry in std::fs::read_dir(checkpoint).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            head.extend(candle_core::safetensors::load(path, &Device::Cpu).unwrap());
        }
    }
    head.retain(|name, _| name.starts_with("score"));
    assert_eq!(head.len(), 4);
    candle_core::safetensors::save(&head, to).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn skywork_with_its_checkpoints_folder() {
    check("skywork", Family::Skywork, Source::Folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qwen_prm_with_a_head_file_and_the_tokenizer_in_the_gguf() {
    check("qwen-prm", Family::QwenPrm, Source::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rlhflow_without_a_head() {
    check("rlhflow", Family::Rlhflow, Source::Tokenizer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn math_shepherd_without_a_head() {
    check("math-shepherd", Family::MathShepherd, Source::Tokenizer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reason_eval_7b_with_its_checkpoints_folder() {
    check("reason-eval-7b", Family::ReasonEval, Source::Folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reason_eval_34b_with_its_checkpoints_folder() {
    check("reason-eval-34b", Family::ReasonEval, Source::Folder).await;
}
