//! What the pages tell a reader: every command they name exists, those of the README do what it says, and every file
//! they name is there. A stale page fails.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tidewheel_guest::Limits;
use tidewheel_tests::{build_dir, folder_with, repo_root, run, tidewheel};
use tidewheel_types::job::{CapsulesSpec, JobSpec};

/// The pages, from the root of the repository.
fn pages() -> Vec<PathBuf> {
    let readmes = [
        "README.md",
        "guest-examples/README.md",
        "guest-examples/nexmark/README.md",
        "sdk/README.md",
        "sdk/FLINK.md",
        "tests/README.md",
    ];
    let mut pages: Vec<PathBuf> = readmes.iter().map(PathBuf::from).collect();
    for entry in fs::read_dir(repo_root().join("runtime")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "md") {
            pages.push(path.strip_prefix(repo_root()).unwrap().to_owned());
        }
    }
    assert!(pages.len() >= 8, "{pages:?}");
    pages
}

pub(crate) fn read(page: &Path) -> String {
    fs::read_to_string(repo_root().join(page)).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// The blocks of a page that are fenced as `language`.
pub(crate) fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(fenced) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if fenced == language {
                blocks.push(block.join("\n"));
            }
        }
    }
    blocks
}

/// The words in backquotes of a page, outside blocks.
fn spans(text: &str) -> Vec<String> {
    let mut is_block = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect()
}

/// `cargo`, as a reader in the root of the repository would start it, but building into the folder of these tests.
fn cargo(arguments: &[&str]) -> Output {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells a test of its package is not for the cargo started here.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix)) {
            cargo.env_remove(&*name);
        }
    }
    let target = build_dir();
    let target = target.parent().expect("programs lie in a folder of cargo's target folder");
    cargo.env("CARGO_TARGET_DIR", target).env_remove("LD_LIBRARY_PATH").current_dir(repo_root());
    cargo.args(arguments).output().expect("cargo starts")
}

/// What `command` says of itself; its subcommand is the last word. `None`: it has no such subcommand.
fn help(command: &[&str]) -> Option<String> {
    let output = match command {
        ["tidewheel", subcommands @ ..] => {
            tidewheel().args(subcommands).arg("--help").output().expect("the program starts")
        }
        ["cargo", "xtask", subcommand] => cargo(&["xtask", subcommand, "--help"]),
        _ => return None,
    };
    output.status.success().then(|| String::from_utf8(output.stdout).expect("help is text"))
}

/// Why a command that a page names cannot be typed: its program, subcommand, or a flag or word of it does not exist.
/// Words in capitals and names of files stand for what the reader has.
fn fault(command: &str) -> Option<String> {
    let command = command.split(" #").next().unwrap_or(command).replace(['[', ']', '…'], " ");
    let words: Vec<&str> = command.split_whitespace().collect();
    let (known, more) = match words.as_slice() {
        ["cargo", "xtask", _, ..] | ["tidewheel", "state" | "dead-letters", _, ..] => words.split_at(3),
        ["tidewheel", _, ..] => words.split_at(2),
        ["cargo", "build" | "run" | "test" | "fmt" | "clippy", ..] => return None,
        _ => return Some(format!("`{command}` is no command that these tests know")),
    };
    let Some(help) = help(known) else { return Some(format!("`{}` does not exist", known.join(" "))) };
    let offered: Vec<&str> = help.split(|letter: char| !(letter.is_alphanumeric() || letter == '-')).collect();
    let is_fixed =
        |word: &str| word.chars().all(|letter| letter.is_ascii_lowercase() || "-0123456789".contains(letter));
    let strange = more.iter().find(|word| is_fixed(word) && word.parse::<u64>().is_err() && !offered.contains(*word));
    strange.map(|word| format!("`{}` knows no {word:?}", known.join(" ")))
}

#[test]
fn every_command_exists() {
    let mut commands = Vec::new();
    for page in pages() {
        let text = read(&page);
        let lines = blocks(&text, "sh").into_iter().chain(blocks(&text, "text"));
        let lines: Vec<String> = lines.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        // A block of text may be a drawing; in a line of the command line's, what it does stands after some blanks.
        let is_command = |line: &String| line.starts_with("tidewheel ") || line.starts_with("cargo ");
        let found = spans(&text).into_iter().chain(lines).filter(is_command);
        commands.extend(found.map(|line| (page.clone(), line.split("   ").next().unwrap_or_default().to_owned())));
    }
    assert!(commands.len() > 10, "commands are found: {commands:?}");
    let mut checked = Vec::new();
    for (page, command) in commands {
        if !checked.contains(&command) {
            assert_eq!(fault(&command), None, "{}", page.display());
            checked.push(command);
        }
    }
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    for command in [
        "cargo xtask dmeo",
        "cargo xtask bench --hraness FOLDER",
        "tidewheel rnu job.toml",
        "tidewheel run job.toml --wrkers 2",
        "cargo instal tidewheel",
        "tidewheels run job.toml",
    ] {
        assert!(fault(command).is_some(), "{command}");
    }
    for command in ["tidewheel run JOB.toml [--workers N] [--json]", "cargo xtask bench boundary", "cargo test"] {
        assert_eq!(fault(command), None);
    }
}

/// The demo is run as it stands there; the tests are not, they are what is running: there it is the command that has to
/// be the one of `.ci/run`. A command that is added needs a test here.
#[test]
fn the_commands_of_the_readme_work() {
    let blocks = blocks(&read(Path::new("README.md")), "sh");
    let commands: Vec<&str> = blocks.iter().flat_map(|block| block.lines()).collect();
    assert_eq!(commands, ["cargo xtask demo", "cargo xtask test"]);
    let ci = fs::read_to_string(repo_root().join(".ci/run")).unwrap();
    assert_eq!(ci.lines().last(), Some("exec cargo xtask test"));
    // A second run shows the same: it begins anew and does not add to what the first has left.
    for _ in 0..2 {
        let demo = cargo(&["xtask", "demo"]);
        let (stdout, stderr) = (String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
        assert!(demo.status.success(), "{stderr}");
        assert!(stderr.contains("rfm: 69,659 records in, 33,909 out in "), "{stderr}");
        check_top_customers(&stdout);
        let out = build_dir().parent().unwrap().join("demo/out");
        assert!(stdout.contains(&out.display().to_string()), "{stdout}");
        assert_eq!(lines_in(&out), 33_909, "the results of one run");
    }
}

#[test]
fn the_defaults_that_the_readme_tells_are_the_defaults() {
    let page = read(Path::new("README.md"));
    let told = blocks(&page, "toml").into_iter().find(|block| block.contains("[restart]")).expect("it is told");
    let parse = |tables: &str| {
        let job = "name = 'x'\n[sources.s]\nconnector = 'stdin'\n[sinks.t]\nconnector = 'stdout'\ninput = 's'\n";
        let mut spec = JobSpec::parse(&format!("{job}{tables}"), "job.toml").unwrap();
        let checkpoint = spec.checkpoint.as_mut().expect("a table");
        (checkpoint.line, spec.state.line, spec.restart.line) = (0, 0, 0);
        (spec.checkpoint, spec.state, spec.restart)
    };
    assert_eq!(parse(&told), parse("[checkpoint]"));
    // What is told as a comment can be written, too.
    let all = told.replace("\n# ", "\n").replace("backend = \"memory\"", "backend = \"rocksdb\"");
    let (checkpoint, state, restart) = parse(&all);
    assert_eq!(checkpoint.unwrap().store.as_deref(), Some("s3://bucket/job"));
    assert_eq!(state.backend, parse("[checkpoint]\n[state]\nbackend = 'rocksdb'").1.backend);
    assert!(restart.max.is_some());
}

#[test]
fn the_limits_that_the_readme_tells_are_the_defaults() {
    let page = read(Path::new("README.md"));
    let told = blocks(&page, "toml").into_iter().find(|block| block.contains("[capsules]")).expect("they are told");
    let source =
        "name = 'x'\n[sources.orders]\nconnector = 'stdin'\n[sinks.out]\nconnector = 'stdout'\ninput = 'rates'\n";
    let spec = JobSpec::parse(&format!("{source}{told}"), "job.toml").unwrap();
    let (told, defaults) = (&spec.operators[0].component().unwrap().limits, Limits::default());
    let numbers = [
        (told.memory_bytes_max, defaults.memory_bytes_max),
        (told.deadline_ms_max, defaults.deadline_ms_max),
        (told.output_bytes_max, defaults.output_bytes_max),
        (told.records_max, defaults.records_max),
        (told.log_lines_max, defaults.log_lines_max),
    ];
    numbers.into_iter().for_each(|(told, default)| assert_eq!(told, Some(default)));
    assert_eq!((told.state_bytes_max, defaults.state_bytes_max), (None, None));
    assert_eq!(spec.capsules, CapsulesSpec::default());
}

/// The table of the demo against the expected results of the example, worked out here once more.
fn check_top_customers(stdout: &str) {
    let expected = read(Path::new("guest-examples/rfm/expected.jsonl"));
    let told = expected.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut best: Vec<(i64, String, u64)> = Vec::new();
    for told in told.filter(|told| told["last_order"].is_string()) {
        let cents = told["spent"].as_str().unwrap().replace('.', "").parse().unwrap();
        best.push((cents, told["customer"].as_str().unwrap().to_owned(), told["orders"].as_u64().unwrap()));
    }
    // Of a customer who is told of several times the last time counts, with the largest sum.
    best.sort_by(|one, other| other.cmp(one));
    let mut seen = HashSet::new();
    best.retain(|(_, customer, _)| seen.insert(customer.clone()));
    best.truncate(15);
    let mut rows = stdout.lines().skip_while(|line| !line.starts_with("CUSTOMER ")).skip(1);
    for (cents, customer, orders) in best {
        let row: Vec<&str> = rows.next().expect("a row for each").split_whitespace().collect();
        let spent = format!("{}.{:02}", cents / 100, cents % 100);
        assert_eq!((row[0], row[3], row[4]), (customer.as_str(), orders.to_string().as_str(), spent.as_str()));
    }
}

fn lines_in(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| if path.is_dir() { lines_in(&path) } else { fs::read_to_string(path).unwrap().lines().count() })
        .sum()
}

/// The README's operator and job are those of the example `word-count`, which is tested: its lines are found there in
/// this order, and the job gives the same results.
#[test]
fn the_first_example_of_the_readme_works() {
    let readme = read(Path::new("README.md"));
    let [operator, job] = [blocks(&readme, "rust"), blocks(&readme, "toml")].map(|blocks| blocks[0].clone());
    let source = read(Path::new("guest-examples/word-count/rust/count/src/lib.rs"));
    let mut lines = source.lines();
    for line in operator.lines().filter(|line| !line.is_empty()) {
        assert!(lines.any(|there| there == line), "not in the example, or not in this order: {line}");
    }
    let example = repo_root().join("guest-examples/word-count");
    let folder = folder_with(&[("job.toml", &job)]);
    for file in ["split.wasm", "count.wasm", "input.txt"] {
        fs::copy(example.join(file), folder.path().join(file)).unwrap();
    }
    let ended = run(folder.path(), &["run", "--quiet", "job.toml"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let expected = read(Path::new("guest-examples/word-count/expected.jsonl"));
    assert_eq!(lines_in(&folder.path().join("out")), expected.lines().count());
}

/// The examples in Go and Python are parts of the SDKs' own tests, which are run; those in Rust are compiled.
#[test]
fn the_examples_of_the_sdks_are_tested() {
    let page = read(Path::new("sdk/README.md"));
    for (language, file) in [("go", "sdk/go/readme_test.go"), ("python", "sdk/python/tests/test_readme.py")] {
        let blocks = blocks(&page, language);
        assert!(!blocks.is_empty(), "{language}");
        let tested = read(Path::new(file));
        for block in blocks {
            assert!(tested.contains(&block), "this is not in {file}:\n{block}");
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let folder = repo_root().join(page.parent().unwrap());
        for link in read(&page).split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            if !target.starts_with("https://") && !folder.join(target).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_that_is_named_exists() {
    let names = all_names(repo_root());
    let mut missing = Vec::new();
    for page in pages() {
        let folder = page.parent().unwrap();
        for span in spans(&read(&page)) {
            if !exists(&span, folder, &names) {
                missing.push(format!("{}: {span}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Whether the file or folder that a span names is there. A path counts from the root, from `runtime`, from a crate of
/// it, or from the page's folder; one whose first step is nowhere there is no path of ours. A name alone may be
/// anywhere. A step in capitals, or with a star, stands for many.
fn exists(span: &str, page_folder: &Path, names: &[String]) -> bool {
    let is_path = span.chars().all(|letter| letter.is_alphanumeric() || "/._-*{}".contains(letter));
    if !is_path || span.starts_with('/') {
        return true;
    }
    let Some((first, _)) = span.split_once('/') else {
        let is_source =
            [".rs", ".wit", ".py", ".md"].iter().any(|ending| span.ends_with(ending)) && !span.contains('*');
        return !is_source || names.iter().any(|name| name == span);
    };
    let is_fixed = |step: &&str| !step.contains(['*', '{']) && step.contains(|letter: char| !letter.is_uppercase());
    let fixed = span.split('/').take_while(is_fixed).collect::<PathBuf>();
    let root = repo_root();
    let mut bases = vec![root.to_owned(), root.join("runtime"), root.join(page_folder)];
    bases.extend(["cli", "engine", "guest"].map(|name| root.join("runtime").join(name).join("src")));
    let is_ours = bases.iter().any(|base| base.join(first).exists());
    !is_ours || bases.iter().any(|base| base.join(&fixed).exists())
}

/// The names of all files, without build output and hidden folders.
fn all_names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            if !name.starts_with('.') && name != "target" {
                names.extend(all_names(&entry.path()));
            }
        } else {
            names.push(name);
        }
    }
    names
}
