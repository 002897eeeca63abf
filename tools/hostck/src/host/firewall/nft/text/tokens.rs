//! Words of the language of nft, and statements made of them.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NftToken {
    Word(String),
    Open,
    Close,
    Comma,
    /// A line end or semicolon.
    End,
}

/// Splits a text into tokens; comments are left out, and joined lines are one.
pub(super) fn tokenize(text: &str) -> Vec<NftToken> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | ';' => tokens.push(NftToken::End),
            '{' => tokens.push(NftToken::Open),
            '}' => tokens.push(NftToken::Close),
            ',' => tokens.push(NftToken::Comma),
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            // A joined line.
            '\\' if chars.peek() == Some(&'\n') => drop(chars.next()),
            '"' => {
                let mut word = String::new();
                while let Some(c) = chars.next_if(|c| *c != '"') {
                    word.push(c);
                }
                chars.next();
                tokens.push(NftToken::Word(word));
            }
            c if c.is_whitespace() => {}
            c => {
                let mut word = String::from(c);
                let part = |c: &char| !c.is_whitespace() && !"{};,\"#".contains(*c);
                while let Some(c) = chars.next_if(part) {
                    word.push(c);
                }
                tokens.push(NftToken::Word(word));
            }
        }
    }
    tokens
}

/// Reads tokens one statement at a time.
pub(super) struct TokenReader<'a>(pub(super) &'a [NftToken]);

impl<'a> TokenReader<'a> {
    /// The tokens before the next end or block at this level; values in braces are part of it if
    /// `values` is set. The token that ended it comes second.
    pub(super) fn next_statement(&mut self, values: bool) -> Option<(&'a [NftToken], Option<&'a NftToken>)> {
        while let Some((NftToken::End, rest)) = self.0.split_first() {
            self.0 = rest;
        }
        if self.0.is_empty() {
            return None;
        }
        let mut depth = 0;
        for (i, token) in self.0.iter().enumerate() {
            let ends = match token {
                NftToken::Open if values || depth > 0 => {
                    depth += 1;
                    false
                }
                NftToken::Close if depth > 0 => {
                    depth -= 1;
                    false
                }
                NftToken::End => depth == 0,
                NftToken::Open | NftToken::Close => true,
                _ => false,
            };
            if ends {
                let statement = &self.0[..i];
                self.0 = &self.0[i + 1..];
                return Some((statement, Some(token)));
            }
        }
        Some((std::mem::take(&mut self.0), None))
    }

    /// The tokens of a block whose brace was read.
    pub(super) fn next_block(&mut self) -> &'a [NftToken] {
        let mut depth = 1;
        for (i, token) in self.0.iter().enumerate() {
            match token {
                NftToken::Open => depth += 1,
                NftToken::Close => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let block = &self.0[..i];
                self.0 = &self.0[i + 1..];
                return block;
            }
        }
        std::mem::take(&mut self.0)
    }
}

pub(super) fn word_at(tokens: &[NftToken], at: usize) -> &str {
    match tokens.get(at) {
        Some(NftToken::Word(word)) => word,
        _ => "",
    }
}
