//! The filters as options of a command: the same names as in the API.

use anyhow::bail;
use clap::{Arg, ArgMatches, Command, Error};
use jiff::Timestamp;

use crate::store::queries::Filter;

/// Only what fits all of these.
#[derive(Debug, Clone, Default)]
pub(super) struct FilterArgs(Vec<(&'static str, String)>);

impl FilterArgs {
    /// The filter, of these names; the error names the option.
    pub(super) fn filter(&self, names: &[&str], now: Timestamp) -> anyhow::Result<Filter> {
        let mut filter = Filter::default();
        for (name, value) in &self.0 {
            if !names.contains(name) {
                bail!("--{name} is nothing that this can be filtered by; there are --{}", names.join(", --"));
            }
            if let Err(why) = filter.set(name, value, now) {
                bail!("--{name} {value}: {why}");
            }
        }
        Ok(filter)
    }
}

impl clap::Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        let option = |(name, meaning): &(&'static str, &'static str)| {
            let meaning = meaning.trim_end_matches('.').replace('`', "");
            Arg::new(*name).long(*name).value_name("VALUE").help(meaning).help_heading("Filters")
        };
        Filter::NAMES.iter().map(option).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = |(name, _): &(&'static str, _)| Some((*name, matches.get_one::<String>(name)?.clone()));
        Ok(Self(Filter::NAMES.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        filter: FilterArgs,
    }

    fn filter(arguments: &[&str], names: &[&str]) -> anyhow::Result<Filter> {
        let program = Program::try_parse_from(["program"].iter().chain(arguments)).unwrap();
        program.filter.filter(names, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn every_filter_is_an_option() {
        for name in Filter::ALL {
            let value = match name {
                "injected" => "true",
                "from" | "to" => "2026-01-01",
                "thread" => "01890a5d-ac96-774b-bcce-b302099a8057",
                _ => "tea",
            };
            let given = filter(&[&format!("--{name}"), value], &Filter::ALL).unwrap();
            assert_ne!(given, Filter::default(), "{name}");
        }
        assert!(Program::try_parse_from(["program", "--colour", "red"]).is_err());
    }

    #[test]
    fn what_something_cannot_be_filtered_by_is_refused_and_not_passed_over() {
        let error = filter(&["--model", "gpt"], &Filter::OF_PEOPLE).unwrap_err().to_string();
        assert!(error.contains("--model") && error.contains("--group"), "{error}");
        let error = filter(&["--from", "yore"], &Filter::OF_PEOPLE).unwrap_err().to_string();
        assert!(error.starts_with("--from yore: "), "{error}");
    }
}
