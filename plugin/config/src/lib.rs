//! Deployment files: their settings, the layers that give the values, and the checks.
//!
//! Values come from four layers: the defaults, the YAML file, `RSD__...` environment variables, and options of the
//! command line. Each layer overrides the ones before it. Every layer is checked against the schema, values are never
//! converted from one type to another, and unknown settings are errors. [`load`] reports all problems of all layers at
//! once, each with its file, line and path. [`control`] changes some of the settings while the server runs.

mod connection_limits;
pub mod control;
mod demo;
mod deployment;
mod edit_file;
mod error;
mod field_path;
mod former_names;
mod layers;
mod load;
mod messages;
mod option_conflicts;
mod overrides;
mod parse_value;
mod prm_family;
mod remote_config;
mod reward_config;
mod rules;
mod runtime_settings;
mod schema;
mod schema_check;
mod show;
mod suggest;
mod yaml;
mod yaml_file;

pub use self::{
    connection_limits::ConnectionLimits,
    demo::embedded_demo,
    deployment::*,
    edit_file::{EditError, WriteError, WriteMode, write_settings},
    error::{ConfigError, ConfigProblem, ProblemPlace},
    layers::SettingOrigin,
    load::{LoadedConfig, TargetRule, load},
    option_conflicts::{
        HF_CACHE, MAX_EDGE, MAX_IMAGE_LENGTH, MAX_NUM_IMAGES, OptionConflict, OptionSpelling, UnsupportedOption,
        option_conflicts,
    },
    overrides::{OverrideError, SettingOverride, environment},
    prm_family::PrmFamily,
    remote_config::{PriceConfig, RemoteConfig, RemoteEngine, RemoteHeader, RemoteTimeouts},
    reward_config::{
        CheckKind, HttpScorerConfig, PrmFormat, ResidentScorer, RewardConfig, RewardScorer, StatesConfig,
        WeightedScorer,
    },
    schema::schema,
    show::{SettingEntry, table},
};
