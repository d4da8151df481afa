//! The product of a Q8_0 row with a vector, with one running sum and with four: see q8-0-product.md.
//!
//! rustc --edition 2024 -O -C target-cpu=native -o /tmp/q8-0 docs/upstream/q8-0-product.rs && /tmp/q8-0

use std::{arch::x86_64::*, hint::black_box, time::Instant};

/// Weights in a row, and rows: the feed-forward layers of Qwen2.5-0.5B.
const WIDTH: usize = 896;
const ROWS: usize = 4864;
const ROUNDS: usize = 201;

#[derive(Clone, Copy)]
#[repr(C)]
struct Block {
    scale: u16,
    weights: [i8; 32],
}

fn scale(block: &Block) -> f32 {
    unsafe { _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(block.scale)))) }
}

/// Eight partial sums of the products of two blocks, scaled.
fn products(x: &Block, y: &Block, sum: __m256) -> __m256 {
    unsafe {
        let a = _mm256_loadu_si256(x.weights.as_ptr().cast());
        let b = _mm256_loadu_si256(y.weights.as_ptr().cast());
        let pairs = _mm256_maddubs_epi16(_mm256_sign_epi8(a, a), _mm256_sign_epi8(b, a));
        let quads = _mm256_cvtepi32_ps(_mm256_madd_epi16(_mm256_set1_epi16(1), pairs));
        _mm256_fmadd_ps(_mm256_set1_ps(scale(x) * scale(y)), quads, sum)
    }
}

fn total(sum: __m256) -> f32 {
    unsafe { std::mem::transmute::<__m256, [f32; 8]>(sum) }.iter().sum()
}

/// As it is: every block's product waits for the sum of the block before it.
fn one_sum(row: &[Block], vector: &[Block]) -> f32 {
    let zero = unsafe { _mm256_setzero_ps() };
    total(row.iter().zip(vector).fold(zero, |sum, (x, y)| products(x, y, sum)))
}

/// Four sums that wait for none but themselves.
fn four_sums(row: &[Block], vector: &[Block]) -> f32 {
    let mut sums = [unsafe { _mm256_setzero_ps() }; 4];
    for (x, y) in row.chunks_exact(4).zip(vector.chunks_exact(4)) {
        for ((x, y), sum) in x.iter().zip(y).zip(&mut sums) {
            *sum = products(x, y, *sum);
        }
    }
    // A width that is no multiple of four blocks would have a rest here.
    unsafe { total(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]))) }
}

fn main() {
    let mut state = 1u32;
    let mut weight = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as i8
    };
    // 0x211F is 0.01 in half precision.
    let mut blocks = |count| -> Vec<Block> {
        (0..count).map(|_| Block { scale: 0x211F, weights: std::array::from_fn(|_| weight()) }).collect()
    };
    let width = WIDTH / 32;
    let (matrix, vector) = (blocks(ROWS * width), blocks(width));
    let ways: [(&str, fn(&[Block], &[Block]) -> f32); 2] = [("one sum", one_sum), ("four sums", four_sums)];
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        for ((_, product), times) in ways.iter().zip(&mut times) {
            let began = Instant::now();
            for row in matrix.chunks_exact(width) {
                black_box(black_box(product)(row, black_box(&vector)));
            }
            times.push(began.elapsed());
        }
    }
    for ((name, product), times) in ways.iter().zip(&mut times) {
        times.sort();
        let (least, median, most) = (times[0], times[ROUNDS / 2], times[ROUNDS - 1]);
        println!("{name}: {median:?} ({least:?} to {most:?}), first row {}", product(&matrix[..width], &vector));
    }
}
