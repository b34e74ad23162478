//! The pages of reference: complete, and as the programs have it.

use std::process::Command;

use kvrpc::model::Method;
use kvrpc::model::Reason;

use super::markdown::{files, read};
use crate::harness::{Server, exchange};

/// Standard output of a program that has to end well.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).env_clear().args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

const SERVER: &str = env!("CARGO_BIN_EXE_kvrpc-server");
const CLI: &str = env!("CARGO_BIN_EXE_kvrpc-cli");

/// The names in a text that begin with `begin` and go on with these characters.
fn names(text: &str, begin: &str, of_name: fn(char) -> bool) -> Vec<String> {
    let rests = text.match_indices(begin).filter(|(at, _)| {
        let before = text[..*at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    });
    let mut names: Vec<String> = rests
        .map(|(at, _)| {
            let rest = &text[at + begin.len()..];
            format!("{begin}{}", rest.chars().take_while(|c| of_name(*c)).collect::<String>())
        })
        .filter(|name| name.len() > begin.len())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn flags(text: &str) -> Vec<String> {
    names(text, "--", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn variables(text: &str) -> Vec<String> {
    names(text, "KVRPC_", |c| c.is_ascii_uppercase() || c == '_')
}

/// Fails with the names that a page does not have as code.
fn listed(page: &str, wanted: impl IntoIterator<Item = String>) {
    let text = read(page);
    let lacking: Vec<_> = wanted
        .into_iter()
        .filter(|name| {
            !text.match_indices(&format!("`{name}")).any(|(at, found)| {
                let next = text[at + found.len()..].chars().next();
                next.is_some_and(|c| matches!(c, '`' | ' ' | '=' | '['))
            })
        })
        .collect();
    assert!(lacking.is_empty(), "{page} lacks {lacking:?}");
}

#[test]
fn the_pages_of_configuration_have_every_flag_variable_and_key() {
    let page = "docs/configuration.md";
    let help = output(SERVER, &["--help"]);
    let of_subcommand = output(SERVER, &["hash-password", "--help"]);
    let all: Vec<_> = flags(&help).into_iter().chain(flags(&of_subcommand)).collect();
    assert!(all.len() > 20, "{all:?}");
    listed(page, all);
    let all = variables(&help);
    assert!(all.len() > 15, "{all:?}");
    listed(page, all);
    // The keys of the file, by their page.
    let mut keys = (Vec::new(), Vec::new());
    let mut of_page = &mut keys.0;
    for line in output(SERVER, &["check-config"]).lines() {
        if let Some(name) = line.strip_prefix('[') {
            let table = name.trim_end_matches(']');
            of_page = if table == "limits" { &mut keys.1 } else { &mut keys.0 };
            of_page.push(format!("[{table}]"));
        } else if let Some((key, _)) = line.split_once(" = ") {
            of_page.push(key.to_owned());
        }
    }
    assert!(keys.0.len() > 20 && keys.1.len() > 20, "{keys:?}");
    listed(page, keys.0);
    listed("docs/limits.md", keys.1);
}

#[test]
fn the_page_of_the_command_line_has_every_flag_and_variable() {
    let page = "docs/command-line.md";
    let help = output(CLI, &["--help"]);
    let (options, _) = help.split_once("\nCommands:\n").unwrap();
    let all = flags(options);
    assert!(all.len() > 12, "{all:?}");
    listed(page, all);
    let all = variables(&help);
    assert_eq!(all.len(), 4, "{all:?}");
    listed(page, all);
}

/// The code spans in the first cells of a table's rows.
fn first_cells<'a>(page: &'a str, head: &str) -> Vec<&'a str> {
    let (_, table) = page.split_once(head).unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('`').nth(1).unwrap()).collect()
}

#[test]
fn the_page_of_the_command_line_names_commands_that_are_there() {
    let page = read("docs/command-line.md");
    let commands = first_cells(&page, "| command | what it does |\n");
    assert!(commands.len() > 20, "{commands:?}");
    let mut options = Vec::new();
    for command in commands {
        let name = command.split(' ').next().unwrap();
        options.extend(flags(&output(CLI, &[name, "--help"])));
    }
    for option in first_cells(&page, "| option | of | meaning |\n") {
        let name = option.split(' ').next().unwrap();
        assert!(options.iter().any(|own| own == name), "no command has {name}");
    }
}

/// The exit codes that a help text lists.
fn exit_codes(help: &str) -> Vec<String> {
    let (_, list) = help.split_once("Exit codes:").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap_or((list, ""));
    let numbers = list.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    numbers.map(str::to_owned).collect()
}

#[test]
fn the_page_of_errors_has_every_exit_code() {
    let of_server = exit_codes(&output(SERVER, &["--help"]));
    assert_eq!(of_server, ["0", "1", "2", "128"]);
    let of_cli = exit_codes(&output(CLI, &["--help"]));
    assert_eq!(of_cli.len(), 10);
    for (heading, codes) in
        [("## Exit codes of kvrpc-cli", of_cli), ("## Exit codes of kvrpc-server", of_server)]
    {
        let page = read("docs/errors.md");
        let (_, section) = page.split_once(heading).unwrap();
        let section = section.split("\n## ").next().unwrap();
        for code in codes {
            let row = [format!("| `{code}` |"), format!("| `{code} + ")];
            assert!(row.iter().any(|row| section.contains(row)), "{heading} lacks {code}");
        }
    }
}

#[test]
fn the_page_of_errors_has_every_reason_with_its_code() {
    let page = read("docs/errors.md");
    for reason in Reason::ALL {
        let name = format!("| `{}` |", reason.as_str());
        let row = page.lines().find(|line| line.starts_with(&name));
        let row = row.unwrap_or_else(|| panic!("docs/errors.md has no row for {name}"));
        let code = kvrpc::pb::code(reason);
        let code: String = format!("{code:?}").chars().fold(String::new(), |mut name, c| {
            if c.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
            name
        });
        assert!(row.contains(&format!("| {code} |")), "{code} is not in: {row}");
    }
}

#[test]
fn the_page_of_roles_says_of_each_rpc_who_may_call_it() {
    let page = read("docs/roles.md");
    let (_, table) = page.split_once("\n| permission | RPCs |\n").unwrap();
    let mut named = 0;
    for row in table.lines().skip(1).take_while(|line| line.starts_with('|')) {
        let mut codes = row.split('`').skip(1).step_by(2);
        let permission = codes.next().unwrap().replace('_', "");
        for rpc in codes {
            let method = Method::ALL.iter().find(|method| method.name() == rpc);
            let method = method.unwrap_or_else(|| panic!("docs/roles.md: there is no RPC {rpc}"));
            let own = format!("{:?}", method.permission());
            assert!(own.eq_ignore_ascii_case(&permission), "{rpc} is {own}, not {permission}");
            named += 1;
        }
    }
    assert!(named > 25, "docs/roles.md names {named} RPCs");
}

/// The numbers in a text, as it has them.
fn numbers(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ',');
    let words = words.map(|word| word.trim_matches(['.', ',']));
    words.filter(|word| word.chars().any(|c| c.is_ascii_digit())).collect()
}

#[test]
fn the_page_of_benchmarks_has_figures_that_were_measured() {
    let page = read("docs/benchmarks.md");
    let (_, table) = page.split_once("\n| what | kvrpc | beside |\n").unwrap();
    let results = files(|path| path.starts_with("bench/results/") && path.ends_with(".md"));
    let measured: Vec<_> = results.iter().flat_map(|file| numbers(&file.text)).collect();
    let mut found = 0;
    for row in table.lines().skip(1).take_while(|line| line.starts_with('|')) {
        let (_, figures) = row[1..].split_once('|').unwrap();
        for number in numbers(figures) {
            assert!(measured.contains(&number), "no result has {number}: {row}");
            found += 1;
        }
    }
    assert!(found > 15, "the table has {found} figures");
}

#[tokio::test]
async fn the_page_of_monitoring_has_every_metric() {
    let server = Server::start().await;
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let metrics = exchange(server.admin(), request).await;
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names: Vec<_> = names
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            if kind == "counter" { format!("{name}_total") } else { name.to_owned() }
        })
        .collect();
    assert!(names.len() > 10, "{metrics}");
    listed("docs/operations/monitoring.md", names);
}
