//! Options of mistral.rs that a role cannot honour: the name, the reason, and what to do instead.

/// One refused option or subcommand.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As it is written on the command line of `mistralrs serve`.
    pub name: &'static str,
    /// Why it cannot be honoured.
    pub reason: &'static str,
    /// What to do, a whole sentence.
    pub instead: &'static str,
}

const NO_IMAGES: &str = "the models of an RSD deployment read text, no images";

pub(crate) const HF_CACHE: Refusal = Refusal {
    name: "--hf-cache",
    reason: "mistral.rs 0.8.1 reads it and then takes the folder that HF_HUB_CACHE or HF_HOME names all the same",
    instead: "Set HF_HUB_CACHE in the environment",
};
pub(crate) const MAX_EDGE: Refusal = Refusal { name: "--max-edge", reason: NO_IMAGES, instead: "Leave it out" };
pub(crate) const MAX_NUM_IMAGES: Refusal = Refusal { name: "--max-num-images", ..MAX_EDGE };
pub(crate) const MAX_IMAGE_LENGTH: Refusal = Refusal { name: "--max-image-length", ..MAX_EDGE };

/// Why a role of the deployment file cannot have a setting that `mistralrs serve` has an option for.
pub(super) fn of_setting(name: &str) -> Option<&'static Refusal> {
    let option = format!("--{}", name.replace('_', "-"));
    [&HF_CACHE, &MAX_EDGE, &MAX_NUM_IMAGES, &MAX_IMAGE_LENGTH].into_iter().find(|refusal| refusal.name == option)
}
