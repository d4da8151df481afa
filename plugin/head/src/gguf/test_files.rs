//! GGUF files for the tests of this folder.

use std::{fs::File, path::Path};

use candle_core::{
    Device,
    quantized::{
        QTensor,
        gguf_file::{self, Content, Value},
    },
};

pub(super) fn write_file(path: &Path, tensors: &[(&str, QTensor)], metadata: &[(&str, Value)]) {
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

pub(super) fn read_tensor(path: &Path, name: &str) -> QTensor {
    let mut file = File::open(path).unwrap();
    Content::read(&mut file).unwrap().tensor(&mut file, name, &Device::Cpu).unwrap()
}
