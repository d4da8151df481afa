//! Deployment files: their shape, how layers are merged, and what is refused.
//!
//! Four layers, each stronger than the one before: defaults, the YAML file, `RSD__...` variables of the
//! environment, options of the command line. Types are strict, unknown settings are refused, and [`load`]
//! reports all problems of all layers at once, each with its file, line and path.

mod check;
mod clash;
mod deployment;
mod edit;
mod env;
mod error;
mod file;
pub(crate) mod hot;
mod layers;
mod load;
mod locate;
mod nearest;
mod origin;
mod overrides;
mod path;
mod refusal;
mod rules;
mod schema;
mod secret;
mod show;
mod text;
mod validate;
mod words;
mod write;

pub(crate) use clash::{Written, clashes};
pub use deployment::*;
use edit::edit;
pub use env::{ENV_PREFIX, environment};
pub use error::{ConfigError, Place, Problem};
pub use load::{Loaded, TargetRule, load};
pub use origin::Origin;
pub use overrides::{Override, OverrideError};
pub use refusal::Refusal;
pub(crate) use refusal::{HF_CACHE, MAX_EDGE, MAX_IMAGE_LENGTH, MAX_NUM_IMAGES};
pub use schema::schema;
pub use secret::Secret;
pub(crate) use show::differences;
pub use show::{Entry, table};
pub(crate) use write::{Writing, write};
