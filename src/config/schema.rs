//! The JSON Schemas of the files, which editors use to check and complete them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use super::gateway_file::WrittenConfig;
use super::server::WrittenServer;

/// The file names and schemas of `toolgate.yaml` and `mcp-servers/*.yaml`.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("toolgate.schema.json", schema_of::<WrittenConfig>()),
        ("mcp-server.schema.json", schema_of::<WrittenServer>()),
    ]
}

/// Draft 7, because that is what YAML editors know best.
pub(crate) fn schema_of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<T>()
}
