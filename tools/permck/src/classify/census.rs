//! Decides the class of a directory from its files, and finds private keys among other files.

use common::policy::Class;

use super::{Classification, Secrecy, classify_as};

/// The files directly in a directory, counted by class while it is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct DirectoryCensus {
    private: u32,
    keys: u32,
    programs: u32,
    configs: u32,
    logs: u32,
    debug: u32,
    data: u32,
    /// The first private key's name.
    key: Option<Box<[u8]>>,
}

/// A private key in a directory that is mainly for other things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StrayKey {
    /// The first one's name.
    pub(crate) name: Box<[u8]>,
    pub(crate) keys: u32,
    /// The entries that are neither keys nor certificates.
    pub(crate) others: u32,
}

impl DirectoryCensus {
    /// Counts one file.
    pub(crate) fn count_file(&mut self, file: Classification, name: &[u8]) {
        let private = file.secrecy == Secrecy::Private;
        let field = match file.class {
            Class::KeyFile if private => {
                self.key.get_or_insert_with(|| name.into());
                &mut self.private
            }
            Class::KeyFile => &mut self.keys,
            Class::ProgramFile | Class::CryptoScript => &mut self.programs,
            Class::ConfigFile => &mut self.configs,
            Class::LogArchived | Class::LogRecording => &mut self.logs,
            Class::DebugFile => &mut self.debug,
            _ => &mut self.data,
        };
        *field = field.saturating_add(1);
    }

    /// Returns the private keys where more than half of the directory is something else; `dirs` is the number of
    /// subdirectories.
    pub(crate) fn find_stray_key(&self, dirs: u32) -> Option<StrayKey> {
        let others = [self.programs, self.configs, self.logs, self.debug, self.data, dirs];
        let others = others.iter().fold(0_u32, |sum, n| sum.saturating_add(*n));
        let keys = self.private.saturating_add(self.keys);
        let name = self.key.clone().filter(|_| others > keys)?;
        Some(StrayKey { name, keys: self.private, others })
    }

    /// Classifies the directory. Private keys make it a key directory unless most of it is something else; otherwise its
    /// name decides, then the class of most of its files.
    pub(crate) fn classify_directory(&self, name: &[u8], dirs: u32) -> Classification {
        if self.private > 0 && self.find_stray_key(dirs).is_none() {
            return classify_as(Class::KeyDir, "the private keys that it mainly holds");
        }
        let counts = [
            (self.keys, classify_as(Class::KeyDir, "the certificates in it")),
            (self.programs, classify_as(Class::ProgramDir, "the programs in it")),
            (self.logs, classify_as(Class::LogDir, "the logs in it")),
            (self.configs, classify_as(Class::ConfigDir, "the configuration in it")),
            (self.debug, classify_as(Class::DebugDir, "the debug files in it")),
            (self.data, classify_as(Class::DataDir, "the data in it")),
        ];
        // Of equal counts the first, which is the stricter.
        let most = counts.iter().rev().max_by_key(|(n, _)| *n).filter(|(n, _)| *n > 0);
        classify_directory_name(name)
            .or(most.map(|(_, t)| *t))
            .unwrap_or(classify_as(Class::DataDir, "default"))
    }
}

/// Classifies directories whose name is more reliable than their content.
fn classify_directory_name(name: &[u8]) -> Option<Classification> {
    let name = name.rsplit(|&b| b == b'/').find(|n| !n.is_empty()).unwrap_or(name);
    Some(match name.to_ascii_lowercase().as_slice() {
        b".ssh" | b".gnupg" => classify_as(Class::KeyDir, "its name"),
        b"tmp" | b"temp" => classify_as(Class::TmpDir, "its name"),
        b"upgrade" | b"patch" | b"maintenance" => classify_as(Class::UpgradeDir, "its name"),
        b"log" | b"logs" => classify_as(Class::LogDir, "its name"),
        b"debug" | b"coredump" => classify_as(Class::DebugDir, "its name"),
        _ => return None,
    })
}
