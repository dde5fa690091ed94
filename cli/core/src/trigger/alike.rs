//! Similar texts, grouped: cosine similarity of their words (Salton and Buckley 1988),
//! and single linkage.
//!
//! A word weighs as many letters as it has: short words are mostly grammar, in any language.
//! Weights by rarity (TF-IDF) would work against the purpose: in a wave of one complaint its own
//! words are the frequent ones. The texts of a window are few, so that each pair is compared and no
//! sketch (`MinHash`) is needed.

use std::collections::BTreeMap;

/// Words of all texts are cut to so many letters: an ending does not make another word.
const STEM: usize = 6;

type Vector = BTreeMap<String, f64>;

/// Groups of indices into the texts, the largest first, of equally large ones the earliest; within
/// a group in order.
pub fn groups(texts: &[&str], threshold: f64) -> Vec<Vec<usize>> {
    let vectors: Vec<_> = texts.iter().map(|text| vector(text)).collect();
    let mut group: Vec<usize> = (0..texts.len()).collect();
    for one in 0..texts.len() {
        for other in 0..one {
            if group[one] != group[other] && cosine(&vectors[one], &vectors[other]) >= threshold {
                let (from, to) = (group[one].max(group[other]), group[one].min(group[other]));
                group.iter_mut().filter(|name| **name == from).for_each(|name| *name = to);
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, name) in group.into_iter().enumerate() {
        groups.entry(name).or_default().push(index);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| (usize::MAX - group.len(), group[0]));
    groups
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.to_lowercase().chars().take(STEM).collect())
}

/// Of unit length; empty for a text without words.
fn vector(text: &str) -> Vector {
    let mut vector = Vector::new();
    for word in words(text) {
        let weight = word.chars().count() as f64;
        *vector.entry(word).or_default() += weight;
    }
    let length = vector.values().map(|value| value * value).sum::<f64>().sqrt();
    for value in vector.values_mut() {
        *value /= length;
    }
    vector
}

fn cosine(one: &Vector, other: &Vector) -> f64 {
    one.iter().filter_map(|(word, value)| Some(value * other.get(word)?)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_complaint_in_many_words_is_one_group() {
        let texts = [
            "search does not find plurals",
            "Plurals are not found by the search!",
            "the answer was in the wrong language",
            "it did not find the plural of a word, the search is broken",
            "wrong language in the answer",
            "",
        ];
        assert_eq!(groups(&texts, 0.5), [vec![0, 1, 3], vec![2, 4], vec![5]]);
        assert_eq!(groups(&texts, 1.01).len(), texts.len());
        assert_eq!(groups(&[], 0.5), Vec::<Vec<usize>>::new());
    }
}
