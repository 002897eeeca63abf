//! The files of a certificate directory, read one by one. A file that cannot be read is a finding, and the next is read
//! all the same.

use std::path::Path;
use std::sync::Arc;

use rustls::sign::SigningKey;

use super::checks::{Bundle, DirectoryContent};
use super::der::{self, Der};
use super::key::{self, KeyError};
use super::pem::{self, Block};
use super::read::{FileContent, MAX_BYTES, OpenDirectory};
use super::role::Layout;
use super::signature::{EXPLICIT_CURVE, KeyKind};
use super::{Cert, Crl, Passphrase, Role, rule};
use crate::finding::{Finding, Severity};
use crate::policy::shell_quote;

/// Reads the files of one directory, and collects the findings about them.
pub(super) struct DirectoryReader<'a> {
    pub(super) dir: OpenDirectory,
    pub(super) layout: &'static Layout,
    /// Bytes in place of the CRL file.
    pub(super) staged: Option<&'a [u8]>,
    /// The largest CRL file that is read, in bytes.
    pub(super) max_crl_bytes: u64,
    pub(super) findings: Vec<Finding>,
}

impl DirectoryReader<'_> {
    pub(super) fn read_content(&mut self, role: Role) -> DirectoryContent {
        let (roots, _) = self.read_blocks(self.layout.ca, true);
        let (chain, _) = self.read_blocks(self.layout.leaf, true);
        let (crls, crl_present) = self.read_blocks(self.layout.crl, false);
        DirectoryContent {
            role,
            roots: self.parse_certificates(self.layout.ca, roots),
            chain: self.parse_certificates(self.layout.leaf, chain),
            crls: self.parse_crls(self.layout.crl, crls),
            crl_present,
        }
    }

    /// The blocks of a file, and whether the file is there at all.
    pub(super) fn read_blocks(&mut self, name: &str, required: bool) -> (Vec<Block>, bool) {
        let path = self.dir.file_path(name);
        let limit = if name == self.layout.crl { self.max_crl_bytes } else { MAX_BYTES };
        let content = match self.staged.filter(|_| name == self.layout.crl) {
            Some(bytes) => self.dir.take_staged(limit, name, bytes, &mut self.findings),
            None => self.dir.read_up_to(limit, name, &mut self.findings),
        };
        match content {
            FileContent::Bytes(bytes) => {
                let blocks = pem::parse(&bytes).map_err(|e| {
                    let (found, fix) = match is_pkcs12(&bytes) {
                        true => (
                            "PKCS#12, a container of keys and certificates".to_owned(),
                            self.suggest_unpacking(name),
                        ),
                        false => (e.to_string(), self.suggest_repair(name, &bytes, &e)),
                    };
                    self.add_finding(rule::PEM.at(&path).found(found).expected("PEM").fix(fix));
                });
                (blocks.unwrap_or_default(), true)
            }
            FileContent::Absent if required => {
                self.add_finding(
                    rule::MISSING_FILE.at(&path).found("does not exist").expected("a file").fix(
                        "copy it from where it was issued, or make the directory with `certck mint leaf`",
                    ),
                );
                (Vec::new(), false)
            }
            FileContent::Absent => (Vec::new(), false),
            FileContent::Unreadable => (Vec::new(), true),
        }
    }

    /// The command that makes a readable file of one that is in another encoding.
    fn suggest_repair(&self, name: &str, bytes: &[u8], error: &pem::PemError) -> String {
        let file = shell_quote(&self.dir.file_path(name));
        match error {
            pem::PemError::ByteOrderMark => format!("sed -i '1s/^\\xEF\\xBB\\xBF//' {file}"),
            pem::PemError::WideText { encoding } => {
                format!(
                    "(umask 077; iconv -f {encoding} -t UTF-8 {file} >{file}.new && mv {file}.new {file})"
                )
            }
            _ => self.suggest_conversion(name, bytes.first() == Some(&0x30)),
        }
    }

    /// The command that converts a file to PEM.
    fn suggest_conversion(&self, name: &str, der: bool) -> String {
        let command = match name {
            _ if !der => return "copy it again from where it was issued".to_owned(),
            _ if name == self.layout.key => "pkey",
            _ if name == self.layout.crl => "crl",
            _ => "x509",
        };
        let file = shell_quote(&self.dir.file_path(name));
        format!(
            "(umask 077; openssl {command} -inform DER -in {file} -out {file}.new && mv {file}.new {file})"
        )
    }

    /// The command that extracts a file's content from a PKCS#12 container.
    fn suggest_unpacking(&self, name: &str) -> String {
        let what = match name {
            _ if name == self.layout.key => "-nocerts -nodes",
            _ if name == self.layout.leaf => "-nokeys -clcerts",
            _ if name == self.layout.ca => "-nokeys -cacerts",
            _ => return "get the CRL from the CA: a PKCS#12 container has none".to_owned(),
        };
        let file = shell_quote(&self.dir.file_path(name));
        format!("(umask 077; openssl pkcs12 {what} -in {file} -out {file}.new && mv {file}.new {file})")
    }

    pub(super) fn parse_certificates(&mut self, name: &str, blocks: Vec<Block>) -> Bundle<Cert> {
        let wanted = |b: &Block| b.label == "CERTIFICATE";
        let parse = |der: Vec<u8>| Cert::parse(&der);
        self.parse_bundle(name, blocks, "certificate", wanted, parse, rule::MALFORMED_CERTIFICATE)
    }

    pub(super) fn parse_crls(&mut self, name: &str, blocks: Vec<Block>) -> Bundle<Crl> {
        self.parse_bundle(name, blocks, "CRL", |b| b.label == "X509 CRL", Crl::from_der, rule::MALFORMED_CRL)
    }

    fn parse_bundle<T>(
        &mut self,
        name: &str,
        blocks: Vec<Block>,
        noun: &'static str,
        wanted: impl Fn(&Block) -> bool,
        parse: impl Fn(Vec<u8>) -> Result<T, super::Malformed>,
        malformed: crate::rule::Rule,
    ) -> Bundle<T> {
        let path = self.dir.file_path(name);
        let mut bundle = Bundle { path: path.clone(), items: Vec::new(), broken: false };
        let some = !blocks.is_empty();
        let mut found = 0;
        for mut block in blocks {
            let at = format!("line {}", block.line);
            if key::is_private(&block.label) {
                self.add_finding(
                    rule::STRAY_KEY
                        .at(&path)
                        .found(format!("{at}: a private key beside the {noun}"))
                        .expected(format!("{noun}s only"))
                        .fix("move the key into its own file, and consider it exposed"),
                );
            } else if !wanted(&block) {
                let label = crate::text::safe(&block.label);
                self.add_finding(
                    rule::EXTRA_CONTENT
                        .at(&path)
                        .found(format!("{at}: a `{label}` block"))
                        .expected(format!("{noun}s only"))
                        .fix("remove the block"),
                );
            } else {
                found += 1;
                match parse(std::mem::take(&mut *block.der)) {
                    Ok(item) => bundle.items.push(item),
                    Err(e) => {
                        bundle.broken = true;
                        self.add_finding(
                            malformed
                                .at(&path)
                                .found(format!("{at}: {e}"))
                                .expected(format!("a {noun} in DER within PEM")),
                        );
                    }
                }
            }
        }
        if some && found == 0 {
            self.add_finding(
                rule::PEM.at(&path).found(format!("holds no {noun}")).expected(format!("a {noun}")),
            );
        }
        bundle
    }

    pub(super) fn read_key(
        &mut self,
        case: &mut DirectoryContent,
        passphrase: Option<&Passphrase>,
    ) -> Option<Arc<dyn SigningKey>> {
        let name = self.layout.key;
        let path = self.dir.file_path(name);
        let (blocks, present) = self.read_blocks(name, true);
        let (keys, others): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|b| key::is_private(&b.label));
        // `openssl ecparam -genkey` writes the curve first (openssl-ecparam(1)); the key has it too.
        for other in others.iter().filter(|b| b.label != "EC PARAMETERS") {
            let label = crate::text::safe(&other.label);
            self.add_finding(
                rule::EXTRA_CONTENT
                    .at(&path)
                    .found(format!("line {}: a `{label}` block", other.line))
                    .expected("a private key only")
                    .fix("remove the block"),
            );
        }
        match keys.as_slice() {
            [block] => {
                let key = key::read_private_key(block, passphrase)
                    .map_err(|e| self.report_key_error(&path, e))
                    .ok()?;
                self.match_key(&path, key.as_ref(), case);
                Some(key)
            }
            [] => {
                if present && !others.is_empty() {
                    self.add_finding(
                        rule::PEM.at(&path).found("holds no private key").expected("a private key"),
                    );
                }
                None
            }
            several => {
                self.add_finding(
                    rule::SEVERAL_KEYS
                        .at(&path)
                        .found(format!("{} private keys", several.len()))
                        .expected("one")
                        .fix("keep the one that belongs to the leaf"),
                );
                None
            }
        }
    }

    fn report_key_error(&mut self, path: &Path, error: KeyError) {
        let quoted = shell_quote(path);
        let new = format!("-in {quoted} -out {quoted}.new && mv {quoted}.new {quoted}");
        let found = error.to_string();
        self.add_finding(match error {
            KeyError::Encrypted => rule::KEY_ENCRYPTED
                .at(path)
                .found(found)
                .expected("a key that can be read")
                .fix(format!("give the passphrase with --passphrase-file, or decrypt the key: (umask 077; openssl pkey {new})")),
            KeyError::WrongPassphrase => {
                rule::KEY_ENCRYPTED.at(path).found(found).expected("the passphrase of this key")
            }
            KeyError::Traditional | KeyError::Outdated => rule::KEY_ENCRYPTED
                .at(path)
                .found(found)
                .expected("PKCS#8 with PBES2")
                .fix(format!("(umask 077; openssl pkcs8 -topk8 -v2 aes-256-cbc {new})")),
            KeyError::Malformed(_) => rule::MALFORMED_KEY
                .at(path)
                .found(found)
                .expected("a PKCS#8, PKCS#1 or SEC1 private key")
                .fix("issue a new key and certificate"),
        });
    }

    /// Finds the certificate that the key belongs to. If it is not the first, the order is reported, and the chain is
    /// checked in the right order.
    fn match_key(&mut self, path: &Path, key: &dyn SigningKey, case: &mut DirectoryContent) {
        let spki = key.public_key();
        let belongs = |cert: &Cert| spki.as_ref().is_some_and(|spki| spki.as_ref() == cert.key.spki);
        let chain = &mut case.chain.items;
        match chain.iter().position(belongs) {
            None if chain.is_empty() => return,
            Some(0) => return,
            // A key with explicit parameters is read as one on its curve, so its encoding differs; that it is not
            // supported is reported with the certificate.
            None if matches!(&chain[0].key.kind, KeyKind::Other(kind) if kind == EXPLICIT_CURVE) => return,
            Some(at) => {
                let found = format!("the leaf ({}) is certificate {}", chain[at].subject, at + 1);
                chain[..=at].rotate_right(1);
                let mut finding = rule::BUNDLE_ORDER
                    .at(&case.chain.path)
                    .found(found)
                    .expected("the leaf, then the issuer of each; not the root")
                    .fix("put the leaf first, then the certificate of its issuer, and so on");
                finding.severity = Severity::Error;
                return self.add_finding(finding);
            }
            None => {}
        }
        self.add_finding(
            rule::KEY_MISMATCH
                .at(path)
                .found(format!("is not the key of the first certificate of {}", self.layout.leaf))
                .expected("the key that the certificate was issued for")
                .fix("copy the certificate and its key there together"),
        );
    }

    fn add_finding(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

/// Whether bytes are a PFX of PKCS#12: a sequence that begins with the number 3 and goes on with another one.
fn is_pkcs12(bytes: &[u8]) -> bool {
    let Ok(mut outer) = Der::open_only(bytes, der::SEQUENCE) else { return false };
    let version = outer.read_element().is_ok_and(|first| first.tag == der::INTEGER && first.value == [3]);
    version && outer.read_element().is_ok_and(|next| next.tag == der::SEQUENCE)
}
