//! Which tensor types candle's CPU kernels are slow for.

use candle_core::quantized::GgmlDType;

/// Whether candle has no fast kernel for the type.
pub(super) fn is_slow(dtype: GgmlDType) -> bool {
    matches!(dtype, GgmlDType::Q5_0 | GgmlDType::Q5_1)
}

/// Whether the type has blocks of 32 numbers, which are slower than the blocks of 256 of the K-quants.
pub(super) fn has_small_blocks(dtype: GgmlDType) -> bool {
    matches!(
        dtype,
        GgmlDType::Q4_0 | GgmlDType::Q4_1 | GgmlDType::Q5_0 | GgmlDType::Q5_1 | GgmlDType::Q8_0 | GgmlDType::Q8_1
    )
}
