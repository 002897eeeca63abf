//! The meaning of each event: by its category, the name of a kernel, its process, and the classes that the user gives.

use crate::model::{
    Category, Event, KernelClass, NameTable, ProcessTable, RowMeaning, RowTraits, classify_kernel_name,
};
use anyhow::Context;
use regex::Regex;

/// A class that a user gives to device work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum UserClass {
    /// Moves data between devices.
    Communication,
    /// Copies within a device, or from and to the host.
    Copy,
    /// Computes.
    Compute,
    /// Is not counted.
    Ignore,
}

impl UserClass {
    fn category(self) -> Category {
        match self {
            Self::Communication => Category::Collective,
            Self::Copy => Category::Memcpy,
            Self::Compute => Category::Kernel,
            Self::Ignore => Category::Other,
        }
    }
}

/// The classes that the user gives to names that match; the first that matches counts.
#[derive(Clone, Debug, Default)]
pub struct ClassRules(Vec<(UserClass, Regex)>);

impl ClassRules {
    /// Adds a rule behind the others.
    ///
    /// # Errors
    /// `text` is not `NAME=REGEX` with a known name and a valid expression.
    pub fn push_text(&mut self, text: &str) -> anyhow::Result<()> {
        use clap::ValueEnum;
        let (name, pattern) = text
            .split_once('=')
            .with_context(|| format!("`{text}` is not NAME=REGEX, as in `communication=^my_all_reduce`"))?;
        let class = UserClass::from_str(name.trim(), true)
            .map_err(|_| anyhow::anyhow!("`{name}` is not a class: communication, copy, compute, ignore"))?;
        self.push(class, pattern)
    }

    /// Adds a rule behind the others.
    ///
    /// # Errors
    /// The expression is not valid.
    pub fn push(&mut self, class: UserClass, pattern: &str) -> anyhow::Result<()> {
        self.0.push((class, parse_expression(pattern)?));
        Ok(())
    }

    fn class_of(&self, name: &str) -> Option<UserClass> {
        self.0.iter().find(|(_, pattern)| pattern.is_match(name)).map(|(class, _)| *class)
    }
}

/// Parses a regular expression of the user. An error is one line.
pub fn parse_expression(pattern: &str) -> anyhow::Result<Regex> {
    Regex::new(pattern).map_err(|e| {
        let reason = e.to_string();
        let reason = reason.lines().last().unwrap_or("").trim().trim_start_matches("error: ").to_owned();
        anyhow::anyhow!("`{pattern}` is not a regular expression: {reason}")
    })
}

/// The class of a name.
#[derive(Clone, Copy)]
struct NameVerdict {
    class: KernelClass,
    user: Option<UserClass>,
}

/// Classifies events. What is known of a name is found out once.
pub struct EventClassifier {
    /// The processes and threads so far.
    pub processes: ProcessTable,
    /// The names so far.
    pub names: NameTable,
    rules: ClassRules,
    /// By the name's number.
    verdicts: Vec<Option<NameVerdict>>,
    /// The number of the name of the event that was classified last, if that asked for it.
    recent: Option<u32>,
}

/// An event of a trace, as far as it is known while the trace is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classified {
    /// The category of the name.
    Known(Category),
    /// Its process or thread decides.
    Row(RowTraits, Option<Category>),
}

impl EventClassifier {
    /// With the user's rules.
    pub fn new(rules: ClassRules) -> Self {
        Self {
            processes: ProcessTable::default(),
            names: NameTable::default(),
            rules,
            verdicts: Vec::new(),
            recent: None,
        }
    }

    /// The category of an event of known category; the name decides what a kernel is.
    #[inline]
    pub fn classify(&mut self, event: &Event<'_>) -> Classified {
        self.recent = None;
        match event.category {
            c if c.is_on_device() => Classified::Known(self.classify_device_event(event)),
            Category::Other
                if matches!(event.phase, b'X' | b'B' | b'E') && !has_telling_category(event.cat.raw) =>
            {
                let verdict = self.verdict(event);
                let user = verdict.user.map(UserClass::category);
                Classified::Row(RowTraits::of_event(event, verdict.class), user)
            }
            c => Classified::Known(c),
        }
    }

    /// The number of an event's name.
    pub fn intern_name(&mut self, event: &Event<'_>) -> u32 {
        self.names.intern(event.name)
    }

    /// The number of the name of the event that was classified last.
    pub(crate) fn intern_classified_name(&mut self, event: &Event<'_>) -> u32 {
        self.recent.unwrap_or_else(|| self.intern_name(event))
    }

    fn classify_device_event(&mut self, event: &Event<'_>) -> Category {
        // The end of a B and E pair may come without a name: its begin has it.
        if event.category == Category::Kernel || !self.rules.0.is_empty() {
            let verdict = self.verdict(event);
            if let Some(user) = verdict.user {
                return user.category();
            }
            return match (event.category, verdict.class) {
                (Category::Kernel, KernelClass::Communication) => Category::Collective,
                (Category::Kernel, KernelClass::Copy) => Category::Memcpy,
                (category, _) => category,
            };
        }
        event.category
    }

    /// The meaning of an event by what has been read so far, for those who keep none: the names of processes, which metadata
    /// events hold, may come later.
    pub fn meaning_so_far(&mut self, event: &Event<'_>) -> RowMeaning {
        self.processes.learn(event);
        match self.classify_and_forget(event) {
            Classified::Known(category) => meaning_of_known(event, category),
            Classified::Row(traits, user) => {
                let thread = self.processes.thread_of(event);
                self.resolve_row(thread, traits, user)
            }
        }
    }

    /// The meaning of an event, unless its process or thread decides.
    pub fn meaning_by_itself(&mut self, event: &Event<'_>) -> Option<RowMeaning> {
        match self.classify_and_forget(event) {
            Classified::Known(category) => Some(meaning_of_known(event, category)),
            Classified::Row(..) => None,
        }
    }

    /// Classifies without keeping more than some names: they are known again quickly.
    fn classify_and_forget(&mut self, event: &Event<'_>) -> Classified {
        const MOST_NAMES: u32 = 1 << 18;
        if self.names.count_names() > MOST_NAMES {
            self.names = NameTable::default();
            self.verdicts.clear();
        }
        self.classify(event)
    }

    fn verdict(&mut self, event: &Event<'_>) -> NameVerdict {
        let number = self.names.intern(event.name);
        self.recent = Some(number);
        if let Some(Some(verdict)) = self.verdicts.get(number as usize) {
            return *verdict;
        }
        let name = self.names.name(number);
        let verdict = NameVerdict { class: classify_kernel_name(name), user: self.rules.class_of(name) };
        if self.verdicts.len() <= number as usize {
            self.verdicts.resize(number as usize + 1, None);
        }
        self.verdicts[number as usize] = Some(verdict);
        verdict
    }

    /// The meaning of a row, once the trace has been read. The user's class takes precedence over that of its name, for work on a
    /// device.
    pub fn resolve_row(&self, thread: u32, traits: RowTraits, user: Option<Category>) -> RowMeaning {
        let mut meaning = self.processes.classify_row(thread, traits);
        if let (true, Some(category)) = (meaning.category.is_on_device(), user) {
            meaning.category = category;
        }
        meaning
    }
}

fn meaning_of_known(event: &Event<'_>, category: Category) -> RowMeaning {
    RowMeaning { category, device: event.device, stream: event.stream, ..RowMeaning::default() }
}

/// Recognizes categories of libkineto that say what an event is, though the model has no category for it.
fn has_telling_category(cat: &[u8]) -> bool {
    matches!(
        cat,
        b"overhead" | b"cuda_sync" | b"xpu_sync" | b"cuda_event" | b"external_correlation" | b"mtia_insight"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(name: &'static str) -> Event<'static> {
        Event { phase: b'X', category: Category::Kernel, name: name.into(), ..Event::default() }
    }

    #[test]
    fn the_users_classes_go_first() {
        let mut rules = ClassRules::default();
        for text in ["compute=^ncclDevKernel_Local", "communication=^my_", "ignore=warm.?up", "copy=^dma"] {
            rules.push_text(text).unwrap();
        }
        let mut classifier = EventClassifier::new(rules);
        let mut of = |name| match classifier.classify(&kernel(name)) {
            Classified::Known(category) => category,
            Classified::Row(..) => unreachable!(),
        };
        assert_eq!(of("ncclDevKernel_LocalSum"), Category::Kernel);
        assert_eq!(of("ncclDevKernel_AllReduce"), Category::Collective);
        assert_eq!(of("my_exchange"), Category::Collective);
        assert_eq!(of("warm-up gemm"), Category::Other);
        assert_eq!(of("dma_x"), Category::Memcpy);
        assert_eq!(of("gemm"), Category::Kernel);
    }

    #[test]
    fn a_wrong_rule_says_what_is_wrong() {
        let mut rules = ClassRules::default();
        let mut error = |text| rules.push_text(text).unwrap_err().to_string();
        assert!(error("x").contains("is not NAME=REGEX"));
        assert!(error("fast=x").contains("communication, copy, compute, ignore"));
        assert!(error("copy=(").starts_with("`(` is not a regular expression: "));
    }
}
