//! Strings: what each request does and answers.

use super::*;
use crate::ledger::keys::strings::VALUE_BYTES_MAX;
use crate::ledger::testing::assert_refused;
use crate::model::refusal::Code;

#[test]
fn get_answers_what_was_set() {
    check(
        r#"
        GET a => nil
        SET a 1
        GET a => "1"
        GET 3/a => nil
        SET a ""
        GET a => ""
        STREAM s 1 0
        GET s => !conflict_type
        MGET a s b a => "" nil nil ""
        "#,
    );
}

#[test]
fn set_obeys_its_conditions() {
    check(
        r#"
        SET a 1 XX => no
        SET a 1 XX GET => nil
        GET a => nil
        SET a 1 NX
        SET a 2 NX => no
        SET a 2 NX GET => "1"
        SET a 3 XX
        SET a 4 GET => "3"
        GET a => "4"
        SET b 1 NX GET => nil
        GET b => "1"
        "#,
    );
}

#[test]
fn set_over_a_stream() {
    check(
        r#"
        STREAM s 5 0
        SET s 1 GET => !conflict_type
        SET s 1 NX => no
        TYPE s => stream
        SET s 1
        GET s => "1"
        TYPE s => string
        STREAM busy 5 2
        SET busy 1 => !not_allowed_holds_runs
        SET busy 1 PX 0 => !not_allowed_holds_runs
        MSET a 1 busy 2 => !not_allowed_holds_runs
        EXISTS a => 0
        TYPE busy => stream
        "#,
    );
}

#[test]
fn set_and_expiries() {
    check(
        r#"
        SET a 1 PX 1000
        PTTL a => 1000
        SET a 2 KEEPTTL
        PTTL a => 1000
        SET a 2 NX PX 5 => no
        PTTL a => 1000
        SET a 3
        PTTL a => -1
        SET a 4 PX 1000
        WAIT 999
        GET a => "4"
        SET b 1 KEEPTTL
        PTTL b => -1
        WAIT 1
        GET a => nil
        SET a 5 NX KEEPTTL
        PTTL a => -1
        SET a 6 PX 0
        EXISTS a => 0
        SET a 6 PX 0 GET => nil
        STREAM s 1 0
        PEXPIRE s 700 => 1
        SET s 1 KEEPTTL
        PTTL s => 700
        "#,
    );
}

#[test]
fn many_are_set_at_once() {
    check(
        r#"
        SET a 1 PX 1000
        MSET a 2 b 3 a 4
        MGET a b => "4" "3"
        PTTL a => -1
        MSETNX c 1 a 5 => no
        EXISTS c => 0
        MSETNX c 1 d 2 c 3
        MGET c d => "3" "2"
        SET e 1 PX 10
        WAIT 10
        MSETNX e 2
        GET e => "2"
        PTTL e => -1
        STREAM s 1 0
        MSETNX s 1 => no
        MSET s 1
        GET s => "1"
        "#,
    );
}

#[test]
fn take_and_get_with_expiry() {
    check(
        r#"
        GETDEL a => nil
        SET a 1 PX 1000
        GETDEL a => "1"
        EXISTS a => 0
        GETEX a => nil
        GETEX a PX 10 => nil
        SET a 1
        GETEX a PX 10 => "1"
        PTTL a => 10
        GETEX a => "1"
        PTTL a => 10
        GETEX a PERSIST => "1"
        PTTL a => -1
        GETEX a PERSIST => "1"
        GETEX a PX 0 => "1"
        EXISTS a => 0
        STREAM s 1 0
        GETDEL s => !conflict_type
        GETEX s PX 0 => !conflict_type
        EXISTS s => 1
        "#,
    );
}

#[test]
fn numbers_are_counted() {
    check(
        r#"
        INCRBY a 5 => 5
        INCRBY a -7 => -2
        GET a => "-2"
        PEXPIRE a 1000 => 1
        INCRBY a 1 => -1
        PTTL a => 1000
        SET a 9223372036854775807
        INCRBY a 1 => !conflict_overflow
        INCRBY a -1 => 9223372036854775806
        SET a -9223372036854775808
        INCRBY a -1 => !conflict_overflow
        GET a => "-9223372036854775808"
        SET a 9223372036854775808
        INCRBY a -1 => !conflict_not_a_number
        STREAM s 1 0
        INCRBY s 1 => !conflict_type
        "#,
    );
    for odd in ["", "+1", "01", "-0", " 1", "1 ", "1.0", "0x1", "one", "\u{661}"] {
        let mut world = World::new();
        let value = Bytes::copy_from_slice(odd.as_bytes());
        let all = (SetIf::Always, Expiry::None);
        let set = Command::Set { key: key("a"), value, when: all.0, expiry: all.1, get: false };
        perform(&mut world, &set).unwrap();
        let increase = Command::Increase { key: key("a"), by: 1 };
        assert_refused(perform(&mut world, &increase), Code::NotANumber);
    }
}

#[test]
fn append_grows_a_string() {
    check(
        r#"
        STRLEN a => 0
        APPEND a "" => 0
        EXISTS a => 1
        APPEND a ab => 2
        PEXPIRE a 1000 => 1
        APPEND a c => 3
        GET a => "abc"
        STRLEN a => 3
        PTTL a => 1000
        WAIT 1000
        APPEND a d => 1
        PTTL a => -1
        STREAM s 1 0
        APPEND s a => !conflict_type
        STRLEN s => !conflict_type
        "#,
    );
}

#[test]
fn strings_have_a_limit() {
    let mut world = World::new();
    let set = |length| Command::Set {
        key: key("a"),
        value: Bytes::from(vec![b'x'; length]),
        when: SetIf::Always,
        expiry: Expiry::None,
        get: false,
    };
    let append = Command::Append { key: key("a"), value: Bytes::from_static(b"x") };
    assert_refused(perform(&mut world, &set(VALUE_BYTES_MAX + 1)), Code::TooLarge);
    assert_eq!(perform(&mut world, &set(VALUE_BYTES_MAX - 1)), Ok(Answer::Done));
    assert_eq!(perform(&mut world, &append), Ok(Answer::Count(VALUE_BYTES_MAX as i64)));
    assert_refused(perform(&mut world, &append), Code::TooLarge);
}
