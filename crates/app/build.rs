//! Puts the commit that the binary is built from into it, for `balance version` and the metric `balance_build_info`.

use std::{env, process::Command};

/// Given by a build without a repository around it, such as that of an image. `cargo run` hands it on to the service,
/// so it must not look like a setting.
const COMMIT: &str = "SOURCE_COMMIT";

fn main() {
    println!("cargo::rerun-if-env-changed={COMMIT}");
    #[expect(clippy::disallowed_methods, reason = "the environment of the build, not of the service")]
    let given = env::var(COMMIT).ok().filter(|commit| !commit.is_empty());
    // Changes with every commit and checkout.
    if let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    let commit = given.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    println!("cargo::rustc-env={COMMIT}={}", commit.as_deref().unwrap_or("unknown"));
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
