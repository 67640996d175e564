//! The house rules that no compiler checks: lengths of lines, plain words, a purpose at the top of every module, no
//! file that nothing uses, documents whose links, paths and messages exist.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

use cargo_metadata::{Metadata, MetadataCommand};

/// Characters in a line of a document or comment.
const LINE_MAX: usize = 120;
/// Characters in a cell of a table, which holds a figure or a sentence, not a paragraph.
const CELL_MAX: usize = 200;
/// Words that readers stumble over, each with what to write instead.
const BANNED: [(&str, &str); 14] = [
    ("told", "returned, reported, known"),
    ("remember", "cache, keep"),
    ("remembers", "caches, keeps"),
    ("remembered", "cached, kept"),
    ("so many", "n, this many"),
    ("whoever", "anyone who"),
    ("lest", "so that … not"),
    ("in the place of", "instead of"),
    ("run again", "be retried"),
    ("runs again", "is retried"),
    ("ran again", "was retried"),
    ("of one moment", "a consistent snapshot"),
    ("in halves", "bisected"),
    ("anew", "again, from scratch"),
];

#[test]
fn lines_of_documents_and_comments_are_short() {
    let files = text_files();
    none_of(files.iter().flat_map(|file| {
        let lines = numbered(&file.text).filter(|(_, line)| file.is_prose(line) && width(line) > LINE_MAX);
        lines.map(|(number, line)| format!("{}:{number}: {} characters", file.name, width(line)))
    }));
}

#[test]
fn cells_of_tables_hold_no_paragraphs() {
    let files = text_files();
    none_of(files.iter().filter(|file| file.is_document()).flat_map(|file| {
        let rows = numbered(&file.text).filter(|(_, line)| is_row(line));
        rows.filter(|(_, row)| row.split('|').any(|cell| width(cell.trim()) > CELL_MAX))
            .map(|(number, _)| format!("{}:{number}: a cell is longer than {CELL_MAX} characters", file.name))
    }));
}

#[test]
fn words_are_plain() {
    let this = Path::new(file!()).file_name().unwrap().to_str().unwrap();
    let files = text_files();
    none_of(files.iter().filter(|file| !file.name.ends_with(this)).flat_map(|file| {
        numbered(&file.text).flat_map(|(number, line)| {
            let name = &file.name;
            banned_in(line).map(move |(word, instead)| format!("{name}:{number}: {word:?}; write: {instead}"))
        })
    }));
}

#[test]
fn every_module_says_what_it_is_for() {
    let files = text_files();
    let modules = files.iter().filter(|file| file.extension() == "rs");
    none_of(
        modules.filter(|file| !file.text.starts_with("//! ")).map(|file| format!("{}: no `//!`", file.name)),
    );
}

/// A module is named by `mod` in the file above it, or by a `path` attribute beside it; anything else is a target.
#[test]
fn every_rust_file_belongs_to_a_target() {
    let metadata = metadata();
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let roots: BTreeSet<_> =
        targets.map(|target| target.src_path.as_std_path().canonicalize().unwrap()).collect();
    let files = text_files();
    let rust: Vec<_> = files.iter().filter(|file| file.extension() == "rs").collect();
    none_of(rust.iter().filter(|file| !roots.contains(&file.path.canonicalize().unwrap())).filter_map(
        |file| {
            let folder = file.path.parent().unwrap();
            let stem = file.path.file_stem().unwrap().to_str().unwrap();
            let (named, placed) = (format!("mod {stem};"), format!("{stem}.rs\"]"));
            let above = folder.with_extension("rs");
            let mut users =
                rust.iter().filter(|user| user.path == above || user.path.parent() == Some(folder));
            let is_used = users.any(|user| user.text.contains(&named) || user.text.contains(&placed));
            (!is_used).then(|| format!("{}: no `{named}` leads here", file.name))
        },
    ));
}

#[test]
fn every_document_is_linked_and_every_link_leads_somewhere() {
    let files = text_files();
    let documents: Vec<_> = files.iter().filter(|file| file.is_document()).collect();
    let mut linked = BTreeSet::new();
    let mut broken = Vec::new();
    for document in &documents {
        for link in links(&document.text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                document.path.clone()
            } else {
                normal(&document.path.parent().unwrap().join(path))
            };
            if target != document.path {
                linked.insert(target.clone());
            }
            let has_anchor = anchor.is_empty()
                || fs::read_to_string(&target).is_ok_and(|text| headings(&text).any(|slug| slug == anchor));
            if !target.exists() || !has_anchor {
                broken.push(format!("{}: the link {link} leads nowhere", document.name));
            }
        }
    }
    let docs = root().join("docs");
    let of_docs = documents.iter().filter(|document| document.path.starts_with(&docs));
    let unlinked = of_docs
        .filter(|document| !linked.contains(&document.path))
        .map(|document| format!("{}: no document links to it", document.name));
    none_of(broken.into_iter().chain(unlinked));
}

/// Dated notes of the lab describe a build of their day.
#[test]
fn paths_in_documents_exist() {
    let files = text_files();
    let current = files.iter().filter(|file| file.is_document() && !file.name.starts_with("docs/lab/"));
    none_of(current.flat_map(|file| {
        quoted(&file.text)
            .filter(|text| {
                ["crates/", "docs/", "deploy/", "migrations/"].iter().any(|top| text.starts_with(top))
            })
            .filter(|text| text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)))
            .filter(|text| !text.contains("mine"))
            .filter(|text| !root().join(text).exists())
            .map(|text| format!("{}: there is no {text}", file.name))
    }));
}

/// The first column of the guide's last tables has words of an answer or a log line, unless they are of PostgreSQL.
#[test]
fn the_guide_explains_messages_that_exist() {
    let files = text_files();
    let guide = &files.iter().find(|file| file.name == "docs/guide.md").unwrap().text;
    let messages: Vec<_> = guide
        .split("\n## Troubleshooting\n")
        .nth(1)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(message, _)| message)
        .collect();
    assert!(messages.len() > 15, "only {} messages were looked at", messages.len());
    let sources: Vec<_> = files.iter().filter(|file| file.name.contains("/src/")).collect();
    none_of(messages.iter().filter_map(|message| {
        let is_said = sources.iter().any(|source| source.text.contains(message));
        (!is_said).then(|| format!("docs/guide.md explains {message:?}, which nothing says"))
    }));
}

#[test]
fn the_architecture_page_names_every_crate() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    none_of(metadata().packages.iter().filter_map(|package| {
        let folder = package.manifest_path.parent().unwrap().file_name().unwrap();
        (!page.contains(&format!("`crates/{folder}`")))
            .then(|| format!("docs/architecture.md lacks crates/{folder}"))
    }));
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let page = fs::read_to_string(root().join("docs/adr/0002-dependencies.md")).unwrap();
    let metadata = metadata();
    let names: BTreeSet<_> = metadata
        .packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(|needed| &needed.name)
        .collect();
    let foreign = names.into_iter().filter(|name| !name.starts_with("balance-"));
    let missing = foreign.filter(|name| !page.contains(&format!("`{name}`")));
    none_of(missing.map(|name| format!("docs/adr/0002-dependencies.md lacks {name}")));
}

/// Each check finds what it is for.
#[test]
fn violations_are_found() {
    assert_eq!(banned_in("nobody is Told so MANY times").count(), 2);
    assert_eq!(banned_in("fn it_is_told_at_once()").count(), 1);
    assert_eq!(banned_in("retold, tolding, molest, renewed").count(), 0);
    assert_eq!(
        links("see [a](b.md#c), [d](https://e.f) and ![g](h.svg)").collect::<Vec<_>>(),
        ["b.md#c", "h.svg"]
    );
    assert_eq!(headings("# A `b` C: d\n\n## E\n").collect::<Vec<_>>(), ["a-b-c-d", "e"]);
    assert_eq!(quoted("`a` b `c`\n```sh\n`d`\n```\n`e`").collect::<Vec<_>>(), ["a", "c", "e"]);
    let file = |name: &str| TextFile { path: name.into(), name: name.into(), text: String::new() };
    assert!(file("a.rs").is_prose("    /// b") && !file("a.rs").is_prose("    let b = c;"));
    assert!(!file("a.rs").is_prose("//! | b | c |"));
    assert!(file("a.md").is_prose("b") && !file("a.md").is_prose("| b | c |"));
    assert!(file("a.sql").is_prose("-- b") && file("justfile").is_prose("# b"));
}

/// One file that people read.
struct TextFile {
    path: PathBuf,
    /// The path below the repository's root.
    name: String,
    text: String,
}

impl TextFile {
    fn extension(&self) -> &str {
        self.path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
    }

    fn is_document(&self) -> bool {
        self.extension() == "md"
    }

    /// Whether a line is a comment or a document's text; rows of tables are as long as they are.
    fn is_prose(&self, line: &str) -> bool {
        let line = line.trim_start();
        let markers: &[&str] = match self.extension() {
            "md" => &[""],
            "rs" | "mjs" | "css" => &["//", "/*", "*"],
            "sql" => &["--"],
            "json" | "html" => &[],
            _ => &["#"],
        };
        let text = markers.iter().find_map(|marker| line.strip_prefix(marker));
        text.is_some_and(|text| !is_row(text.trim_start_matches(['/', '!'])))
    }
}

fn root() -> PathBuf {
    normal(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

/// Every source, script and document of the repository, generated files left out.
fn text_files() -> Vec<TextFile> {
    let mut files = Vec::new();
    collect(&root(), &mut files);
    assert!(files.len() > 400, "only {} files were looked at", files.len());
    files
}

fn collect(folder: &Path, files: &mut Vec<TextFile>) {
    const TYPES: [&str; 13] =
        ["", "css", "html", "json", "md", "mjs", "py", "rs", "sh", "sql", "toml", "yaml", "yml"];
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if path.is_dir() {
            let is_ours = !matches!(name.as_str(), "target" | "node_modules" | "data") && !is_hidden(&name);
            if is_ours {
                collect(&path, files);
            }
            continue;
        }
        let extension = path.extension().map_or("", |extension| extension.to_str().unwrap());
        let is_generated = name == "package-lock.json" || name == "Cargo.lock" || name == "openapi.json";
        if TYPES.contains(&extension) && !is_generated && !is_hidden(&name) {
            // What is not text is not read by people.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            files.push(TextFile { path, name, text });
        }
    }
}

/// Hidden things belong to tools, except what CI runs.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.') && name != ".ci"
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn is_row(line: &str) -> bool {
    line.trim_start().starts_with('|')
}

/// The banned words in a line, as whole words, in names too and whatever their case.
fn banned_in(line: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let line = line.to_lowercase();
    BANNED.into_iter().filter(move |(word, _)| {
        line.match_indices(word).any(|(start, _)| {
            let is_part = char::is_alphanumeric;
            !line[..start].ends_with(is_part) && !line[start + word.len()..].starts_with(is_part)
        })
    })
}

/// Where the links of a document lead, those to other hosts left out.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    ends.map(|(link, _)| link).filter(|link| !link.contains("://"))
}

/// The anchors of a document's headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')))
        .map(|heading| {
            let kept = heading.to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
}

/// What stands between backticks outside of blocks of code.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split('`').skip(1).step_by(2))
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, component| {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
        normal
    })
}

/// Fails with every violation in a line of its own.
fn none_of(violations: impl IntoIterator<Item = String>) {
    let violations: Vec<_> = violations.into_iter().collect();
    assert!(violations.is_empty(), "{} to mend:\n{}", violations.len(), violations.join("\n"));
}
