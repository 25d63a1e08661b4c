//! How a text line is read: blanks, case, length, and words that are no command.

use crate::cmd::conformance::ctx::{Checked, Ctx, check};
use crate::cmd::conformance::rule::rules;

rules! { "admin-syntax":
    R460 [] "An unknown command gets ERR UNKNOWN_COMMAND with the word glued on." =>
        |c| unknown(c, "nonsense", "nonsense");
    R461 [] "An empty line is an unknown command." => |c| unknown(c, "", "");
    R462 [] "There is no shutdown command." => shutdown;
    R463 [] "A line that begins with a blank is an unknown command." => |c| unknown(c, " status", "");
    R464 [] "A tab does not separate words." => |c| unknown(c, "show\tjobs", "show\tjobs");
    R465 [] "Command words are read in any case." => any_case;
    R466 [] "Several blanks between words count as one, and blanks after status as none." => blanks;
    R467 [] "Words after status, workers, version, getpid and verbose are ignored." => extra_words;
    R468 [] "A sixth word closes the connection without a reply." => six_words;
    R469 [] "A line longer than 8192 bytes closes the connection." => long_line;
    R470 [] "show with an unknown word gets ERR UNKNOWN_SHOW_ARGUMENTS." => show_unknown;
    R471 [] "show alone is an unknown command." => |c| unknown(c, "show", "show");
    R472 [] "cancel with too few words is an unknown command." => cancel_short;
    R473 [] "Fifty commands in one segment are all answered in their order." => pipelined;
    R474 [] "A line that arrives byte by byte is understood." => byte_by_byte;
}

const UNKNOWN: &str = "ERR UNKNOWN_COMMAND Unknown+server+command";

fn unknown(c: &Ctx, line: &str, word: &str) -> Checked {
    let mut p = c.peer()?;
    p.ask(line, &format!("{UNKNOWN}{word}\r\n"))?;
    p.sync()
}

fn shutdown(c: &Ctx) -> Checked {
    unknown(c, "shutdown", "shutdown")?;
    unknown(c, "shutdown graceful", "shutdown")?;
    c.alive()
}

fn any_case(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.table("STATUS")?;
    p.table("Workers")?;
    p.table("SHOW Jobs")?;
    p.command("VERSION")?;
    let line = p.line()?;
    check(line.starts_with("OK "), format!("the answer is {line:?}"))
}

fn blanks(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.table("status ")?;
    p.table("status  ")?;
    p.table("show   jobs")?;
    p.table("show  unique   jobs")?;
    p.sync()
}

fn extra_words(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.table("status a b c")?;
    p.table("workers a")?;
    for command in ["version a b", "getpid a", "verbose a b c"] {
        p.command(command)?;
        let line = p.line()?;
        check(line.starts_with("OK "), format!("{command}: the answer is {line:?}"))?;
    }
    p.sync()
}

fn six_words(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.table("status 2 3 4 5")?;
    p.command("status 2 3 4 5 6")?;
    p.closed()?;
    c.alive()
}

fn long_line(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.command(&"x".repeat(10_000))?;
    p.closed()?;
    c.alive()
}

fn show_unknown(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    for line in ["show x", "show unique", "show unique x"] {
        p.ask(line, "ERR UNKNOWN_SHOW_ARGUMENTS\r\n")?;
    }
    p.sync()
}

fn cancel_short(c: &Ctx) -> Checked {
    unknown(c, "cancel", "cancel")?;
    unknown(c, "cancel job", "cancel")
}

fn pipelined(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.raw("show x\r\nnonsense\r\n".repeat(25).as_bytes())?;
    for _ in 0..25 {
        p.expect_line("ERR UNKNOWN_SHOW_ARGUMENTS\r\n")?;
        p.expect_line(&format!("{UNKNOWN}nonsense\r\n"))?;
    }
    p.sync()
}

fn byte_by_byte(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    for byte in b"show x\r\n" {
        p.raw(&[*byte])?;
        c.pause_ms(1);
    }
    p.expect_line("ERR UNKNOWN_SHOW_ARGUMENTS\r\n")
}
