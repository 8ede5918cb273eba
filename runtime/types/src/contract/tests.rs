//! Every case of the contract, as a table.

use super::{Contract, Declared, Fate, Mismatch, Stored, StoredState, fate};
use crate::OperatorId;
use crate::description::{StateDecl, StateKind};
use crate::shape::{Shape, Windows};

fn declared(name: &str, kind: StateKind, version: u32, oldest: u32) -> StateDecl {
    StateDecl {
        name: name.to_owned(),
        kind,
        format: "json".to_owned(),
        schema: format!("S{version}"),
        version,
        oldest,
        rides: false,
        ttl_ms: 0,
        options: Vec::new(),
    }
}

fn stored(name: &str, kind: StateKind, version: u32, versions: &[u32]) -> StoredState {
    StoredState {
        name: name.to_owned(),
        kind,
        format: "json".to_owned(),
        schema: format!("S{version}"),
        version,
        versions: versions.iter().copied().collect(),
    }
}

#[test]
fn one_state() {
    use StateKind::{List, Value};
    let refuse = |mismatch| Fate::Refuse { mismatch };
    let migrate = |from: &[u32], to| Fate::Migrate { from: from.to_vec(), to };
    // (declared kind, version, oldest; stored kind, version, versions present; what becomes of it)
    let cases = [
        ((Value, 1, 1), (Value, 1, &[1][..]), Fate::Reuse),
        ((Value, 1, 1), (Value, 1, &[]), Fate::Reuse),
        ((Value, 9, 9), (Value, 1, &[]), Fate::Reuse),
        ((Value, 2, 1), (Value, 2, &[2]), Fate::Reuse),
        ((Value, 2, 1), (Value, 1, &[1]), migrate(&[1], 2)),
        ((Value, 2, 1), (Value, 2, &[1, 2]), migrate(&[1], 2)),
        ((Value, 3, 1), (Value, 2, &[1, 2]), migrate(&[1, 2], 3)),
        ((Value, 3, 1), (Value, 3, &[1, 2, 3]), migrate(&[1, 2], 3)),
        ((Value, 3, 1), (Value, 2, &[1]), migrate(&[1], 3)),
        ((Value, 2, 2), (Value, 1, &[1]), refuse(Mismatch::TooOld { stored: 1, oldest: 2, declared: 2 })),
        ((Value, 3, 2), (Value, 2, &[1, 2]), refuse(Mismatch::TooOld { stored: 1, oldest: 2, declared: 3 })),
        ((Value, 1, 1), (Value, 2, &[1, 2]), refuse(Mismatch::TooNew { stored: 2, declared: 1 })),
        // The newer component never wrote: all values are still of the older version.
        ((Value, 1, 1), (Value, 2, &[1]), Fate::Reuse),
        ((List, 1, 1), (Value, 1, &[1]), refuse(Mismatch::Kind { stored: Value, declared: List })),
        ((List, 1, 1), (Value, 1, &[]), refuse(Mismatch::Kind { stored: Value, declared: List })),
    ];
    for ((kind, version, oldest), (stored_kind, stored_version, versions), expected) in cases {
        let decided = fate(&declared("s", kind, version, oldest), &stored("s", stored_kind, stored_version, versions));
        assert_eq!(decided, expected, "{kind:?} {version} {oldest} from {stored_kind:?} {stored_version} {versions:?}");
    }
}

#[test]
fn formats_and_schemas() {
    let now = StateDecl { format: "postcard".to_owned(), ..declared("s", StateKind::Map, 1, 1) };
    let was = stored("s", StateKind::Map, 1, &[1]);
    let mismatch = Mismatch::Format { stored: "json".to_owned(), declared: "postcard".to_owned() };
    assert_eq!(fate(&now, &was), Fate::Refuse { mismatch });
    let now = StateDecl { schema: "Other".to_owned(), ..declared("s", StateKind::Map, 1, 1) };
    let mismatch = Mismatch::Schema { version: 1, stored: "S1".to_owned(), declared: "Other".to_owned() };
    assert_eq!(fate(&now, &was), Fate::Refuse { mismatch });
    let empty = stored("s", StateKind::Map, 1, &[]);
    assert_eq!(fate(&now, &empty), Fate::Reuse, "where no value is, none is of another schema");
    let now = StateDecl { schema: "Other".to_owned(), ..declared("s", StateKind::Map, 2, 1) };
    assert_eq!(fate(&now, &was), Fate::Migrate { from: vec![1], to: 2 }, "a version of its own may look as it likes");
}

/// Two operators, of which one has changed and one is new; a third is gone.
fn contract() -> Contract {
    let (count, fresh, gone) = (OperatorId::new("count"), OperatorId::new("fresh"), OperatorId::new("gone"));
    let of_count = [
        declared("total", StateKind::Value, 1, 1),
        declared("seen", StateKind::Map, 2, 1),
        declared("more", StateKind::List, 1, 1),
    ];
    let of_fresh = [declared("x", StateKind::Value, 1, 1)];
    let operators = vec![
        (gone, vec![stored("a", StateKind::Value, 1, &[1]), stored("b", StateKind::Value, 1, &[1])]),
        (
            count.clone(),
            vec![
                stored("old", StateKind::Value, 1, &[1]),
                stored("seen", StateKind::Map, 1, &[1]),
                stored("total", StateKind::Value, 1, &[1]),
            ],
        ),
    ];
    let declared = vec![(count, of_count.to_vec()), (fresh, of_fresh.to_vec())];
    Contract::new(&Declared { operators: declared, ..Declared::default() }, &Stored { operators, ..Stored::default() })
}

#[test]
fn a_whole_job() {
    let contract = contract();
    let verdicts: Vec<String> =
        contract.states.iter().map(|verdict| format!("{}: {}", verdict.name(), verdict.fate)).collect();
    let expected = [
        "count.total: reuse",
        "count.seen: migrate from version 1 to 2",
        "count.more: new",
        "count.old: would be dropped",
        "fresh.x: new",
        "gone.a: would be dropped",
        "gone.b: would be dropped",
    ];
    assert_eq!(verdicts, expected);
    let json = serde_json::to_value(&contract).unwrap();
    let seen = serde_json::json!({ "operator": "count", "state": "seen", "fate": "migrate", "from": [1], "to": 2 });
    assert_eq!(json["states"][1], seen);
}

#[test]
fn drops_are_allowed_by_name() {
    let check = |allowed: &[&str]| {
        let allowed: Vec<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        contract().check(&allowed).map_err(|error| error.to_string())
    };
    assert_eq!(check(&["gone", "count.old"]), Ok(()));
    assert_eq!(check(&["gone.a", "count.old", "gone.b"]), Ok(()));
    let message = "states count.old, gone.a, gone.b would be dropped: the job does not have them\n\n\
                   hint: to allow it, add --allow-drop count.old --allow-drop gone.a --allow-drop gone.b";
    assert_eq!(check(&[]), Err(message.to_owned()));
    let message =
        "state gone.b would be dropped: the job does not have it\n\nhint: to allow it, add --allow-drop gone.b";
    assert_eq!(check(&["gone.a", "count"]), Err(message.to_owned()));
    let message = "--allow-drop old: nothing of that name would be dropped\n\nhint: it is count.old, gone.a, gone.b";
    assert_eq!(check(&["gone", "count", "old"]), Err(message.to_owned()));
    let both = "--allow-drop old: nothing of that name would be dropped\n\nhint: it is count.old, gone.a, gone.b\n\n\
                error: state count.old would be dropped: the job does not have it\n\n\
                hint: to allow it, add --allow-drop count.old";
    assert_eq!(check(&["gone", "old"]), Err(both.to_owned()));
    let message = "--allow-drop x: nothing would be dropped\n\nhint: remove it";
    assert_eq!(Contract::default().check(&["x".to_owned()]).unwrap_err().to_string(), message);
}

#[test]
fn what_is_refused_says_why_and_what_to_do() {
    let operator = OperatorId::new("count");
    let check = |declared: StateDecl, stored: StoredState| {
        let declared = Declared { operators: vec![(operator.clone(), vec![declared])], ..Declared::default() };
        let stored = Stored { operators: vec![(operator.clone(), vec![stored])], ..Stored::default() };
        Contract::new(&declared, &stored).check(&[]).unwrap_err().to_string()
    };
    let value = StateKind::Value;
    let was = || stored("s", value, 1, &[1]);
    for (declared, stored, message) in [
        (
            declared("s", StateKind::List, 1, 1),
            was(),
            "its kind is list, and that of the snapshot value\n\n\
             hint: give the new state another name, and allow the old one to be dropped with --allow-drop",
        ),
        (
            StateDecl { format: "raw".to_owned(), ..declared("s", value, 1, 1) },
            was(),
            "its format is \"raw\", and that of the snapshot \"json\"\n\n\
             hint: give the new state another name, and allow the old one to be dropped with --allow-drop",
        ),
        (
            StateDecl { schema: "T".to_owned(), ..declared("s", value, 1, 1) },
            was(),
            "its schema is \"T\", and that of the snapshot \"S1\", both under version 1\n\n\
             hint: raise the state's version, and write a `migrate` from the one before",
        ),
        (
            declared("s", value, 2, 2),
            was(),
            "the snapshot has values of version 1, and its component takes version 2 only\n\n\
             hint: write a `migrate` from that version on, and declare it as the oldest",
        ),
        (
            declared("s", value, 3, 2),
            was(),
            "the snapshot has values of version 1, and its component migrates from 2 on\n\n\
             hint: write a `migrate` from that version on, and declare it as the oldest",
        ),
        (
            declared("s", value, 1, 1),
            stored("s", value, 2, &[2]),
            "the snapshot has values of version 2, and its component knows them up to 1\n\n\
             hint: start the component that wrote the snapshot, or a newer one",
        ),
    ] {
        assert_eq!(check(declared, stored), format!("state count.s cannot be restored: {message}"));
    }
}

/// Not only states: what the job has no place for would be lost as quietly.
#[test]
fn nothing_else_is_dropped_without_a_word() {
    let id = OperatorId::new;
    let splits = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let declared = Declared {
        max_parallelism: 128,
        sources: vec![(id("lines"), splits(&["b", "new"]))],
        operators: vec![(id("count"), Vec::new())],
        sinks: vec![id("out")],
        ..Declared::default()
    };
    let check = |stored: Stored, allowed: &[&str]| {
        Contract::new(&declared, &stored).check(&splits(allowed)).map_err(|error| error.to_string())
    };
    let fits = Stored {
        max_parallelism: Some(128),
        sources: vec![(id("lines"), splits(&["b"]))],
        operators: vec![(id("count"), Vec::new())],
        sinks: vec![id("out")],
        ..Stored::default()
    };
    assert_eq!(check(fits.clone(), &[]), Ok(()));
    assert_eq!(check(Stored { max_parallelism: None, ..fits.clone() }, &[]), Ok(()), "there is no state");
    let other = "the job has max-parallelism = 128, and its state was written with 64: that is fixed for the life of \
                 the state\n\nhint: set max-parallelism = 64";
    assert_eq!(check(Stored { max_parallelism: Some(64), ..fits.clone() }, &[]), Err(other.to_owned()));
    let put_back = "would be dropped: the job has no place for that\n\nhint: put back what is gone, under its old name, or, \
                    to allow it, add";
    for (stored, what, name) in [
        (Stored { sources: vec![(id("old"), Vec::new())], ..fits.clone() }, "the positions of source old", "old"),
        (
            Stored { sources: vec![(id("lines"), splits(&["a", "b"]))], ..fits.clone() },
            "the rest of split \"a\" of source lines",
            "lines",
        ),
        (
            Stored { sources: vec![(id("lines"), splits(&["a", "b", "c"]))], ..fits.clone() },
            "the rest of 2 splits of source lines, such as \"a\",",
            "lines",
        ),
        (Stored { operators: vec![(id("old"), Vec::new())], ..fits.clone() }, "the timers of operator old", "old"),
        (
            Stored { sinks: vec![id("old")], ..fits },
            "the last output of sink old, which may not be committed yet,",
            "old",
        ),
    ] {
        assert_eq!(check(stored.clone(), &[]), Err(format!("{what} {put_back} --allow-drop {name}")));
        assert_eq!(check(stored, &[name]), Ok(()), "{what}");
    }
}

/// Everything that is wrong is told, and no state is said to be used again that is not.
#[test]
fn all_mistakes_are_told_and_the_verdicts_are_true() {
    let id = OperatorId::new;
    let shape = |size_ms| Shape { windows: Some(Windows::Tumbling { size_ms, offset_ms: 0 }), ..Shape::default() };
    let value = StateKind::Value;
    let operators = ["pairs", "sums"].map(|name| (id(name), vec![declared("s", value, 1, 1)])).to_vec();
    let job = Declared {
        max_parallelism: 128,
        operators,
        without_component: vec![id("pairs")],
        shapes: vec![(id("sums"), shape(10))],
        ..Declared::default()
    };
    let snapshot = Stored {
        max_parallelism: Some(128),
        operators: vec![
            (id("pairs"), vec![stored("s", StateKind::List, 1, &[1])]),
            (id("sums"), vec![stored("s", value, 1, &[1])]),
        ],
        shapes: vec![(id("sums"), shape(20))],
        ..Stored::default()
    };
    let verdicts = |contract: &Contract| contract.states.iter().map(|of| of.fate.to_string()).collect::<Vec<_>>();
    let contract = Contract::new(&job, &snapshot);
    let kind = "refused: its kind is value, and that of the snapshot list";
    assert_eq!(verdicts(&contract), [kind, "refused: the timers or windows of its operator are others"]);
    let errors = "state pairs.s cannot be restored: its kind is value, and that of the snapshot list\n\n\
                  hint: give the operator another name, and allow what it has kept to be dropped: --allow-drop pairs\n\n\
                  error: operator sums: its windows are 20 ms long in the snapshot, and the job declares 10 ms long\n\n\
                  hint: give the operator another name, or start from a savepoint that was drained";
    assert_eq!(contract.check(&[]).unwrap_err().to_string(), errors);
    let contract = Contract::new(&Declared { max_parallelism: 64, ..job }, &snapshot);
    assert_eq!(verdicts(&contract), [kind, "refused: its keys are in other key groups"]);
}
