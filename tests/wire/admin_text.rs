//! Admin lines: words, commands and the answers to what is none, byte for byte.

use crate::text;
use bytes::Bytes;
use conveyor_common::priority::PerPriority;
use conveyor_common::protocol::text::{Command, TextError};

fn parse(line: &str) -> Result<Command, TextError> {
    Command::parse(&Bytes::copy_from_slice(line.as_bytes()))
}

/// What the server answers to a line that is no command.
fn answer(line: &str) -> Option<String> {
    match parse(line) {
        Ok(command) => panic!("{line:?} is {command:?}"),
        Err(error) => error.reply().map(|reply| String::from_utf8(reply).unwrap()),
    }
}

fn max_queue(function: &'static [u8], high: u32, normal: u32, low: u32) -> Command {
    Command::MaxQueue { function: text(function), limits: PerPriority { high, normal, low } }
}

#[test]
fn every_command_is_read_and_written_as_these_bytes() {
    let commands: [(&[u8], Command); 13] = [
        (b"status\r\n", Command::Status),
        (b"prioritystatus\r\n", Command::PriorityStatus),
        (b"workers\r\n", Command::Workers),
        (b"version\r\n", Command::Version),
        (b"getpid\r\n", Command::GetPid),
        (b"readiness\r\n", Command::Readiness),
        (b"verbose\r\n", Command::Verbose),
        (b"maxqueue resize 10 20 30\r\n", max_queue(b"resize", 10, 20, 30)),
        (b"create function resize\r\n", Command::CreateFunction(text(b"resize"))),
        (b"drop function resize\r\n", Command::DropFunction(text(b"resize"))),
        (b"show jobs\r\n", Command::ShowJobs),
        (b"show unique jobs\r\n", Command::ShowUniqueJobs),
        (b"cancel job H:box:1\r\n", Command::CancelJob(text(b"H:box:1"))),
    ];
    for (line, command) in commands {
        assert_eq!(command.to_line(), line);
        let words = Bytes::from_static(line.strip_suffix(b"\r\n").unwrap());
        assert_eq!(Command::parse(&words), Ok(command));
    }
}

#[test]
fn command_words_may_be_in_any_case_and_names_keep_theirs() {
    assert_eq!(parse("STATUS"), Ok(Command::Status));
    assert_eq!(parse("PriorityStatus"), Ok(Command::PriorityStatus));
    assert_eq!(parse("GetPid"), Ok(Command::GetPid));
    assert_eq!(parse("READINESS"), Ok(Command::Readiness));
    assert_eq!(parse("CREATE Function ReSize"), Ok(Command::CreateFunction(text(b"ReSize"))));
    assert_eq!(parse("Drop FUNCTION ReSize"), Ok(Command::DropFunction(text(b"ReSize"))));
    assert_eq!(parse("Show JOBS"), Ok(Command::ShowJobs));
    assert_eq!(parse("SHOW Unique Jobs"), Ok(Command::ShowUniqueJobs));
    assert_eq!(parse("Cancel Job H:Box:1"), Ok(Command::CancelJob(text(b"H:Box:1"))));
    assert_eq!(parse("MaxQueue ReSize 1"), Ok(max_queue(b"ReSize", 1, 1, 1)));
}

#[test]
fn spaces_at_the_end_and_between_words_do_not_count() {
    assert_eq!(parse("status "), Ok(Command::Status));
    assert_eq!(parse("status      "), Ok(Command::Status));
    assert_eq!(parse("create   function    resize"), Ok(Command::CreateFunction(text(b"resize"))));
    assert_eq!(parse("create function resize   "), Ok(Command::CreateFunction(text(b"resize"))));
    assert_eq!(parse("maxqueue  f   1  2    3    "), Ok(max_queue(b"f", 1, 2, 3)));
}

#[test]
fn a_space_at_the_start_makes_the_command_empty() {
    let empty = "ERR UNKNOWN_COMMAND Unknown+server+command\r\n";
    assert_eq!(answer(" status").as_deref(), Some(empty));
    assert_eq!(answer("   status").as_deref(), Some(empty));
    assert_eq!(answer(" ").as_deref(), Some(empty));
    assert_eq!(answer("").as_deref(), Some(empty));
}

#[test]
fn a_tab_separates_nothing() {
    assert_eq!(
        answer("status\tall").as_deref(),
        Some("ERR UNKNOWN_COMMAND Unknown+server+commandstatus\tall\r\n")
    );
    assert_eq!(parse("create function a\tb"), Ok(Command::CreateFunction(text(b"a\tb"))));
}

#[test]
fn five_words_are_read_and_a_sixth_closes_the_connection() {
    assert_eq!(parse("maxqueue f 1 2 3"), Ok(max_queue(b"f", 1, 2, 3)));
    assert_eq!(parse("status a b c d"), Ok(Command::Status));
    for line in ["maxqueue f 1 2 3 4", "status a b c d e", "a b c d e f", "1 2 3 4 5 6 7 8"] {
        assert_eq!(parse(line), Err(TextError::TooManyWords), "{line}");
        assert_eq!(answer(line), None, "{line}");
    }
}

#[test]
fn words_behind_a_command_that_takes_none_are_ignored() {
    assert_eq!(parse("status please"), Ok(Command::Status));
    assert_eq!(parse("workers now please"), Ok(Command::Workers));
    assert_eq!(parse("version 1 2 3 4"), Ok(Command::Version));
    assert_eq!(parse("getpid x"), Ok(Command::GetPid));
    assert_eq!(parse("verbose x"), Ok(Command::Verbose));
}

#[test]
fn a_word_that_is_no_command_is_glued_to_the_answer() {
    for (line, expected) in [
        ("shutdown", "ERR UNKNOWN_COMMAND Unknown+server+commandshutdown\r\n"),
        ("Shutdown graceful", "ERR UNKNOWN_COMMAND Unknown+server+commandShutdown\r\n"),
        ("statusx", "ERR UNKNOWN_COMMAND Unknown+server+commandstatusx\r\n"),
        ("show", "ERR UNKNOWN_COMMAND Unknown+server+commandshow\r\n"),
        ("cancel", "ERR UNKNOWN_COMMAND Unknown+server+commandcancel\r\n"),
        ("cancel job", "ERR UNKNOWN_COMMAND Unknown+server+commandcancel\r\n"),
        ("GET / HTTP/1.1", "ERR UNKNOWN_COMMAND Unknown+server+commandGET\r\n"),
    ] {
        assert_eq!(answer(line).as_deref(), Some(expected), "{line}");
    }
}

#[test]
fn an_unknown_word_need_not_be_text() {
    let error = Command::parse(&text(b"\xff\xfe\0 x")).unwrap_err();
    assert_eq!(error.reply().unwrap(), b"ERR UNKNOWN_COMMAND Unknown+server+command\xff\xfe\0\r\n");
}

#[test]
fn a_command_with_arguments_missing_is_answered_with_its_name() {
    let incomplete = |command: &str| {
        format!("ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+{command}\r\n")
    };
    for (line, command) in [
        ("maxqueue", "maxqueue"),
        ("MAXQUEUE ", "maxqueue"),
        ("create", "create"),
        ("create resize", "create"),
        ("create function", "create"),
        ("create queue resize", "create"),
        ("create function two names", "create"),
        ("drop", "drop"),
        ("drop resize", "drop"),
        ("drop function", "drop"),
        ("DROP queue resize", "drop"),
        ("drop function two names", "drop"),
    ] {
        assert_eq!(answer(line), Some(incomplete(command)), "{line}");
    }
}

#[test]
fn show_of_something_else_is_answered() {
    for line in ["show me", "show unique", "show unique functions", "show job", "show jobsx"] {
        assert_eq!(answer(line).as_deref(), Some("ERR UNKNOWN_SHOW_ARGUMENTS\r\n"), "{line}");
    }
}

#[test]
fn cancel_of_something_else_is_answered() {
    for line in ["cancel function resize", "cancel jobs H:box:1", "cancel a b c"] {
        assert_eq!(answer(line).as_deref(), Some("ERR UNKNOWN_ERROR\r\n"), "{line}");
    }
}

#[test]
fn maxqueue_without_a_number_is_no_limit() {
    assert_eq!(parse("maxqueue f"), Ok(max_queue(b"f", 0, 0, 0)));
}

#[test]
fn maxqueue_with_one_number_limits_every_priority() {
    assert_eq!(parse("maxqueue f 7"), Ok(max_queue(b"f", 7, 7, 7)));
}

#[test]
fn maxqueue_with_more_numbers_limits_high_normal_and_low_in_this_order() {
    assert_eq!(parse("maxqueue f 7 8"), Ok(max_queue(b"f", 7, 8, 0)));
    assert_eq!(parse("maxqueue f 7 8 9"), Ok(max_queue(b"f", 7, 8, 9)));
}

#[test]
fn maxqueue_takes_what_is_no_number_for_no_limit() {
    assert_eq!(parse("maxqueue f many"), Ok(max_queue(b"f", 0, 0, 0)));
    assert_eq!(parse("maxqueue f -5"), Ok(max_queue(b"f", 0, 0, 0)));
    assert_eq!(parse("maxqueue f 5x -1 9"), Ok(max_queue(b"f", 5, 0, 9)));
}

#[test]
fn maxqueue_takes_a_number_that_does_not_fit_for_the_largest() {
    let most = u32::MAX;
    assert_eq!(parse("maxqueue f 4294967295"), Ok(max_queue(b"f", most, most, most)));
    assert_eq!(parse("maxqueue f 4294967296"), Ok(max_queue(b"f", most, most, most)));
    assert_eq!(parse("maxqueue f 99999999999999999999"), Ok(max_queue(b"f", most, most, most)));
}

#[test]
fn bug_maxqueue_takes_a_negative_number_that_does_not_fit_for_no_limit() {
    assert_eq!(parse("maxqueue f -99999999999999999999"), Ok(max_queue(b"f", 0, 0, 0)));
}

#[test]
fn bug_a_name_keeps_its_last_letter_whatever_ends_the_line() {
    for line in ["create function abc\n", "create function abc\r\n"] {
        let frames = crate::frames(line.as_bytes());
        let [conveyor_common::protocol::Frame::Line(line)] = frames.as_slice() else { panic!("{frames:?}") };
        assert_eq!(Command::parse(line), Ok(Command::CreateFunction(text(b"abc"))));
    }
}
