//! Finds Linear's published schema. The crate that carries it has nothing else that is of use here, so it is
//! fetched as a dependency, pinned in `Cargo.lock`, and never built; Cargo says where it put the sources.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value as Json;

fn main() -> anyhow::Result<()> {
    let cargo = std::env::var("CARGO")?;
    let said = Command::new(cargo).args(["metadata", "--format-version=1", "--locked"]).output()?;
    ensure!(said.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&said.stderr));
    let said: Json = serde_json::from_slice(&said.stdout)?;
    let packages = said.get("packages").and_then(Json::as_array).context("cargo metadata names no packages")?;
    let manifest = packages
        .iter()
        .find(|package| package.get("name").and_then(Json::as_str) == Some("linear-schema"))
        .and_then(|package| package.get("manifest_path")?.as_str())
        .context("the crate `linear-schema` was not fetched")?;
    let schema = Path::new(manifest).with_file_name("linear.graphql");
    println!("cargo::rustc-env=LINEAR_SCHEMA={}", schema.display());
    println!("cargo::rerun-if-changed={}", schema.display());
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
