//! The rules, one file an area.

mod framing;

use super::rule::Rule;

/// All rules, by number.
pub(crate) fn all() -> Vec<Rule> {
    let mut all = [framing::RULES].concat();
    all.sort_by_key(|rule| rule.id);
    all
}

#[cfg(test)]
mod tests {
    use super::all;
    use std::collections::HashSet;

    #[test]
    fn every_rule_has_a_number_of_its_own_and_is_one_sentence() {
        let rules = all();
        assert!(rules.len() >= 150, "{} rules", rules.len());
        let ids: HashSet<_> = rules.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), rules.len(), "a number is used twice");
        for rule in rules {
            assert!(rule.id.len() == 4 && rule.id.starts_with('R'), "{}", rule.id);
            assert!(rule.text.ends_with('.') && !rule.text.contains(". "), "{}: {}", rule.id, rule.text);
        }
    }
}
