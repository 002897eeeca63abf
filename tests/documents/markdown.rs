//! Reads a document: its blocks of commands with what they should print, and its prose.

use std::path::{Path, PathBuf};

/// One Markdown file of the repository.
pub(crate) struct Document {
    /// Its path below the root.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) blocks: Vec<Block>,
    /// The lines outside blocks and comments, with their numbers.
    pub(crate) prose: Vec<(usize, String)>,
}

/// A fenced block.
pub(crate) struct Block {
    /// Number of the line after the opening fence.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) lines: Vec<String>,
    pub(crate) directives: Directives,
}

/// What the comments before a block say: `<!-- test: KEY VALUE -->`, which a reader does not see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directives {
    /// Why the block is not run.
    pub(crate) skip: Option<String>,
    /// The exit status of its last command.
    pub(crate) status: i32,
    /// The commands go on running; this is what they print when the next one may start.
    pub(crate) background: Option<String>,
    /// Numbers in the output differ from run to run, and so do the columns of a table.
    pub(crate) numbers_vary: bool,
    /// Only the first line of the output is the same in each run.
    pub(crate) lines_vary: bool,
    /// Commands to run first.
    pub(crate) setup: Vec<String>,
    /// Commands to start after those, and what each prints when it is ready.
    pub(crate) start: Vec<(String, String)>,
    /// The machine on which the commands are typed.
    pub(crate) machine: Option<String>,
}

/// One command of a block.
pub(crate) struct DocumentCommand {
    /// What is typed, with its continuation lines.
    pub(crate) text: String,
    /// What the document shows as its output, and where these lines are in the block; `None` if it shows none.
    pub(crate) expected: Option<std::ops::Range<usize>>,
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document that a user or contributor reads.
pub(crate) fn all_documents() -> Vec<Document> {
    let mut names: Vec<String> =
        ["README.md", "SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "python/README.md"]
            .map(str::to_owned)
            .to_vec();
    for dir in ["docs", "docs/guide", "docs/adr"] {
        let entries = std::fs::read_dir(root().join(dir)).expect("the directory is there");
        let paths: Vec<PathBuf> = entries.map(|e| e.expect("readable").path()).collect();
        let files = paths.iter().filter(|p| p.extension().is_some_and(|e| e == "md"));
        names.extend(files.map(|p| p.strip_prefix(root()).expect("below").display().to_string()));
    }
    names.sort();
    names.iter().map(|name| Document::read(name)).collect()
}

impl Document {
    /// Reads a document.
    ///
    /// # Panics
    /// It cannot be read, or its blocks and directives are malformed.
    pub(crate) fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (mut blocks, mut prose, mut directives) = (Vec::new(), Vec::new(), None);
        let mut lines = text.lines().enumerate();
        while let Some((i, line)) = lines.next() {
            let at = format!("{name}:{}", i + 1);
            if let Some(language) = line.trim_start().strip_prefix("```") {
                let indent = line.len() - line.trim_start().len();
                let mut inside = Vec::new();
                loop {
                    let (_, line) = lines.next().unwrap_or_else(|| panic!("{at}: the block is not closed"));
                    if line.trim() == "```" {
                        break;
                    }
                    inside.push(line.get(indent..).unwrap_or_default().to_owned());
                }
                let directives = directives.take().unwrap_or_default();
                blocks.push(Block { line: i + 2, language: language.into(), lines: inside, directives });
            } else if let Some(directive) = line.trim().strip_prefix("<!-- test: ") {
                let directive = directive.strip_suffix(" -->").unwrap_or_else(|| panic!("{at}: one line"));
                directives.get_or_insert_with(Directives::default).add(directive, &at);
            } else {
                assert!(
                    line.trim().is_empty() || directives.is_none(),
                    "{at}: a directive stands before a block"
                );
                assert!(
                    !line.starts_with("    "),
                    "{at}: commands stand in fenced blocks: ```sh or ```console"
                );
                prose.push((i + 1, line.to_owned()));
            }
        }
        Self { name: name.to_owned(), blocks, prose, text }
    }

    /// The texts between single backquotes in the prose, with their line numbers.
    pub(crate) fn code_spans(&self) -> Vec<(usize, String)> {
        let mut spans = Vec::new();
        for (number, line) in &self.prose {
            let inside = line.split('`').skip(1).step_by(2);
            spans.extend(inside.map(|span| (*number, span.to_owned())));
        }
        spans
    }
}

impl Directives {
    fn add(&mut self, text: &str, at: &str) {
        let (key, value) = text.split_once(' ').unwrap_or((text, ""));
        match key {
            "skip" => self.skip = Some(value.to_owned()),
            "status" => self.status = value.parse().unwrap_or_else(|e| panic!("{at}: {value}: {e}")),
            "background" => self.background = Some(value.to_owned()),
            "numbers" => self.numbers_vary = value == "vary",
            "lines" => self.lines_vary = value == "vary",
            "setup" => self.setup.push(value.to_owned()),
            "start" => {
                let (command, words) =
                    value.split_once(" => ").unwrap_or_else(|| panic!("{at}: COMMAND => WORDS"));
                self.start.push((command.to_owned(), words.to_owned()));
            }
            "on" => self.machine = Some(value.to_owned()),
            other => panic!("{at}: {other} is not a directive"),
        }
        assert!(!value.is_empty(), "{at}: {key} needs a value");
    }
}

impl Block {
    /// The commands of a block; none if it holds something else.
    pub(crate) fn commands(&self) -> Vec<DocumentCommand> {
        match self.language.as_str() {
            "console" => self.console_commands(),
            "sh" => self.shell_commands(),
            "crontab" => self.cron_commands(),
            "text" | "json" | "toml" | "ini" | "diff" | "rust" | "python" | "sql" | "yaml" => Vec::new(),
            other => panic!("line {}: a block of {other:?}", self.line),
        }
    }

    /// Joins the line and those that continue it after a backslash. Returns the index after them.
    fn join_continued(&self, first: usize, text: &str) -> (String, usize) {
        let (mut text, mut next) = (text.to_owned(), first + 1);
        while text.ends_with('\\') && next < self.lines.len() {
            text.push('\n');
            text.push_str(&self.lines[next]);
            next += 1;
        }
        (text, next)
    }

    fn console_commands(&self) -> Vec<DocumentCommand> {
        let mut commands = Vec::new();
        let mut i = 0;
        while i < self.lines.len() {
            let typed = self.lines[i].strip_prefix("$ ");
            let typed = typed.unwrap_or_else(|| panic!("line {}: expected `$ command`", self.line + i));
            let (text, from) = self.join_continued(i, typed);
            i = from;
            while i < self.lines.len() && !self.lines[i].starts_with("$ ") {
                i += 1;
            }
            commands.push(DocumentCommand { text, expected: Some(from..i) });
        }
        commands
    }

    fn shell_commands(&self) -> Vec<DocumentCommand> {
        let mut commands = Vec::new();
        let mut i = 0;
        while i < self.lines.len() {
            if self.lines[i].trim().is_empty() || self.lines[i].starts_with('#') {
                i += 1;
                continue;
            }
            let (text, next) = self.join_continued(i, &self.lines[i]);
            i = next;
            commands.push(DocumentCommand { text, expected: None });
        }
        commands
    }

    /// The commands of a crontab. Cron mails what they print, so they print nothing.
    fn cron_commands(&self) -> Vec<DocumentCommand> {
        let jobs = self.lines.iter().enumerate().filter(|(_, line)| {
            !line.starts_with('#') && line.split_whitespace().count() > 5 && !line.starts_with("PATH=")
        });
        let command = |line: &str| {
            let mut rest = line;
            for _ in 0..5 {
                rest = rest.trim_start().split_once(char::is_whitespace).map_or("", |(_, rest)| rest);
            }
            rest.trim_start().to_owned()
        };
        jobs.map(|(i, line)| DocumentCommand { text: command(line), expected: Some(i..i) }).collect()
    }
}
