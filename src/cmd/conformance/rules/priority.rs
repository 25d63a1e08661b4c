//! Which job comes next: priorities within a function, and the order of functions.

use crate::cmd::conformance::ctx::packet::{
    SUBMIT_JOB, SUBMIT_JOB_BG, SUBMIT_JOB_HIGH, SUBMIT_JOB_HIGH_BG, SUBMIT_JOB_LOW, SUBMIT_JOB_LOW_BG,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, check_eq};
use crate::cmd::conformance::rule::rules;

rules! { "priority":
    R180 [] "HIGH jobs go before NORMAL ones and those before LOW ones." => within_function;
    R181 [] "Jobs of one priority are given out in their order, whatever their priority." => fifo_each;
    R182 [] "Foreground and background jobs of one priority share a queue." => shared_queue;
    R183 [] "A HIGH job overtakes NORMAL jobs that wait already." => overtakes;
    R184 [only11] "The function registered last is drained before the others." => drained;
    R185 [only11, options("--round-robin")] "With --round-robin the functions take turns." => take_turns;
    R186 [only11] "Priorities do not compare across functions." => not_across;
    R187 [only11, options("--round-robin")]
        "With --round-robin priorities do not compare across functions either." =>
        not_across_round_robin;
    R188 [only20] "The functions of a worker take turns." => take_turns;
    R189 [only20] "Priorities compare across functions." => across;
    R190 [only20, options("--round-robin")] "--round-robin changes nothing." => take_turns;
}

fn within_function(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB_LOW, &f, "", "low")?;
    p.submit(SUBMIT_JOB, &f, "", "normal")?;
    p.submit(SUBMIT_JOB_HIGH, &f, "", "high")?;
    let order = c.worker(&[&f])?.grab_payloads(4)?;
    check_eq("the order", order, words(&["high", "normal", "low", "NO_JOB"]))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn fifo_each(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    for number in 1..=3 {
        p.submit(SUBMIT_JOB_LOW, &f, "", format!("low {number}"))?;
        p.submit(SUBMIT_JOB_HIGH, &f, "", format!("high {number}"))?;
    }
    let order = c.worker(&[&f])?.grab_payloads(6)?;
    check_eq("the order", order, words(&["high 1", "high 2", "high 3", "low 1", "low 2", "low 3"]))
}

fn shared_queue(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB_HIGH_BG, &f, "", "1")?;
    p.submit(SUBMIT_JOB_HIGH, &f, "", "2")?;
    p.submit(SUBMIT_JOB_LOW, &f, "", "5")?;
    p.submit(SUBMIT_JOB_LOW_BG, &f, "", "6")?;
    p.submit(SUBMIT_JOB_BG, &f, "", "3")?;
    p.submit(SUBMIT_JOB, &f, "", "4")?;
    let order = c.worker(&[&f])?.grab_payloads(6)?;
    check_eq("the order", order, words(&["1", "2", "3", "4", "5", "6"]))
}

fn overtakes(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut p = c.peer()?;
    let mut w = c.worker(&[&f])?;
    for number in 1..=3 {
        p.submit(SUBMIT_JOB, &f, "", number.to_string())?;
    }
    check_eq("the first", w.grab_payload()?.as_str(), "1")?;
    p.submit(SUBMIT_JOB_HIGH, &f, "", "high")?;
    check_eq("the rest", w.grab_payloads(3)?, words(&["high", "2", "3"]))
}

/// Three jobs for each of the functions a, b, c, and what a worker of a, b, c is given.
fn nine_jobs(c: &Ctx) -> Checked<Vec<String>> {
    let (fa, fb, fc) = (c.name("a"), c.name("b"), c.name("c"));
    let mut p = c.peer()?;
    for (function, letter) in [(&fa, "a"), (&fb, "b"), (&fc, "c")] {
        for number in 0..3 {
            p.submit(SUBMIT_JOB_BG, function, "", format!("{letter}{number}"))?;
        }
    }
    c.worker(&[&fa, &fb, &fc])?.grab_payloads(9)
}

fn drained(c: &Ctx) -> Checked {
    check_eq("the order", nine_jobs(c)?, words(&["c0", "c1", "c2", "b0", "b1", "b2", "a0", "a1", "a2"]))
}

fn take_turns(c: &Ctx) -> Checked {
    check_eq("the order", nine_jobs(c)?, words(&["c0", "b0", "a0", "c1", "b1", "a1", "c2", "b2", "a2"]))
}

/// LOW and HIGH jobs of two functions, and what a worker of a and b is given.
fn two_priorities(c: &Ctx) -> Checked<Vec<String>> {
    let (fa, fb) = (c.name("a"), c.name("b"));
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB_LOW_BG, &fb, "", "b low")?;
    p.submit(SUBMIT_JOB_BG, &fb, "", "b normal")?;
    p.submit(SUBMIT_JOB_BG, &fa, "", "a normal")?;
    p.submit(SUBMIT_JOB_HIGH_BG, &fa, "", "a high")?;
    c.worker(&[&fa, &fb])?.grab_payloads(4)
}

fn not_across(c: &Ctx) -> Checked {
    check_eq("the order", two_priorities(c)?, words(&["b normal", "b low", "a high", "a normal"]))
}

fn not_across_round_robin(c: &Ctx) -> Checked {
    check_eq("the order", two_priorities(c)?, words(&["b normal", "a high", "b low", "a normal"]))
}

fn across(c: &Ctx) -> Checked {
    let order = two_priorities(c)?;
    check_eq("the first", order.first().map(String::as_str), Some("a high"))?;
    check_eq("the last", order.last().map(String::as_str), Some("b low"))
}
