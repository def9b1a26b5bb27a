//! Checks the rules about imports in `src/lib.rs` against the source: its `use` lines and paths.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The files of `src/` by their paths in the crate, such as `event::sanitize`.
type Modules = BTreeMap<String, Module>;

/// The imports of each node.
type Graph = BTreeMap<String, BTreeSet<String>>;

struct Module {
    /// Without tests.
    source: String,
    /// Without comments, strings, imports and tests.
    code: String,
    children: Vec<String>,
    imports: Vec<Import>,
}

struct Import {
    /// As it is written, without groups: `crate::error::Error`.
    path: Vec<String>,
    is_reexport: bool,
}

fn modules() -> Modules {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut modules = Modules::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().with_extension("");
                modules.insert(
                    name.to_str().unwrap().replace('/', "::"),
                    Module::read(&fs::read_to_string(path).unwrap()),
                );
            }
        }
    }
    modules.retain(|name, _| !matches!(name.as_str(), "lib" | "main") && !name.starts_with("bin::"));
    modules
}

impl Module {
    /// Relies on the line breaks that rustfmt makes.
    fn read(source: &str) -> Self {
        let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code = without_comments_and_strings(source);
        let source = source.to_owned();
        let mut module = Self { source, code: String::new(), children: Vec::new(), imports: Vec::new() };
        let mut lines = code.lines();
        while let Some(line) = lines.next() {
            let visibility_end = if line.trim_start().starts_with("pub") { line.find(' ').unwrap() } else { 0 };
            let item = line[visibility_end..].trim_start();
            if let Some(tree) = item.strip_prefix("use ") {
                let mut tree = tree.to_owned();
                while !tree.contains(';') {
                    tree.push_str(lines.next().unwrap().trim_start());
                }
                expand(&[], tree.trim_end_matches(';'), visibility_end > 0, &mut module.imports);
            } else if let Some(child) = item.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
                module.children.push(child.to_owned());
            } else {
                module.code.push_str(line);
                module.code.push('\n');
            }
        }
        let is_path = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
        for path in module.code.split(|char| !is_path(char)).filter(|path| path.contains("::")) {
            let mut path: Vec<_> = path.split("::").map(ToOwned::to_owned).collect();
            if module.children.contains(&path[0]) {
                path.insert(0, "self".into());
            }
            module.imports.push(Import { path, is_reexport: false });
        }
        module
    }

    fn mentions(&self, name: &str) -> bool {
        self.code.split(|char: char| !char.is_alphanumeric() && char != '_').any(|word| word == name)
    }

    /// Whether an import or a path of the code contains these names in a row.
    fn imports(&self, names: &str) -> bool {
        let names: Vec<_> = names.split("::").collect();
        self.imports.iter().any(|import| import.path.windows(names.len()).any(|part| part == names))
    }
}

fn without_comments_and_strings(source: &str) -> String {
    let (mut code, mut rest) = (String::new(), source);
    while let Some(char) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("'\"'") {
            3
        } else if let Some(text) = rest.strip_prefix("r#\"") {
            3 + text.find("\"#").unwrap() + 2
        } else if let Some(text) = rest.strip_prefix('"') {
            let mut is_escaped = false;
            let is_end = |char| {
                let is_end = char == '"' && !is_escaped;
                is_escaped = char == '\\' && !is_escaped;
                is_end
            };
            1 + text.find(is_end).unwrap() + 1
        } else {
            code.push(char);
            char.len_utf8()
        };
        rest = &rest[skipped..];
    }
    code
}

/// Splits a `use` tree: `a::{b, c::{self, D as E}}` is `a::b`, `a::c` and `a::c::D`.
fn expand(prefix: &[String], tree: &str, is_reexport: bool, imports: &mut Vec<Import>) {
    let (path, group) = tree.split_once('{').map_or((tree, None), |(path, group)| (path, group.rsplit_once('}')));
    let path = path.split(" as ").next().unwrap().trim();
    let names = path.split("::").filter(|name| !name.is_empty() && (prefix.is_empty() || *name != "self"));
    let path: Vec<_> = prefix.iter().cloned().chain(names.map(ToOwned::to_owned)).collect();
    let Some((group, _)) = group else { return imports.push(Import { path, is_reexport }) };
    let (mut depth, mut start) = (0, 0);
    for (at, char) in group.char_indices().chain([(group.len(), ',')]) {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[start..at].trim().is_empty() {
                    expand(&path, group[start..at].trim(), is_reexport, imports);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The module that a path of `module` leads to, and the rest of the path. Follows re-exports.
fn resolve(modules: &Modules, module: &str, path: &[String]) -> Option<(String, Vec<String>)> {
    let mut at: Vec<&str> = module.split("::").collect();
    let mut names = path;
    match names.first()?.as_str() {
        "crate" => at.clear(),
        "self" => {}
        "super" => drop(at.pop()),
        _ => return None,
    }
    names = &names[1..];
    while names.first().is_some_and(|name| name == "super") {
        at.pop();
        names = &names[1..];
    }
    while let Some(name) = names.first() {
        let child = at.iter().copied().chain([name.as_str()]).collect::<Vec<_>>().join("::");
        if !modules.contains_key(&child) {
            break;
        }
        at.push(name);
        names = &names[1..];
    }
    let (at, rest) = (at.join("::"), names.to_vec());
    let reexport = |import: &&Import| import.is_reexport && import.path.last() == rest.first();
    match modules.get(&at)?.imports.iter().find(reexport) {
        Some(import) => resolve(modules, &at, &import.path),
        None => Some((at, rest)),
    }
}

/// Which file imports which. A parent that only re-exports an item of a child does not depend on it, and a child may use
/// its parent's constants.
fn files(modules: &Modules) -> Graph {
    let mut graph = Graph::new();
    for (name, module) in modules {
        let imported = graph.entry(name.clone()).or_default();
        for import in &module.imports {
            let Some((target, rest)) = resolve(modules, name, &import.path) else { continue };
            let item = import.path.last().unwrap();
            let is_only_reexport = import.is_reexport && !module.mentions(item);
            let is_parents_constant = name.starts_with(&format!("{target}::"))
                && rest.first().is_some_and(|name| name.chars().all(|char| !char.is_lowercase()));
            if target != *name && !is_only_reexport && !is_parents_constant {
                imported.insert(target);
            }
        }
    }
    graph
}

/// The graph of a parent's file and its children, each with all modules inside it; of the top-level modules for `""`.
fn level(files: &Graph, parent: &str) -> Graph {
    let depth = parent.split("::").filter(|name| !name.is_empty()).count() + 1;
    let node = |file: &String| {
        let is_inside = parent.is_empty() || file == parent || file.starts_with(&format!("{parent}::"));
        is_inside.then(|| file.split("::").take(depth).collect::<Vec<_>>().join("::"))
    };
    let mut graph = Graph::new();
    for (file, imported) in files {
        let Some(from) = node(file) else { continue };
        let imported = imported.iter().filter_map(node).filter(|to| *to != from);
        graph.entry(from.clone()).or_default().extend(imported);
    }
    graph
}

/// A cycle of imports, if there is one: `a`, `b`, `a`.
fn cycle(graph: &Graph) -> Option<Vec<String>> {
    fn search(graph: &Graph, path: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        let last = path.last().unwrap().clone();
        for next in &graph[&last] {
            if let Some(start) = path.iter().position(|name| name == next) {
                path.drain(..start);
                path.push(next.clone());
                return true;
            }
            if !done.contains(next) {
                path.push(next.clone());
                if search(graph, path, done) {
                    return true;
                }
                path.pop();
            }
        }
        done.insert(last);
        false
    }
    let mut done = BTreeSet::new();
    graph.keys().map(|name| vec![name.clone()]).find_map(|mut path| search(graph, &mut path, &mut done).then_some(path))
}

fn print(graph: &Graph) -> String {
    let line = |(name, imported): (&String, &BTreeSet<String>)| {
        format!("{name} -> {}\n", imported.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    };
    graph.iter().map(line).collect()
}

/// The modules in the order of the list in `src/lib.rs`.
fn listed() -> Vec<String> {
    let lib = include_str!("../src/lib.rs");
    let list = lib.split_once("# Modules").unwrap().1.split_once("# Rules").unwrap().0;
    list.lines().filter_map(|line| line.strip_prefix("//! - `")?.split_once('`')).map(|(name, _)| name.into()).collect()
}

#[test]
fn no_imports_form_a_cycle_at_any_level() {
    let files = files(&modules());
    let parents = files.keys().filter_map(|name| Some(name.rsplit_once("::")?.0)).collect::<BTreeSet<_>>();
    for parent in [""].into_iter().chain(parents) {
        let graph = level(&files, parent);
        println!("{}", print(&graph));
        assert_eq!(cycle(&graph), None, "a cycle; by file:\n{}", print(&files));
    }
}

#[test]
fn a_module_imports_only_modules_below_it_in_the_list() {
    let graph = level(&files(&modules()), "");
    let listed = listed();
    assert_eq!(
        listed.iter().collect::<BTreeSet<_>>(),
        graph.keys().collect(),
        "the list in src/lib.rs is not complete"
    );
    let position = |name: &String| listed.iter().position(|listed| listed == name);
    for (name, imported) in &graph {
        for imported in imported {
            assert!(position(name) < position(imported), "{name} imports {imported}, which src/lib.rs lists above it");
        }
    }
}

#[test]
fn each_module_imports_only_what_it_may() {
    let graph = level(&files(&modules()), "");
    let imported = |name: &str| graph[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(imported("log"), [""; 0]);
    assert_eq!(imported("auth"), ["error", "timestamp"]);
    assert_eq!(imported("request"), ["error", "timestamp"]);
    for forbidden in ["sessions", "request", "auth"] {
        assert!(!imported("database").contains(&forbidden), "database imports {forbidden}");
    }
}

#[test]
fn each_outside_interface_is_used_only_where_src_lib_rs_says() {
    let rules: [(&[&str], &[&str]); 10] = [
        (&["env::var", "env::vars", "env::var_os"], &["config"]),
        (&["lambda_runtime_api_client"], &["runtime"]),
        (&["aws_lambda_events", "LambdaRequest", "LambdaEvent", "Adapter"], &["event"]),
        (&["lambda_http::Context"], &["runtime", "event", "sync_keys", "handler", "request_log"]),
        (&["http::StatusCode"], &["error", "response", "runtime"]),
        (&["tokio_postgres", "deadpool", "deadpool_postgres"], &["database", "sessions", "sync_keys", "timestamp"]),
        (&["aws_sdk_secretsmanager"], &["secret"]),
        (&["aws_smithy_http_client"], &["aws"]),
        (&["sha2"], &["auth", "secret"]),
        (&["subtle"], &["auth"]),
    ];
    for (name, module) in &modules() {
        let top = name.split("::").next().unwrap();
        for (interfaces, allowed) in rules {
            for interface in interfaces {
                assert!(allowed.contains(&top) || !module.imports(interface), "{name} uses {interface}");
            }
        }
    }
}

/// The list in `src/lib.rs` would allow a module to import an endpoint's modules that are below it.
#[test]
fn modules_that_every_function_shares_know_no_endpoint() {
    let endpoints = ["event", "sync_keys", "handler", "app", "response", "sessions", "request"];
    let modules = modules();
    for (name, imported) in level(&files(&modules), "") {
        let known = endpoints.into_iter().find(|endpoint| imported.contains(*endpoint));
        assert!(endpoints.contains(&name.as_str()) || known.is_none(), "{name} imports {}", known.unwrap_or_default());
    }
    for (name, module) in &modules {
        let top = name.split("::").next().unwrap();
        assert!(endpoints.contains(&top) || !module.source.contains("chat_"), "{name} names a table");
    }
}

#[test]
fn auth_and_request_use_no_clock_network_or_environment() {
    let modules = modules();
    for (module, code) in &modules {
        if !["auth", "request"].contains(&module.split("::").next().unwrap()) {
            continue;
        }
        for interface in ["tokio", "tokio_postgres", "std::time", "std::net", "std::fs", "std::env", "Timestamp::now"] {
            assert!(!code.imports(interface), "{module} uses {interface}");
        }
    }
}

#[test]
fn only_auth_creates_the_proof_that_a_token_was_verified() {
    for (name, module) in modules() {
        let is_auth = name == "auth" || name.starts_with("auth::");
        assert!(is_auth || !module.code.contains("Authenticated {"), "{name} creates Authenticated");
    }
}
