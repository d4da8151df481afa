//! The demo deployment, which is part of the program, so that it can be served without a clone of the repository.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rsd_files::FileAccess;
use sha2::{Digest, Sha256};

/// Name and content of the deployment file.
const DEPLOYMENT: (&str, &[u8]) = ("demo.yaml", include_bytes!("../../../config/demo.yaml"));
/// Name and content of its reward head. The deployment file refers to it by this name, relative to its own folder.
const HEAD: (&str, &[u8]) = ("demo-head.safetensors", include_bytes!("../../../config/demo-head.safetensors"));

/// Writes the demo deployment and its reward head to a folder in `cache` and returns the path of the deployment file.
///
/// The folder is named after the SHA-256 of both files, so that two versions of the program do not share it. Files
/// that are there already and have the right content are left alone; others are replaced atomically.
///
/// # Errors
/// The folder cannot be created, or a file cannot be written.
pub fn embedded_demo(cache: &Path) -> io::Result<PathBuf> {
    let mut hasher = Sha256::new();
    hasher.update(DEPLOYMENT.1);
    hasher.update(HEAD.1);
    let folder = cache.join("demo").join(rsd_files::digest::hex(hasher));
    fs::create_dir_all(&folder)?;
    // The head first: whoever finds the deployment file finds the head it names.
    for (name, bytes) in [HEAD, DEPLOYMENT] {
        let path = folder.join(name);
        if fs::read(&path).ok().as_deref() != Some(bytes) {
            rsd_files::replace(&path, bytes, FileAccess::Shared).map_err(io::Error::other)?;
        }
    }
    Ok(folder.join(DEPLOYMENT.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RewardScorer, TargetRule, load};

    #[test]
    fn the_demo_loads_from_the_cache_and_its_head_is_beside_it() {
        let cache = tempfile::tempdir().unwrap();
        let file = embedded_demo(cache.path()).unwrap();
        let deployment = load(Some(&file), [], &[], TargetRule::Required).unwrap().deployment;
        let RewardScorer::Resident { head, .. } = deployment.reward.scorer else { panic!("not a resident reward") };
        assert_eq!(head.parent(), file.parent());
        assert_eq!(fs::read(head).unwrap(), HEAD.1);
    }

    #[test]
    fn a_second_use_writes_only_what_was_changed() {
        let cache = tempfile::tempdir().unwrap();
        let file = embedded_demo(cache.path()).unwrap();
        let modified = || fs::metadata(file.with_file_name(HEAD.0)).unwrap().modified().unwrap();
        let before = modified();
        fs::write(&file, "version: 2\n").unwrap();
        assert_eq!(embedded_demo(cache.path()).unwrap(), file);
        assert_eq!(fs::read(&file).unwrap(), DEPLOYMENT.1);
        assert_eq!(modified(), before);
    }
}
