//! Traces as a test handles them: events whose numbers stay text, so that one trace can be written in many ways.

use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;

/// A JSON value. Numbers, texts and literals stand as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Scalar(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    /// Parses well-formed JSON.
    pub(crate) fn parse(text: &str) -> Self {
        let mut rest = text.chars().peekable();
        let value = parse_value(&mut rest);
        skip_space(&mut rest);
        assert_eq!(rest.next(), None, "{text}");
        value
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// The text of a scalar, without quotes.
    pub(crate) fn text(&self) -> Option<&str> {
        let Self::Scalar(text) = self else { return None };
        Some(text.trim_matches('"'))
    }

    /// Applies a change to every object, inner ones first.
    pub(crate) fn change_objects(&mut self, change: &mut impl FnMut(&mut Vec<(String, Self)>)) {
        match self {
            Self::Scalar(_) => {}
            Self::List(items) => items.iter_mut().for_each(|i| i.change_objects(change)),
            Self::Object(members) => {
                members.iter_mut().for_each(|(_, v)| v.change_objects(change));
                change(members);
            }
        }
    }

    /// Writes it on one line, or pretty with two spaces a level.
    pub(crate) fn write(&self, to: &mut String, pretty: Option<usize>) {
        let inner = pretty.map(|level| level + 1);
        let separator = |to: &mut String, first: bool, level: Option<usize>| {
            if !first {
                to.push(',');
            }
            if let Some(level) = level {
                to.push('\n');
                to.push_str(&"  ".repeat(level));
            }
        };
        match self {
            Self::Scalar(text) => to.push_str(text),
            Self::List(items) => {
                to.push('[');
                for (i, item) in items.iter().enumerate() {
                    separator(to, i == 0, inner);
                    item.write(to, inner);
                }
                separator(to, true, pretty.filter(|_| !items.is_empty()));
                to.push(']');
            }
            Self::Object(members) => {
                to.push('{');
                for (i, (key, value)) in members.iter().enumerate() {
                    separator(to, i == 0, inner);
                    to.push_str(&format!("\"{key}\":{}", if pretty.is_some() { " " } else { "" }));
                    value.write(to, inner);
                }
                separator(to, true, pretty.filter(|_| !members.is_empty()));
                to.push('}');
            }
        }
    }

    pub(crate) fn compact(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, None);
        text
    }
}

fn skip_space(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| c.is_whitespace()).is_some() {}
}

fn parse_value(rest: &mut Peekable<Chars<'_>>) -> Json {
    skip_space(rest);
    match rest.peek() {
        Some('[') => Json::List(parse_items(rest, ']', parse_value)),
        Some('{') => Json::Object(parse_items(rest, '}', |rest| {
            let key = parse_scalar(rest).trim_matches('"').to_owned();
            skip_space(rest);
            assert_eq!(rest.next(), Some(':'));
            (key, parse_value(rest))
        })),
        _ => Json::Scalar(parse_scalar(rest)),
    }
}

fn parse_items<T>(
    rest: &mut Peekable<Chars<'_>>,
    close: char,
    mut parse: impl FnMut(&mut Peekable<Chars<'_>>) -> T,
) -> Vec<T> {
    rest.next();
    let mut items = Vec::new();
    loop {
        skip_space(rest);
        if rest.next_if_eq(&close).is_some() {
            return items;
        }
        items.push(parse(rest));
        skip_space(rest);
        rest.next_if_eq(&',');
    }
}

fn parse_scalar(rest: &mut Peekable<Chars<'_>>) -> String {
    skip_space(rest);
    let mut text = String::new();
    if rest.peek() != Some(&'"') {
        while let Some(c) = rest.next_if(|c| !c.is_whitespace() && !",:]}".contains(*c)) {
            text.push(c);
        }
        return text;
    }
    text.extend(rest.next());
    for c in rest.by_ref() {
        let escaped = text.len() - text.trim_end_matches('\\').len();
        text.push(c);
        if c == '"' && escaped % 2 == 0 {
            break;
        }
    }
    text
}

/// A trace: its events, and the members of its object that stand before and after them.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) before: Vec<(String, Json)>,
    pub(crate) events: Vec<Json>,
    pub(crate) after: Vec<(String, Json)>,
    /// The events are all of the file, in a bare array.
    pub(crate) bare: bool,
}

impl Document {
    /// From the text of an object with `traceEvents`, or of an array.
    pub(crate) fn parse(text: &str) -> Self {
        match Json::parse(text) {
            Json::Object(mut members) => {
                let at = members.iter().position(|(k, _)| k == "traceEvents").expect("traceEvents");
                let after = members.split_off(at + 1);
                let Some((_, Json::List(events))) = members.pop() else { panic!("a list") };
                Self { before: members, events, after, bare: false }
            }
            Json::List(events) => Self { before: Vec::new(), events, after: Vec::new(), bare: true },
            Json::Scalar(text) => panic!("{text}"),
        }
    }

    fn whole(&self) -> Json {
        if self.bare {
            return Json::List(self.events.clone());
        }
        let events = ("traceEvents".to_owned(), Json::List(self.events.clone()));
        Json::Object(self.before.iter().cloned().chain([events]).chain(self.after.iter().cloned()).collect())
    }

    pub(crate) fn compact(&self) -> String {
        self.whole().compact()
    }

    pub(crate) fn pretty(&self) -> String {
        let mut text = String::new();
        self.whole().write(&mut text, Some(0));
        text + "\n"
    }

    /// One event a line, no list.
    pub(crate) fn lines(&self) -> String {
        self.events.iter().map(|e| e.compact() + "\n").collect()
    }

    /// The text on one line or with each event on its own, and where in it the events are.
    pub(crate) fn with_places(&self, lines: bool) -> (String, Vec<Range<usize>>) {
        let mut frame = self.clone();
        frame.events = vec![Json::Scalar("@".into())];
        let frame = frame.compact();
        let (head, tail) = frame.split_once("[@]").expect("the list of events");
        let (mut text, mut places) = (head.to_owned() + "[", Vec::new());
        for (i, event) in self.events.iter().enumerate() {
            text.push_str(if i == 0 { "" } else { "," });
            text.push_str(if lines { "\n" } else { "" });
            let start = text.len();
            event.write(&mut text, None);
            places.push(start..text.len());
        }
        (text + if lines { "\n]" } else { "]" } + tail, places)
    }
}
