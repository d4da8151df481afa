//! Which tensor types candle's CPU kernels are slow for.

use candle_core::quantized::GgmlDType;

/// Whether candle has no fast kernel for the type.
pub(super) fn is_slow(dtype: GgmlDType) -> bool {
    matches!(dtype, GgmlDType::Q5_0 | GgmlDType::Q5_1)
}

/// The K-quant of as many bits as a type with blocks of 32 numbers, for which candle's kernels are slower. K-quants have
/// blocks of 256. Eight bits become six, the most that a K-quant for weights has.
pub(super) fn k_quant(dtype: GgmlDType) -> Option<GgmlDType> {
    match dtype {
        GgmlDType::Q4_0 | GgmlDType::Q4_1 => Some(GgmlDType::Q4K),
        GgmlDType::Q5_0 | GgmlDType::Q5_1 => Some(GgmlDType::Q5K),
        GgmlDType::Q8_0 | GgmlDType::Q8_1 => Some(GgmlDType::Q6K),
        _ => None,
    }
}
