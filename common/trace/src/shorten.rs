//! Names cut to a width so that no two different ones look the same.

use std::collections::HashMap;

/// Text cut to a width, with an ellipsis where it was cut.
pub fn cut_to_width(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A name within a sentence: of a long one, its beginning and its end.
pub fn short_name(name: &str) -> String {
    const MOST: usize = 60;
    cut_middle(name, MOST * 2 / 3, MOST)
}

/// Names shortened to a width in characters, in the same order. Equal names stay equal, and different names stay
/// different: they are cut where they do not differ, and numbered where there is no such place.
pub fn shorten_names(names: &[String], width: usize) -> Vec<String> {
    let width = width.max(8);
    // How much of the beginning to keep, of what is kept: all, most, half, a little.
    for (part, of) in [(1, 1), (3, 4), (1, 2), (1, 4), (0, 1)] {
        let head = (width - 1) * part / of;
        let short: Vec<String> = names.iter().map(|n| cut_middle(n, head, width)).collect();
        if are_distinct(names, &short) {
            return short;
        }
    }
    number_equals(names, names.iter().map(|n| cut_to_difference(n, names, width)).collect(), width)
}

/// Keeps `head` characters of the beginning and what fits of the end.
fn cut_middle(name: &str, head: usize, width: usize) -> String {
    let count = name.chars().count();
    if count <= width {
        return name.to_owned();
    }
    let tail = width - 1 - head;
    name.chars().take(head).chain(['…']).chain(name.chars().skip(count - tail)).collect()
}

/// Keeps a little of the beginning, and what follows where the name departs from the one that is most like it.
fn cut_to_difference(name: &str, names: &[String], width: usize) -> String {
    let chars: Vec<char> = name.chars().collect();
    if chars.len() <= width {
        return name.to_owned();
    }
    let common = |other: &String| chars.iter().zip(other.chars()).take_while(|(a, b)| **a == *b).count();
    let differs = names.iter().filter(|n| *n != name).map(common).max().unwrap_or(0);
    let head = width / 3;
    let rest = width - head - 2;
    // A little before the place, for its context.
    let from = differs.saturating_sub(rest / 4).min(chars.len().saturating_sub(rest + 1)).max(head);
    let shown = &chars[from..(from + rest).min(chars.len())];
    let mark = if from + shown.len() < chars.len() { "…" } else { "" };
    let head: String = chars[..head].iter().collect();
    let shown: String = shown.iter().collect();
    format!("{head}…{shown}{mark}")
}

fn are_distinct(names: &[String], short: &[String]) -> bool {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    short.iter().zip(names).all(|(s, n)| *seen.entry(s).or_insert(n) == n)
}

/// Puts a number behind what still looks the same.
fn number_equals(names: &[String], mut short: Vec<String>, width: usize) -> Vec<String> {
    let mut seen: HashMap<String, String> = HashMap::new();
    for (s, name) in short.iter_mut().zip(names) {
        let mut number = 1;
        let stem = s.clone();
        while seen.get(s).is_some_and(|n| n != name) {
            number += 1;
            let suffix = format!("#{number}");
            let kept = width.saturating_sub(suffix.len());
            *s = stem.chars().take(kept).collect::<String>() + &suffix;
        }
        seen.insert(s.clone(), name.clone());
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn shorten(names: &[&str], width: usize) -> Vec<String> {
        shorten_names(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), width)
    }

    #[test]
    fn names_are_cut_where_they_do_not_differ() {
        assert_eq!(shorten(&["short", "abcdefghijkl"], 10), ["short", "abcdefghi…"]);
        let native = "void at::native::(anonymous namespace)::";
        let names =
            ["layer_norm_kernel<float>", "softmax_warp_forward<float>", "indexSelectLargeIndex<float>"]
                .map(|n| format!("{native}{n}"));
        let short = shorten_names(&names, 40);
        assert_eq!(short[0], "void at::native::(anonymous n…nel<float>");
        assert_eq!(
            short_name(&names[0].repeat(2)),
            "void at::native::(anonymous namespace)::…_norm_kernel<float>"
        );
        assert_eq!(short_name(&names[0][..60]), names[0][..60]);
        assert_eq!(short.iter().collect::<HashSet<_>>().len(), 3);
        // The difference is in the middle of names whose ends are alike.
        let (left, right) = ("x".repeat(60), "y".repeat(60));
        let short = shorten(&[&format!("{left}A{right}"), &format!("{left}B{right}")], 30);
        assert!(short[0].contains("xA") && short[1].contains("xB"), "{short:?}");
    }

    proptest! {
        #[test]
        fn different_names_never_look_the_same(
            names in prop::collection::vec("[ab]{0,24}", 1..12), width in 8usize..20
        ) {
            let short = shorten_names(&names, width);
            for (i, a) in names.iter().enumerate() {
                prop_assert!(short[i].chars().count() <= width);
                for (j, b) in names.iter().enumerate() {
                    prop_assert_eq!(a == b, short[i] == short[j], "{} {}", a, b);
                }
            }
        }
    }
}
