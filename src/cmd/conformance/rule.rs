//! What a rule is: a sentence, what it needs of the server, and the function that checks it.

use super::args::Compat;
use super::ctx::{Checked, Ctx};

/// One numbered sentence about the protocol.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    /// Stable: never reused for another sentence.
    pub(crate) id: &'static str,
    pub(crate) area: &'static str,
    pub(crate) text: &'static str,
    pub(crate) run: fn(&Ctx) -> Checked,
    /// Options that the server must have been started with, in gearmand's long spelling.
    pub(crate) options: &'static str,
    /// Needs a server of its own: it may harm it, or looks at more than its own functions.
    pub(crate) fresh: bool,
    /// Takes a second or more, so it is started early.
    pub(crate) slow: bool,
    /// The rule exists in this mode only.
    pub(crate) only: Option<Compat>,
    bug: Bug,
    /// A known gearmand passes or fails it by chance.
    pub(crate) racy: bool,
}

/// In which of its versions gearmand is known to break a rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    Both,
    V1_1,
}

impl Rule {
    pub(crate) const fn new(
        id: &'static str,
        area: &'static str,
        text: &'static str,
        run: fn(&Ctx) -> Checked,
    ) -> Self {
        Self {
            id,
            area,
            text,
            run,
            options: "",
            fresh: false,
            slow: false,
            only: None,
            bug: Bug::None,
            racy: false,
        }
    }

    pub(crate) const fn options(mut self, options: &'static str) -> Self {
        self.options = options;
        self
    }

    pub(crate) const fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    pub(crate) const fn slow(mut self) -> Self {
        self.slow = true;
        self
    }

    pub(crate) const fn racy(mut self) -> Self {
        self.racy = true;
        self
    }

    /// gearmand breaks this rule in both of its versions.
    pub(crate) const fn bug(mut self) -> Self {
        self.bug = Bug::Both;
        self
    }

    /// gearmand 1.1 breaks this rule, 2.0 does not.
    pub(crate) const fn bug11(mut self) -> Self {
        self.bug = Bug::V1_1;
        self
    }

    pub(crate) const fn only11(mut self) -> Self {
        self.only = Some(Compat::V1_1);
        self
    }

    pub(crate) const fn only20(mut self) -> Self {
        self.only = Some(Compat::V2_0);
        self
    }

    /// Whether the gearmand of that mode is known to break the rule.
    pub(crate) fn is_bug(&self, compat: Compat) -> bool {
        match self.bug {
            Bug::None => false,
            Bug::Both => true,
            Bug::V1_1 => compat == Compat::V1_1,
        }
    }

    /// Whether the rule may only run on a server that it was started for.
    pub(crate) fn needs_own_server(&self) -> bool {
        self.fresh || !self.options.is_empty()
    }

    /// The flags in words, for lists.
    pub(crate) fn flags(&self) -> String {
        let mut flags = Vec::new();
        match self.bug {
            Bug::None => {}
            Bug::Both => flags.push("bug".to_owned()),
            Bug::V1_1 => flags.push("bug in 1.1".to_owned()),
        }
        if self.racy {
            flags.push("racy".to_owned());
        }
        if let Some(compat) = self.only {
            flags.push(format!("{} only", compat.name()));
        }
        if self.fresh {
            flags.push("own server".to_owned());
        }
        if !self.options.is_empty() {
            flags.push(self.options.to_owned());
        }
        flags.join(", ")
    }
}

/// A table of rules of one area: `R001 [fresh, bug] "Sentence." => function;`.
macro_rules! rules {
    (
        $area:literal:
        $( $id:ident [$( $flag:ident $( ($value:literal) )? ),*] $text:literal => $run:expr; )*
    ) => {
        /// The rules of this area.
        pub(crate) const RULES: &[$crate::cmd::conformance::rule::Rule] = &[$(
            $crate::cmd::conformance::rule::Rule::new(stringify!($id), $area, $text, $run)
                $( .$flag($($value)?) )*
        ),*];
    };
}
pub(crate) use rules;
