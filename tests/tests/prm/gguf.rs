//! The same models as GGUF files, which these tests make from the checkpoints without their heads.

use std::{collections::HashMap, path::Path};

use candle_core::{Device, quantized::GgmlDType};
use rsd_config::PrmFamily;
use rsd_config::{ModelFormat, RoleConfig};
use rsd_tests::checkpoint_gguf;
use tempfile::TempDir;

use crate::{
    loaded::{LoadedPrm, fixture, role},
    scores::{F32, Q8_0, worst},
};

/// Where the head and the tokenizer of a GGUF file come from.
#[derive(Clone, Copy)]
enum HeadSource {
    /// Both from the checkpoint's folder, which is named as the head.
    Folder,
    /// The head from a separate file, the tokenizer from the GGUF file.
    File,
    /// The family has no head; the tokenizer comes from the checkpoint's folder.
    Tokenizer,
}

async fn check(name: &str, family: PrmFamily, source: HeadSource) {
    let checkpoint = fixture(name);
    for (dtype, tolerance) in [(GgmlDType::F32, F32), (GgmlDType::F16, F32), (GgmlDType::Q8_0, Q8_0)] {
        let dir = TempDir::new().unwrap();
        checkpoint_gguf::write(&checkpoint, &dir.path().join("model.gguf"), dtype).unwrap();
        let file = dir.path().join("head.safetensors");
        let head: Option<&Path> = match source {
            HeadSource::Folder => Some(&checkpoint),
            HeadSource::File => {
                write_head(&checkpoint, &file);
                Some(&file)
            }
            HeadSource::Tokenizer => None,
        };
        let role = RoleConfig {
            model_id: Some(dir.path().to_string_lossy().into_owned()),
            quantized_file: Some("model.gguf".to_owned()),
            format: Some(ModelFormat::Gguf),
            tok_model_id: matches!(source, HeadSource::Tokenizer).then(|| checkpoint.to_string_lossy().into_owned()),
            ..role(name)
        };
        // A head identifies its family.
        let wanted = head.is_none().then_some(family);
        let model = LoadedPrm::load_as(role, wanted, head, None).await;
        let worst = worst(&model, name).await;
        println!("{name} as {dtype:?} GGUF: at most {worst:.2e} off");
        assert!(worst < tolerance, "{name} {dtype:?}: {worst}");
    }
}

/// Writes the tensors of a checkpoint that are not part of the language model.
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
    check("skywork", PrmFamily::Skywork, HeadSource::Folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qwen_prm_with_a_head_file_and_the_tokenizer_in_the_gguf() {
    check("qwen-prm", PrmFamily::QwenPrm, HeadSource::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rlhflow_without_a_head() {
    check("rlhflow", PrmFamily::Rlhflow, HeadSource::Tokenizer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn math_shepherd_without_a_head() {
    check("math-shepherd", PrmFamily::MathShepherd, HeadSource::Tokenizer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reason_eval_7b_with_its_checkpoints_folder() {
    check("reason-eval-7b", PrmFamily::ReasonEval, HeadSource::Folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reason_eval_34b_with_its_checkpoints_folder() {
    check("reason-eval-34b", PrmFamily::ReasonEval, HeadSource::Folder).await;
}
