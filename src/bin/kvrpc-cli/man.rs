//! The manual page: the options from clap, the commands from the table.

use std::io;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::help::VALUES;
use super::{Exit, args};
use kvrpc::dialect::grammar::{COMMANDS, Mode};

/// The page, in roff.
pub(super) fn page() -> io::Result<String> {
    let man = Man::new(args::command());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    commands().to_writer(&mut page)?;
    exit_codes().to_writer(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn commands() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    roff.text([roman(
        "Several commands may stand one after another. The options of a command stand behind its \
         words; \"--\" makes the next word literal.",
    )]);
    roff.text([roman(VALUES)]);
    for spec in COMMANDS.iter().filter(|spec| spec.exists_in(Mode::CommandLine)) {
        roff.control("TP", []);
        roff.text([bold(spec.name), roman(format!(" {}", spec.arguments()))]);
        roff.text([roman(spec.help)]);
        for option in spec.options {
            roff.control("RS", []);
            roff.control("TP", []);
            roff.text([bold(option.form())]);
            roff.text([roman(option.help)]);
            roff.control("RE", []);
        }
        for example in spec.examples {
            roff.control("br", []);
            roff.text([roman(format!("Example: kvrpc-cli {example}"))]);
        }
    }
    roff
}

fn exit_codes() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for exit in Exit::ALL {
        roff.control("TP", []);
        roff.text([bold(exit.code().to_string())]);
        roff.text([roman(exit.meaning())]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_option_and_exit_code_is_on_the_page() {
        // roff escapes the dashes.
        let page = page().unwrap().replace("\\-", "-");
        for spec in COMMANDS.iter().filter(|spec| spec.exists_in(Mode::CommandLine)) {
            assert!(page.contains(&format!("\\fB{}\\fR", spec.name)), "{}", spec.name);
            for option in spec.options {
                assert!(page.contains(&option.form()), "{}", option.name);
            }
        }
        for exit in Exit::ALL {
            assert!(page.contains(exit.meaning()), "{}", exit.code());
        }
    }
}
