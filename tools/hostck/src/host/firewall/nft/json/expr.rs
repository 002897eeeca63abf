//! Expressions of libnftables-json(5).

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{JumpTarget, NameList, plain_statement, skip_rest};
use crate::host::firewall::follow::RuleVerdict;
use crate::host::firewall::nft::model::{Expr, Statement};

by_key!(Expr, ExprVisitor);

#[derive(Deserialize)]
struct PrefixObject {
    addr: Expr,
    len: u32,
}

#[derive(Deserialize)]
struct PayloadObject {
    protocol: Option<String>,
    field: Option<String>,
}

#[derive(Deserialize)]
struct MetaObject {
    key: String,
}

#[derive(Deserialize)]
struct CtObject {
    key: String,
    dir: Option<String>,
}

#[derive(Deserialize)]
struct FibObject {
    result: String,
    #[serde(default)]
    flags: NameList,
}

#[derive(Deserialize)]
struct ExtensionObject {
    field: Option<String>,
}

#[derive(Deserialize)]
struct ElementObject {
    val: Expr,
    timeout: Option<IgnoredAny>,
    expires: Option<IgnoredAny>,
}

/// One expression or several.
fn to_list(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::List(list) => list,
        one => vec![one],
    }
}

impl<'de> Visitor<'de> for ExprVisitor {
    type Value = Expr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an expression")
    }

    fn visit_str<E>(self, text: &str) -> Result<Expr, E> {
        Ok(Expr::Text(text.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Expr, E> {
        Ok(Expr::Number(number.into()))
    }

    /// Only priorities are negative.
    fn visit_i64<E>(self, number: i64) -> Result<Expr, E> {
        Ok(Expr::Text(number.to_string()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Expr, E> {
        Ok(Expr::Unknown("number".into()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Expr, E> {
        Ok(Expr::Unknown("boolean".into()))
    }

    fn visit_unit<E>(self) -> Result<Expr, E> {
        Ok(Expr::Unknown("null".into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Expr, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(Expr::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Expr, A::Error> {
        let key: String = map.next_key()?.unwrap_or_default();
        let expr = match key.as_str() {
            "set" => Expr::Set(to_list(map.next_value()?)),
            "range" => range_expr(to_list(map.next_value()?)),
            "prefix" => {
                let PrefixObject { addr, len } = map.next_value()?;
                Expr::Prefix(Box::new(addr), len)
            }
            "elem" => {
                let element: ElementObject = map.next_value()?;
                let constant = element.timeout.is_none() && element.expires.is_none();
                if constant { element.val } else { Expr::Expiring(Box::new(element.val)) }
            }
            "concat" => Expr::Concat(to_list(map.next_value()?)),
            "payload" => match map.next_value()? {
                PayloadObject { protocol: Some(protocol), field: Some(field) } => {
                    Expr::Payload(protocol, field)
                }
                PayloadObject { .. } => Expr::Unknown("raw payload".into()),
            },
            "meta" => Expr::Meta(map.next_value::<MetaObject>()?.key),
            "ct" => match map.next_value()? {
                CtObject { key, dir: None } => Expr::Ct(key),
                CtObject { key, dir: Some(dir) } => Expr::Unknown(format!("ct {dir} {key}")),
            },
            "fib" => {
                let FibObject { result, flags } = map.next_value()?;
                Expr::Fib(format!("{} {result}", flags.join_names()))
            }
            // A field of an extension header.
            "exthdr" => match map.next_value()? {
                ExtensionObject { field: Some(field) } => Expr::Payload("exthdr".into(), field),
                ExtensionObject { field: None } => Expr::Unknown(key.clone()),
            },
            "|" => Expr::List(to_list(map.next_value()?)),
            "&" => Expr::And(to_list(map.next_value()?)),
            "jump" => Expr::Verdict(Some(RuleVerdict::Jump(map.next_value::<JumpTarget>()?.target))),
            "goto" => Expr::Verdict(Some(RuleVerdict::Goto(map.next_value::<JumpTarget>()?.target))),
            "" => Expr::Unknown("expression".into()),
            word => {
                map.next_value::<IgnoredAny>()?;
                map_verdict(word)
            }
        };
        Ok(if skip_rest(&mut map)? { Expr::Unknown(key) } else { expr })
    }
}

fn range_expr(mut ends: Vec<Expr>) -> Expr {
    match (ends.pop(), ends.pop(), ends.pop()) {
        (Some(high), Some(low), None) => Expr::Range(Box::new((low, high))),
        _ => Expr::Unknown("range".into()),
    }
}

/// A verdict as the value of a map, or an expression that is not understood.
pub(in super::super) fn map_verdict(word: &str) -> Expr {
    match word {
        "continue" => Expr::Verdict(None),
        "accept" | "drop" | "return" | "queue" => match plain_statement(word) {
            Statement::Verdict(verdict) => Expr::Verdict(Some(verdict)),
            _ => Expr::Unknown(word.into()),
        },
        _ => Expr::Unknown(word.into()),
    }
}
