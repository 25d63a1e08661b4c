//! The rules, one file an area.

mod admin_changes;
mod admin_syntax;
mod admin_tables;
mod coalesce;
mod epoch;
mod errors;
mod framing;
mod grab;
mod loss;
mod option;
mod priority;
mod reduce;
mod relay;
mod sleep;
mod status;
mod submit;
mod timeout;

use super::rule::Rule;

/// All rules, by number.
pub(crate) fn all() -> Vec<Rule> {
    let mut all = [
        admin_changes::RULES,
        admin_syntax::RULES,
        admin_tables::RULES,
        coalesce::RULES,
        epoch::RULES,
        errors::RULES,
        framing::RULES,
        grab::RULES,
        loss::RULES,
        option::RULES,
        priority::RULES,
        reduce::RULES,
        relay::RULES,
        sleep::RULES,
        status::RULES,
        submit::RULES,
        timeout::RULES,
    ]
    .concat();
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
