use std::path::Path;

use candle_core::DType;

use super::*;
use crate::{
    gguf::{
        expose_states, read_header, requantized,
        test_files::{read_tensor, write_file},
    },
    progress::ProgressReporter,
};

const TYPES: [(&str, GgmlDType, &[usize]); 9] = [
    ("token_embd.weight", GgmlDType::Q5_0, &[40, 448]),
    ("output_norm.weight", GgmlDType::F32, &[448]),
    ("blk.0.attn_q.weight", GgmlDType::Q8_0, &[448, 448]),
    ("blk.0.attn_q.bias", GgmlDType::F32, &[448]),
    ("blk.0.attn_v.weight", GgmlDType::F16, &[64, 448]),
    ("blk.0.attn_v.bias", GgmlDType::F32, &[64]),
    ("blk.0.attn_output.weight", GgmlDType::Q5_1, &[448, 448]),
    ("blk.0.ffn_down.weight", GgmlDType::Q4K, &[448, 512]),
    ("blk.1.ffn_down.weight", GgmlDType::Q5_0, &[448, 96]),
];

fn metadata() -> Vec<(&'static str, Value)> {
    vec![
        (ARCHITECTURE, Value::String("qwen2".to_owned())),
        (HIDDEN, Value::U32(448)),
        (HEADS, Value::U32(14)),
        (KEY_VALUE_HEADS, Value::U32(2)),
        (EPSILON, Value::F32(1e-6)),
        ("general.name", Value::String("test".to_owned())),
    ]
}

/// Writes tensors of numbers that look random and are the same in every run.
fn write(path: &Path, types: &[(&str, GgmlDType, &[usize])], metadata: &[(&str, Value)]) {
    let tensor = |(name, dtype, dims): &(&str, GgmlDType, &[usize])| {
        let count: usize = dims.iter().product();
        let values: Vec<f32> = (0..count).map(|n| (n as f32 * 12.9898 + name.len() as f32).sin()).collect();
        QTensor::quantize(&Tensor::from_vec(values, *dims, &Device::Cpu).unwrap(), *dtype).unwrap()
    };
    let tensors: Vec<(&str, QTensor)> = types.iter().map(|row| (row.0, tensor(row))).collect();
    write_file(path, &tensors, metadata);
}

fn values(tensor: &QTensor) -> Tensor {
    tensor.dequantize(&Device::Cpu).unwrap()
}

/// The largest difference between two tensors.
fn distance(a: &Tensor, b: &Tensor) -> f32 {
    let differences: Vec<f32> = (a - b).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert!(differences.iter().all(|difference| difference.is_finite()));
    differences.into_iter().fold(0.0, |largest, difference| largest.max(difference.abs()))
}

#[test]
fn every_tensor_is_padded_where_its_role_says() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    write(&source, &TYPES, &metadata());
    let output = requantized(&source, &ProgressReporter::silent()).unwrap();
    assert_eq!(output, dir.path().join("model.padded.gguf"));
    let pair = |name: &str| (values(&read_tensor(&source, name)), values(&read_tensor(&output, name)));
    let zero = |part: Tensor| distance(&part, &part.zeros_like().unwrap()) == 0.0;

    let (before, after) = pair("token_embd.weight");
    assert!(distance(&before, &after.narrow(1, 0, 448).unwrap()) < 0.05);
    assert!(zero(after.narrow(1, 448, 64).unwrap()));

    let (before, after) = pair("output_norm.weight");
    let scaled = (before * (448.0f64 / 512.0).sqrt()).unwrap();
    assert!(distance(&scaled, &after.narrow(0, 0, 448).unwrap()) < 1e-6);
    assert!(zero(after.narrow(0, 448, 64).unwrap()));

    // Heads of 32 numbers: seven for the first key-value head, one of zeros, seven for the second, one of zeros.
    for (name, dim) in [("blk.0.attn_q.weight", 0), ("blk.0.attn_q.bias", 0), ("blk.0.attn_output.weight", 1)] {
        let (before, after) = pair(name);
        let after = if dim == 0 { after } else { after.narrow(0, 0, 448).unwrap() };
        let after = if after.rank() == 2 && dim == 0 { after.narrow(1, 0, 448).unwrap() } else { after };
        for group in 0..2 {
            let heads = after.narrow(dim, group * 256, 224).unwrap();
            assert!(distance(&before.narrow(dim, group * 224, 224).unwrap(), &heads) < 0.05, "{name}");
            assert!(zero(after.narrow(dim, group * 256 + 224, 32).unwrap()), "{name}");
        }
    }
    assert!(zero(pair("blk.0.attn_q.weight").1.narrow(1, 448, 64).unwrap()));
    assert!(zero(pair("blk.0.attn_output.weight").1.narrow(0, 448, 64).unwrap()));

    // Half-precision numbers stay, and the rows of a K-quant are copied byte for byte.
    let (before, after) = pair("blk.0.attn_v.weight");
    assert_eq!(distance(&before, &after.narrow(1, 0, 448).unwrap()), 0.0);
    let (before, after) = pair("blk.0.attn_v.bias");
    assert_eq!(distance(&before, &after), 0.0);
    let (before, after) =
        (read_tensor(&source, "blk.0.ffn_down.weight"), read_tensor(&output, "blk.0.ffn_down.weight"));
    let bytes = before.data().unwrap();
    assert_eq!(&after.data().unwrap()[..bytes.len()], &bytes[..]);
    assert!(zero(values(&after).narrow(0, 448, 64).unwrap()));

    let header = read_header(&output).unwrap();
    let types: Vec<String> = TYPES.iter().map(|row| format!("{:?}", header.tensor_infos[row.0].ggml_dtype)).collect();
    assert_eq!(types, ["Q5K", "F32", "Q6K", "F32", "F16", "F32", "Q5K", "Q4K", "Q8_0"]);
    let changed = [HIDDEN, HEADS, KEY_VALUE_HEADS, STATE_LENGTH].map(|key| number(&header, key).unwrap());
    assert_eq!((changed, header.metadata.len()), ([512, 16, 2, 448], metadata().len() + 1));
    assert!((header.metadata[EPSILON].to_f32().unwrap() - 0.875e-6).abs() < 1e-12);

    // It is not padded again, and the state is exposed without its padding.
    assert_eq!(requantized(&output, &ProgressReporter::silent()).unwrap(), output);
    let exposed = expose_states(&output, &ProgressReporter::silent()).unwrap();
    assert_eq!(exposed.hidden_size, 448);
    let rows = values(&read_tensor(&exposed.path, "output.weight")).narrow(0, 40, 448).unwrap();
    assert!(distance(&rows, &Tensor::eye(512, DType::F32, &Device::Cpu).unwrap().narrow(0, 0, 448).unwrap()) < 2e-3);
}

#[test]
fn a_model_that_gains_nothing_or_cannot_be_padded_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    let padded = |types: &[(&str, GgmlDType, &[usize])], changes: &[(&'static str, Value)]| {
        let mut metadata = metadata();
        metadata.retain(|(known, _)| changes.iter().all(|(key, _)| known != key));
        metadata.extend(changes.iter().cloned());
        write(&source, types, &metadata);
        PadToBlocks::new(&read_header(&source).unwrap()).is_some()
    };
    assert!(padded(&TYPES, &[]));
    assert!(!padded(&TYPES, &[(ARCHITECTURE, Value::String("qwen3".to_owned()))]), "another architecture");
    assert!(!padded(&TYPES, &[(HEADS, Value::U32(7)), (KEY_VALUE_HEADS, Value::U32(7))]), "8 heads for 7");
    assert!(!padded(&TYPES, &[(HEADS, Value::U32(28))]), "heads of 16 numbers");
    assert!(!padded(&TYPES, &[(HEADS, Value::U32(0))]), "no heads");
    assert!(!padded(&TYPES, &[(KEY_VALUE_HEADS, Value::U32(0))]), "no key-value heads");
    assert!(!padded(&TYPES, &[(STATE_LENGTH, Value::U32(200))]), "padded already");
    assert!(!padded(&TYPES, &[(HIDDEN, Value::U32(u32::MAX)), (HEADS, Value::U32(1))]), "an impossible length");
    let and = |name: &'static str, dims: &'static [usize]| [&TYPES[..], &[(name, GgmlDType::F32, dims)]].concat();
    assert!(!padded(&and("blk.0.gate.weight", &[448]), &[]), "unknown tensor");
    assert!(!padded(&and("blk.1.attn_q.weight", &[512, 448]), &[]), "a tensor of another shape");
    let exact = TYPES.map(|(name, _, dims)| (name, GgmlDType::F32, dims));
    assert!(!padded(&exact, &[]), "no slow type");
    let fits = [("token_embd.weight", GgmlDType::Q8_0, &[40usize, 512][..])];
    assert!(!padded(&fits, &[(HIDDEN, Value::U32(512)), (HEADS, Value::U32(16))]), "rows that fit");
    let small = [("token_embd.weight", GgmlDType::Q8_0, &[40usize, 64][..])];
    assert!(!padded(&small, &[(HIDDEN, Value::U32(64)), (HEADS, Value::U32(2))]), "four times the size");
    write(&source, &TYPES, &[]);
    assert!(PadToBlocks::new(&read_header(&source).unwrap()).is_none(), "no metadata");
}

#[test]
fn an_impossible_state_length_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("model.gguf");
    for claim in [Value::U32(0), Value::U32(449), Value::String("200".to_owned())] {
        write(&source, &TYPES, &[(STATE_LENGTH, claim)]);
        let error = expose_states(&source, &ProgressReporter::silent()).unwrap_err().to_string();
        assert!(error.contains("model.gguf") && error.contains("448 columns"), "{error}");
    }
    // Rows that no model has would need terabytes for the state rows, whatever the file claims.
    write(&source, &[("output.weight", GgmlDType::Q4_0, &[1, 1 << 20])], &[(STATE_LENGTH, Value::U32(1))]);
    let error = expose_states(&source, &ProgressReporter::silent()).unwrap_err().to_string();
    assert!(error.contains("1048576 columns"), "{error}");
}
