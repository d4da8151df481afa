//! What a process uses, and what the server counts.

use std::{collections::BTreeMap, fs};

/// What a process uses.
#[derive(Debug, Clone, Copy)]
pub struct VitalSigns {
    pub kilobytes: u64,
    pub threads: u64,
    pub descriptors: u64,
}

impl VitalSigns {
    pub fn read(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Self {
            kilobytes: field("VmRSS:"),
            threads: field("Threads:"),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64,
        }
    }
}

/// The samples of a text in the format of Prometheus, by name and labels.
pub fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The sum of the samples whose names begin so.
pub fn sum(samples: &BTreeMap<String, f64>, begin: &str) -> f64 {
    samples.iter().filter(|(name, _)| name.starts_with(begin)).map(|(_, value)| value).sum()
}
