//! The dependency rule of the workspace: `domain` stands alone, adapters know only `domain`, only `app` knows the
//! configuration, the environment and the wall clock.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, MetadataCommand};

const APP: &str = "balance-app";
const DOMAIN: &str = "balance-domain";
/// What only ever runs on a developer's machine: may use the environment, the clock and each other.
const TOOLS: [&str; 4] =
    ["balance-store-conformance", "balance-postgres-harness", "balance-faults", "balance-bench"];

/// The packages of this workspace, each with its folder and what it needs to be built (not to be tested).
fn packages() -> BTreeMap<String, (PathBuf, BTreeSet<String>)> {
    let metadata = MetadataCommand::new()
        .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let needs = |package: &cargo_metadata::Package| {
        let built = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
        built.map(|dependency| dependency.name.clone()).collect()
    };
    metadata
        .packages
        .iter()
        .map(|package| {
            let folder = package.manifest_path.parent().unwrap().as_std_path().to_owned();
            (package.name.to_string(), (folder, needs(package)))
        })
        .collect()
}

fn is_ours(name: &str) -> bool {
    name.starts_with("balance-")
}

#[test]
fn domain_stands_alone() {
    let packages = packages();
    let (_, needs) = &packages[DOMAIN];
    let forbidden =
        ["serde", "serde_json", "tokio", "rusqlite", "tokio-postgres", "config", "clap", "tracing"];
    for name in needs {
        let is_forbidden = is_ours(name) || forbidden.contains(&name.as_str()) || name.starts_with("actix");
        assert!(!is_forbidden, "domain must not need {name}");
    }
}

#[test]
fn adapters_know_only_the_domain() {
    for (package, (_, needs)) in packages() {
        if package == APP || TOOLS.contains(&package.as_str()) {
            continue;
        }
        for name in needs.iter().filter(|name| is_ours(name)) {
            assert_eq!(name, DOMAIN, "{package} must not need {name}");
        }
    }
}

#[test]
fn nobody_needs_the_app_and_no_product_crate_needs_a_tool() {
    for (package, (_, needs)) in packages() {
        assert!(!needs.contains(APP), "{package} must not need the app");
        let is_tool = TOOLS.contains(&package.as_str());
        for tool in TOOLS.iter().filter(|_| !is_tool) {
            assert!(!needs.contains(*tool), "{package} must not need {tool}");
        }
    }
}

#[test]
fn only_the_app_reads_a_configuration_and_a_command_line() {
    for (package, (_, needs)) in packages() {
        let may = package == APP || TOOLS.contains(&package.as_str());
        for name in ["config", "clap", "anyhow"] {
            assert!(may || !needs.contains(name), "{package} must not need {name}");
        }
    }
}

#[test]
fn only_the_app_reads_the_environment_and_the_wall_clock() {
    let forbidden = ["std::env", "env::var", "SystemTime::now", "Timestamp::now", "Utc::now", "now_utc"];
    let mut seen = 0;
    for (package, (folder, _)) in packages() {
        if package == APP || TOOLS.contains(&package.as_str()) {
            continue;
        }
        for file in rust_files(&folder.join("src")) {
            seen += 1;
            let source = fs::read_to_string(&file).unwrap();
            for (number, line) in product_lines(&source) {
                for word in forbidden {
                    assert!(!line.contains(word), "{}:{number} uses {word}", file.display());
                }
            }
        }
    }
    assert!(seen > 30, "only {seen} files were looked at");
}

/// In the app itself the clock is read in one file and the environment in another.
#[test]
fn the_app_has_one_place_for_each() {
    for (word, place) in [("SystemTime::now", "clock.rs"), ("env::var", "source.rs")] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let places: Vec<_> = rust_files(&root)
            .into_iter()
            .filter(|file| {
                product_lines(&fs::read_to_string(file).unwrap()).any(|(_, line)| line.contains(word))
            })
            .map(|file| file.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(places, [place], "{word}");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort_unstable();
    files
}

/// Numbered lines without comments, up to the unit tests, which stand last in a file.
fn product_lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(source.lines())
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
}
