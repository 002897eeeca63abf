//! One argument of the command line, before it is parsed, and the options that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use clap::{ArgAction, Command};

/// One argument, with the name of its option in the spelling of `profd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    Value {
        name: String,
        value: OsString,
    },
    Switch {
        name: String,
        is_on: bool,
    },
    /// An option of an existing daemon that is ignored with a warning.
    Foreign {
        name: String,
        is_on: bool,
    },
    /// A warning about what was given.
    Warning(String),
    /// Left to the parser of the command line.
    Other(OsString),
}

impl Argument {
    /// Returns the name if it is an option of `profd`.
    pub(super) fn option_name(&self) -> Option<&str> {
        match self {
            Self::Value { name, .. } | Self::Switch { name, .. } => Some(name),
            Self::Foreign { .. } | Self::Warning(_) | Self::Other(_) => None,
        }
    }
}

/// The long options of `profd`, by kind.
pub(super) struct OptionTable {
    switches: BTreeSet<String>,
    /// Whether each may be given more than once.
    values: BTreeMap<String, bool>,
}

impl OptionTable {
    pub(super) fn of_command(command: &Command) -> Self {
        let mut table = Self { switches: BTreeSet::new(), values: BTreeMap::new() };
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            for name in arg
                .get_long_and_visible_aliases()
                .into_iter()
                .flatten()
                .chain(arg.get_all_aliases().into_iter().flatten())
            {
                match arg.get_action() {
                    ArgAction::SetTrue => drop(table.switches.insert(name.to_owned())),
                    ArgAction::Set => drop(table.values.insert(name.to_owned(), false)),
                    ArgAction::Append => drop(table.values.insert(name.to_owned(), true)),
                    _ => {}
                }
            }
        }
        table
    }

    pub(super) fn has_switch(&self, name: &str) -> bool {
        self.switches.contains(name)
    }

    pub(super) fn has_value(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Returns whether an option has a value and may be given more than once.
    pub(super) fn is_list(&self, name: &str) -> bool {
        self.values.get(name) == Some(&true)
    }
}
