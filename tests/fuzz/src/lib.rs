//! Changes seeds at random and hands the results to a reader that must survive them.
//!
//! Every run does the same `CASES` inputs, so that it says the same each time. With `RSD_FUZZ_SECONDS` a target goes
//! on for that long, and an input fails too that takes more than a second of CPU time (or half a minute, where it hangs)
//! or makes the memory grow by 256 MB; `RSD_FUZZ_SEED` (0 to 255) leads it to other inputs. A failure prints the input.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::panic, reason = "only tests use it")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use proptest::test_runner::{RngAlgorithm, TestRng};
use rand::RngCore;

/// Inputs of a run without a time of its own.
const CASES: u32 = 60;
/// The most CPU time that a reader may take for one input, in a run by hand.
const MOST_CPU: Duration = Duration::from_secs(1);
/// The longest that it may take, on a busy machine.
const LONGEST: Duration = Duration::from_secs(30);
/// The most memory in kB by which a process may grow in a run by hand.
const MOST_MEMORY: u64 = 256 << 10;
/// No input grows beyond this many bytes.
const MOST_BYTES: usize = 1 << 16;

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a folder (from the top of the repository) with this extension, in the order of their names.
pub fn files(folder: &str, extension: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|own| own == extension)).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no .{extension} in {folder}");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The lines of a file, from the top of the repository.
pub fn lines(file: &str) -> Vec<Vec<u8>> {
    fs::read_to_string(root().join(file)).unwrap().lines().map(|line| line.as_bytes().to_vec()).collect()
}

/// Hands each seed, and then changed seeds, to `reader`. `pieces` are what changes put in.
pub fn fuzz(seeds: &[Vec<u8>], pieces: &[&[u8]], reader: impl Fn(&[u8])) {
    let seconds = std::env::var("RSD_FUZZ_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let budget = seconds.map(Duration::from_secs);
    let begin = Instant::now();
    let seed = std::env::var("RSD_FUZZ_SEED").map_or(0, |seed| seed.parse().unwrap());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut cases = 0_u64;
    for seed in seeds {
        run(seed, budget.is_some(), &reader);
    }
    while budget.map_or(cases < u64::from(CASES), |budget| begin.elapsed() < budget) {
        let mut input = seeds[below(&mut random, seeds.len())].clone();
        for _ in 0..=below(&mut random, 6) {
            change(&mut input, seeds, pieces, &mut random);
        }
        input.truncate(MOST_BYTES);
        run(&input, budget.is_some(), &reader);
        cases += 1;
    }
    println!("{} seeds and {cases} changed inputs in {:.1?}", seeds.len(), begin.elapsed());
}

/// The most memory in kB that this process ever held; `None` where that is not to be had.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// The CPU time of this process, in steps of 10 ms; zero where that is not to be had.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

fn run(input: &[u8], timed: bool, reader: &impl Fn(&[u8])) {
    let before = if timed { peak_memory() } else { None };
    let (begin, cpu) = (Instant::now(), cpu_time());
    let outcome = catch_unwind(AssertUnwindSafe(|| reader(input)));
    let (took, cpu) = (begin.elapsed(), cpu_time().saturating_sub(cpu));
    let grown = before.zip(peak_memory()).map_or(0, |(before, after)| after.saturating_sub(before));
    let too_long = timed && (cpu > MOST_CPU || took > LONGEST);
    if outcome.is_err() || too_long || grown > MOST_MEMORY {
        eprintln!("after {took:.1?} and {cpu:.1?} of CPU time, this input: b\"{}\"", input.escape_ascii());
    }
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
    assert!(!too_long, "a reader took {took:.1?} and {cpu:.1?} of CPU time");
    assert!(grown <= MOST_MEMORY, "the memory grew by {grown} kB");
}

/// One change: a cut, a byte, a piece, a part said twice or many times, a part of another seed.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], pieces: &[&[u8]], random: &mut TestRng) {
    let at = below(random, input.len() + 1);
    let end = at + below(random, input.len() - at + 1);
    match below(random, 8) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..end)),
        2 if at < input.len() => input[at] = u8::try_from(below(random, 256)).unwrap(),
        3 if at < input.len() => input[at] ^= 1 << below(random, 8),
        4 => {
            let part = input[at..end].to_vec();
            drop(input.splice(at..at, part));
        }
        5 => {
            let other = &seeds[below(random, seeds.len())];
            let from = below(random, other.len() + 1);
            drop(input.splice(at..end, other[from..].iter().copied()));
        }
        6 if !pieces.is_empty() => {
            let times = 1 << below(random, 12);
            let piece = pieces[below(random, pieces.len())].repeat(times);
            drop(input.splice(at..at, piece));
        }
        _ if !pieces.is_empty() => {
            let piece = pieces[below(random, pieces.len())];
            drop(input.splice(at..at, piece.iter().copied()));
        }
        _ => {}
    }
}

fn below(random: &mut TestRng, limit: usize) -> usize {
    usize::try_from(random.next_u64() % limit.max(1) as u64).unwrap()
}
