use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use rsd_config::PrmFamily;

use super::*;

const VOCABULARY: usize = 40;
const HIDDEN: usize = 8;

/// A checkpoint of a few numbers: two files, the second with a spare output matrix.
fn checkpoint(folder: &Path) -> Checkpoint {
    fs::write(
        folder.join("config.json"),
        r#"{"architectures":["Qwen2ForPrmModel"],"model_type":"qwen2","auto_map":{},"vocab_size":40}"#,
    )
    .unwrap();
    fs::write(folder.join("tokenizer_config.json"), r#"{"bos_token":{"content":"<b>"},"pad_token":null}"#).unwrap();
    let tensor = |rows: usize, value: f32| {
        Tensor::full(value, (rows, HIDDEN), &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap()
    };
    let save = |name: &str, tensors: Vec<(&str, Tensor)>| {
        candle_core::safetensors::save(&tensors.into_iter().collect::<HashMap<_, _>>(), folder.join(name)).unwrap();
    };
    save("model-00001-of-00002.safetensors", vec![("model.embed_tokens.weight", tensor(VOCABULARY, 1.0))]);
    save(
        "model-00002-of-00002.safetensors",
        vec![
            (OUTPUT, tensor(VOCABULARY, 9.0)),
            ("model.norm.weight", tensor(1, 2.0)),
            ("v_head.summary.weight", tensor(1, 3.0)),
            ("v_head.summary.bias", Tensor::full(0.5f32, 1, &Device::Cpu).unwrap()),
        ],
    );
    Checkpoint::open(folder).unwrap()
}

fn output_folder(checkpoint: &Checkpoint) -> (tempfile::TempDir, Vec<PathBuf>) {
    let out = tempfile::tempdir().unwrap();
    let config = config(checkpoint, VOCABULARY).unwrap();
    write(checkpoint, &config, (VOCABULARY, HIDDEN), out.path(), &ProgressReporter::silent()).unwrap();
    let mut weights: Vec<_> = fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    weights.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    weights.sort();
    (out, weights)
}

#[test]
fn the_output_is_the_identity_and_everything_else_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(folder.path());
    let (out, files) = output_folder(&checkpoint);
    assert_eq!(files.len(), 3);
    // candle's own reader agrees about the files, and no tensor is there twice.
    let mut all = HashMap::new();
    for file in &files {
        for (name, tensor) in candle_core::safetensors::load(file, &Device::Cpu).unwrap() {
            assert!(all.insert(name.clone(), tensor).is_none(), "{name}");
        }
    }
    let output = all[OUTPUT].to_dtype(DType::F32).unwrap();
    assert_eq!(output.dims(), [VOCABULARY, HIDDEN]);
    let identity = output.narrow(0, 0, HIDDEN).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(identity, Tensor::eye(HIDDEN, DType::F32, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap());
    let rest = output.narrow(0, HIDDEN, VOCABULARY - HIDDEN).unwrap().sqr().unwrap().sum_all().unwrap();
    assert_eq!(rest.to_scalar::<f32>().unwrap(), 0.0);
    let norm = all["model.norm.weight"].to_dtype(DType::F32).unwrap().flatten_all().unwrap();
    assert_eq!(norm.to_vec1::<f32>().unwrap(), [2.0; HIDDEN]);
    assert!(all.contains_key("model.embed_tokens.weight"));
    let config: Value = serde_json::from_slice(&fs::read(out.path().join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"], json!(["Qwen2ForCausalLM"]));
    assert_eq!(config["tie_word_embeddings"], json!(false));
    assert!(config.get("auto_map").is_none());
    #[cfg(unix)]
    {
        assert!(files[0].is_symlink(), "the file without an output matrix is linked");
        assert!(!files[1].is_symlink(), "the one with it is rewritten");
        assert!(out.path().join("tokenizer_config.json").is_symlink());
    }
}

#[test]
fn zeros_take_no_space_on_a_file_system_with_sparse_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.safetensors");
    identity_rows(&path, 100_000, 64).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert!(metadata.len() > 12_800_000);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt as _;
        assert!(metadata.blocks() * 512 < 1_000_000, "{} blocks", metadata.blocks());
    }
}

#[test]
fn the_key_follows_what_the_folder_is_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let before = checkpoint(folder.path());
    let config = config(&before, VOCABULARY).unwrap();
    let first = key(&before, &config).unwrap();
    assert_eq!(first.len(), 16);
    assert_eq!(key(&before, &config).unwrap(), first);
    assert_ne!(key(&before, b"another").unwrap(), first);
    fs::write(folder.path().join("tokenizer_config.json"), "{}").unwrap();
    assert_ne!(key(&before, &config).unwrap(), first);
}

#[test]
fn an_unfinished_folder_or_a_broken_link_is_not_complete() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(folder.path());
    let (out, _) = output_folder(&checkpoint);
    assert!(is_complete(out.path()));
    fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    assert_eq!(is_complete(out.path()), cfg!(not(unix)));
    fs::remove_file(out.path().join(RECORD)).unwrap();
    assert!(!is_complete(out.path()));
}

#[test]
fn the_head_and_the_family_are_found_or_the_error_says_what_was() {
    let folder = tempfile::tempdir().unwrap();
    let found = checkpoint(folder.path());
    assert_eq!(found.family(None, "").unwrap(), PrmFamily::Skywork);
    assert_eq!(found.special_tokens().bos.as_deref(), Some("<b>"));
    let head = found.head(PrmFamily::Skywork).unwrap();
    assert_eq!(head[0].apply(&[1.0; HIDDEN]), [24.5]);
    for wanted in [PrmFamily::QwenPrm, PrmFamily::Rlhflow, PrmFamily::ReasonEval] {
        let error = found.family(Some(wanted), "").unwrap_err().to_string();
        for part in ["`format: ", wanted.name(), "Qwen2ForPrmModel", "v_head.summary.weight", "auto"] {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn a_damaged_head_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path());
    let file = folder.path().join("model-00002-of-00002.safetensors");
    let save = |weight: Tensor| {
        candle_core::safetensors::save(&HashMap::from([("v_head.summary.weight", weight)]), &file).unwrap();
        Checkpoint::open(folder.path()).unwrap().head(PrmFamily::Skywork).unwrap_err().to_string()
    };
    let nan = save(Tensor::full(f32::NAN, (1, HIDDEN), &Device::Cpu).unwrap());
    assert!(nan.contains("not finite"), "{nan}");
    let narrow = save(Tensor::full(1f32, (1, HIDDEN - 1), &Device::Cpu).unwrap());
    assert!(narrow.contains("expected 8 inputs"), "{narrow}");
    let two = save(Tensor::full(1f32, (2, HIDDEN), &Device::Cpu).unwrap());
    assert!(two.contains("expected 1 outputs"), "{two}");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 4]).unwrap();
    let cut = Checkpoint::open(folder.path()).err().unwrap().to_string();
    assert!(cut.contains("fetch it again"), "{cut}");
}
